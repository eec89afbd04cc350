"""Robustness of predictors whose numbers are known beforehand; and of the shipped model on real faces."""

import json

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from fer_hub import FERModel
from fer_hub.data import dataset
from fer_hub.data.pixels import decode, stratified_sample
from fer_hub.evaluation import plots
from fer_hub.metrics import robustness
from fer_hub.metrics.corruptions import CORRUPTIONS, corrupt

DARK, BRIGHT = 100, 200
WALLS = torch.tensor([DARK, BRIGHT], dtype=torch.uint8).repeat(3)[:, None, None].expand(-1, 48, 48)


def by_value(values, threshold):
    """Probabilities of two classes: whether each value is above the threshold."""
    return np.eye(2)[(np.asarray(values) > threshold).astype(int)]


def brightness(images):
    return by_value(images.double().mean((1, 2)), 150)


@pytest.fixture(scope="module")
def of_brightness():
    return robustness.measure(brightness, WALLS, torch.tensor([0, 1]).repeat(3))


def test_who_reads_brightness_fails_in_the_dark(of_brightness):
    accuracy = {name: found["accuracy"] for name, found in of_brightness["corruptions"].items()}
    assert list(accuracy) == list(CORRUPTIONS)
    # One stop less makes 147 of 200 (sRGB), below the threshold.
    assert accuracy.pop("low_light") == [0.5] * 5
    # 0.4, 0.8 and 1.2 stops more make 115, 131 and 149 of 100; 1.6 make 168, above the threshold.
    assert accuracy.pop("over_exposure") == [1, 1, 1, 0.5, 0.5]
    assert all(found == [1] * 5 for found in accuracy.values())


def test_means_are_those_of_the_parts(of_brightness):
    assert of_brightness["corruptions"]["over_exposure"]["mean"] == pytest.approx(0.8)
    assert of_brightness["mean_corruption_accuracy"] == pytest.approx((12 + 0.5 + 0.8) / 14)
    assert of_brightness["relative"] == pytest.approx((12 + 0.5 + 0.8) / 14)  # of a clean accuracy of 1
    assert of_brightness["consistency"] == {"flip": 1, "shift": 1}
    assert json.loads(json.dumps(of_brightness, allow_nan=False)) == of_brightness


def test_relative_is_a_share_of_the_clean_accuracy(of_brightness):
    labels = torch.tensor([0, 1, 0, 0, 1, 1])  # two of six are wrong however bright it is
    found = robustness.measure(brightness, WALLS, labels)
    clean, mean = 4 / 6, (12 * 4 / 6 + 3 / 6 + (3 * 4 / 6 + 2 * 3 / 6) / 5) / 14
    assert found["mean_corruption_accuracy"] == pytest.approx(mean)
    assert found["relative"] == pytest.approx(mean / clean)
    assert found["consistency"] == of_brightness["consistency"]  # labels have no part in it
    assert robustness.measure(brightness, WALLS, torch.full((6,), 7))["relative"] is None


def test_consistency_by_hand():
    images = torch.zeros(8, 48, 48, dtype=torch.uint8)
    images[:4, :, 24:] = 255  # four white on the right, four black

    def pixel(images):
        return by_value(images[:, 24, 23], 127)

    # Mirrored or moved to the left, the edge passes the pixel of the first four; the other ways it does not.
    found = robustness.measure(pixel, images, torch.zeros(8, dtype=torch.int64))["consistency"]
    assert found == {"flip": 0.5, "shift": (0.5 + 1 + 1 + 1) / 4}


def test_repeatable_and_seeded(faces):
    images, labels = faces["test"].images, faces["test"].labels
    weights = torch.randn(48 * 48, 7, generator=torch.Generator().manual_seed(0))
    seen = []

    def linear(images):
        seen.append(images)
        return (images.flatten(1) / 255 - 0.5).matmul(weights).softmax(1).numpy()

    first = robustness.measure(linear, images, labels)
    assert len(seen) == 1 + 14 * 5 + 1 + 4
    assert all(images.dtype == torch.uint8 and images.shape == (21, 48, 48) for images in seen)
    assert torch.equal(seen[5], corrupt(images, "gaussian_noise", 5))
    assert robustness.measure(linear, images, labels) == first
    other = robustness.measure(linear, images, labels, seed=1)
    assert other.pop("seed") == 1 and other != {key: first[key] for key in other}
    assert other["corruptions"]["jpeg"] == first["corruptions"]["jpeg"]


def test_nothing_is_printed_where_nobody_looks(capfd):
    robustness.measure(brightness, WALLS, torch.zeros(6))
    robustness.measure(brightness, WALLS, torch.zeros(6), progress=False)
    assert capfd.readouterr() == ("", "")


def test_chart_shows_every_number(of_brightness, tmp_path, monkeypatch):
    figures, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **kwargs: (figures.append(self), save(self, *args, **kwargs))
    )
    plots.plot_robustness(of_brightness, 0.9, tmp_path / "robustness.png", "walls")
    with Image.open(tmp_path / "robustness.png") as image:
        assert image.format == "PNG" and min(image.size) > 600
    (axes,) = figures[0].axes
    assert axes.get_title() == "walls"
    assert [label.get_text() for label in axes.get_yticklabels()] == [name.replace("_", " ") for name in CORRUPTIONS]
    severities = [line for line in axes.lines if line.get_marker() == "o"]
    shown = np.array([line.get_xdata() for line in severities]).T
    assert shown.tolist() == [found["accuracy"] for found in of_brightness["corruptions"].values()]
    assert [0.9, 0.9] in [list(line.get_xdata()) for line in axes.lines]


def test_real_faces_are_harder_corrupted(fer2013_path):
    sample = stratified_sample(decode(dataset.load(fer2013_path)["validation"], "FER2013, validation"), 98, seed=0)
    model = FERModel.from_pretrained("paper-cnn")

    @torch.inference_mode()
    def accuracy(images):
        return float((model(images).argmax(1) == sample.labels).float().mean())

    hard = [accuracy(corrupt(sample.images, name, 5)) for name in CORRUPTIONS]
    assert accuracy(sample.images) > np.mean(hard) + 0.05
    assert np.mean(hard) > 0.2  # above chance (1/7): much is left to see


@pytest.mark.parametrize("progress", [True, False])
def test_progress_is_shown_where_stderr_is_no_terminal(progress, capsys, monkeypatch):
    monkeypatch.setattr(robustness, "SELDOM", {"mininterval": 0})
    images = torch.zeros(2, 48, 48, dtype=torch.uint8)
    robustness.measure(lambda images: np.eye(2)[[0] * len(images)], images, torch.tensor([0, 1]), progress=progress)
    shown = capsys.readouterr().err
    assert ("robustness, " in shown and "/76" in shown) == progress
