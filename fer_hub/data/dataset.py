"""Any source of FER2013-like data -> one canonical `DatasetDict`: train / validation / test, `image`, `label`.

`load` finds the kind of source, `sources` opens it with the `datasets` library, `_canonical` gives splits and columns
their one form, and `label_sets` the labels. Images stay encoded; `pixels.decode` reads them.
"""

import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import datasets
import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict

from fer_hub.data import label_sets, sources
from fer_hub.data.label_sets import FER2013, LabelSet, Numbered, Raw
from fer_hub.data.sources import SPLITS, png, split_name
from fer_hub.errors import UserError
from fer_hub.labels import EMOTIONS, OFFICIAL_COUNTS

logger = logging.getLogger(__name__)

LABEL_COLUMNS = ("label", "labels", "emotion")
VALIDATION_SHARE = 0.1  # of train, where a source has no validation split; FER2013's own is 11 %


class LabelledSplits(DatasetDict):
    """The splits of a data set, as `load` gives them.

    Attributes:
        left_out: by split, images that the label set has no class for: why -> how many.
    """

    left_out: dict[str, dict[str, int]]


def load(
    source: str, revision: str | None = None, seed: int = 0, keep: str | None = None, labels: LabelSet = FER2013
) -> LabelledSplits:
    """Opens a data set.

    Args:
        source: `synthetic` (drawn faces, needs nothing), a fer2013.csv, a folder of parquet files, a folder of image
            folders (`train/<class>/*.jpg`), or a Hub id (`user/name`).
        revision: branch, tag or commit of a Hub id.
        seed: of the validation split, where one must be cut from train.
        keep: a further column, which is handed through as it is.
        labels: which classes the labels become.

    Returns:
        `train`, `validation` and, where the source has one, `test`; each with `image` (datasets.Image, encoded) and
        `label` (ClassLabel: the classes of `labels`); with soft labels train also has `target` (float32, a distribution
        over the classes). Images without a class are left out; `say_left_out` tells of them.

    Raises:
        UserError: nothing is there, or it is not such a data set; the message says what, where and how to go on.
    """
    path = Path(source).expanduser()
    if revision and (source == "synthetic" or path.exists()):
        raise UserError(f"--dataset_revision is for data sets on the Hub; {source} is not one. Leave it out.")
    if source == "synthetic":
        if keep:
            raise UserError(f"synthetic has no column {keep!r}: its faces have nothing but a label.")
        return _canonical(sources.open_synthetic(), source, seed, keep, labels)
    if path.is_dir():
        tables = any(path.rglob("*.parquet"))
        emotions_only = labels.name != "auto" and labels.mapping is None
        raw = sources.open_parquet(path) if tables else sources.open_image_folders(path, emotions_only)
    elif path.is_file():
        raw = sources.open_csv(path)
    elif re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", source) and path.suffix not in {".csv", ".parquet", ".zip"}:
        raw = sources.open_hub(source, revision)
    else:
        raise UserError(
            f"no data set at {source}: no such file or folder, and not a Hub id (user/name). "
            "Use an existing path, or --dataset_name synthetic, which needs nothing."
        )
    return _canonical(raw, source, seed, keep, labels)


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
    kept.left_out = {}
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
    counts = {name: class_counts(split) for name, split in dataset.items()}
    if all(tuple(counts[name]) == OFFICIAL_COUNTS[name] for name in counts):
        return None
    lines = [f"{'':20}" + "".join(f"{name:>10}" for name in (*EMOTIONS, "all"))]
    for name, found in counts.items():
        for row, values in ((name, tuple(found)), ("  official", OFFICIAL_COUNTS[name])):
            lines.append(f"{row:20}" + "".join(f"{value:>10}" for value in (*values, sum(values))))
    return "\n".join(lines)


def _canonical(raw: DatasetDict, source: str, seed: int, keep: str | None, labels: LabelSet) -> LabelledSplits:
    splits: dict[str, Dataset] = {}
    given: dict[str, Raw] = {}
    for name, part in raw.items():
        where = source if len(raw) == 1 else f"{source}, split {name}"
        names = [column.strip() for column in part.column_names]  # icml_face_data.csv has " Usage"
        if len(set(names)) < len(names):
            raise UserError(f"{where}: two columns have the same name; found {', '.join(names)}.")
        part = part.rename_columns(dict(zip(part.column_names, names, strict=True)))
        part = part.add_column("_row", list(range(len(part))))  # where a row stood in its file, for messages
        for split, rows in _by_usage(part, name, where):
            if split in splits:
                raise UserError(f"{source}: more than one part is called {split} ({', '.join(raw)}).")
            splits[split] = _with_image(rows, where)
            if keep is not None and keep not in splits[split].column_names:
                raise UserError(f"{where}: no column {keep!r}; found {_columns(splits[split])}.")
            given[split] = _raw_labels(splits[split], where)
    if "train" not in splits:
        raise UserError(f"{source}: no training split; found {', '.join(splits)}.")
    for name, split in splits.items():
        if not len(split):
            raise UserError(f"{source}: the {name} split is empty.")
    names, numbered = label_sets.number(given, labels, source)
    for name, found in numbered.items():
        splits[name] = _with_labels(splits[name], names, found, keep)
        if not len(splits[name]):
            raise UserError(f"{source}: all images of {name} are left out by their labels.")
    if "validation" not in splits:
        splits["train"], splits["validation"] = _cut_validation(splits["train"], source, seed)
    labelled = LabelledSplits({name: splits[name] for name in SPLITS if name in splits})
    labelled.left_out = {name: numbered[name].left_out if name in numbered else {} for name in labelled}
    return labelled


