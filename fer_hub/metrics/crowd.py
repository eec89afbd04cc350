"""A model's answers beside those of FER+'s crowd, and what the crowd says of its mistakes.

Barsoum et al. 2016, "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label Distribution".
"""

import numpy as np

from fer_hub.data.ferplus import WITHOUT_CLASS, distribution, majority, without_outliers
from fer_hub.labels import FERPLUS
from fer_hub.metrics.intervals import wilson

AGREEMENT = ((0.5, 0.7), (0.7, 0.9), (0.9, 1.0))  # shares of the votes, right-closed; a majority has over one half


def measure(probabilities: np.ndarray, labels: np.ndarray, votes: np.ndarray, label_names: tuple[str, ...]) -> dict:
    """A model's answers beside the crowd's.

    Args:
        probabilities: float (N, C).
        labels: int (N,), FER2013's, in the order of `label_names`.
        votes: int (N, 10), as from `ferplus.read`.
        label_names: the model's classes, all of them in `FERPLUS`.

    Returns:
        `n`: pictures whose majority is one of the classes; `left_out`: the others, by what the crowd said instead
        (another class, `no majority or unknown`, `not a face`); `accuracy` and `interval` (Wilson) against the majority
        on these n; `label_accuracy`: that of FER2013's own labels against the majority, on the same n.
        `cross_entropy` and `kl`: means in nats of -sum q log p and sum q log(q / p), where p are the model's
        probabilities (at least 2.2e-16) and q the shares of the votes for its classes, without single votes, on the
        `n_distribution` pictures of `ferplus.distribution`.
        `by_agreement`: accuracy against the majority by the share of the votes, without single ones, that it has, each
        with `above`, `up_to`, `n`, `accuracy` and `interval`.
        `errors`: `n` predictions that FER2013's label calls wrong, and of these the shares in which the crowd's
        majority is what the model says, `with_model`, what the label says, `with_label`, another class,
        `with_neither`, or there is none, `undecided` (no majority, unknown, not a face); they sum to 1.
    """
    places = [FERPLUS.index(name) for name in label_names]
    number_of = np.full(len(FERPLUS) + 2, -1)
    number_of[places] = np.arange(len(places))
    crowd = majority(votes)
    said, predictions = number_of[crowd], probabilities.argmax(1)
    known = said >= 0

    kept = without_outliers(votes)
    total = kept.sum(1)
    voted, shares = distribution(votes, label_names)
    logs = np.log(np.maximum(probabilities[voted], np.finfo(float).eps))
    cross_entropy = -(shares * logs).sum(1)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(1)

    right, wrong = predictions == said, predictions != labels
    strength = kept.max(1) / np.maximum(total, 1)
    decided = crowd < len(FERPLUS)
    sides = {
        "with_model": right,
        "with_label": labels == said,
        "with_neither": decided & ~right & (labels != said),
        "undecided": ~decided,
    }
    others = {name: int((crowd == number).sum()) for number, name in enumerate(FERPLUS) if number_of[number] < 0}
    return {
        "n": int(known.sum()),
        "left_out": {
            **others,
            **{why: int((crowd == number).sum()) for number, why in enumerate(WITHOUT_CLASS, len(FERPLUS))},
        },
        **_accuracy(right[known]),
        "label_accuracy": float((labels == said)[known].mean()),
        "n_distribution": int(voted.sum()),
        "cross_entropy": float(cross_entropy.mean()),
        "kl": float((cross_entropy - entropy).mean()),
        "by_agreement": [
            {"above": low, "up_to": high, "n": int(part.sum()), **_accuracy(right[part])}
            for low, high in AGREEMENT
            if (part := known & (strength > low) & (strength <= high)).any()
        ],
        "errors": {
            "n": int(wrong.sum()),
            **{side: float((wrong & marks).sum() / max(wrong.sum(), 1)) for side, marks in sides.items()},
        },
    }


def _accuracy(right: np.ndarray) -> dict:
    return {"accuracy": float(right.mean()), "interval": wilson(int(right.sum()), len(right))}
