"""What the labels of a data set mean: FER2013's emotions, FER+'s majorities, the data's own classes, or those of a map.

In come the labels as a source has them, names or numbers; out come the classes and each image's number among them.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fer_hub.data import ferplus
from fer_hub.data.label_maps import read_map
from fer_hub.data.split_names import require_no_splits
from fer_hub.errors import UserError
from fer_hub.labels import EMOTIONS, canonical_name, key, require_names


@dataclass(frozen=True)
class LabelSet:
    """Which classes a data set gets.

    Attributes:
        name: `fer2013`, `ferplus` or `auto`.
        mapping: label as the data has it -> our name of its class, or None for images to leave out; replaces `name`.
        votes: FER+'s fer2013new.csv, for `ferplus` of a source that does not have the votes itself.
        soft: training images have the shares of the votes as targets, for `ferplus`.
    """

    name: str = "fer2013"
    mapping: Mapping[str, str | None] | None = None
    votes: str | None = None
    soft: bool = False

    @property
    def told(self) -> str:
        """What results call it."""
        return self.name if self.mapping is None else "label_map"

    @property
    def is_fer2013(self) -> bool:
        """Whether labels are FER2013's own, and counts can be compared with the official ones."""
        return self.told == "fer2013"

    @property
    def is_of_emotions(self) -> bool:
        """Whether the classes are FER2013's or FER+'s, known by their names."""
        return self.name != "auto" and self.mapping is None


FER2013 = LabelSet()


class Raw(NamedTuple):
    """The labels of a split as its source has them.

    Attributes:
        values: a name, a number or None for each image.
        rows: where each stands in the source.
        where: what messages call the split.
        class_names: of a column of classes, in its order; None of others.
        votes: int (N, 10), as `ferplus.read` gives them, where the source has them; `values` are their majorities then.
    """

    values: list
    rows: list[int]
    where: str
    class_names: list[str] | None
    votes: np.ndarray | None = None


class Numbered(NamedTuple):
    """The labels of a split as numbers.

    Attributes:
        labels: int64 (N,), the place among the classes; -1: the image has none and is left out.
        left_out: why -> images.
        targets: float32 (N, C), distributions; None where the labels are all there is.
    """

    labels: np.ndarray
    left_out: dict[str, int]
    targets: np.ndarray | None = None


def from_flags(
    label_set: str = "fer2013", label_map: str | None = None, votes: str | None = None, soft_labels: bool = False
) -> LabelSet:
    """The label set that `--label_set`, `--label_map`, `--ferplus` and `--soft_labels` name.

    Raises:
        UserError: flags that exclude or need each other, or a file that is no map.
    """
    if label_map and label_set != "fer2013":
        raise UserError(f"--label_map names the classes itself: leave out --label_set {label_set}.")
    if label_map and votes:
        raise UserError("--ferplus does not go with --label_map, which names other labels: leave one of them out.")
    if votes and label_set != "ferplus":
        raise UserError("--ferplus has the votes of --label_set ferplus: add that, or leave it out.")
    if soft_labels and label_set != "ferplus":
        raise UserError("--soft_labels takes the shares of FER+'s votes: add --label_set ferplus --ferplus FILE.")
    return LabelSet(label_set, read_map(label_map) if label_map else None, votes, soft_labels)


def number(
    raw: Mapping[str, Raw], labels: LabelSet, source: str, learn: bool = True
) -> tuple[tuple[str, ...], dict[str, Numbered]]:
    """Numbers the labels of all splits.

    Args:
        raw: by split; with `train` to learn.
        labels: the classes that are wanted.
        source: what messages call the data set.
        learn: whether a model shall learn them, so that train must have images of each.

    Returns:
        The classes, our seven first and in our order; and the splits.

    Raises:
        UserError: a label that means no class, or classes of which training images are missing.
    """
    if labels.mapping is not None:
        return _mapped(raw, labels.mapping, source)
    if labels.name == "auto":
        return _own(raw, source, learn)
    if labels.name == "ferplus":
        return ferplus.LABELS, {split: _voted(labels, split, part, source) for split, part in raw.items()}
    return EMOTIONS, {split: _seven(part) for split, part in raw.items()}


def _seven(part: Raw) -> Numbered:
    """FER2013's emotions; of votes, majorities for anything else have no class."""
    if part.votes is None:
        return Numbered(np.array(_each(part, _emotion), dtype=np.int64), {})
    return _among(part.values, EMOTIONS, ("contempt", *ferplus.WITHOUT_CLASS))


def _mapped(raw: Mapping[str, Raw], mapping: Mapping[str, str | None], source: str):
    if any(part.votes is not None for part in raw.values()):
        mapping = dict.fromkeys(ferplus.WITHOUT_CLASS) | dict(mapping)
    values = {split: _each(part, _spelled) for split, part in raw.items()}
    used = {value for part in values.values() for value in part}
    if unknown := in_natural_order(used - mapping.keys()):
        more = ", ..." if len(unknown) > 20 else ""
        raise UserError(
            f"{source}: the label map does not name {', '.join(map(repr, unknown[:20]))}{more}. Give each a class, or "
            "null to leave its images out."
        )
    reached = {mapping[value] for value in used}
    names = _in_order(name for name in mapping.values() if name in reached - {None})
    require_two(names, source)
    numbered = {}
    for split, part in values.items():
        found = [names.index(mapping[value]) if mapping[value] else -1 for value in part]
        left_out = dict(Counter(value for value in part if mapping[value] is None))
        numbered[split] = Numbered(np.array(found, dtype=np.int64), left_out)
    return names, numbered


