"""Whether probabilities can be taken at their word: calibration error, Brier score, reliability."""

import numpy as np

BINS = 15  # as in Guo et al. 2017, "On Calibration of Modern Neural Networks", and most work since


def measure(probabilities: np.ndarray, labels: np.ndarray) -> dict:
    """The calibration of a split.

    Args:
        probabilities: float (N, C), in 0..1, rows sum to 1; N > 0.
        labels: int (N,).

    Returns:
        `ece`: expected calibration error in 0..1, over 15 bins of equal width (Guo et al. 2017): the mean of
            |accuracy - confidence| of the bins, weighted by their images; confidence is the highest probability;
        `ece_equal_mass`: the same over 15 bins of (nearly) equal numbers of images (Nguyen & O'Connor 2015), which
            do not hang on a few images in an empty range;
        `brier`: mean over the images of the squared distance between the probabilities and the label's unit vector
            (Brier 1950), in 0..2;
        `reliability`: the bins of equal width that have images: `confidence`, `accuracy` (means) and `n`.
    """
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == labels
    # Right-closed, so that a probability of 1 is in the last bin.
    width_bins = np.ceil(confidence * BINS).astype(int).clip(1, BINS) - 1
    reliability = _bins([np.flatnonzero(width_bins == index) for index in range(BINS)], confidence, correct)
    mass = _bins(np.array_split(np.argsort(confidence, kind="stable"), BINS), confidence, correct)
    truth = np.eye(probabilities.shape[1])[labels]
    return {
        "ece": _expected_error(reliability),
        "ece_equal_mass": _expected_error(mass),
        "brier": float(((probabilities - truth) ** 2).sum(1).mean()),
        "reliability": reliability,
    }


def _bins(members: list[np.ndarray], confidence: np.ndarray, correct: np.ndarray) -> list[dict]:
    return [
        {"confidence": float(confidence[rows].mean()), "accuracy": float(correct[rows].mean()), "n": len(rows)}
        for rows in members
        if len(rows)
    ]


def _expected_error(bins: list[dict]) -> float:
    total = sum(part["n"] for part in bins)
    return sum(part["n"] * abs(part["accuracy"] - part["confidence"]) for part in bins) / total
