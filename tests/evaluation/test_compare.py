"""Models side by side, against numbers of other libraries and a planted difference."""

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score, log_loss

from fer_hub import UserError
from fer_hub.evaluation.compare import as_table, compare
from fer_hub.evaluation.plots import plot_comparison
from fer_hub.metrics import calibration_error
from fer_hub.metrics.intervals import wilson

NAMES = ("angry", "happy", "sad", "surprise")
RNG = np.random.default_rng(0)
LABELS = RNG.integers(3, size=600)  # no image of the fourth class


def model(accuracy, rng):
    """Probabilities that put the true class first on so many images."""
    right = rng.random(len(LABELS)) < accuracy
    first = np.where(right, LABELS, (LABELS + rng.integers(1, 4, len(LABELS))) % 4)
    probabilities = rng.dirichlet(np.ones(4), len(LABELS)) * 0.3
    probabilities[np.arange(len(LABELS)), first] += 0.7
    return probabilities


MODELS = {"weak": model(0.5, RNG), "strong": model(0.8, RNG), "as weak": model(0.5, RNG)}


@pytest.fixture(scope="module")
def found():
    return compare(MODELS, LABELS, NAMES)


def test_scores_are_those_of_other_libraries(found):
    assert found["n"] == 600
    for name, probabilities in MODELS.items():
        one, predictions = found["models"][name], probabilities.argmax(1)
        assert one["accuracy"] == (predictions == LABELS).mean()
        assert one["interval"][0] < one["accuracy"] < one["interval"][1]
        expected = f1_score(LABELS, predictions, labels=range(4), average="macro", zero_division=0)
        assert one["macro_f1"] == pytest.approx(expected)
        assert one["macro_f1_interval"][0] < one["macro_f1"] < one["macro_f1_interval"][1]
        assert one["loss"] == pytest.approx(log_loss(LABELS, probabilities, labels=range(4)))
        measured = calibration_error.measure(probabilities, LABELS)
        assert (one["ece"], one["brier"]) == (measured["ece"], measured["brier"])


def test_the_best_comes_first_and_pairs_are_better_minus_worse(found):
    ranked = list(found["models"])
    assert ranked[0] == "strong"
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [
        ("strong", ranked[1]),
        ("strong", ranked[2]),
        (ranked[1], ranked[2]),
    ]
    assert all(pair["difference"] >= 0 for pair in found["pairs"])


def test_a_planted_difference_is_found_and_none_is_not(found):
    *planted, chance = found["pairs"]
    for pair in planted:
        assert pair["p"] < 1e-6 and 0.2 < pair["interval"][0] < pair["difference"] < pair["interval"][1] < 0.4
    assert chance["p"] > 0.05 and chance["interval"][0] < 0 < chance["interval"][1]
    assert [pair["p_holm"] for pair in planted] == pytest.approx(
        [factor * pair["p"] for factor, pair in zip((3, 2) if planted[0]["p"] < planted[1]["p"] else (2, 3), planted,
                                                    strict=True)]
    )  # fmt: skip
    assert chance["p_holm"] == chance["p"]  # the largest of three


def test_pairs_are_counted_by_hand():
    labels = np.array([0, 0, 0, 1, 1])
    right = np.eye(2)[labels]
    a, b = right.copy(), 1 - right
    a[4], b[:2] = 1 - right[4], right[:2]  # a is right on the first four, b on the first two
    (pair,) = compare({"b": b, "a": a}, labels, ("x", "y"))["pairs"]
    assert (pair["a"], pair["only_a"], pair["only_b"], pair["p"], pair["p_holm"]) == ("a", 2, 0, 0.5, 0.5)
    assert pair["difference"] == pytest.approx(0.4)


def test_a_probability_of_zero_has_a_finite_loss():
    wrong = compare({"sure": np.array([[0.0, 1.0]])}, np.array([0]), ("x", "y"))
    assert wrong["models"]["sure"]["loss"] == pytest.approx(-np.log(np.finfo(float).eps))
    json.dumps(wrong, allow_nan=False)


@pytest.mark.filterwarnings("error")
def test_equal_models_one_image_one_model():
    one = compare({"a": np.array([[0.9, 0.1]]), "b": np.array([[0.9, 0.1]])}, np.array([0]), ("x", "y"))
    assert one["pairs"][0]["p"] == 1 and one["pairs"][0]["difference"] == 0
    assert one["models"]["a"]["macro_f1_interval"] == [0.5, 0.5]  # y has neither images nor predictions
    alone = compare({"a": np.array([[0.9, 0.1]])}, np.array([0]), ("x", "y"))
    assert alone["pairs"] == [] and as_table(alone).count("\n") == 2


def test_the_seed_decides_the_bootstrap_alone(found):
    again = compare(MODELS, LABELS, NAMES)
    assert again == found
    other = compare(MODELS, LABELS, NAMES, seed=1)
    assert other["pairs"] == found["pairs"]
    assert other["models"]["weak"]["macro_f1_interval"] != found["models"]["weak"]["macro_f1_interval"]


def test_table_can_be_read(found):
    text = as_table(found)
    models, pairs, note = text.split("\n\n")
    assert models.splitlines()[2].startswith("| strong")
    assert f"{100 * found['models']['strong']['accuracy']:.1f} %" in models.splitlines()[2]
    assert len(pairs.splitlines()) == 2 + 3 and "< 0.001" in pairs
    assert "n 600" in note and "3 pairs" in note


def test_accuracy_without_leaks_stands_beside_the_whole(found):
    leaked = np.arange(600) < 200
    compared = compare(MODELS, LABELS, NAMES, leaked=leaked)
    for name, probabilities in MODELS.items():
        right = (probabilities.argmax(1) == LABELS)[200:]
        dedup = compared["models"][name].pop("dedup")
        assert dedup == {"n": 400, "accuracy": right.mean(), "interval": wilson(int(right.sum()), 400)}
    assert compared == found  # and nothing else changes
    table = as_table(compare(MODELS, LABELS, NAMES, leaked=leaked))
    strong = f"{100 * (MODELS['strong'].argmax(1) == LABELS)[200:].mean():.1f} %"
    assert "| not in train |" in table and strong in table.splitlines()[2] and "the 400 images" in table
    assert compare(MODELS, LABELS, NAMES, leaked=np.ones(600, bool)) == found  # none is left
    assert "not in train" not in as_table(found).lower()


def test_foreign_probabilities_are_refused():
    with pytest.raises(UserError, match=r"probabilities of other have the shape \(10, 4\), the split has 600 images"):
        compare({"other": np.full((10, 4), 0.25)}, LABELS, NAMES)
    with pytest.raises(UserError, match=r"shape \(600, 4\), the split has 600 images of 2 classes"):
        compare({"weak": MODELS["weak"]}, LABELS, ("x", "y"))


def test_figure(found, tmp_path):
    for name, shown in (("three", found), ("one", compare({"a": MODELS["weak"]}, LABELS, NAMES))):
        plot_comparison(shown, "drawn, test", tmp_path / f"{name}.png")
    with Image.open(tmp_path / "three.png") as three, Image.open(tmp_path / "one.png") as one:
        assert three.width == one.width and three.height > one.height
        assert len(np.unique(np.asarray(three.convert("L")))) > 20
