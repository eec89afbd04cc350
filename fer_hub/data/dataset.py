"""Any source of FER2013-like data -> one canonical `DatasetDict`: train / validation / test, `image`, `label`.

`load` finds the kind of source, `sources` opens it with the `datasets` library, `_canonical` gives splits and columns
their one form, and `label_sets` the labels. Images stay encoded; `pixels.decode` reads them.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import datasets
import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict

from fer_hub.data import columns, label_order, label_sets, sources, validation_split
from fer_hub.data.label_sets import FER2013, LabelSet, Numbered, Raw
from fer_hub.data.reading import AS_FOUND, Reading
from fer_hub.data.split_names import ALL, SPLITS, find_split, split_name
from fer_hub.errors import UserError
from fer_hub.labels import EMOTIONS, OFFICIAL_COUNTS

logger = logging.getLogger(__name__)


class LabelledSplits(DatasetDict):
    """The splits of a data set, as `load` gives them.

    Attributes:
        left_out: by split, images that the label set has no class for, or that cannot be read: why -> how many.
        spellings: by class, its labels as the source has them.
    """

    left_out: dict[str, dict[str, int]]
    spellings: dict[str, tuple[str, ...]]


def load(
    source: str,
    revision: str | None = None,
    seed: int | None = 0,
    keep: str | None = None,
    labels: LabelSet = FER2013,
    reading: Reading = AS_FOUND,
) -> LabelledSplits:
    """Opens a data set.

    Args:
        source: `synthetic` (drawn faces, needs nothing), a fer2013.csv, a folder of parquet files, a folder of image
            folders (`train/<class>/*.jpg`), a table of paths and labels, a folder that `save_to_disk` of `datasets`
            wrote, or a Hub id (`user/name`).
        revision: branch, tag or commit of a Hub id.
        seed: to train: the data set has a train split, and validation is cut from it with this seed where it is
            missing. None to measure: the splits are what the source has, `all` where it has none.
        keep: a further column, which is handed through as it is.
        labels: which classes the labels become.
        reading: names columns where they are not found.

    Returns:
        `train`, `validation` and, where the source has one, `test`, as far as `seed` says; each with `image`
        (datasets.Image, encoded) and `label` (ClassLabel: the classes of `labels`); with soft labels train also has
        `target` (float32, a distribution over the classes). Images without a class are left out; `say_left_out` tells
        of them.

    Raises:
        UserError: nothing is there, or it is not such a data set; the message says what, where and how to go on.
    """
    path = Path(os.path.expanduser(source))
    if revision and (source == "synthetic" or os.path.exists(path)):
        raise UserError(f"--dataset_revision is for data sets on the Hub; {source} is not one. Leave it out.")
    if source == "synthetic":
        if keep:
            raise UserError(f"synthetic has no column {keep!r}: its faces have nothing but a label.")
        return _canonical(sources.open_synthetic(), source, seed, keep, labels, AS_FOUND)
    if os.path.isdir(path):
        raw = sources.open_folder(path, labels, reading)
    elif os.path.isfile(path):
        raw = sources.open_file(path, labels, reading)
    elif re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", source) and path.suffix not in {".csv", ".parquet", ".zip"}:
        raw = sources.open_hub(source, revision)
    else:
        raise UserError(
            f"no data set at {source}: no such file or folder, and not a Hub id (user/name). "
            "Use an existing path, or --dataset_name synthetic, which needs nothing."
        )
    return _canonical(raw, source, seed, keep, labels, reading)


def of_train(loaded: LabelledSplits, labels: LabelSet) -> LabelledSplits:
    """The same without the classes of a label map that train has no images of: a training cannot learn them.

    Raises:
        UserError: fewer than two classes are left, or no image of a split.
    """
    if labels.mapping is None:
        return loaded
    names, counts = loaded["train"].features["label"].names, class_counts(loaded["train"])
    trained = [name for name, count in zip(names, counts, strict=True) if count]
    missing = [name for name in dict.fromkeys(labels.mapping.values()) if name and name not in trained]
    if not missing:
        return loaded
    logger.warning("No training image is %s: the model will not know it.", " or ".join(missing))
    label_sets.require_two(trained, "train")
    kept, feature = LabelledSplits(), ClassLabel(names=trained)
    kept.left_out, kept.spellings = {}, loaded.spellings
    for split, rows in loaded.items():
        found = [trained.index(names[label]) if names[label] in trained else -1 for label in rows["label"]]
        lost = Counter(names[label] for label, number in zip(rows["label"], found, strict=True) if number < 0)
        rows = rows.remove_columns("label").add_column("label", found, feature=feature)
        kept[split] = rows.select(np.flatnonzero(np.array(found) >= 0)) if lost else rows
        kept.left_out[split] = dict(Counter(loaded.left_out[split]) + lost)
        if not len(kept[split]):
            raise UserError(f"all images of {split} are of classes that train lacks: add training images of them.")
    return kept


def say_left_out(loaded: LabelledSplits, names: Iterable[str]) -> None:
    """Says which images of these splits have no class."""
    for name in names:
        if counts := loaded.left_out[name]:
            told = ", ".join(f"{why} ({count:,})" for why, count in counts.items())
            logger.warning("%s: %s images are left out: %s.", name, f"{sum(counts.values()):,}", told)


def class_counts(split: Dataset) -> np.ndarray:
    """Images per class: int64 (C,), in the order of the label's classes."""
    return np.bincount(split["label"], minlength=len(split.features["label"].names))


