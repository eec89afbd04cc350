"""A model beside FER+'s crowd: by hand, and the real labels as a model."""

import json

import numpy as np
import pytest
from sklearn.metrics import log_loss

from fer_hub.data import dataset, ferplus
from fer_hub.labels import EMOTIONS
from fer_hub.metrics import crowd, intervals

VOTES = np.array(
    [
        [0, 0, 0, 10, 0, 0, 0, 0, 0, 0],  # happy, all ten
        [0, 0, 0, 7, 0, 0, 3, 0, 0, 0],  # happy, seven of ten
        [0, 0, 0, 0, 8, 0, 0, 0, 1, 1],  # sad, all eight that are left
        [0, 0, 0, 0, 4, 0, 6, 0, 0, 0],  # neutral, six of ten
        [0, 0, 0, 5, 0, 0, 5, 0, 0, 0],  # undecided
        [0, 0, 0, 0, 2, 0, 2, 6, 0, 0],  # contempt
        [0, 0, 0, 2, 0, 0, 0, 0, 0, 8],  # not a face
    ]
)
NAMES = ("happy", "neutral", "sad")  # in another order than FER+'s
LABELS = np.array([0, 1, 2, 2, 0, 1, 0])
SAYS = np.array([0, 0, 2, 0, 1, 0, 1])
PROBABILITIES = np.full((7, 3), 0.1) + 0.7 * np.eye(3)[SAYS]


@pytest.fixture(scope="module")
def found():
    return crowd.measure(PROBABILITIES, LABELS, VOTES, NAMES)


def test_accuracy_is_against_the_majority_on_the_pictures_that_have_one(found):
    assert found["n"] == 4
    assert found["accuracy"] == 3 / 4 and found["interval"] == intervals.wilson(3, 4)
    assert found["label_accuracy"] == 2 / 4
    left_out = dict.fromkeys(("angry", "disgust", "fear", "surprise"), 0)
    assert found["left_out"] == left_out | {"contempt": 1, "no majority or unknown": 1, "not a face": 1}


def test_distribution(found):
    # Happy, neutral, sad: where half of the votes and more are for other answers, the picture does not count.
    shares = [[1, 0, 0], [0.7, 0.3, 0], [0, 0, 1], [0, 0.6, 0.4], [0.5, 0.5, 0]]
    assert found["n_distribution"] == 5
    expected = np.mean([log_loss([0, 1, 2], np.tile(p, (3, 1)), sample_weight=q, labels=[0, 1, 2]) for q, p in
                        zip(shares, PROBABILITIES, strict=False)])  # fmt: skip
    assert found["cross_entropy"] == pytest.approx(expected)
    entropy = np.mean([0, -(0.7 * np.log(0.7) + 0.3 * np.log(0.3)), 0, -(0.6 * np.log(0.6) + 0.4 * np.log(0.4)),
                       np.log(2)])  # fmt: skip
    assert found["kl"] == pytest.approx(expected - entropy)


def test_who_says_what_the_crowd_says_has_no_divergence():
    shares = np.array([[0.7, 0.3, 0], [0, 0.6, 0.4]])
    found = crowd.measure(shares, LABELS[[1, 3]], VOTES[[1, 3]], NAMES)
    assert found["kl"] == pytest.approx(0, abs=1e-12) and found["cross_entropy"] > 0.6
    assert found["accuracy"] == 1


def test_accuracy_by_agreement(found):
    assert [(part["above"], part["up_to"], part["n"], part["accuracy"]) for part in found["by_agreement"]] == [
        (0.5, 0.7, 2, 0.5),  # seven of ten belong to the lower part
        (0.9, 1.0, 2, 1.0),
    ]
    assert found["by_agreement"][0]["interval"] == intervals.wilson(1, 2)


def test_errors_are_split_by_whom_the_crowd_sides_with(found):
    # Wrong by FER2013's labels: row 1 (with the model), 3 (a third answer), 4, 5 (contempt) and 6.
    assert found["errors"] == {"n": 5, "with_model": 0.2, "with_label": 0, "with_neither": 0.4, "undecided": 0.4}
    other = crowd.measure(PROBABILITIES[[3]], np.array([1]), VOTES[[3]], NAMES)
    assert other["errors"] == {"n": 1, "with_model": 0, "with_label": 1, "with_neither": 0, "undecided": 0}
    right = crowd.measure(PROBABILITIES[[0]], LABELS[[0]], VOTES[[0]], NAMES)
    assert right["errors"] == {"n": 0, "with_model": 0, "with_label": 0, "with_neither": 0, "undecided": 0}


@pytest.mark.filterwarnings("error")
def test_results_are_json_without_infinities():
    found = crowd.measure(np.eye(3)[SAYS], LABELS, VOTES, NAMES)  # certain, and wrong
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["cross_entropy"] > 5


# --- the real votes ---


@pytest.fixture(scope="module")
def real(fer2013_path, ferplus_path):
    return ferplus_path, {name: np.array(split["label"]) for name, split in dataset.load(fer2013_path).items()}


def test_the_labels_themselves_as_a_model(real):
    path, labels = real
    found = crowd.measure(np.eye(7)[labels["validation"]], labels["validation"],
                            ferplus.read(path, "validation", labels["validation"]), EMOTIONS)  # fmt: skip
    assert found["accuracy"] == found["label_accuracy"] == pytest.approx(0.6704, abs=1e-4)
    assert found["n"] == 3186 and found["n"] + sum(found["left_out"].values()) == 3589
    assert sum(part["n"] for part in found["by_agreement"]) == found["n"]
    assert found["errors"]["n"] == 0
    # Whom more taggers agree on, FER2013's labels name more often, too.
    accuracies = [part["accuracy"] for part in found["by_agreement"]]
    assert accuracies == sorted(accuracies) and accuracies[-1] > accuracies[0] + 0.2
