"""A confusion matrix that is a permutation is found; errors, however many, are none."""

import numpy as np
import pytest

from fer_hub.labels import EMOTIONS
from fer_hub.metrics.label_permutation import find

# Recall of a good model, and the errors that such models make.
RECALL = np.array([0.6, 0.55, 0.45, 0.88, 0.55, 0.82, 0.7])
ERRORS = {0: 4, 1: 0, 2: 4, 3: 6, 4: 6, 5: 2, 6: 4}
RAF_DB = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")


def answers(order=range(7), recall=RECALL, count=700):
    """Predictions and labels of which class i means class order[i]."""
    rng = np.random.default_rng(0)
    meant = np.arange(count) % 7
    predictions = np.where(rng.random(count) < recall[meant], meant, [ERRORS[label] for label in meant])
    labels = np.array([list(order).index(label) for label in meant])
    return predictions, labels


@pytest.mark.parametrize("names", [sorted(EMOTIONS), RAF_DB], ids=["alphabetical", "RAF-DB"])
def test_orders_are_found(names):
    order = [EMOTIONS.index(name) for name in names]
    assert find(*answers(order), 7) == order


def test_two_swapped_classes_of_two_are_found():
    labels = np.arange(40) % 2
    assert find(1 - labels, labels, 2) == [1, 0]


@pytest.mark.parametrize(
    "recall", [RECALL, RECALL / 2, RECALL * 0 + 0.2, RECALL * 0], ids=["good", "bad", "worse", "always wrong"]
)
def test_errors_are_no_order(recall):
    assert find(*answers(recall=recall), 7) is None


def test_chance_and_few_images_are_no_order():
    rng = np.random.default_rng(1)
    assert not any(find(rng.integers(0, 7, 60), rng.integers(0, 7, 60), 7) for _ in range(200))
    labels = np.array([0, 0, 1, 1])
    assert find(1 - labels, labels, 2) is None
