"""Model folders that would compute nonsense: refused by every loader, or told where the probabilities are made."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fer_hub import FERModel, UserError
from fer_hub.cli.arguments import main
from fer_hub.models import weights
from fer_hub.models.publish import push_model
from fer_hub.recognition.recognizer import EmotionRecognizer

FACE = np.full((48, 48), 128, np.uint8)
OWN = {"a": torch.zeros(2, 3), "count": torch.zeros((), dtype=torch.int64)}


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_usual_precision_fits(kind):
    fitted = weights.fit({**OWN, "a": torch.ones(2, 3, dtype=kind)}, OWN, ())
    assert fitted["a"].dtype == torch.float32 and fitted["a"].sum() == 6


@pytest.mark.parametrize(
    "kind",
    [torch.int8, torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2],
    ids=str,
)
def test_other_types_do_not(kind):
    with pytest.raises(ValueError, match=rf"a is of {str(kind)[6:]}, expected float32"):
        weights.fit({**OWN, "a": torch.zeros(2, 3).to(kind)}, OWN, ())
    with pytest.raises(ValueError, match="count is of float32, expected int64"):
        weights.fit({**OWN, "count": torch.tensor(1.0)}, OWN, ())


@pytest.mark.parametrize("value", [1e200, -1e39, float("inf"), float("nan")])
def test_values_that_are_not_finite_after_the_cast(value):
    with pytest.raises(ValueError, match="a has values that are not finite"):
        weights.fit({**OWN, "a": torch.full((2, 3), value, dtype=torch.float64)}, OWN, ())


@pytest.mark.parametrize("shape", [(), (0,), (1,), (1, 1), (1, 4, 2), (1, 3, 2, 1)])
def test_a_first_layer_of_any_shape_is_compared_before_it_is_folded(shape):
    own = {"first": torch.zeros(1, 1, 2)}
    with pytest.raises(ValueError, match=r"first is .*, expected \(1, 3, 2\)"):
        weights.fit({"first": torch.zeros(shape)}, own, ["first"])
    assert weights.fit({"first": torch.ones(1, 3, 2)}, own, ["first"])["first"].tolist() == [[[3, 3]]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    FERModel("test_resnet").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def edit(folder, **changes):
    """Replaces values of config.json as text, since json.dumps does not write all that a stranger may."""
    text = (folder / "config.json").read_text()
    for key, value in changes.items():
        text, count = re.subn(rf'("{key}": )(\[[^]]*\]|[^,\n]+)', rf"\g<1>{value}", text)
        assert count
    (folder / "config.json").write_text(text)


def scale(folder, value):
    state = {key: tensor.clone() for key, tensor in load_file(folder / "model.safetensors").items()}
    state["fc.weight"] = torch.full(state["fc.weight"].shape, value, dtype=torch.float64)
    save_file(state, folder / "model.safetensors", {"format": "pt"})


BROKEN = {
    "mean NaN": (lambda folder: edit(folder, mean="[NaN, NaN, NaN]"), "NaN"),
    "mean infinite": (lambda folder: edit(folder, mean="[1e999, 0, 0]"), "1e999"),
    "mean absurd": (lambda folder: edit(folder, mean="[1e30, 0, 0]"), "mean 1e+30"),
    "mean true": (lambda folder: edit(folder, mean="[true, true, true]"), "mean[0] is True"),
    "std tiny": (lambda folder: edit(folder, std="[1e-300, 1, 1]"), "std 1e-300"),
    "std infinite": (lambda folder: edit(folder, std="[Infinity]"), "Infinity"),
    "temperature": (lambda folder: edit(folder, temperature="1e300"), "temperature 1e+300"),
    "threshold": (lambda folder: edit(folder, abstention_threshold="true"), "abstention_threshold is True"),
    "class without a name": (lambda folder: edit(folder, label_names='["", "b", "c", "d", "e", "f", "g"]'), "is empty"),
    "class with a bell": (
        lambda folder: edit(folder, label_names=r'["\\u0007", "b", "c", "d", "e", "f", "g"]'), "cannot be shown",
    ),
    "float64 weights": (lambda folder: scale(folder, 1e200), "fc.weight has values that are not finite"),
    "architecture": (lambda folder: edit(folder, architecture='"resnet17"'), "unknown architecture 'resnet17'"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_every_loader_refuses_the_folder_by_its_name(how, folder, capsys):
    damage, words = BROKEN[how]
    damage(folder)
    for load in (FERModel.from_pretrained, EmotionRecognizer.from_pretrained, lambda name: push_model(name, "user/x")):
        with pytest.raises(UserError) as caught:
            load(str(folder))
        assert str(folder) in str(caught.value) and words in str(caught.value)
    for arguments in (["info", str(folder)], ["info", str(folder), "--json"]):
        assert main(arguments) == 2
        said = capsys.readouterr()
        assert said.out == "" and str(folder) in said.err and "Traceback" not in said.err


def test_probabilities_that_are_not_finite_are_told_with_the_model(folder):
    state = {key: tensor.clone() for key, tensor in load_file(folder / "model.safetensors").items()}
    name = next(key for key in state if key.endswith("running_var"))
    state[name] -= 2  # finite, as loaders see it; its root is not
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=f"{folder} gives probabilities that are not numbers"):
        FERModel.from_pretrained(folder).predict(FACE)


def test_a_folder_with_a_broken_record_is_refused_by_name(folder, capsys):
    (folder / "results.json").write_text(json.dumps({"test": {"n": "many"}}))
    assert main(["info", str(folder)]) == 2
    assert f"{folder}/results.json is not what a training writes: results.test.n is 'many'" in capsys.readouterr().err
