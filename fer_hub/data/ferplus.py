"""FER+: ten people's votes on each picture of FER2013.

Barsoum et al. 2016, "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label Distribution".
The votes are the file fer2013new.csv of https://github.com/microsoft/FERPlus (MIT licence); its rows stand in the order
of fer2013.csv, which is that of the splits train, validation and test, one after another.
"""

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_hub.errors import UserError
from fer_hub.labels import EMOTIONS
from fer_hub.labels import FERPLUS as LABELS
from fer_hub.untrusted import MAX_TABLE, read_file

WITHOUT_CLASS = ("no majority or unknown", "not a face")  # 8 and 9 of `majority`
COLUMNS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt", "unknown", "NF")
_USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
# SHA-256 of each official split's labels, one byte an image, in order: the votes have no labels to compare with.
_OFFICIAL_ORDER = {
    "train": "e013aa0aa0b464e92443aa01950fbc974b099828690b72dc68aeb928766c6435",
    "validation": "6f62bd526ed08067dd2f1faf3ebfe4e37552b2e1d130322a24fdfaafd4d67968",
    "test": "19e25aa1d187ba49a99350f0aaf83ff90f86fa2d0f78a0d3c9a6c657eb15823d",
}
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
        text = read_file(path, MAX_TABLE).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        votes = [[int(row[name]) for name in COLUMNS] for row in rows if _USAGES.get(row["Usage"]) == split]
    except UserError as error:
        raise UserError(f"--ferplus: {error}") from error
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
