"""What the heat is, where it lies, and that a model is not changed by being explained."""

import copy
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from fer_hub import EMOTIONS, FERModel, UserError
from fer_hub.recognition.explain import _over_crop, describe, heat_map, overlay

RNG = np.random.default_rng(0)
CROPS = RNG.integers(0, 256, (7, 48, 48), dtype=np.uint8)
EXPLAINED = {  # architecture: the layer with its last map of more than one cell
    "resnet18": "layer4",
    "mobilenetv3_small_050": "blocks",
    "convnext_atto": "stages.3.downsample.0",
    "edgenext_xx_small": "stages.3.downsample.0",  # a 42x42 attention matrix comes after it
}


@pytest.fixture(autouse=True)
def one_thread():
    """One 48x48 crop gives two threads too little to do: beside other work they mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def shipped():
    return FERModel.from_pretrained("paper-cnn")


@pytest.fixture(scope="module", params=EXPLAINED)
def stock(request):
    torch.manual_seed(0)
    model = FERModel(request.param, in_chans=3 if request.param == "resnet18" else 1).eval()
    nn.init.normal_(model.network.get_classifier().weight)  # some start near zero, where nothing speaks for a class
    return model


def cells_by_hand(last, logit):
    """The heat of a feature map (1, C, h, w), not normalized: (h, w)."""
    (gradient,) = torch.autograd.grad(logit, last, retain_graph=True)
    total = sum(g * channel for g, channel in zip(gradient[0], last[0].detach(), strict=True))
    return total.clamp(min=0)


def assert_normalized(heat, expected):
    assert heat.shape == (48, 48) and heat.dtype == np.float32
    assert heat.max() == (1 if expected.max() > 0 else 0)
    np.testing.assert_allclose(heat * expected.max(), expected, rtol=0, atol=1e-4 * expected.max())


# --- the numbers ---


def test_a_model_in_half_precision_looks_at_the_same(shipped):
    square = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    label = shipped.label_names[0]
    half = heat_map(copy.deepcopy(shipped).bfloat16(), square, label)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, heat_map(shipped, square, label), atol=0.1)


def test_paper_cnn_equals_the_sum_by_hand(shipped):
    network = shipped.network
    # A cell's heat is full at its middle, 8.5 + 4i, and falls to zero within one step of 4 pixels.
    spread = np.stack([np.interp(np.arange(48), 4.5 + 4 * np.arange(10), row) for row in np.eye(10)[1:9]], axis=1)
    hot = 0
    for crop in CROPS[:2]:
        x = torch.from_numpy(crop)[None, None] / 255
        x = F.max_pool2d(F.relu(network.conv1(x)), 2)
        last = network.conv3(F.max_pool2d(F.relu(network.conv2(x)), 2))
        logits = network.classifier(F.relu(network.dense(F.max_pool2d(F.relu(last), 2).flatten(1))))
        for index, label in enumerate(EMOTIONS):
            expected = spread @ cells_by_hand(last, logits[0, index]).numpy() @ spread.T
            assert_normalized(heat_map(shipped, crop, label), expected)
            hot += expected.max() > 0
    assert hot >= 7


def test_stock_networks_equal_grad_cam_by_hand(stock):
    kept = {}
    layer = stock.network.get_submodule(EXPLAINED[stock.architecture])
    hook = layer.register_forward_hook(lambda _, __, output: kept.update(last=output))
    logits = stock(torch.from_numpy(CROPS[:1]))
    hook.remove()
    hot = 0
    for index, label in enumerate(EMOTIONS):
        cells = cells_by_hand(kept["last"], logits[0, index])
        expected = F.interpolate(cells[None, None], (48, 48), mode="bilinear")[0, 0].numpy()
        assert_normalized(heat_map(stock, CROPS[0], label), expected)
        hot += expected.max() > 0
    assert hot >= 2


def test_the_most_probable_class_is_explained_unless_told(shipped):
    best = set()
    for crop in (CROPS[0], np.zeros((48, 48), np.uint8) + 99):
        (found,) = shipped.predict(crop)
        best.add(likely := max(found, key=found.get))
        heats = {label: heat_map(shipped, crop, label) for label in EMOTIONS}
        of_likely = heats.pop(likely)
        assert np.array_equal(heat_map(shipped, crop), of_likely)
        assert not any(np.array_equal(heat, of_likely) for heat in heats.values())
    assert len(best) == 2


def test_a_class_that_nothing_speaks_for_has_no_heat():
    model = FERModel()
    nn.init.zeros_(model.network.classifier.weight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        heat = heat_map(model, CROPS[0], "happy")
    assert heat.dtype == np.float32 and heat.shape == (48, 48) and not heat.any()
    assert describe(heat).startswith("No heat")


# --- the place ---


class BrightCells(nn.Module):
    """Logit 3 is the mean over 12x12 cells of what is brighter than half; the other logits are 0."""

    def __init__(self):
        super().__init__()
        self.cells = nn.Sequential(nn.AvgPool2d(4), nn.Threshold(0.5, 0.0))
        self.weight = nn.Parameter(10 * F.one_hot(torch.tensor(3), 7).float())

    def forward_features(self, x):
        return self.cells(x)

    def forward(self, x):
        return self.forward_features(x).mean((1, 2, 3))[:, None] * self.weight


def covered(crop, heat, hottest):
    """The crop with the mean gray over its hottest or coldest 12x12 pixels."""
    corners = [(y, x) for y in range(0, 37, 4) for x in range(0, 37, 4)]
    inside = [heat[y : y + 12, x : x + 12].mean() for y, x in corners]
    y, x = corners[int(np.argmax(inside) if hottest else np.argmin(inside))]
    changed = crop.copy()
    changed[y : y + 12, x : x + 12] = crop.mean()
    return changed


@pytest.mark.parametrize(("top", "left"), [(0, 0), (36, 4), (20, 40), (40, 40)])
def test_heat_lies_on_what_the_class_depends_on(top, left):
    model = FERModel()
    model.network = BrightCells()
    crop = RNG.integers(0, 100, (48, 48), dtype=np.uint8)
    crop[top : top + 8, left : left + 8] = 250
    heat = heat_map(model, crop)
    assert heat[top : top + 8, left : left + 8].min() > 0.3
    far = np.ones((48, 48), bool)
    far[max(0, top - 2) : top + 10, max(0, left - 2) : left + 10] = False  # half a cell around it is interpolated
    assert not heat[far].any()
    faces = np.stack([crop, covered(crop, heat, hottest=False), covered(crop, heat, hottest=True)])
    before, cold, hot = model(torch.from_numpy(faces))[:, 3].tolist()
    assert cold == before > 0 and hot == 0


def test_cells_of_the_paper_cnn_are_drawn_where_they_look(shipped):
    network, pixels = shipped.network, torch.arange(48.0)
    x = torch.rand(1, 1, 48, 48, generator=torch.Generator().manual_seed(0)).requires_grad_()
    last = network.conv3(F.max_pool2d(network.conv2(F.max_pool2d(network.conv1(x), 2)), 2))
    for row, column in ((0, 0), (0, 7), (3, 5), (7, 7)):
        (gradient,) = torch.autograd.grad(last[0, :, row, column].square().sum(), x, retain_graph=True)
        ys, xs = gradient[0, 0].nonzero(as_tuple=True)
        cell = torch.zeros(1, 1, 8, 8)
        cell[0, 0, row, column] = 1
        heat = _over_crop(cell, network) / _over_crop(cell, network).sum()
        assert (heat.sum(1) @ pixels).item() == pytest.approx((ys.min() + ys.max()).item() / 2, abs=0.01)
        assert (heat.sum(0) @ pixels).item() == pytest.approx((xs.min() + xs.max()).item() / 2, abs=0.01)


# --- the model stays as it was ---


def state(model):
    return (
        {name: module.training for name, module in model.named_modules()},
        {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()},
        {name: tensor.clone() for name, tensor in model.state_dict().items()},
        {name: (tensor.data_ptr(), tensor._version) for name, tensor in model.state_dict().items()},
        {name: (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
         for name, m in model.named_modules()},
    )  # fmt: skip


def test_what_a_network_does_not_look_at_has_no_heat():
    torch.manual_seed(0)
    model = FERModel("fer_vgg", model_args={"widths": [4, 8], "depths": [1, 1], "center": 38})
    square = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    heat = heat_map(model, square)
    assert heat[5:43, 5:43].max() == 1
    heat[5:43, 5:43] = 0
    assert not heat.any()
    square[:5] = 0  # nor does it change what is seen
    model.eval()
    with torch.inference_mode():
        changed, blank = (model(torch.from_numpy(image)[None]) for image in (square, np.pad(square[5:43, 5:43], 5)))
    assert torch.equal(changed, blank)


def test_the_model_is_left_as_it_was():
    model = FERModel("resnet18", drop_rate=0.5).train()
    model.network.layer2.eval()
    model.network.layer1.requires_grad_(False)
    model.network.conv1.weight.grad = torch.ones_like(model.network.conv1.weight)
    seen = []
    model.network.layer4.register_forward_hook(lambda *_: seen.append(1))
    before, seed = state(model), torch.get_rng_state()
    heat_map(model, CROPS[0])
    heat_map(model, CROPS[0], "sad")
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), seed)
    with pytest.raises(UserError):
        heat_map(model, CROPS[0], "bored")
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)


def test_mode_and_surroundings_do_not_matter(shipped):
    model = FERModel(drop_rate=0.5)
    model.network.load_state_dict(shipped.network.state_dict())
    expected = heat_map(shipped, CROPS[0])
    assert expected.any()
    assert np.array_equal(heat_map(model.train(), CROPS[0]), expected)
    model.requires_grad_(False)
    for surroundings in (torch.no_grad(), torch.inference_mode(), torch.enable_grad()):
        with surroundings:
            mode = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
            assert np.array_equal(heat_map(model, CROPS[0]), expected)
            assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == mode


def test_read_only_crops_are_taken_without_a_warning(shipped):
    crop = np.asarray(Image.fromarray(CROPS[0]))
    assert not crop.flags.writeable
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(heat_map(shipped, crop), heat_map(shipped, CROPS[0]))


def test_two_visitors_at_once_do_not_meet():
    model, barrier = FERModel.from_pretrained("paper-cnn"), threading.Barrier(2, timeout=30)
    jobs = [(crop, next(label for label in EMOTIONS if heat_map(model, crop, label).any())) for crop in CROPS[:2]]
    alone = [heat_map(model, *job) for job in jobs]

    def wait_for_the_other(*_):
        barrier.wait()  # after conv3 ran for both, while captum's hooks on it are still set

    hook = model.network.dense.register_forward_hook(wait_for_the_other)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda job: heat_map(model, *job), jobs))
    hook.remove()
    assert np.array_equal(together, alone)


# --- what is refused ---


@pytest.mark.parametrize("architecture", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "mixer_s32_224"])
def test_networks_without_a_feature_map_are_refused(architecture):
    model = FERModel(architecture, model_args={"depths": (1, 1, 1, 1)} if "swin" in architecture else {})
    with pytest.raises(UserError, match=f"{architecture} has no feature map.*Explain a convolutional network"):
        heat_map(model, CROPS[0])


@pytest.mark.parametrize("crop", [CROPS[0] / 255, CROPS[0][:40], CROPS[:1], np.dstack([CROPS[0]] * 3)])
def test_what_is_no_crop_is_refused(crop, shipped):
    with pytest.raises(UserError, match=r"uint8 \(48, 48\).*to_gray_square"):
        heat_map(shipped, crop)


def test_unknown_labels_are_refused(shipped):
    with pytest.raises(UserError, match="'bored' is none of the model's: angry, disgust"):
        heat_map(shipped, CROPS[0], "bored")


# --- for people ---


def lightness(rgb):
    """CIE L* of sRGB colours, 0-255."""
    linear = np.where(rgb <= 10.3, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16


@pytest.mark.parametrize("gray", [0, 60, 128, 200, 255])
def test_more_heat_is_lighter_on_every_gray(gray):
    steps = [np.asarray(overlay(np.full((48, 48), gray, np.uint8), np.full((48, 48), heat)))[5, 5]
             for heat in np.linspace(0, 1, 11)]  # fmt: skip
    found = lightness(np.array(steps, float))
    assert (np.diff(found) > 1).all()
    assert found[-1] - found[0] > 40


def test_overlay_is_the_crop_with_heat_at_its_place():
    heat = np.zeros((48, 48), np.float32)
    heat[30:36, 6:12] = 1
    picture = overlay(CROPS[0] // 8, heat)
    assert picture.mode == "RGB" and picture.size == (192, 192)
    light = lightness(np.asarray(picture, float))
    assert light[124:140, 28:44].min() > light[:100].max() + 30
    assert overlay(CROPS[0], heat, size=96).size == (96, 96)
    plain = np.asarray(overlay(CROPS[0], np.zeros((48, 48))), float)
    enlarged = np.asarray(Image.fromarray(CROPS[0]).resize((192, 192), Image.Resampling.BICUBIC), float)
    coldest = np.array(matplotlib.colormaps["inferno"](0.0)[:3]) * 255
    assert np.abs(plain - (enlarged[..., None] + coldest) / 2).max() <= 0.51


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (np.s_[32:, 16:32], "Mostly the lower third (mouth and chin) and the centre third. Heat by thirds: "
         "upper 0%, middle 0%, lower 100%; left 0%, centre 100%, right 0%."),
        (np.s_[:16], "Mostly the upper third (forehead and brows). Heat by thirds: "
         "upper 100%, middle 0%, lower 0%; left 33%, centre 33%, right 33%."),
        (np.s_[:, 32:], "Mostly the right third. Heat by thirds: "
         "upper 33%, middle 33%, lower 33%; left 0%, centre 0%, right 100%."),
        (np.s_[16:32, :16], "Mostly the middle third (eyes, nose and cheeks) and the left third. Heat by thirds: "
         "upper 0%, middle 100%, lower 0%; left 100%, centre 0%, right 0%."),
        (np.s_[8:24, 8:24], "Spread over the crop. Heat by thirds: "
         "upper 50%, middle 50%, lower 0%; left 50%, centre 50%, right 0%."),
    ],
)  # fmt: skip
def test_words_say_where_the_heat_is(where, words):
    heat = np.zeros((48, 48), np.float32)
    heat[where] = 0.7
    assert describe(heat) == words
