"""Any model opens, and gives what its own library gives; what is no model, or gives no probabilities, is refused."""

import copy
import importlib
import json
import sys

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf

from fer_hub import EMOTIONS, FERModel, UserError
from fer_hub.evaluation import predictors
from fer_hub.evaluation.predictors import Predictor, ensemble, load, of_model, with_flip
from fer_hub.models.onnx_export import export_onnx

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 6), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
WORDS = ("Neutral", "Happiness", "surprised", "SAD", "anger", "disgusted", "fearful")  # as others have it
MEANT = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")


def by_torch(model, images=IMAGES):
    with torch.inference_mode():
        return model.eval()(torch.from_numpy(images)).softmax(1).numpy()


def constant(probabilities, label_names, name="constant"):
    return Predictor(name, label_names, lambda images: np.tile(probabilities, (len(images), 1)))


# --- FER Hub's own ---


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A stock architecture with the preprocessing of a training, as folder; its answers are not all alike."""
    torch.manual_seed(0)
    model = FERModel("test_resnet", mean=0.5, std=0.25)
    with torch.no_grad():
        model.network.fc.weight *= 20
    folder = tmp_path_factory.mktemp("own") / "best"
    model.save_pretrained(folder)
    return folder


def test_a_shipped_model():
    found = load("paper-cnn")
    assert (found.name, found.label_names, found.model.architecture) == ("paper-cnn", EMOTIONS, "fer_paper_cnn")
    probabilities = found(IMAGES)
    assert probabilities.shape == (40, 7) and probabilities.dtype == np.float64
    assert probabilities.sum(1) == pytest.approx(1, abs=1e-12)
    assert probabilities == pytest.approx(by_torch(FERModel.from_pretrained("paper-cnn")), abs=1e-5)
    assert probabilities.std(0).max() > 0.01  # images matter
    assert found(torch.from_numpy(IMAGES)).tolist() == probabilities.tolist()


def test_a_folder(own):
    found = load(str(own))
    assert found(IMAGES) == pytest.approx(by_torch(FERModel.from_pretrained(own)), abs=1e-5)
    assert found.model.folder == own and found(IMAGES).std(0).max() > 0.01


def test_a_model_in_memory_is_left_as_it_is():
    torch.manual_seed(0)
    model = FERModel("test_resnet").train()
    expected = by_torch(model)
    strides = {key: tensor.stride() for key, tensor in model.state_dict().items()}
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.train()
    found = of_model(model, "mine")
    assert found.model is model and found(IMAGES) == pytest.approx(expected, abs=1e-5)
    assert model.training and model.network.training
    assert {key: tensor.stride() for key, tensor in model.state_dict().items()} == strides
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())


def test_batches_change_nothing(monkeypatch):
    found = load("paper-cnn")
    whole = found(IMAGES)
    monkeypatch.setattr(predictors, "BATCH", 7)
    assert found(IMAGES) == pytest.approx(whole, abs=1e-6)


def test_a_damaged_folder_is_not_opened_by_a_library_that_checks_less(own, tmp_path):
    for file in own.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    state = load_file(own / "model.safetensors")
    state["fc.bias"][0] = float("nan")
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="fc.bias has values that are not finite"):
        load(str(tmp_path))


def test_what_is_nothing_is_refused_in_the_words_of_the_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "pickle").mkdir()
    (tmp_path / "pickle" / "config.json").write_text(json.dumps({"model_type": "vit", "id2label": {"0": "happy"}}))
    (tmp_path / "pickle" / "pytorch_model.bin").write_bytes(b"no weights")
    (tmp_path / "unlabelled").mkdir()
    save_for_hf(timm.create_model("test_resnet", num_classes=7), "unlabelled", safe_serialization=True)
    for name in ("nowhere", "no/such/folder", "user/unknown", "empty", "pickle", "unlabelled"):
        with pytest.raises(UserError) as expected:
            FERModel.from_pretrained(name)
        with pytest.raises(UserError) as raised:
            load(name)
        assert type(raised.value) is type(expected.value)
        assert str(raised.value) == str(expected.value) and name in str(raised.value)


def test_a_revision_is_for_the_hub_alone(own, tmp_path):
    for name in (str(own), "paper-cnn", "model.onnx", "json:loads"):
        with pytest.raises(UserError, match="revision 'v1' is for models on the Hub"):
            load(name, "v1")


# --- ONNX ---


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    model = FERModel("test_resnet", label_names=("Neutral", "happy", "contempt"), mean=0.5, std=0.25)
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(model, path)
    return model, path


def test_an_onnx_file_needs_onnxruntime_alone_and_is_opened_once(onnx_file, monkeypatch):
    import onnxruntime

    model, path = onnx_file
    opened = []
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, **kw: opened.append(1) or session(*args, **kw))
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setattr(predictors, "BATCH", 16)
    found = load(str(path))
    assert found.label_names == ("neutral", "happy", "contempt") and found.model is None
    assert found(IMAGES) == pytest.approx(by_torch(model), abs=1e-4)
    assert opened == [1]


def test_without_onnxruntime(onnx_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="pip install onnxruntime"):
        load(str(onnx_file[1]))


def test_foreign_onnx_files_are_refused_with_what_is_expected(onnx_file, tmp_path):
    import onnx

    expected = r"images, tensor\(uint8\) \(N, 48, 48\).* probabilities, tensor\(float\) \(N, C\).* label_names"
    proto = onnx.load(onnx_file[1])
    for value in (None, "happy, sad", "[1, 2, 3]", '"abc"'):
        del proto.metadata_props[:]
        onnx.helper.set_model_props(proto, {} if value is None else {"label_names": value})
        onnx.save(proto, tmp_path / "unnamed.onnx")
        with pytest.raises(UserError, match=rf"no ONNX file of FER Hub. .*{expected}.* classes unnamed.*module:func"):
            load(str(tmp_path / "unnamed.onnx"))

    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 7]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Softmax", ["x"], ["y"])], "g", ports[:1], ports[1:])
    other = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(UserError, match=rf"{expected}.*this one has x, tensor\(float\); y, tensor\(float\)"):
        load(str(tmp_path / "other.onnx"))
    (tmp_path / "text.onnx").write_text("no graph")
    for name, words in (
        ("text.onnx", "cannot read .*text.onnx as ONNX"),
        ("missing.onnx", "cannot open .*missing.onnx: No"),
    ):
        with pytest.raises(UserError, match=words):
            load(str(tmp_path / name))


# --- timm ---


@pytest.fixture(scope="module")
def timm_folder(tmp_path_factory):
    """As timm saves a model that somebody fine-tuned at 32 pixels, in colour, with ImageNet's mean."""
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=7).eval()
    with torch.no_grad():
        network.get_classifier().weight.mul_(20)
    folder = tmp_path_factory.mktemp("timm")
    data = {"input_size": (3, 32, 32), "crop_pct": 0.9, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}
    save_for_hf(network, folder, {"label_names": list(WORDS)}, safe_serialization=True, data_config=data)
    # As older releases save it: FERModel opens this, too, and takes 48 pixels and one mean.
    config = json.loads((folder / "config.json").read_text()) | {"model_args": {}}
    (folder / "config.json").write_text(json.dumps(config))
    FERModel.from_pretrained(folder)
    return network, folder


