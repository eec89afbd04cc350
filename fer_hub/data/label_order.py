"""Labels whose numbers stand for other classes than FER2013's: how they are noticed, and the label map that mends it.

ImageFolder numbers folders alphabetically: 4 is neutral there and sad in fer2013.csv. Nothing fails, and all is wrong.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence

import numpy as np

from fer_hub.data.label_sets import Numbered, Raw, in_natural_order
from fer_hub.labels import EMOTIONS, OFFICIAL_COUNTS

logger = logging.getLogger(__name__)


def spellings(
    raw: Mapping[str, Raw], numbered: Mapping[str, Numbered], names: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """By class, its labels as the source has them, sorted, as the keys of a label map."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for split, part in raw.items():
        pairs = set(zip(map(str, part.values), numbered[split].labels.tolist(), strict=True))
        for value, label in pairs:
            if label >= 0:
                found[names[label]].add(re.sub(r"^(-?\d+)\.0$", r"\1", value))
    return {name: tuple(in_natural_order(values)) for name, values in found.items()}


def warn_of_official_counts(
    counts: Mapping[str, np.ndarray], spellings: Mapping[str, Sequence[str]], source: str
) -> None:
    """Say where the class counts are FER2013's official ones in another order.

    Args:
        counts: by split, images of each of `EMOTIONS`.
        spellings: by emotion, its labels as the source has them.
        source: what messages call the data set.
    """
    known = {split: found.tolist() for split, found in counts.items() if split in OFFICIAL_COUNTS}
    if len(known) < len(counts) or any(
        sorted(found) != sorted(OFFICIAL_COUNTS[split]) for split, found in known.items()
    ):
        return
    meant = {tuple(EMOTIONS[OFFICIAL_COUNTS[split].index(count)] for count in found) for split, found in known.items()}
    if len(meant) == 1 and (order := meant.pop()) != EMOTIONS:
        logger.warning(
            "%s has FER2013's images, and its labels are numbered in another order: %s.\n%s", source,
            told(EMOTIONS, order), mending(spellings, dict(zip(EMOTIONS, order, strict=True))),
        )  # fmt: skip


def told(names: Sequence[str], meant: Sequence[str]) -> str:
    """Which labels mean another class: "what is read as sad is neutral"."""
    pairs = [f"{name} is {other}" for name, other in zip(names, meant, strict=True) if name != other]
    return "what is read as " + ", ".join(pairs)


def mending(spellings: Mapping[str, Sequence[str]], meant: Mapping[str, str]) -> str:
    """The label map that gives each label the class that it means, and how to use it."""
    mapping = {label: meant[name] for name in meant for label in spellings.get(name, (name,))}
    return f"Save this line as labels.json and add --label_map labels.json:\n{json.dumps(mapping, ensure_ascii=False)}"
