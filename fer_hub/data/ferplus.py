"""FER+: ten people's votes on each picture of FER2013, and what they say of a model's mistakes.

Barsoum et al. 2016, "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label Distribution".
The votes are the file fer2013new.csv of https://github.com/microsoft/FERPlus (MIT licence); its rows stand in the order
of fer2013.csv, which is that of the splits train, validation and test, one after another.
"""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_hub.errors import UserError
from fer_hub.labels import EMOTIONS
from fer_hub.labels import FERPLUS as LABELS
from fer_hub.statistics import wilson

WITHOUT_CLASS = ("no majority or unknown", "not a face")  # 8 and 9 of `majority`
_COLUMNS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt", "unknown", "NF")
_USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
# SHA-256 of each official split's labels, one byte an image, in order: the votes have no labels to compare with.
_OFFICIAL_ORDER = {
    "train": "e013aa0aa0b464e92443aa01950fbc974b099828690b72dc68aeb928766c6435",
    "validation": "6f62bd526ed08067dd2f1faf3ebfe4e37552b2e1d130322a24fdfaafd4d67968",
    "test": "19e25aa1d187ba49a99350f0aaf83ff90f86fa2d0f78a0d3c9a6c657eb15823d",
}
AGREEMENT = ((0.5, 0.7), (0.7, 0.9), (0.9, 1.0))  # shares of the votes, right-closed; a majority has over one half
# FER2013's own labels agree with .67 to .68 of the majorities in the official order, and with .2 in any other.
LEAST_LABEL_AGREEMENT = 0.6


def read(path: str | Path, split: str, labels: np.ndarray) -> np.ndarray:
    """The votes on a split's pictures.

    Args:
        path: fer2013new.csv.
        split: train, validation or test.
        labels: int (N,), FER2013's, of the data set that the votes are for; they show that it has the official
            pictures in the official order.

    Returns:
        int (N, 10): votes for the eight of `LABELS`, for "unknown", and for "not a face".

    Raises:
        UserError: the file is not that of FER+ with its rows in order, or the split is not FER2013's in its order.
    """
    found = hashlib.sha256(np.asarray(labels).astype(np.uint8).tobytes()).hexdigest()
    if found != _OFFICIAL_ORDER.get(split):
        raise UserError(
            f"--ferplus: the {len(labels):,} labels of {split} are not FER2013's in the order of fer2013.csv, so the "
            "votes cannot be matched with its pictures. Use fer2013.csv itself, or an unshuffled copy."
        )
    try:
        with Path(path).expanduser().open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        votes = [[int(row[name]) for name in _COLUMNS] for row in rows if _USAGES.get(row["Usage"]) == split]
    except OSError as error:
        raise UserError(f"--ferplus: cannot open {path}: {error.strerror}.") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(f"--ferplus: {path} is not FER+'s fer2013new.csv: {error!r}.") from error
    if len(votes) != len(labels):
        raise UserError(f"--ferplus: {path} has {len(votes):,} rows for {split}, FER2013 has {len(labels):,} pictures.")
    crowd = majority(np.array(votes))
    known = crowd < len(EMOTIONS)
    agreement = float((crowd == labels)[known].mean()) if known.any() else 0.0
    if agreement < LEAST_LABEL_AGREEMENT:
        raise UserError(
            f"--ferplus: the rows of {path} do not stand in the order of fer2013.csv: FER2013's labels agree with "
            f"{100 * agreement:.0f} % of its majorities for {split}, in the right order with 67 or 68 %. "
            "Fetch it again: https://github.com/microsoft/FERPlus"
        )
    return np.array(votes)


def without_outliers(votes: np.ndarray) -> np.ndarray:
    """The votes without single ones, which Barsoum et al. take for slips."""
    return np.where(votes > 1, votes, 0)


def majority(votes: np.ndarray) -> np.ndarray:
    """What more than half of the votes say, as Barsoum et al. count them.

    Args:
        votes: int (N, 10), as from `read`.

    Returns:
        int (N,): index into `LABELS`; 8 where nothing has a majority or the majority is "unknown", 9 for "not a face".
    """
    kept = without_outliers(votes)
    best = kept.argmax(1)
    return np.where(2 * kept.max(1) > kept.sum(1), best, len(LABELS))


def distribution(votes: np.ndarray, label_names: Sequence[str] = LABELS) -> tuple[np.ndarray, np.ndarray]:
    """The shares of the votes that each class has, without single votes.

    Args:
        votes: int (N, 10), as from `read`.
        label_names: C classes, all of them in `LABELS`.

    Returns:
        bool (N,), the M pictures of which these classes have more than half of the votes: Barsoum et al. drop the
        others, too; float64 (M, C), their shares, rows sum to 1.
    """
    kept = without_outliers(votes)
    mine = kept[:, [LABELS.index(name) for name in label_names]].astype(float)
    voted = 2 * mine.sum(1) > kept.sum(1)
    return voted, mine[voted] / mine[voted].sum(1, keepdims=True)


def measure(probabilities: np.ndarray, labels: np.ndarray, votes: np.ndarray, label_names: tuple[str, ...]) -> dict:
    """A model's answers beside the crowd's.

    Args:
        probabilities: float (N, C).
        labels: int (N,), FER2013's, in the order of `label_names`.
        votes: int (N, 10), as from `read`.
        label_names: the model's classes, all of them in `LABELS`.

    Returns:
        `n`: pictures whose majority is one of the classes; `left_out`: the others, by what the crowd said instead
        (another class, `no majority or unknown`, `not a face`); `accuracy` and `interval` (Wilson) against the majority
        on these n; `label_accuracy`: that of FER2013's own labels against the majority, on the same n.
        `cross_entropy` and `kl`: means in nats of -sum q log p and sum q log(q / p), where p are the model's
        probabilities (at least 2.2e-16) and q the shares of the votes for its classes, without single votes, on the
        `n_distribution` pictures of `distribution`.
        `by_agreement`: accuracy against the majority by the share of the votes, without single ones, that it has, each
        with `above`, `up_to`, `n`, `accuracy` and `interval`.
        `errors`: `n` predictions that FER2013's label calls wrong, and of these the shares in which the crowd's
        majority is what the model says, `with_model`, what the label says, `with_label`, another class,
        `with_neither`, or there is none, `undecided` (no majority, unknown, not a face); they sum to 1.
    """
    places = [LABELS.index(name) for name in label_names]
    number_of = np.full(len(LABELS) + 2, -1)
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
    decided = crowd < len(LABELS)
    sides = {
        "with_model": right,
        "with_label": labels == said,
        "with_neither": decided & ~right & (labels != said),
        "undecided": ~decided,
    }
    others = {name: int((crowd == number).sum()) for number, name in enumerate(LABELS) if number_of[number] < 0}
    return {
        "n": int(known.sum()),
        "left_out": {
            **others,
            **{why: int((crowd == number).sum()) for number, why in enumerate(WITHOUT_CLASS, len(LABELS))},
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
