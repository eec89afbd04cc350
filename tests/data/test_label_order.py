"""FER2013's counts in another order are noticed, with the map that mends them; others are not spoken of."""

import json

import numpy as np
import pytest

from fer_hub.data import label_order
from fer_hub.data.label_sets import Numbered, Raw
from fer_hub.labels import EMOTIONS, OFFICIAL_COUNTS

NUMBERS = {name: (str(number),) for number, name in enumerate(EMOTIONS)}
RAF_DB = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")


def counted(order, splits=("train", "validation", "test")):
    """Counts of data whose number i means order[i]."""
    return {split: np.array([OFFICIAL_COUNTS[split][EMOTIONS.index(name)] for name in order]) for split in splits}


@pytest.mark.parametrize("order", [tuple(sorted(EMOTIONS)), RAF_DB], ids=["alphabetical", "RAF-DB"])
@pytest.mark.parametrize("splits", [("train", "validation", "test"), ("test",)], ids=len)
def test_other_orders_are_said_with_their_map(order, splits, caplog):
    label_order.warn_of_official_counts(counted(order, splits), NUMBERS, "faces")
    (message,) = caplog.messages
    assert "faces has FER2013's images" in message and "--label_map labels.json" in message
    assert json.loads(message.splitlines()[-1]) == {str(number): name for number, name in enumerate(order)}


def test_names_are_mapped_by_their_spelling(caplog):
    spellings = {name: (name.title(), name) for name in EMOTIONS}
    label_order.warn_of_official_counts(counted(sorted(EMOTIONS)), spellings, "faces")
    mapping = json.loads(caplog.messages[0].splitlines()[-1])
    assert mapping["Sad"] == mapping["sad"] == "neutral" and mapping["Angry"] == "angry" and len(mapping) == 14


@pytest.mark.parametrize(
    "counts",
    [
        counted(EMOTIONS),
        {"train": np.array([10, 20, 30, 40, 50, 60, 70])},
        counted(RAF_DB) | counted(sorted(EMOTIONS), ("test",)),
        counted(RAF_DB) | {"all": np.ones(7, int)},
    ],
    ids=["official", "others", "two orders", "a further split"],
)
def test_everything_else_is_left_alone(counts, caplog):
    label_order.warn_of_official_counts(counts, NUMBERS, "faces")
    assert not caplog.messages


def test_spellings_are_the_keys_of_a_label_map():
    raw = {"train": Raw([0, 1.0, 1, "Joy"], [0, 1, 2, 3], "train", None), "test": Raw(["happy"], [0], "test", None)}
    numbered = {"train": Numbered(np.array([0, 1, 1, 3]), {}), "test": Numbered(np.array([3]), {})}
    found = label_order.spellings(raw, numbered, EMOTIONS)
    assert found == {name: () for name in EMOTIONS} | {"angry": ("0",), "disgust": ("1",), "happy": ("Joy", "happy")}