def _own(raw: Mapping[str, Raw], source: str, learn: bool):
    values = {split: _each(part, _spelled) for split, part in raw.items()}
    without = ferplus.WITHOUT_CLASS if any(part.votes is not None for part in raw.values()) else ()
    learned = values["train"] if learn else [value for part in values.values() for value in part]
    trained = set(learned) - set(without)
    for split, part in values.items():
        if unknown := in_natural_order(set(part) - trained - set(without)):
            raise UserError(
                f"{source}: {split} has images of {', '.join(unknown[:20])}, and train has none, so that no model can "
                "learn them. Add some to train, or leave them out with --label_map."
            )
    first = next(iter(raw.values())) if "train" not in raw else raw["train"]
    names = _in_order(name for name in (*(first.class_names or ()), *in_natural_order(trained)) if name in trained)
    require_names(names, source)
    require_two(names, source)
    require_no_splits(names, source)
    return names, {split: _among(part, names, without) for split, part in values.items()}


def _among(values: Sequence[str], names: Sequence[str], without: Sequence[str]) -> Numbered:
    found = np.array([-1 if value in without else names.index(value) for value in values], dtype=np.int64)
    return Numbered(found, dict(Counter(value for value in values if value in without)))


def _voted(labels: LabelSet, split: str, part: Raw, source: str) -> Numbered:
    if part.votes is not None and labels.votes:
        raise UserError(f"{source} has FER+'s votes itself: leave out --ferplus {labels.votes}.")
    if part.votes is None and not labels.votes:
        raise UserError(
            "--label_set ferplus needs the votes: --ferplus fer2013new.csv, from https://github.com/microsoft/FERPlus"
        )
    votes = part.votes
    if votes is None:
        votes = ferplus.read(labels.votes, split, np.array(_each(part, _emotion), dtype=np.int64))
    crowd = ferplus.majority(votes)
    targets = None
    found = np.where(crowd < len(ferplus.LABELS), crowd, -1)
    if labels.soft and split == "train":
        # Doubt is what shares of votes can teach, so no majority is asked for: as in Barsoum et al., a picture counts
        # where emotions have more than half of its votes. These are 28,416, with a majority 25,060. (They also cut the
        # smaller shares off, which we do not.) The label, which accuracy and samples use, has most votes, or is the
        # first of those that have.
        voted, shares = ferplus.distribution(votes)
        targets = np.zeros((len(votes), len(ferplus.LABELS)), np.float32)
        targets[voted] = shares
        found = np.where(voted, targets.argmax(1), -1)
    counts = np.bincount(crowd[found < 0] - len(ferplus.LABELS), minlength=len(ferplus.WITHOUT_CLASS)).tolist()
    left_out = {why: count for why, count in zip(ferplus.WITHOUT_CLASS, counts, strict=True) if count}
    return Numbered(found, left_out, targets)


def _each(part: Raw, meaning: Callable[[object, str], object]) -> list:
    """What each label means; each distinct one is looked up once, where it stands first."""
    known: dict[object, object] = {}
    for row, value in zip(part.rows, part.values, strict=True):
        if value not in known:
            known[value] = meaning(value, f"{part.where}, row {row}")
    return [known[value] for value in part.values]


def _emotion(value: object, where: str) -> int:
    """By name where there is a name, otherwise by fer2013.csv's number."""
    if isinstance(value, str) and not value.strip().isdecimal():
        try:
            return EMOTIONS.index(canonical_name(value))
        except UserError as error:
            raise UserError(f"{where}: {error} Other classes: --label_set auto, or --label_map FILE.") from error
    found = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    if found not in range(len(EMOTIONS)):  # nor are NaN, infinity and 3.5
        raise UserError(
            f"{where}: the label is {value!r}, expected a number 0..6 or an emotion's name. "
            "Other classes: --label_set auto, or --label_map FILE."
        )
    return int(found)


def _spelled(value: object, where: str) -> str:
    """The label as text: 3 and 3.0 are "3"."""
    if isinstance(value, str) and value.strip():
        return value
    if (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    raise UserError(f"{where}: the label is {value!r}, expected a name or a whole number.")


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Our seven in our order, however they are spelled, then the others in theirs."""
    place = {emotion: number for number, emotion in enumerate(EMOTIONS)}
    return tuple(sorted(dict.fromkeys(names), key=lambda name: place.get(key(name), len(EMOTIONS))))


def in_natural_order(labels: Iterable[str]) -> list[str]:
    """By number where all of them are numbers: 2 comes before 10."""
    labels = sorted(labels)
    return sorted(labels, key=int) if all(re.fullmatch("-?[0-9]+", label) for label in labels) else labels


def require_two(names: Sequence[str], source: str) -> None:
    """Raises UserError where there are fewer than two classes."""
    if len(names) < 2:
        raise UserError(f"{source}: a classifier needs two classes at least, these labels make {len(names)}.")
