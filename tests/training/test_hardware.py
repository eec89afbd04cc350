"""The precision of a run: a fixed rule of the hardware, the user's word before it."""

import platform

import pytest
import torch

from fer_hub import UserError
from fer_hub.training import hardware

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)


def pretend(monkeypatch, vendor, *features):
    monkeypatch.setattr(hardware, "_cpu_vendor", lambda: vendor)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(features, True))


@pytest.mark.parametrize(
    ("vendor", "features", "computes", "precision"),
    [
        ("GenuineIntel", ["avx2"], False, "no"),
        ("GenuineIntel", ["avx2", "avx512_bf16"], True, "no"),
        ("GenuineIntel", ["avx2", "avx512_bf16", "amx_bf16"], True, "bf16"),
        ("AuthenticAMD", ["avx2"], False, "no"),
        ("AuthenticAMD", ["avx2", "avx512_bf16"], True, "bf16"),
        ("Intel64 Family 6 Model 106 Stepping 6, GenuineIntel", ["avx512_bf16"], True, "no"),
        ("Intel(R) Xeon(R) Platinum 8380", ["avx512_bf16"], True, "no"),
        ("arm", [], False, "no"),
    ],
)
def test_precision_by_vendor_and_features(vendor, features, computes, precision, monkeypatch):
    pretend(monkeypatch, vendor, *features)
    assert hardware.computes_bf16(CPU) is computes
    assert hardware.resolve_precision(None, None, CPU) == precision


def test_the_vendor_of_this_machine_has_a_name():
    assert hardware._cpu_vendor().strip()


def test_the_vendor_where_there_is_no_cpuinfo(monkeypatch):
    monkeypatch.setattr(hardware.Path, "read_text", lambda path: (_ for _ in ()).throw(FileNotFoundError(path)))
    monkeypatch.setattr(platform, "processor", lambda: "Intel64 Family 6 Model 143 Stepping 8, GenuineIntel")
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert hardware._is_intel()


@pytest.mark.parametrize(
    ("asked", "launched", "before", "precision"),
    [
        (None, "no", None, "no"),  # accelerate launch says so unasked
        (None, "bf16", None, "bf16"),
        (None, "BF16", None, "bf16"),
        ("no", "bf16", "bf16", "no"),
        (None, "no", "bf16", "bf16"),  # a resumed run goes on as it began
        (None, "bf16", "no", "bf16"),
        (None, None, "bf16", "bf16"),
        ("bf16", None, "no", "bf16"),
    ],
)
def test_flag_then_launcher_then_the_run_itself(asked, launched, before, precision, monkeypatch):
    pretend(monkeypatch, "GenuineIntel", "avx2")
    if launched:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launched)
    assert hardware.resolve_precision(asked, before, CPU) == precision


@pytest.mark.parametrize(
    ("launched", "said"), [("fp16", "fp16 needs a CUDA device"), ("fp8", "fp8 is not for this training")]
)
def test_what_the_launcher_asks_in_vain_is_refused(launched, said, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launched)
    with pytest.raises(UserError, match=said):
        hardware.resolve_precision(None, None, CPU)
    assert hardware.resolve_precision("no", None, CPU) == "no"
