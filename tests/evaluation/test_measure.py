"""The numbers against hand-computed and published ones."""

import json
import math

import evaluate
import numpy as np
import pytest
import sklearn.metrics
import torch
from accelerate import Accelerator

from fer_hub import FERModel
from fer_hub.data.pixels import Pixels
from fer_hub.evaluation.measure import HEADLINES, compute_logits, evaluate_model, measure, summarize
from fer_hub.metrics import abstention, calibration_error, intervals

NAMES = ("a", "b", "c")


def test_metric_where_the_cache_is_read_only(monkeypatch, tmp_path):
    """As in a container. Permissions do not stop root, a file where a folder should be does."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(tmp_path / "file" / "metrics"))
    assert summarize(torch.eye(3), torch.tensor([0, 1, 1]), NAMES)["accuracy"] == pytest.approx(2 / 3)


def test_loss_is_the_mean_negative_log_likelihood():
    logits = torch.tensor([[0.0, math.log(3), 0.0], [0.0, 0.0, 0.0]])
    found = summarize(logits, torch.tensor([1, 2]), NAMES)
    assert found["loss"] == pytest.approx((math.log(5 / 3) + math.log(3)) / 2)
    assert (found["n"], found["accuracy"]) == (2, 0.5)


def test_numbers_without_leaked_images():
    torch.manual_seed(0)
    model = FERModel()
    pixels = Pixels(torch.randint(0, 256, (300, 48, 48), dtype=torch.uint8), torch.arange(300) % 7)
    leaked = torch.arange(300) < 100
    accelerator = Accelerator(cpu=True)
    whole = evaluate_model(model, pixels, accelerator, leaked)
    assert model.training  # left as it came
    assert whole["n"] == 300 and whole["dedup"]["n"] == 200
    probabilities = compute_logits(model, pixels.images, accelerator).double().softmax(1).numpy()
    rest = measure(probabilities[~leaked.numpy()], pixels.labels[~leaked].numpy(), model.label_names)
    assert whole["dedup"] == {key: rest[key] for key in HEADLINES}
    # The rest alone makes other batches, which round differently, and an error in bins may then move an image.
    alone = evaluate_model(model, pixels[~leaked], accelerator)
    for key in ("n", "loss", "accuracy", "brier"):
        assert whole["dedup"][key] == pytest.approx(alone[key], abs=1e-6), key


# --- what needs probabilities alone ---


@pytest.fixture(scope="module")
def answers():
    """A model that is right more often than not, on 400 images; the last class has none."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 400)
    probabilities = rng.dirichlet([0.7] * 5, 400) * 0.6 + 0.4 * np.eye(5)[labels]
    return probabilities, labels, ("a", "b", "c", "d", "e")


def test_scores_are_those_of_other_libraries(answers):
    probabilities, labels, names = answers
    found, predictions = measure(*answers), probabilities.argmax(1)
    assert found["n"] == 400 and found["interval"] == intervals.wilson(int((predictions == labels).sum()), 400)
    of = sklearn.metrics
    assert 0.5 < found["accuracy"] < 0.95
    assert found["accuracy"] == pytest.approx(of.accuracy_score(labels, predictions))
    macro = of.f1_score(labels, predictions, labels=range(5), average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(macro)
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert found["balanced_accuracy"] == pytest.approx(of.balanced_accuracy_score(labels, predictions))
    assert found["loss"] == pytest.approx(of.log_loss(labels, probabilities, labels=range(5)))
    top2 = of.top_k_accuracy_score(labels, probabilities, k=2, labels=range(5))
    assert found["top2_accuracy"] == pytest.approx(top2) and top2 > found["accuracy"] + 0.05
    assert found["per_class"]["e"]["support"] == 0 and list(found["per_class"]) == list(names)
    assert found.items() >= calibration_error.measure(probabilities, labels).items()
    assert found["coverage"] == abstention.measure(probabilities, labels)
    assert "dedup" not in found
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_intervals_are_of_resampled_images(answers):
    probabilities, labels, _ = answers
    found, predictions = measure(*answers), probabilities.argmax(1)
    rows = np.random.default_rng(1).integers(400, size=(2000, 400))
    spread = [sklearn.metrics.f1_score(labels[r], predictions[r], labels=range(5), average="macro", zero_division=0)
              for r in rows[:300]]  # fmt: skip
    assert found["intervals"]["macro_f1"] == pytest.approx(np.percentile(spread, [2.5, 97.5]), abs=0.012)
    right = np.array([[(predictions[r] == k)[labels[r] == k].mean() for k in range(4)] for r in rows]).mean(1)
    assert found["intervals"]["balanced_accuracy"] == pytest.approx(np.percentile(right, [2.5, 97.5]), abs=0.008)
    assert measure(*answers)["intervals"] == found["intervals"]


def test_each_headline_stands_again_without_leaked_images(answers):
    probabilities, labels, names = answers
    leaked = probabilities.argmax(1) == labels  # the worst case: all that is right was known
    leaked[:50] = False
    found = measure(*answers, leaked)
    rest = measure(probabilities[~leaked], labels[~leaked], names)
    assert found["dedup"] == {key: rest[key] for key in HEADLINES} and set(HEADLINES) <= found.keys()
    assert found["dedup"]["accuracy"] < found["accuracy"] - 0.2 and found["dedup"]["n"] == (~leaked).sum()
    assert {key: value for key, value in found.items() if key != "dedup"} == measure(*answers)
    none = measure(*answers, np.zeros(400, bool))
    assert none["dedup"] == {key: none[key] for key in HEADLINES}
    assert "dedup" not in measure(*answers, np.ones(400, bool))


def test_certainty_that_is_wrong_has_a_finite_loss():
    found = measure(np.eye(3)[[0, 1]], np.array([0, 2]), NAMES)
    assert found["loss"] == pytest.approx(-math.log(np.finfo(float).eps) / 2)
    # The second choice among zeros is the first class: for the second image not its own.
    assert found["top2_accuracy"] == 0.5
    json.dumps(found, allow_nan=False)


# --- a model on a split ---


def test_logits_do_not_depend_on_batches():
    torch.manual_seed(0)
    model = FERModel().eval()
    images = torch.randint(0, 256, (131, 48, 48), dtype=torch.uint8)
    with torch.inference_mode():
        expected = model(images)
    torch.testing.assert_close(compute_logits(model, images, Accelerator(cpu=True)), expected, rtol=0, atol=1e-5)
    assert not model.training  # left as it came
