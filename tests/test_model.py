"""FERModel: the model folder, strict loading, stock architectures."""

import json

import pytest
import timm
import torch
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


@pytest.mark.parametrize("name", ["./nowhere", "nowhere", "a/b/c"])
def test_unknown_names_are_refused(name):
    with pytest.raises(UserError, match="neither an existing folder nor a Hub id"):
        FERModel.from_pretrained(name)


def test_unreachable_hub_is_a_clear_error():
    with pytest.raises(UserError, match="cannot load nobody/nothing from the Hub"):
        FERModel.from_pretrained("nobody/nothing")
    with pytest.raises(UserError, match="leave out --pretrained"):
        FERModel("resnet18", pretrained=True)


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
