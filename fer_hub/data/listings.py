"""Tables that name picture files: FER+'s label.csv, RAF-DB's list, metadata.csv, and any CSV of paths and labels."""

import csv
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fer_hub.data import ferplus
from fer_hub.data.label_sets import LabelSet
from fer_hub.data.reading import Reading
from fer_hub.data.split_names import find_split, split_name
from fer_hub.errors import UserError

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
SUFFIXES = {".csv", ".tsv", ".txt", ".jsonl"}
LABEL_COLUMNS = ("label", "labels", "emotion")
VOTES = "_votes"  # FER+'s ten, in the order of `ferplus.read`
_SPLIT_COLUMNS = ("split", "usage", "partition", "subset")
_VOTE_ORDER = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
# The script of FER+ writes label.csv without the box that its own copy has; the box is always the whole picture.
_FERPLUS_FORMS = {11: ("file", *_VOTE_ORDER), 12: ("file", "box", *_VOTE_ORDER)}
_RAF_DB = re.compile(r"list_(patition|partition)_label\.txt")
_RAF_DB_CLASSES = dict(zip("1234567", ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"), strict=True))


class Listed(NamedTuple):
    """A picture of a data set.

    Attributes:
        file: where it lies.
        label: as its folder or table has it; None where only votes tell.
        columns: what else is known of it.
        split: train, validation, test, or None.
        votes: FER+'s ten.
    """

    file: Path
    label: str | None
    columns: dict[str, str]
    split: str | None = None
    votes: list[int] | None = None


class Listing(NamedTuple):
    """The tables of a folder.

    Attributes:
        rows: the pictures, table after table.
        files: the tables.
        has_labels: the tables have a column of labels, or votes.
        has_votes: the labels are FER+'s votes.
    """

    rows: list[Listed]
    files: list[Path]
    has_labels: bool
    has_votes: bool


def is_listing(file: Path, reading: Reading) -> bool:
    """Whether a table names picture files, going by its first two lines."""
    try:
        return _form(file, reading) is not None
    except UserError:
        return False


def read_all(
    files: Sequence[Path],
    root: Path,
    pictures: Callable[[], Sequence[Path]],
    labels: LabelSet,
    reading: Reading,
) -> Listing | None:
    """Read the tables of a folder that name its pictures.

    Args:
        files: the candidates; those that name no pictures are passed over.
        root: the folder. Pictures are sought beside their table, below the root, and by their name alone.
        pictures: all those below the root; called where a path alone does not lead to one.
        labels: whether RAF-DB's numbers become names: a label map has its own.
        reading: names the columns.

    Returns:
        None where no table names a picture that is there.

    Raises:
        UserError: a table is broken, or lists a picture twice with different labels.
    """

    @cache
    def by_name() -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for picture in pictures():
            found.setdefault(picture.name, []).append(picture)
        return found

    rows: list[Listed] = []
    read: list[Path] = []
    for file in files:
        form = _form(file, reading)
        if form is not None:
            found = list(_rows(file, form, root, by_name, labels, reading))
            if not any(row.file.is_file() for row in found):
                logger.warning("%s names no picture that is there: it is passed over.", file)
                continue
            if not any(row.split for row in found):  # train_00001.jpg, as in RAF-DB
                splits = [find_split(row.file.stem) for row in found]
                found = [
                    row._replace(split=split) for row, split in zip(found, splits, strict=True) if all(splits)
                ] or found
            rows += found
            read.append(file)
    if not rows:
        return None
    rows = _once(rows)
    votes = any(row.votes is not None for row in rows)
    labelled = votes or any(row.label is not None for row in rows)
    return Listing(rows, read, labelled, votes)


# --- one table -----------------------------------------------------------------------------------------------------


class _Form(NamedTuple):
    """How a table is written: its delimiter (None: JSON lines), its columns, and the one of the pictures."""

    delimiter: str | None
    columns: tuple[str, ...]
    picture: str
    has_head: bool


def _form(file: Path, reading: Reading) -> _Form | None:
    if file.suffix.lower() not in SUFFIXES:
        return None
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            head = [opened.readline(200_000) for _ in range(2)]
    except (OSError, UnicodeDecodeError):
        return None
    if file.suffix.lower() == ".jsonl":
        return _json_form(head[0], reading)
    delimiter = next((sign for sign in (*",;\t", " ") if sign in head[0]), None)
    if delimiter is None:
        return None
    first, second = (_cells(line, delimiter) for line in head)
    if _is_picture(first[0]):
        if len(first) == 2:
            return _Form(delimiter, ("file", "label"), "file", False)
        columns = _FERPLUS_FORMS.get(len(first))
        return _Form(delimiter, columns, "file", False) if columns and all(map(str.isdigit, first[-10:])) else None
    columns = tuple(first)
    if len(second) != len(columns):
        return None
    pictures = [name for name, cell in zip(columns, second, strict=True) if _is_picture(cell)]
    return _with_picture(delimiter, columns, pictures, reading, has_head=True)


def _json_form(line: str, reading: Reading) -> _Form | None:
    try:
        first = json.loads(line)
    except ValueError:
        return None
    pictures = [name for name, value in first.items() if _is_picture(value)] if isinstance(first, dict) else []
    return _with_picture(None, tuple(first), pictures, reading, has_head=False) if pictures else None


def _with_picture(
    delimiter: str | None, columns: tuple[str, ...], pictures: list[str], reading: Reading, has_head: bool
) -> _Form | None:
    if reading.image_column:
        pictures = [name for name in columns if name == reading.image_column]
    return _Form(delimiter, columns, pictures[0], has_head) if pictures else None


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line.strip()], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _is_picture(cell: object) -> bool:
    return isinstance(cell, str) and os.path.splitext(cell)[1].lower() in IMAGE_SUFFIXES


def _records(file: Path, form: _Form) -> Iterator[tuple[int, dict]]:
    """The lines of a table with their numbers, counted from 1."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            if form.delimiter is None:
                for number, line in enumerate(opened, start=1):
                    if line.strip():
                        yield number, dict(json.loads(line))
                return
            reader = csv.reader(opened, delimiter=form.delimiter)
            for cells in reader:
                if not cells or (form.has_head and reader.line_num == 1):
                    continue
                if len(cells) != len(form.columns):
                    raise UserError(
                        f"{file}, line {reader.line_num}: {len(cells)} columns, expected {len(form.columns)} "
                        f"({', '.join(form.columns)[:200]})."
                    )
                yield reader.line_num, dict(zip(form.columns, map(str.strip, cells), strict=True))
    except (OSError, UnicodeDecodeError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a table: {error}. Is the file intact?") from error


def _rows(
    file: Path, form: _Form, root: Path, by_name: Callable[[], dict], labels: LabelSet, reading: Reading
) -> Iterator[Listed]:
    wanted = [reading.label_column] if reading.label_column else LABEL_COLUMNS
    label_column = next((name for name in form.columns for want in wanted if name.lower() == want.lower()), None)
    if reading.label_column and label_column is None:
        raise UserError(f"{file}: no column {reading.label_column!r}; found {', '.join(form.columns)}.")
    with_votes = set(_VOTE_ORDER) <= set(form.columns)
    split_column = next((name for name in form.columns if name.lower() in _SPLIT_COLUMNS), None)
    own_split = find_split(file.stem)
    of_raf_db = _RAF_DB.fullmatch(file.name) and labels.mapping is None
    for line, record in _records(file, form):
        name = record.get(form.picture)
        if not isinstance(name, str) or not name:
            if with_votes:  # FER+ has no file for pictures that are no faces
                continue
            raise UserError(f"{file}, line {line}: the column {form.picture!r} names no picture.")
        picture = _located(name.replace("\\", "/"), file.parent, root, by_name)
        if not Path(os.path.abspath(picture)).is_relative_to(os.path.abspath(root)):
            raise UserError(
                f"{file}, line {line}: {name[:200]} does not lie in {root}, and a table could name any file of this "
                "machine. Put the table into a folder that holds its pictures."
            )
        told = record.get(split_column) if split_column else None
        split = split_name(str(told), f"{file}, line {line}") if told else None
        split = split or own_split or _split_in_path(picture, root)
        label = record.get(label_column) if label_column else None
        if of_raf_db:
            label = _RAF_DB_CLASSES.get(label, label)
        votes = _votes(record, f"{file}, line {line}") if with_votes else None
        used = {form.picture, label_column, split_column, "box", *(_VOTE_ORDER if with_votes else ())}
        others = {key: str(value) for key, value in record.items() if key not in used and value is not None}
        yield Listed(picture, None if label is None else str(label), others, split, votes)


def _located(name: str, beside: Path, root: Path, by_name: Callable[[], dict]) -> Path:
    """The file that a table means; RAF-DB's list names the pictures without their "_aligned"."""
    for path in (beside / name, root / name):
        if path.is_file():
            return path
    stem, suffix = os.path.splitext(os.path.basename(name))
    for known in (f"{stem}_aligned{suffix}", stem + suffix):
        found = by_name().get(known, [])
        if len(found) > 1:
            raise UserError(
                f"{beside}: the picture {name} may be {found[0]} or {found[1]}. Write its path, or keep one of them."
            )
        if found:
            return found[0]
    return beside / name


def _split_in_path(picture: Path, root: Path) -> str | None:
    try:
        parts = picture.relative_to(root).parts[:-1]
    except ValueError:
        return None
    return next((split for split in map(find_split, parts) if split), None)


def _votes(record: dict, where: str) -> list[int]:
    try:
        return [int(record[name]) for name in ferplus.COLUMNS]
    except ValueError as error:
        raise UserError(f"{where}: FER+'s votes are whole numbers: {error}.") from error


def _once(rows: list[Listed]) -> list[Listed]:
    """Each picture once: several tables may list it, with further columns."""
    found: dict[str, Listed] = {}
    for row in rows:
        place = os.path.normpath(row.file)
        before = found.get(place)
        if before is None:
            found[place] = row
            continue
        if None not in (before.label, row.label) and before.label != row.label:
            raise UserError(f"{row.file} is listed twice, as {before.label} and as {row.label}.")
        found[place] = before._replace(
            label=before.label if before.label is not None else row.label,
            columns=row.columns | before.columns,
            split=before.split or row.split,
            votes=before.votes or row.votes,
        )
    return list(found.values())