def deviation_from_official(dataset: DatasetDict) -> str | None:
    """A table of class counts where they are not FER2013's official ones, None where they are."""
    counts = {name: class_counts(split) for name, split in dataset.items() if name in OFFICIAL_COUNTS}
    if all(tuple(counts[name]) == OFFICIAL_COUNTS[name] for name in counts):
        return None
    lines = [f"{'':20}" + "".join(f"{name:>10}" for name in (*EMOTIONS, "all"))]
    for name, found in counts.items():
        for row, values in ((name, tuple(found)), ("  official", OFFICIAL_COUNTS[name])):
            lines.append(f"{row:20}" + "".join(f"{value:>10}" for value in (*values, sum(values))))
    return "\n".join(lines)


def chosen_split(loaded: LabelledSplits, wanted: str | None, source: str) -> str:
    """The split to measure on, which is in `loaded` afterwards.

    Args:
        loaded: as `load` gives them.
        wanted: train, validation, test, or `all` pictures of the data set; None: test where it is there, otherwise
            all of a data set without splits, validation or train.
        source: what messages call the data set.

    Raises:
        UserError: there is no such split.
    """
    if wanted is None:
        name = next(name for name in ("test", ALL, "validation", "train") if name in loaded)
        if name not in ("test", ALL):
            logger.warning("%s has no test split: %s is measured.", source, name)
        return name
    if wanted == ALL and ALL not in loaded:
        parts = list(loaded)
        loaded[ALL] = datasets.concatenate_datasets([loaded[part].select_columns(_common(loaded)) for part in parts])
        loaded.left_out[ALL] = dict(sum((Counter(loaded.left_out[part]) for part in parts), Counter()))
    if wanted not in loaded:
        line = f"--split {'test' if 'test' in loaded else next(iter(loaded))}"
        raise UserError(f"{source} has no {wanted} split; it has {', '.join(loaded)}. Measure another: {line}")
    return wanted


def _common(loaded: LabelledSplits) -> list[str]:
    return [name for name in next(iter(loaded.values())).column_names
            if all(name in part.column_names for part in loaded.values())]  # fmt: skip


