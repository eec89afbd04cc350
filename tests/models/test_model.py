"""FERModel: the model folder, strict loading, stock architectures."""

import json
import logging

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import PyTorchModelHubMixin
from PIL import Image
from safetensors.torch import load_file, save_file

from fer_hub import EMOTIONS, FERModel, UserError

STOCK = "test_resnet"  # timm's own tiny test architecture


@pytest.fixture
def faces():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, 48, 48), dtype=torch.uint8, generator=generator)


def logits(model, images):
    with torch.inference_mode():
        return model.eval()(images)


@pytest.mark.parametrize("architecture", ["fer_paper_cnn", STOCK])
def test_saved_folder_gives_the_same_logits(architecture, faces, tmp_path):
    model = FERModel(architecture, mean=0.5, std=0.25)
    model.save_pretrained(tmp_path)
    loaded = FERModel.from_pretrained(tmp_path)
    assert not loaded.training
    assert loaded.label_names == EMOTIONS
    torch.testing.assert_close(logits(loaded, faces), logits(model, faces), rtol=0, atol=1e-5)
    gray = FERModel.from_pretrained(tmp_path, in_chans=1)
    torch.testing.assert_close(logits(gray, faces), logits(model, faces), rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["fer_paper_cnn", STOCK])
def test_saved_folder_opens_with_timm(architecture, faces, tmp_path):
    model = FERModel(architecture)
    model.save_pretrained(tmp_path)
    other = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    channels = 1 if architecture == "fer_paper_cnn" else 3
    x = (faces.float() / 255).unsqueeze(1).expand(-1, channels, -1, -1)
    with torch.inference_mode():
        torch.testing.assert_close(other(x), logits(model, faces), rtol=0, atol=1e-5)


def test_stock_architecture_sees_the_luma_of_colour_images(faces, tmp_path):
    model = FERModel(STOCK).eval()
    model.save_pretrained(tmp_path)
    saved = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    colour = torch.rand(3, 3, 48, 48)
    luma = (colour * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    with torch.inference_mode():
        torch.testing.assert_close(saved(colour), model.network(luma), rtol=0, atol=1e-5)


def test_weights_have_bare_timm_keys(tmp_path):
    FERModel().save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == timm.create_model("fer_paper_cnn").state_dict().keys()


def damage(state, how):
    if how == "missing":
        del state["conv2.weight"]
    elif how == "extra":
        state["conv9.weight"] = torch.zeros(1)
    elif how == "renamed":
        state["second.weight"] = state.pop("conv2.weight")
    else:
        state["conv2.weight"] = torch.zeros(64, 32, 5, 5)
    return state


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("missing", ["conv2.weight is missing"]),
        ("extra", ["conv9.weight is unknown"]),
        ("renamed", ["conv2.weight is missing", "second.weight is unknown"]),
        ("shape", ["conv2.weight is (64, 32, 5, 5), expected (64, 32, 3, 3)"]),
    ],
)
def test_loading_is_strict(how, named, tmp_path):
    FERModel().save_pretrained(tmp_path)
    save_file(damage(load_file(tmp_path / "model.safetensors"), how), tmp_path / "model.safetensors")
    with pytest.raises(UserError) as error:
        FERModel.from_pretrained(tmp_path)
    assert all(part in str(error.value) for part in named)


def test_damaged_files_are_named(tmp_path):
    FERModel().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="model.safetensors is not readable"):
        FERModel.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "fer_paper_cnn"}))
    with pytest.raises(UserError, match="config.json is not that of a FER Hub model"):
        FERModel.from_pretrained(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match="model.safetensors is missing"):
        FERModel.from_pretrained(tmp_path)


def test_pickles_are_never_opened(tmp_path):
    FERModel().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match="weights as pytorch_model.bin only. Such files are pickles"):
        FERModel.from_pretrained(tmp_path)


def test_half_precision_weights_load_as_float32(faces, tmp_path):
    model = FERModel()
    model.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    save_file({key: tensor.half() for key, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    loaded = FERModel.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(loaded, faces), logits(model, faces), rtol=0, atol=1e-2)


@pytest.mark.parametrize("name", ["./nowhere", "nowhere", "a/b/c"])
def test_unknown_names_are_refused(name):
    with pytest.raises(UserError, match="neither an existing folder nor a Hub id"):
        FERModel.from_pretrained(name)


def test_unreachable_hub_is_a_clear_error():
    with pytest.raises(UserError, match="cannot load nobody/nothing from the Hub"):
        FERModel.from_pretrained("nobody/nothing")
    with pytest.raises(UserError, match="leave out --pretrained"):
        FERModel("resnet18", pretrained=True)


def test_revision_of_a_folder_is_refused(tmp_path):
    FERModel().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="is a folder here"):
        FERModel.from_pretrained(tmp_path, revision="v1")


