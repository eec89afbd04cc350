"""The columns of a source -> `image`, encoded, and labels as the source has them."""

import warnings

import datasets
import numpy as np
from datasets import ClassLabel, Dataset

from fer_hub.data import ferplus, listings
from fer_hub.data.label_sets import Raw
from fer_hub.data.listings import LABEL_COLUMNS
from fer_hub.data.reading import Reading
from fer_hub.data.sources import png
from fer_hub.errors import UserError


def told(part: Dataset) -> str:
    """The columns of the source, for messages."""
    return ", ".join(name for name in part.column_names if not name.startswith("_"))


def with_image(part: Dataset, where: str, reading: Reading) -> Dataset:
    """The part with its pictures as the column `image` (datasets.Image, not decoded).

    Raises:
        UserError: there is no such column, or it does not hold pictures.
    """
    column = reading.image_column or next(
        (name for name, kind in part.features.items() if isinstance(kind, datasets.Image)), None
    )
    if column and column not in part.column_names:
        raise UserError(f"{where}: no column {column!r}; found {told(part)}.")
    if column in (None, "pixels") and "pixels" in part.column_names:
        encoded = [
            {"bytes": png(_parse_pixels(text, f"{where}, row {row}")), "path": None}
            for row, text in zip(part["_row"], part["pixels"], strict=True)
        ]
        part = part.remove_columns(["pixels", *({"image"} & set(part.column_names))])
        return part.add_column("image", encoded, feature=datasets.Image())
    if column is None and "image" in part.column_names:
        column = "image"
    if column is None:
        raise UserError(
            f"{where}: no column of images (image) or pixels; found {told(part)}. Name "
            "the column of the images: --image_column_name NAME"
        )
    try:
        part = part.cast_column(column, datasets.Image(decode=False))
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:  # the last one is Arrow's, for numbers
        raise UserError(f"{where}: column {column!r} does not hold images ({part.features[column]}).") from error
    if column == "image":
        return part
    return part.remove_columns({"image"} & set(part.column_names)).rename_column(column, "image")


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


def raw_labels(part: Dataset, where: str, reading: Reading) -> Raw:
    """The labels as the source has them: names, numbers, or FER+'s votes.

    Raises:
        UserError: there is no such column, or it does not hold labels.
    """
    if listings.VOTES in part.column_names:
        votes = np.array(part[listings.VOTES][:], dtype=np.int64)
        names = (*ferplus.LABELS, *ferplus.WITHOUT_CLASS)
        return Raw([names[best] for best in ferplus.majority(votes)], part["_row"][:], where, None, votes)
    column = reading.label_column or next((name for name in LABEL_COLUMNS if name in part.column_names), None)
    if column is None:
        raise UserError(
            f"{where}: no column of labels ({', '.join(LABEL_COLUMNS)}); found {told(part)}. Name it: "
            "--label_column_name NAME"
        )
    if column not in part.column_names:
        raise UserError(f"{where}: no column {column!r}; found {told(part)}.")
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
