"""A model whose classes are not emotions works wherever a model does: names are data, and may be any text."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from fer_hub import EmotionRecognizer, FERModel, colors, explain, timeline
from fer_hub.data.ferplus import LABELS
from fer_hub.demo import markup
from fer_hub.evaluation.measure import measure
from fer_hub.evaluation.plots import plot_confusion_matrix
from fer_hub.evaluation.predictors import load
from fer_hub.hub import card
from fer_hub.models.onnx_export import export_onnx

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (90, 120, 3), dtype=np.uint8)
SETS = {
    "two": ("cat", "dog"),
    "eight": LABELS,
    "odd": ("cat & <b>dog</b>", "$^$ one", "_row", "Überrascht", *(f"class {number}" for number in range(8))),
}


@pytest.fixture(scope="module", params=SETS)
def folder(request, tmp_path_factory):
    """A model folder, saved as a training does."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(request.param)
    FERModel(label_names=SETS[request.param]).save_pretrained(folder)
    return folder, SETS[request.param]


def test_recognizer_markup_heat_map_and_colours(folder):
    path, names = folder
    recognizer = EmotionRecognizer.from_pretrained(path, detector=lambda picture: [])
    (face,) = recognizer(PICTURE, boxes=[(10, 10, 70, 70)])
    assert tuple(face.probabilities) == names and sum(face.probabilities.values()) == pytest.approx(1)
    drawn = np.asarray(recognizer.draw(PICTURE, [face]))
    assert (drawn != PICTURE).any()
    page = markup.faces([face], names) + markup.live(Image.fromarray(drawn), [face], names, 1.0)
    assert "<b>dog" not in page and page.count("fer-bar'") == 2 * len(names)
    heat = explain.heat_map(recognizer.model, face.crop, names[-1])
    assert heat.shape == (48, 48)
    assert list(colors.of(names)) == list(names)


def test_timeline(folder, tmp_path):
    _, names = folder
    shares = np.eye(len(names)) * 0.7 + 0.3 / len(names)
    shown = [dict(zip(names, row.tolist(), strict=True)) for row in np.repeat(shares, 4, axis=0)]
    frames = [{"time": 0.2 * at, "faces": [{"track": 1, "probabilities": values}]} for at, values in enumerate(shown)]
    timeline.plot(frames, names, tmp_path / "time.png")
    with Image.open(tmp_path / "time.png") as figure:
        assert len(np.unique(np.asarray(figure.convert("L")))) > 20
    assert f"{names[-1]} from" in timeline.describe(frames) or len(names) > 8  # eight changes are told


def test_figures_and_card(folder, tmp_path):
    path, names = folder
    labels = np.arange(60) % len(names)
    numbers = measure(RNG.dirichlet(np.ones(len(names)), 60), labels, names)
    plot_confusion_matrix(numbers, "odd, test", tmp_path / "confusion.png")
    record = {"architecture": "fer_paper_cnn", "num_parameters": 1}
    results = {"dataset_name": "pets", "synthetic": False, "label_set": "auto", "test": numbers}
    page = card.render(results, record)
    assert f"{len(names)} expressions: {names[0].split()[0]}" in page
    assert "seven" not in page and "FER2013" not in page and "PrivateTest" not in page
    assert ("| emotion |" in page) == (names == LABELS) and ("| class |" in page) == (names != LABELS)
    assert json.loads((path / "config.json").read_text())["label_names"] == list(names)


def test_loaders(folder, tmp_path):
    path, names = folder
    faces = RNG.integers(0, 256, (3, 48, 48), dtype=np.uint8)
    model = FERModel.from_pretrained(path)
    export_onnx(model, tmp_path / "model.onnx")
    ours, onnx = load(str(path)), load(str(tmp_path / "model.onnx"))
    assert ours.label_names == names and onnx.label_names == tuple(name.lower() for name in names)
    assert ours(faces) == pytest.approx(onnx(faces), abs=1e-4)