def test_unknown_architecture_suggests_names():
    with pytest.raises(UserError, match="Did you mean .*resnet18"):
        FERModel("resnet_18")


def test_new_head_for_other_classes(faces, tmp_path):
    FERModel(label_names=("good", "bad")).save_pretrained(tmp_path)
    model = FERModel.from_pretrained(tmp_path)
    assert model.label_names == ("good", "bad")
    before = model.network.conv1.weight.clone()
    model.replace_head(EMOTIONS)
    assert logits(model, faces).shape == (5, 7)
    assert torch.equal(model.network.conv1.weight, before)


# --- predict ---


def test_predict_gives_a_dict_for_each_picture_in_label_order(faces):
    model = FERModel().eval()
    found = model.predict(faces.numpy())
    assert [list(one) for one in found] == [list(EMOTIONS)] * 5
    with torch.inference_mode():
        expected = model(faces).softmax(1)
    torch.testing.assert_close(torch.tensor([list(one.values()) for one in found]), expected)
    assert all(isinstance(value, float) for value in found[0].values())


def test_predict_is_the_same_for_every_form_of_a_picture(faces):
    model = FERModel()
    gray = faces[0].numpy()
    expected = model.predict(gray)
    alpha = np.full((48, 48), 9, np.uint8)
    forms = [
        Image.fromarray(gray),
        gray / 255,
        np.dstack([gray] * 3),
        np.dstack([gray] * 3 + [alpha]),
        np.dstack([gray, alpha]),
        faces[0],
        faces[0][None],
        [gray],
        faces[:1, None],
    ]
    for form in forms:
        assert model.predict(form) == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("architecture", ["fer_paper_cnn", "fer_vgg", STOCK])
def test_predict_in_other_precisions(architecture, dtype, faces):
    torch.manual_seed(0)
    model = FERModel(architecture, mean=0.5, std=0.25, in_chans=3 if architecture == STOCK else 1)
    expected = [list(one.values()) for one in model.predict(faces.numpy())]
    found = [list(one.values()) for one in model.to(dtype).predict(faces.numpy())]
    assert logits(model, faces).dtype == dtype
    np.testing.assert_allclose(found, expected, atol=1e-5 if dtype == torch.float64 else 0.05)