def as_timm_sees(network, mode, **data):
    transform = timm.data.create_transform(**data)
    with torch.inference_mode():
        faces = torch.stack([transform(Image.fromarray(image).convert(mode)) for image in IMAGES])
        return network(faces).softmax(1).numpy()


def test_a_timm_folder(timm_folder):
    network, folder = timm_folder
    found = load(str(folder))
    assert found.label_names == MEANT and found.model is None
    expected = as_timm_sees(network, "RGB", input_size=(3, 32, 32), interpolation="bilinear", crop_pct=0.9,
                            mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))  # fmt: skip
    assert found(IMAGES) == pytest.approx(expected, abs=1e-5)
    assert found(IMAGES).std(0).max() > 0.01


def test_a_gray_timm_folder(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=2, in_chans=1).eval()
    data = {"input_size": (1, 48, 48), "interpolation": "bilinear", "crop_pct": 1.0, "mean": (0.5,), "std": (0.25,)}
    save_for_hf(network, tmp_path, {"label_names": ["sad", "contempt"]}, safe_serialization=True, data_config=data)
    found = load(str(tmp_path))
    assert found.label_names == ("sad", "contempt")
    assert found(IMAGES) == pytest.approx(as_timm_sees(network, "L", **data), abs=1e-5)


def test_a_timm_model_on_the_hub(timm_folder, hub, online):
    network, folder = timm_folder
    files = {file.name: file.read_bytes() for file in folder.iterdir()} | {"old/model.safetensors": b"not wanted"}
    first = hub.add_repo("user/timm", files)
    for revision in (None, first):
        assert load("user/timm", revision)(IMAGES) == pytest.approx(load(str(folder))(IMAGES), abs=1e-12)
    assert not [path for _, path in hub.requests if "old/" in path]
    with pytest.raises(UserError, match="no branch, tag or commit v9"):
        load("user/timm", "v9")


