"""What a model gains by saying "uncertain": its error on the images that it is surest of, and the threshold for that.

The confidence of an image is its highest probability. A threshold keeps the images whose confidence it does not exceed.
"""

import math

import numpy as np

POINTS = 101  # of a curve in a JSON file
SHARES = (90, 80, 70)  # percent of the images


def measure(probabilities: np.ndarray, labels: np.ndarray) -> dict:
    """The trade of coverage for error on a split.

    Images of equal confidence have no order: their errors count as spread evenly over them, which is the mean over all
    orders. So the numbers do not depend on the order of the images, and where all confidences are equal, the error is
    that of the split at each coverage.

    Args:
        probabilities: float (N, C), in 0..1, rows sum to 1; N > 0.
        labels: int (N,).

    Returns:
        `aurc`: area under the risk-coverage curve, in 0..1, lower is better (Geifman, Uziel and El-Yaniv 2019,
            "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers"): the mean over k = 1..N of the error
            among the k surest images;
        `accuracy_at`: "90", "80", "70" -> accuracy of the surest 90, 80, 70 % of the images (rounded up);
        `curve`: `coverage` in 0..1, rising, 1 at the end, and `error`, the share of wrong ones among the images kept;
            up to 101 points. There is none at coverage 0, where no image is kept.
    """
    kept, right, _ = _levels(probabilities, labels)
    count = len(labels)
    images = np.arange(1, count + 1)
    errors = 1 - np.interp(images, np.append(0, kept), np.append(0, right)) / images
    shown = np.unique(np.ceil(np.linspace(0, count, POINTS)).clip(1).astype(int))
    return {
        "aurc": float(errors.mean()),
        "accuracy_at": {str(share): float(1 - errors[math.ceil(share * count / 100) - 1]) for share in SHARES},
        "curve": {"coverage": (shown / count).tolist(), "error": errors[shown - 1].tolist()},
    }


def recommended_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """The confidence below which the model's first choice is wrong more often than right.

    Chow's rule (1970, IEEE Trans. Inf. Theory 16, 41-46) at equal odds, taken from data: the threshold with the largest
    number of right minus wrong among the images kept. It is where the accuracy at a confidence, fitted as a rising
    function, crosses one half, so it also holds for a model that is not calibrated.

    Why this rule: "uncertain" says the same of each face and of each model. A wanted accuracy of all images kept does
    not: a good model meets it without a threshold and lets its sure images pay for the hopeless ones, and a weak model
    never meets it. A wanted coverage marks a fifth of the faces whether they are hard or not.

    What it costs: the images below it, of which a good part was right; `at_threshold` counts them. For `paper-cnn` on
    PublicTest (n 3,589) it is .51: 54 % of the images are kept, 75.8 % of them are right instead of 57.8 % of all, and
    of those called uncertain 36.7 % were right. Found on random halves of that split it has a standard deviation of
    .010 (40 halves), and it moves more on smaller ones.

    Args:
        probabilities: float (N, C), of the *validation* split, by the model as it will be served (after any
            calibration, a change of which makes the threshold void); N > 0.
        labels: int (N,).

    Returns:
        The threshold in 0..1, in the middle between two confidences that occur; None where keeping all images is best;
        1.0 where the first choice is wrong more often than right at each confidence.
    """
    kept, right, confidence = _levels(probabilities, labels)
    gains = 2 * right - kept  # right minus wrong
    best = len(gains) - 1 - int(np.argmax(gains[::-1]))  # of equal ones, the one that keeps most images
    if gains[best] < 0:
        return 1.0
    if best == len(gains) - 1:
        return None
    return float((confidence[best] + confidence[best + 1]) / 2)


def at_threshold(probabilities: np.ndarray, labels: np.ndarray, threshold: float | None) -> dict:
    """What a threshold costs and gains on a split.

    Args:
        probabilities: float (N, C); N > 0.
        labels: int (N,).
        threshold: images of lower confidence are uncertain; None: none is.

    Returns:
        `coverage`: share of images that are kept, `accuracy`: theirs, `accuracy_uncertain`: that of the others, all in
        0..1; an accuracy is None where it has no images.
    """
    kept = probabilities.max(1) >= (threshold or 0.0)
    correct = probabilities.argmax(1) == labels
    return {
        "coverage": float(kept.mean()),
        "accuracy": float(correct[kept].mean()) if kept.any() else None,
        "accuracy_uncertain": float(correct[~kept].mean()) if not kept.all() else None,
    }


def _levels(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each confidence that occurs, falling: how many images have it or more, how many of these are right, and it."""
    confidence, members = np.unique(-probabilities.max(1), return_inverse=True)
    correct = probabilities.argmax(1) == labels
    return np.bincount(members).cumsum(), np.bincount(members, correct).cumsum(), -confidence