def test_predict_skips_bad_pictures_where_asked(faces, caplog):
    model = FERModel()
    good = [face.numpy() for face in faces]
    expected = model.predict(good)
    pictures = [b"no picture", *good[:2], *["nowhere.png"] * 70, *good[2:], None]
    found = model.predict(iter(pictures), on_error="skip")
    assert len(found) == len(pictures)
    assert [place for place, one in enumerate(found) if one is not None] == [1, 2, 73, 74, 75]
    for one, other in zip((one for one in found if one), expected, strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 72 and said[-1].startswith("picture 76 (from 0) is skipped: a NoneType is not a picture")
    assert model.predict("nowhere.png", on_error="skip") == [None]
    with pytest.raises(UserError, match=r"picture 3 \(from 0\): cannot open nowhere.png"):
        model.predict([*good[:3], "nowhere.png"])
    with pytest.raises(UserError, match="on_error 'ignore' is not one of raise, skip"):
        model.predict(good, on_error="ignore")


def test_predict_does_not_depend_on_the_batch_and_reads_iterators(faces):
    model = FERModel()
    pictures = [np.roll(faces[i % 5].numpy(), i, axis=0) for i in range(150)]
    read = []

    def stream():
        for index, picture in enumerate(pictures):
            read.append(index)
            yield picture

    found = model.predict(stream())
    assert len(found) == 150 and read == list(range(150))
    for index in (0, 63, 64, 149):
        alone = model.predict(pictures[index])[0]
        assert found[index] == pytest.approx(alone, abs=1e-6)


def test_predict_takes_any_size_and_bgr(faces):
    model = FERModel()
    colour = torch.randint(0, 256, (97, 31, 3), dtype=torch.uint8).numpy()
    assert model.predict(colour[:, :, ::-1].copy(), channel_order="bgr") == model.predict(colour)
    assert model.predict(colour) == model.predict(Image.fromarray(colour))


def test_predict_works_in_eval_mode_and_leaves_the_mode_alone(faces):
    model = FERModel(drop_rate=0.5).train()
    assert model.predict(faces.numpy()) == model.predict(faces.numpy())
    assert model.training


def test_predict_names_the_picture_that_is_none(faces):
    pictures = [faces[0].numpy()] * 70
    pictures[66] = b"no picture"
    with pytest.raises(UserError, match=r"picture 66 \(from 0\): the picture is not a picture"):
        FERModel().predict(pictures)
    assert FERModel().predict([]) == []


# --- the whole folder ---


RECORDS = {"results.json": b"{}", "train_config.json": b"{}", "README.md": b"---\na: b\n---\nby hand\n",
           "figures/curves.png": b"png", "onnx/model.onnx": b"onnx"}  # fmt: skip


@pytest.fixture
def complete(tmp_path):
    folder = tmp_path / "complete"
    FERModel().save_pretrained(folder)
    for path, data in RECORDS.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def contents(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_it_is_a_hub_mixin():
    assert isinstance(FERModel(), PyTorchModelHubMixin)


def test_saving_carries_the_records_over(complete, tmp_path):
    FERModel.from_pretrained(complete).save_pretrained(tmp_path / "copy")
    before, after = contents(complete), contents(tmp_path / "copy")
    assert after.keys() == before.keys()
    assert {path: after[path] for path in RECORDS} == RECORDS


def test_saving_to_its_own_folder_changes_nothing(complete):
    before = contents(complete)
    FERModel.from_pretrained(complete).save_pretrained(complete)
    assert contents(complete) == before


def test_records_do_not_go_with_other_weights(complete, tmp_path, caplog):
    model = FERModel.from_pretrained(complete)
    with torch.no_grad():
        model.network.classifier.bias += 1
    with caplog.at_level(logging.WARNING):
        model.save_pretrained(tmp_path / "copy")
    assert "no longer that of" in caplog.text
    assert contents(tmp_path / "copy").keys() == {"config.json", "model.safetensors", "README.md"}
    assert b"by hand" not in (tmp_path / "copy/README.md").read_bytes()


def test_saving_removes_the_records_of_other_weights(complete):
    FERModel().save_pretrained(complete)
    assert contents(complete).keys() == {"config.json", "model.safetensors", "README.md"}


def test_saving_does_not_replace_files_of_a_folder_that_is_no_model(tmp_path):
    (tmp_path / "README.md").write_text("of my project")
    with pytest.raises(UserError, match="holds README.md and no model"):
        FERModel().save_pretrained(tmp_path)
    assert contents(tmp_path) == {"README.md": b"of my project"}


def test_saving_onto_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(UserError, match="cannot save to"):
            FERModel().save_pretrained(place)


def test_saved_files_are_as_readable_as_any_other(tmp_path):
    FERModel().save_pretrained(tmp_path / "model")
    (tmp_path / "other").touch()
    modes = {file.stat().st_mode for file in (*(tmp_path / "model").iterdir(), tmp_path / "other")}
    assert len(modes) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"model_args": {"checkpoint_path": "x.bin"}},
        {"model_args": {"in_chans": 1}},
        {"model_args": "abc"},
        {"label_names": None},
        {"label_names": ["a"] * 7},
        {"num_classes": 9},
        {"architecture": 5},
        {"pretrained_cfg": {"input_size": [], "mean": [0], "std": [1]}},
        {"pretrained_cfg": {"input_size": [1, 48, 48], "mean": ["x"], "std": [1]}},
        {"pretrained_cfg": {"input_size": [1, 48, 48], "mean": [0], "std": [0]}},
        {"pretrained_cfg": None},
    ],
    ids=str,
)
def test_a_config_of_no_use_is_refused(change, tmp_path):
    FERModel().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(UserError, match="config.json is not that of a FER Hub model"):
        FERModel.from_pretrained(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    FERModel().save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    state["classifier.bias"][0] = float("nan")
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="classifier.bias has values that are not finite"):
        FERModel.from_pretrained(tmp_path)


def test_a_fresh_model_gets_a_bare_card(tmp_path):
    FERModel(STOCK).save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("---\n") and STOCK in text


# --- the shipped model ---


def test_shipped_model_loads_by_name_from_anywhere(faces, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    model = FERModel.from_pretrained("paper-cnn")
    assert model.num_parameters == 619_015
    assert not model.training
    model.predict(faces.numpy())
    assert capfd.readouterr() == ("", "")


def test_shipped_results_are_those_of_its_weights(fer2013_path):
    from fer_hub.data import dataset, pixels

    model = FERModel.from_pretrained("paper-cnn")
    recorded = json.loads((model.folder / "results.json").read_text())["validation"]
    split = pixels.decode(dataset.load(fer2013_path)["validation"], "validation")
    found = torch.tensor([list(one.values()) for one in model.predict(split.images.numpy())])
    assert (found.argmax(1) == split.labels).double().mean().item() == pytest.approx(recorded["accuracy"], abs=1e-12)
    assert torch.nn.functional.nll_loss(found.log(), split.labels).item() == pytest.approx(recorded["loss"], abs=1e-4)


def test_the_memory_format_of_convolutions_survives_saving_and_loading(tmp_path):
    FERModel().save_pretrained(tmp_path)
    for model in (FERModel(), FERModel.from_pretrained(tmp_path), FERModel.from_pretrained("fer-small")):
        kernels = [weight for weight in model.parameters() if weight.ndim == 4]
        assert kernels and all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels)