def test_timm_folders_that_do_not_open(timm_folder, tmp_path):
    for file in timm_folder[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    state = load_file(tmp_path / "model.safetensors")
    state.pop("fc.bias")
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="cannot be opened by timm: .*"):
        load(str(tmp_path))


# --- transformers ---


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        id2label=dict(enumerate(WORDS)), label2id={word: number for number, word in enumerate(WORDS)},
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config).eval()
    with torch.no_grad():
        model.classifier.weight.mul_(20)
    folder = tmp_path_factory.mktemp("vit")
    model.save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return model, folder


def as_transformers_sees(model, folder):
    from transformers import AutoImageProcessor

    faces = [Image.fromarray(image).convert("RGB") for image in IMAGES]
    with torch.inference_mode():
        inputs = AutoImageProcessor.from_pretrained(folder)(images=faces, return_tensors="pt")
        return model(**inputs).logits.softmax(1).numpy()


def test_a_transformers_folder(vit):
    model, folder = vit
    found = load(str(folder))
    assert found.label_names == MEANT and found.model is None
    assert found(IMAGES) == pytest.approx(as_transformers_sees(model, folder), abs=1e-5)
    assert found(IMAGES).std(0).max() > 0.01


def test_a_model_saved_in_half_precision_is_measured_in_float32(vit, tmp_path):
    model, folder = vit
    half = copy.deepcopy(model).half()
    half.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_bytes((folder / "preprocessor_config.json").read_bytes())
    exact = as_transformers_sees(half.float(), folder)
    assert load(str(tmp_path))(IMAGES) == pytest.approx(exact, abs=1e-6)


def test_a_transformers_model_on_the_hub(vit, hub, online):
    model, folder = vit
    hub.add_repo("user/vit", {file.name: file.read_bytes() for file in folder.iterdir()})
    assert load("user/vit")(IMAGES) == pytest.approx(as_transformers_sees(model, folder), abs=1e-5)


def test_timm_in_the_form_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.TimmWrapperConfig(architecture="test_resnet", id2label=dict(enumerate(WORDS)),
                                            pretrained_cfg={"input_size": [3, 48, 48], "mean": [0.5] * 3,
                                                            "std": [0.5] * 3, "num_classes": 7})  # fmt: skip
    model = transformers.TimmWrapperForImageClassification(config).eval()
    model.save_pretrained(tmp_path)
    transformers.AutoImageProcessor.from_pretrained(tmp_path).save_pretrained(tmp_path)
    found = load(str(tmp_path))
    assert found.label_names == MEANT
    assert found(IMAGES) == pytest.approx(as_transformers_sees(model, tmp_path), abs=1e-5)


def test_a_transformers_folder_without_a_trained_head_is_refused(vit, tmp_path):
    model, folder = vit
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    state = {key: value for key, value in load_file(folder / "model.safetensors").items() if "classifier" not in key}
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="no weights for classifier.bias, classifier.weight: .*not a finished"):
        load(str(tmp_path))
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match="cannot be opened by transformers"):
        load(str(tmp_path))


def test_without_transformers(vit, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match="pip install 'transformers"):
        load(str(vit[1]))


# --- Python functions ---