def _canonical(
    raw: DatasetDict, source: str, seed: int | None, keep: str | None, labels: LabelSet, reading: Reading
) -> LabelledSplits:
    group = reading.group_column if seed is not None else None
    splits: dict[str, Dataset] = {}
    given: dict[str, Raw] = {}
    for name, part in raw.items():
        where = source if len(raw) == 1 else f"{source}, split {name}"
        names = [column.strip() for column in part.column_names]  # icml_face_data.csv has " Usage"
        if len(set(names)) < len(names):
            raise UserError(f"{where}: two columns have the same name; found {', '.join(names)}.")
        part = part.rename_columns(dict(zip(part.column_names, names, strict=True)))
        part = part.add_column("_row", list(range(len(part))))  # where a row stood in its file, for messages
        for split, rows in _by_usage(part, name, where, is_only=len(raw) == 1):
            split = "train" if split == ALL and seed is not None else split
            if split in splits:
                raise UserError(f"{source}: more than one part is called {split} ({', '.join(raw)}).")
            rows = columns.with_image(rows, where, reading)
            sources.require_inside(rows, source, where)
            splits[split] = rows
            for column in {keep, group if split in ("train", "validation") else None} - {None}:
                if column not in splits[split].column_names:
                    raise UserError(f"{where}: no column {column!r}; found {columns.told(splits[split])}.")
            given[split] = columns.raw_labels(splits[split], where, reading)
    if seed is not None and "train" not in splits:
        raise UserError(f"{source}: no training split; found {', '.join(splits)}.")
    for name, split in splits.items():
        if not len(split):
            raise UserError(f"{source}: the {name} split is empty.")
    names, numbered = label_sets.number(given, labels, source, learn=seed is not None)
    kept = {"image", keep, group} - {None}
    for name, found in numbered.items():
        splits[name] = _with_labels(splits[name], names, found, kept & set(splits[name].column_names))
        if not len(splits[name]):
            raise UserError(f"{source}: all images of {name} are left out by their labels.")
    if group and "validation" in splits:
        having = {name: rows for name, rows in splits.items() if group in rows.column_names}
        validation_split.say_shared_groups(having, source, group)
    if seed is not None and "validation" not in splits:
        splits["train"], splits["validation"] = validation_split.cut(splits["train"], source, seed, group)
    if group and group != keep:
        splits = {name: rows.remove_columns({group} & set(rows.column_names)) for name, rows in splits.items()}
    labelled = LabelledSplits({name: splits[name] for name in (*SPLITS, ALL) if name in splits})
    labelled.left_out = {name: numbered[name].left_out if name in numbered else {} for name in labelled}
    labelled.spellings = label_order.spellings(given, numbered, names)
    if labels.is_fer2013 and source != "synthetic":
        whole = {
            name: np.bincount(found.labels[found.labels >= 0], minlength=len(names)) for name, found in numbered.items()
        }
        label_order.warn_of_official_counts(whole, labelled.spellings, source)
    return labelled


def _by_usage(part: Dataset, name: str, where: str, is_only: bool) -> Iterable[tuple[str, Dataset]]:
    """fer2013.csv holds all three splits in one table; its column Usage tells them apart."""
    if "Usage" not in part.column_names:
        has_none = name == ALL or (is_only and find_split(name) is None)
        return [(ALL if has_none else split_name(name, where), part)]
    usage = np.array(part["Usage"], dtype=object)
    missing = np.flatnonzero(usage == None)  # noqa: E711 (elementwise)
    if len(missing):
        raise UserError(f"{where}, row {missing[0]}: Usage is empty. Is the file complete?")
    groups = {value: np.flatnonzero(usage == value) for value in dict.fromkeys(usage)}
    return [(split_name(str(value), f"{where}, row {rows[0]}"), part.select(rows)) for value, rows in groups.items()]


def _with_labels(part: Dataset, names: tuple[str, ...], found: Numbered, kept: set[str]) -> Dataset:
    part = part.select_columns([name for name in part.column_names if name in kept])
    part = part.add_column("label", found.labels.tolist(), feature=ClassLabel(names=list(names)))
    if found.targets is not None:
        targets = datasets.List(datasets.Value("float32"), length=len(names))
        part = part.add_column("target", found.targets.tolist(), feature=targets)
    return part.select(np.flatnonzero(found.labels >= 0)) if found.left_out else part