def _by_usage(part: Dataset, name: str, where: str) -> Iterable[tuple[str, Dataset]]:
    """fer2013.csv holds all three splits in one table; its column Usage tells them apart."""
    if "Usage" not in part.column_names:
        return [(split_name(name, where), part)]
    usage = np.array(part["Usage"], dtype=object)
    missing = np.flatnonzero(usage == None)  # noqa: E711 (elementwise)
    if len(missing):
        raise UserError(f"{where}, row {missing[0]}: Usage is empty. Is the file complete?")
    groups = {value: np.flatnonzero(usage == value) for value in dict.fromkeys(usage)}
    return [(split_name(str(value), f"{where}, row {rows[0]}"), part.select(rows)) for value, rows in groups.items()]


def _columns(part: Dataset) -> str:
    return ", ".join(name for name in part.column_names if name != "_row")


def _with_image(part: Dataset, where: str) -> Dataset:
    column = next((name for name, kind in part.features.items() if isinstance(kind, datasets.Image)), None)
    if column is None and "pixels" in part.column_names:
        encoded = [
            {"bytes": png(_parse_pixels(text, f"{where}, row {row}")), "path": None}
            for row, text in zip(part["_row"], part["pixels"], strict=True)
        ]
        return part.remove_columns("pixels").add_column("image", encoded, feature=datasets.Image())
    if column is None and "image" in part.column_names:
        column = "image"
    if column is None:
        raise UserError(f"{where}: no column of images (image) or pixels; found {_columns(part)}.")
    try:
        part = part.cast_column(column, datasets.Image(decode=False))
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:  # the last one is Arrow's, for numbers
        raise UserError(f"{where}: column {column!r} does not hold images ({part.features[column]}).") from error
    return part if column == "image" else part.rename_column(column, "image")


def _parse_pixels(text: str | None, where: str) -> np.ndarray:
    try:
        with warnings.catch_warnings(action="error", category=DeprecationWarning):  # older NumPy only warns
            values = np.fromstring(str(text or ""), dtype=np.int64, sep=" ")
    except (ValueError, DeprecationWarning) as error:
        raise UserError(
            f"{where}: the pixels are not whole numbers with blanks between. Is the file intact?"
        ) from error
    if values.size != 48 * 48:
        raise UserError(f"{where}: {values.size} pixels, expected 2304 (48x48) numbers. Is the file complete?")
    if values.min() < 0 or values.max() > 255:
        raise UserError(f"{where}: a pixel is outside 0..255.")
    return values.astype(np.uint8).reshape(48, 48)


def _raw_labels(part: Dataset, where: str) -> Raw:
    column = next((name for name in LABEL_COLUMNS if name in part.column_names), None)
    if column is None:
        raise UserError(f"{where}: no column of labels ({', '.join(LABEL_COLUMNS)}); found {_columns(part)}.")
    feature, values, rows = part.features[column], part[column][:], part["_row"][:]
    if not isinstance(feature, ClassLabel | datasets.Value):
        raise UserError(f"{where}: column {column!r} does not hold labels ({feature}).")
    if not isinstance(feature, ClassLabel):
        return Raw(values, rows, where, None)
    names = {None: None, -1: None, **dict(enumerate(feature.names))}  # -1 stands for a missing label
    for row, value in zip(rows, values, strict=True):
        if value not in names:
            raise UserError(f"{where}, row {row}: the label is class {value}, the column has {len(feature.names)}.")
    return Raw([names[value] for value in values], rows, where, feature.names)


def _with_labels(part: Dataset, names: tuple[str, ...], found: Numbered, keep: str | None) -> Dataset:
    part = part.select_columns(["image", *([keep] if keep else [])])
    part = part.add_column("label", found.labels.tolist(), feature=ClassLabel(names=list(names)))
    if found.targets is not None:
        targets = datasets.List(datasets.Value("float32"), length=len(names))
        part = part.add_column("target", found.targets.tolist(), feature=targets)
    return part.select(np.flatnonzero(found.labels >= 0)) if found.left_out else part


def _cut_validation(train: Dataset, source: str, seed: int) -> tuple[Dataset, Dataset]:
    try:
        parts = train.train_test_split(test_size=VALIDATION_SHARE, stratify_by_column="label", seed=seed)
    except ValueError as error:
        raise UserError(f"{source}: no validation split, and none can be cut from train: {error}") from error
    logger.warning(
        "%s has no validation split: %d of its %d training images (stratified, seed %d) are validation now.",
        source, len(parts["test"]), len(train), seed,
    )  # fmt: skip
    return parts["train"], parts["test"]