MODULE = """
import numpy as np, torch

def bright(images):
    assert images.dtype == np.uint8 and images.shape[1:] == (48, 48)
    share = images.mean((1, 2))[:, None] / 255
    images[:] = 0
    return np.hstack([share, np.repeat((1 - share) / 6, 6, 1)])

def pair(images):
    import beside
    tensor = torch.full((len(images), 2), 0.5, requires_grad=True)
    return tensor * beside.ONE
pair.label_names = ["Joy", "contempt"]

def logits(images):
    return np.zeros((len(images), 7))

def short(images):
    return np.full((len(images) - 1, 7), 1 / 7)

def wide(images):
    return np.full((len(images), 8), 1 / 8)

def negative(images):
    return np.tile([2, -1, 0, 0, 0, 0, 0], (len(images), 1))

def lost(images):
    return np.full((len(images), 7), np.nan)

def words(images):
    return ["happy"] * len(images)

def nothing(images):
    return None

def twice(images):
    return np.full((len(images), 2), 0.5)
twice.label_names = ("happy", "Joy")

number = 7
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working directory, with a module of functions; it is on no path yet, as under `fer-hub`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    (tmp_path / "somebodys_model.py").write_text(MODULE)
    (tmp_path / "beside.py").write_text("ONE = 1.0")
    importlib.invalidate_caches()
    yield
    for name in ("somebodys_model", "beside"):
        sys.modules.pop(name, None)


def test_a_function(here):
    found = load("somebodys_model:bright")
    assert (found.name, found.label_names) == ("somebodys_model:bright", EMOTIONS)
    share = IMAGES.mean((1, 2)) / 255
    kept = IMAGES.copy()
    assert found(kept)[:, 0] == pytest.approx(share) and found(kept)[:, 6] == pytest.approx((1 - share) / 6)
    assert (kept == IMAGES).all()  # whatever the function does to its own


def test_a_function_with_its_own_classes_that_imports_when_called(here):
    found = load("somebodys_model:pair")
    assert found.label_names == ("happy", "contempt")
    assert found(IMAGES).tolist() == [[0.5, 0.5]] * 40


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("logits", "no probabilities: each row must be in 0..1 and sum to 1"),
        ("negative", "no probabilities"),
        ("lost", "no probabilities"),
        ("short", r"shape \(39, 7\) for 40 images and 7 classes .*: \(40, 7\) is expected"),
        ("wide", r"shape \(40, 8\) for 40 images and 7 classes \(angry, disgust"),
        ("words", "no array of numbers"),
        ("nothing", r"array of shape \(\)"),
    ],
)
def test_what_is_no_probabilities_is_refused(function, words, here):
    found = load(f"somebodys_model:{function}")
    for used in (found, with_flip(found), ensemble([found, found])):
        with pytest.raises(UserError, match=f"somebodys_model:{function} .*{words}"):
            used(IMAGES)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("somebodys_model:missing", "no attribute 'missing'. The form is module:function"),
        ("no_such_module:f", "No module named 'no_such_module'. The form is module:function"),
        ("somebodys_model:number", "is no function, but a int"),
        ("somebodys_model:twice", "two of its classes mean the same: happy, Joy"),
        ("somebodys_model:", "no model at somebodys_model:"),
        (":bright", "no model at :bright"),
        ("some/folder:bright", "cannot load some/folder:bright|no model at some/folder:bright"),
    ],
)
def test_functions_that_are_none(name, words, here):
    with pytest.raises(UserError, match=words):
        load(name)


# --- several looks, several models ---


def test_flip_by_hand():
    def left(images):
        share = images[:, :, :24].mean((1, 2)) / 255
        return np.stack([share, 1 - share], 1)

    looks = with_flip(Predictor("left", ("happy", "sad"), left))
    assert (looks.name, looks.label_names) == ("left", ("happy", "sad"))
    halves = IMAGES[:, :, :24].mean((1, 2)) / 255, IMAGES[:, :, 24:].mean((1, 2)) / 255
    assert looks(IMAGES)[:, 0] == pytest.approx((halves[0] + halves[1]) / 2)
    assert looks(IMAGES[:, :, ::-1]) == pytest.approx(looks(IMAGES))


@pytest.mark.parametrize("kind", ["own", "onnx_file", "vit"])
def test_flip_of_real_models(kind, request):
    made = request.getfixturevalue(kind)
    found = load(str(made[1] if isinstance(made, tuple) else made))
    mirrored = np.ascontiguousarray(IMAGES[:, :, ::-1])
    assert with_flip(found)(IMAGES) == pytest.approx((found(IMAGES) + found(mirrored)) / 2, abs=1e-6)
    assert np.abs(found(IMAGES) - found(mirrored)).max() > 1e-3
    assert with_flip(found).model is found.model


def test_an_ensemble_is_the_mean_by_name():
    one = constant([0.7, 0.2, 0.1], ("happy", "sad", "fear"), "one")
    two = constant([0.5, 0.4, 0.1], ("fear", "happy", "sad"), "two")
    both = ensemble([one, two])
    assert (both.name, both.label_names) == ("one + two", ("happy", "sad", "fear"))
    assert both(IMAGES) == pytest.approx(np.tile([0.55, 0.15, 0.3], (40, 1)))
    assert both.model is None
    assert ensemble([one, constant([0.1, 0.2, 0.7], ("Fear", "Sad", "Happy"))])(IMAGES)[0] == pytest.approx(
        [0.7, 0.2, 0.1]
    )
    assert ensemble([one])(IMAGES) == pytest.approx(one(IMAGES))
    with pytest.raises(UserError, match="one and three have different classes"):
        ensemble([one, constant([0.5, 0.5], ("happy", "sad"), "three")])


def test_rounded_probabilities_are_made_exact():
    rounded = constant([0.3334, 0.3333, 0.333], ("happy", "sad", "fear"))
    assert rounded(IMAGES).sum(1) == pytest.approx(1, abs=1e-12)


def test_progress_is_shown_where_asked(capfd, monkeypatch):
    monkeypatch.setattr(predictors, "BATCH", 10)
    found = constant([0.5, 0.5], ("happy", "sad"))
    found(IMAGES)
    found(IMAGES, progress=True)  # no terminal: no bar
    assert capfd.readouterr() == ("", "")
