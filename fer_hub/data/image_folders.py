"""Folders of pictures -> one table for each split, wherever in the path split and class stand.

`SPLIT/CLASS/*.jpg` is the usual form. Folders around it, persons below or above the classes and the order of split and
class may differ: the names of the folders tell which level is which. Tables of labels are read by `listings`.
"""

import logging
import os
from collections import defaultdict
from pathlib import Path

import datasets
from datasets import Dataset, DatasetDict

from fer_hub.data import listings
from fer_hub.data.label_sets import LabelSet
from fer_hub.data.layout import named_after_emotions, pictures_by_split, walk
from fer_hub.data.listings import Listed
from fer_hub.data.reading import AS_FOUND, Reading
from fer_hub.data.split_names import ALL
from fer_hub.errors import UserError

logger = logging.getLogger(__name__)


def open_folders(root: Path, labels: LabelSet, reading: Reading = AS_FOUND) -> DatasetDict:
    """Open a folder of pictures.

    Args:
        root: the folder.
        labels: the classes that are wanted. FER2013's and FER+'s are found in the path by their names, also not by
            numbers: folders 1 to 7 of another data set are not FER2013's 1 to 7.
        reading: names the columns of a table of labels.

    Returns:
        By split, `ALL` where there are none: `image` (paths, not yet read), `label` (names), `name` (of the file),
        where folders tell it `subject`, and the further columns of a table.

    Raises:
        UserError: there are no pictures, or it cannot be told which folders are splits and classes; the message says
            what is there and what is expected.
    """
    folders = walk(root)
    with_pictures = [folder for folder in folders if folder.pictures]
    files = [file for folder in folders for file in folder.others]
    if not with_pictures and not any(folder.parts for folder in folders if folder.is_empty or folder.others):
        tables = "".join(f" To use {file.name}, give its own path: {file}" for file in _tables(files)[:1])
        raise UserError(f"{root}: holds neither parquet files nor folders of images (train/<emotion>/*.jpg).{tables}")
    pictures = [picture for folder in folders for picture in folder.pictures]
    listed = listings.read_all(_tables(files), root, lambda: pictures, labels, reading) if pictures else None
    by_listing = listed is not None and listed.has_labels
    if by_listing and not (labels.is_of_emotions and named_after_emotions(with_pictures) and not listed.has_votes):
        _say_unlisted(pictures, listed)
        return _with_splits(_of_listing(listed, root), reading)
    if listed is None or by_listing:
        return _with_splits(pictures_by_split(root, folders, labels), reading)
    try:
        splits = pictures_by_split(root, folders, labels)
        if len({row.label for rows in splits.values() for row in rows}) < 2:
            raise UserError(f"{root}: all folders of pictures together make one class.")
    except UserError as error:
        columns = ", ".join(listed.rows[0].columns) or "none but the pictures"
        raise UserError(
            f"{error}\n{listed.files[0]} has no column of labels ({', '.join(listings.LABEL_COLUMNS)}) either; found "
            f"{columns}. Where one of these has the labels: --label_column_name NAME"
        ) from error
    return _with_splits({name: _join(rows, listed) for name, rows in splits.items()}, reading)


def _tables(files: list[Path]) -> list[Path]:
    return [file for file in files if file.suffix.lower() in listings.SUFFIXES]


def open_listing(file: Path, labels: LabelSet, reading: Reading = AS_FOUND) -> DatasetDict:
    """Open a table that names picture files.

    Args:
        file: the table; its pictures are sought beside it and below its folder.
        labels: as for `open_folders`.
        reading: names its columns.

    Returns:
        As `open_folders`.

    Raises:
        UserError: it lists no picture that is there, or no labels.
    """

    def pictures() -> list[Path]:
        return [picture for folder in walk(file.parent) for picture in folder.pictures]

    listed = listings.read_all([file], file.parent, pictures, labels, reading)
    if listed is None:
        raise UserError(f"{file}: the pictures that it names are neither beside it nor in a folder below.")
    if not listed.has_labels:
        raise UserError(
            f"{file}: no column of labels ({', '.join(listings.LABEL_COLUMNS)}); found "
            f"{', '.join(listed.rows[0].columns) or 'none but the pictures'}. Name it: --label_column_name NAME"
        )
    return _with_splits(_of_listing(listed, file), reading)


def _say_unlisted(pictures: list[Path], listed: listings.Listing) -> None:
    named = {os.path.normpath(row.file) for row in listed.rows}
    others = [picture for picture in pictures if os.path.normpath(picture) not in named]
    if others:
        logger.warning("%s, the first of %d pictures that no table lists, is passed over.", others[0], len(others))


def _of_listing(listed: listings.Listing, root: Path) -> dict[str, list[Listed]]:
    splits: dict[str, list[Listed]] = defaultdict(list)
    for row in listed.rows:
        splits[row.split or ALL].append(row)
    if len(splits) > 1 and ALL in splits:
        first = splits[ALL][0]
        raise UserError(
            f"{root}: {len(splits[ALL]):,} listed pictures are in no split ({first.file}), others are in "
            f"{', '.join(name for name in splits if name != ALL)}. Expected a column split, or folders named after "
            "splits."
        )
    return splits


def _join(rows: list[Listed], listed: listings.Listing) -> list[Listed]:
    """The pictures of folders with the columns of a table that has no labels."""
    known = {os.path.normpath(row.file): row.columns for row in listed.rows}
    missing = [row.file for row in rows if os.path.normpath(row.file) not in known]
    if missing:
        logger.warning("%s and %d more are in no table: their columns are empty.", missing[0], len(missing) - 1)
    return [row._replace(columns=row.columns | known.get(os.path.normpath(row.file), {})) for row in rows]


def _with_splits(splits: dict[str, list[Listed]], reading: Reading) -> DatasetDict:
    tables = DatasetDict({name: _table(rows, reading) for name, rows in splits.items()})
    # Kaggle's copy keeps both contest sets in test/, told apart by the file names.
    names = tables["test"]["name"] if "test" in tables else []
    public = [row for row, name in enumerate(names) if name.startswith("PublicTest_")]
    private = [row for row, name in enumerate(names) if name.startswith("PrivateTest_")]
    if "validation" not in tables and public and private and len(public) + len(private) == len(names):
        tables["validation"], tables["test"] = tables["test"].select(public), tables["test"].select(private)
    return tables


def _table(rows: list[Listed], reading: Reading) -> Dataset:
    for row in rows:
        if not str(row.file).isascii() and "\\udc" in ascii(str(row.file)):  # Arrow, which keeps the table, has UTF-8
            raise UserError(f"{row.file}: its name, or that of its folder, is not UTF-8. Rename it.")
    image, label = reading.image_column or "image", reading.label_column or "label"
    columns = {
        image: [{"bytes": None, "path": str(row.file)} for row in rows],
        label: [row.label for row in rows],
        "name": [row.file.name for row in rows],
    }
    text = datasets.Value("string")
    features = {image: datasets.Image(), label: text, "name": text}
    for column in dict.fromkeys(name for row in rows for name in row.columns):
        if column not in columns:
            columns[column], features[column] = [row.columns.get(column) for row in rows], text
    if any(row.votes is not None for row in rows):
        columns[listings.VOTES] = [row.votes for row in rows]
        features[listings.VOTES] = datasets.List(datasets.Value("int64"))
    return Dataset.from_dict(columns, features=datasets.Features(features))
