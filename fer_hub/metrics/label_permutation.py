"""Whether a model's answers fit the labels better once these are renamed: numbers in another order look like this."""

import numpy as np
from scipy.optimize import linear_sum_assignment

LEAST_IMAGES = 5  # of a class, before anything is said about it
LEAST_SHARE = 0.4  # of its images that the other class must get, on average
LEAST_GAIN = 0.25  # of that share over the class's own


def find(predictions: np.ndarray, labels: np.ndarray, classes: int) -> list[int] | None:
    """Look for a permutation of the classes in the confusion matrix.

    Args:
        predictions: int (N,), 0 to `classes` - 1.
        labels: int (N,), likewise.
        classes: how many there are.

    Returns:
        For each class the one that its images are taken for; None where that is mostly itself, or where most of the
        moved classes have no clear other one.
    """
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (labels, predictions), 1)
    counts = confusion.sum(1)
    shares = confusion / np.maximum(counts, 1)[:, None]
    _, best = linear_sum_assignment(-shares)
    moved = np.flatnonzero(best != np.arange(classes))
    if not len(moved) or counts[moved].min() < LEAST_IMAGES:
        return None
    others, own = shares[moved, best[moved]], shares[moved, moved]
    clear = int((shares[moved].argmax(1) == best[moved]).sum())
    if 3 * clear < 2 * len(moved) or others.mean() < LEAST_SHARE or others.mean() - own.mean() < LEAST_GAIN:
        return None
    return best.tolist()
