"""Whether a model's answers fit the labels better once these are renamed: numbers in another order look like this."""

import math

import numpy as np
from scipy.optimize import linear_sum_assignment

LEAST_SHARE = 0.2  # of the images of each class that is renamed
LEAST_MEAN = 0.4  # of these shares


def find(predictions: np.ndarray, labels: np.ndarray, classes: int) -> list[int] | None:
    """Look for a permutation of the classes in the confusion matrix.

    Args:
        predictions: int (N,), 0 to `classes` - 1.
        labels: int (N,), likewise.
        classes: how many there are.

    Returns:
        For each class the one that its images are taken for; None where that is itself for all, or where it is not
        clear for some.
    """
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (labels, predictions), 1)
    counts = np.maximum(confusion.sum(1), 1)
    shares = confusion / counts[:, None]
    _, best = linear_sum_assignment(-shares)
    moved = np.flatnonzero(best != np.arange(classes))
    if not len(moved):
        return None
    others, own = shares[moved, best[moved]], shares[moved, moved]
    is_clear = others.min() >= LEAST_SHARE and others.mean() >= LEAST_MEAN and (others > own).all()
    # Chance answers fit one of all orders, too: Hoeffding's bound for the best of them, at e^-2.
    gain = float(((others - own) * counts[moved]).sum())
    by_chance = math.sqrt(2 * counts[moved].sum() * (math.lgamma(classes + 1) + 2))
    return best.tolist() if is_clear and gain > by_chance else None
