"""What this machine can do, and the settings that make training fast on it."""

import ctypes
import os
import platform
import re
from contextlib import suppress
from pathlib import Path

import psutil
import torch
from accelerate import Accelerator

from fer_hub.errors import UserError
from fer_hub.recipes import TrainConfig


def threads_and_precision(config: TrainConfig, state: dict | None, accelerator: Accelerator) -> tuple[int, str]:
    """The user's word, or what the run started with (a resumed run gives the same bits), or what this machine has."""
    before = state["record"]["environment"] if state else {}
    if before and before["processes"] != accelerator.num_processes:
        before = {}
    # torchrun and accelerate launch say how many processes share this machine
    local = int(os.environ.get("LOCAL_WORLD_SIZE", accelerator.num_processes))
    threads = resolve_threads(config.num_threads or before.get("num_threads"), local)
    return threads, resolve_precision(config.mixed_precision, before.get("mixed_precision"), accelerator.device)


def resolve_threads(asked: int | None, local_processes: int) -> int:
    """Threads for one process: what the user asked for, or this machine's physical cores shared among its processes.

    `accelerate launch` sets OMP_NUM_THREADS=1 on a CPU without being asked; that is not the user's word.
    """
    if asked is not None:
        return asked
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(psutil.cpu_count(logical=False) or available, available) // local_processes)


def resolve_precision(asked: str | None, before: str | None, device: torch.device) -> str:
    """`no` (float32), `bf16` or `fp16`, by the first that has a word.

    That is the user's flag; then `accelerate launch --mixed_precision` or accelerate's config file, unless it says
    `no`, which it does without being asked too; then what a resumed run began with; then a fixed rule of the hardware.

    Args:
        asked: `--mixed_precision`, None where it was not given.
        before: that of the run that is resumed.
        device: where the run trains.

    Raises:
        UserError: fp16 on a device that is not CUDA, or a precision of accelerate that is not for this training.
    """
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()
    if asked is None and launched not in ("no", "bf16", "fp16"):
        raise UserError(
            f"accelerate launch --mixed_precision {launched} is not for this training: use bf16, fp16 or no."
        )
    precision = asked or (launched if launched != "no" else before)
    if precision == "fp16" and device.type != "cuda":
        raise UserError(f"--mixed_precision fp16 needs a CUDA device, this is {device.type}: use bf16 or no.")
    return precision or ("bf16" if faster_in_bf16(device) else "no")


def computes_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16; others emulate it, if they take it at all."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = _cpu_capabilities() if device.type == "cpu" else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def faster_in_bf16(device: torch.device) -> bool:
    """Whether training in bfloat16 is faster than in float32: a rule by what was measured, never a measurement now.

    A CPU that emulates bfloat16 can be many times slower. Intel's avx512_bf16 without AMX computes in it and is slower
    all the same: the paper's CNN trained 1,480 images/s in bf16 and 2,220 in float32. With AMX, and on AMD's
    avx512_bf16, bf16 is the faster one.
    """
    if device.type == "cpu" and not _cpu_capabilities().get("amx_bf16") and _is_intel():
        return False
    return computes_bf16(device)


def tune_allocator() -> None:
    """Lets glibc keep big freed blocks instead of handing them back to the kernel at every training step.

    Otherwise page faults can dominate the training of the paper's CNN. For programs that own the process, never at
    import. Does nothing where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    # mallopt takes a C int: 4 GiB would become 0, the opposite of the aim.
    libc.mallopt(-3, 2**31 - 1)  # M_MMAP_THRESHOLD
    libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def release_free_memory() -> None:
    """Hands what `tune_allocator` has kept, and what is free now, back to the system."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def describe(device: torch.device) -> str:
    """The class of the hardware for records that are published: no host name, no serial number."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cores = psutil.cpu_count(logical=False) or os.cpu_count()
    features = [name for name in ("amx_bf16", "avx512_bf16", "avx2") if _cpu_capabilities().get(name)]
    return f"{_cpu_name()}, {cores} cores" + (f", {features[0]}" if features else "")


def peak_memory_bytes() -> int:
    """The most resident memory that this process has held; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def _cpu_capabilities() -> dict:
    return torch.cpu.get_capabilities()


def _is_intel() -> bool:
    return "intel" in _cpu_vendor().lower()


def _cpu_vendor() -> str:
    """GenuineIntel, AuthenticAMD, or whatever tells it: torch's name of the CPU is missing or made up on some hosts."""
    with suppress(OSError):
        found = re.search(r"^vendor_id\s*: *(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1]
    return f"{_cpu_name()} {platform.processor()}"  # on Windows the latter ends in the vendor


def _cpu_name() -> str:
    return _cpu_capabilities().get("cpu_name") or platform.processor() or platform.machine()
