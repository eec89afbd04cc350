"""Which folders of a path are splits and which are classes, told by the names of all of them."""

import logging
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from fer_hub.data.label_sets import LabelSet
from fer_hub.data.listings import IMAGE_SUFFIXES, SUFFIXES, Listed
from fer_hub.data.split_names import ALL, find_split, require_no_splits, split_name
from fer_hub.errors import UserError
from fer_hub.labels import ALIASES, EMOTIONS, canonical_name

logger = logging.getLogger(__name__)

# What operating systems, archives and notebooks leave behind; hidden files and folders are passed over, too.
_JUNK = {
    "__macosx",
    "__pycache__",
    "thumbs.db",
    "desktop.ini",
    "@eadir",
    "$recycle.bin",
    "system volume information",
    "lost+found",
}
_OTHER_CLASSES = "Other classes: --label_set auto, or --label_map FILE."


@dataclass
class Folder:
    """A folder that holds pictures, or nothing at all.

    Attributes:
        path: the folder.
        parts: the names of the folders from the root down to it.
        pictures: its pictures, sorted.
        others: its further files, sorted.
        is_empty: it has no subfolders either.
    """

    path: Path
    parts: tuple[str, ...]
    pictures: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    is_empty: bool = False


def is_junk(name: str) -> bool:
    """Whether a file or folder belongs to no data set, going by its name."""
    return name.startswith(".") or name.lower() in _JUNK


def walk(root: Path) -> list[Folder]:
    """All folders below `root` with files or without subfolders, sorted; links to folders are followed once."""
    found, seen = [], set()
    for place, names, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        names[:] = sorted(name for name in names if not is_junk(name))
        files = [Path(place, name) for name in sorted(files) if not is_junk(name)]
        path = Path(place)
        folder = Folder(path, path.relative_to(root).parts, is_empty=not names)
        for file in files:
            (folder.pictures if file.suffix.lower() in IMAGE_SUFFIXES else folder.others).append(file)
        if files or not names:
            found.append(folder)
    return sorted(found, key=lambda folder: folder.parts)


def named_after_emotions(folders: list[Folder]) -> bool:
    """Whether there are folders below the root, and the path of each has an emotion in it."""
    below = [folder.parts for folder in folders if folder.parts]
    return bool(below) and all(any(map(_is_emotion, parts)) for parts in below)


def pictures_by_split(root: Path, folders: list[Folder], labels: LabelSet) -> dict[str, list[Listed]]:
    """The pictures of each split, with the names of their classes; `ALL` where no folder is a split.

    Args:
        root: the folder of the data set.
        folders: as `walk` gives them, some with pictures or empty.
        labels: the classes that are wanted.

    Raises:
        UserError: splits or classes cannot be told.
    """
    leaves = [folder for folder in folders if folder.parts and (folder.pictures or folder.is_empty)]
    full = [folder for folder in leaves if folder.pictures] or leaves
    if not leaves:
        raise _flat(folders[0])
    level = _split_level(root, full)
    groups: dict[str, list[Folder]] = defaultdict(list)
    spelled: dict[str, str] = {}
    for leaf in leaves:
        if level is None:
            groups[ALL].append(leaf)
        elif leaf.parts[:level] == full[0].parts[:level] or leaf.pictures:
            if len(leaf.parts) <= level:
                continue  # an empty folder around the splits
            name = leaf.parts[level]
            split = split_name(name, Path(root, *leaf.parts[: level + 1]))
            before = spelled.setdefault(split, name)
            if before != name:
                raise UserError(f"{root}: two folders are the {split} split, {before} and {name}; keep one of them.")
            groups[split].append(leaf)
    for folder in folders:
        if folder.pictures and not folder.parts and leaves:
            _say_beside(folder)
    rows: dict[str, list[Listed]] = {}
    for split in sorted(groups, key=lambda name: min(leaf.parts for leaf in groups[name])):
        rows[split] = _of_split(root, groups[split], level, labels)
    return rows


def _split_level(root: Path, leaves: list[Folder]) -> int | None:
    """The level of the path whose folders are splits; None where none is."""
    for level in range(min(len(leaf.parts) for leaf in leaves)):
        names = dict.fromkeys(leaf.parts[level] for leaf in leaves)
        unknown = [name for name in names if find_split(name) is None]
        if not unknown:
            return level
        if len(unknown) < len(names) and len({leaf.parts[:level] for leaf in leaves}) == 1:
            split_name(unknown[0], Path(root, *leaves[0].parts[:level], unknown[0]))  # raises
    return None


def _of_split(root: Path, leaves: list[Folder], level: int | None, labels: LabelSet) -> list[Listed]:
    below = {
        leaf.parts: leaf.parts if level is None else leaf.parts[:level] + leaf.parts[level + 1 :] for leaf in leaves
    }
    for flat in [leaf for leaf in leaves if leaf.pictures and not below[leaf.parts]]:
        if any(leaf.pictures and below[leaf.parts] for leaf in leaves):
            leaves.remove(flat)
            _say_beside(flat)
    full = [leaf for leaf in leaves if leaf.pictures] or leaves
    if any(not below[leaf.parts] for leaf in full):
        flat = next(leaf for leaf in full if not below[leaf.parts])
        if not flat.pictures:
            return []
        raise _flat(flat)
    names_of = [below[leaf.parts] for leaf in full]
    at = _level_of_emotions(names_of) if labels.is_of_emotions else _level_of_classes(names_of, labels)
    if at is None:
        raise _without_classes(root, full, names_of)
    rows = []
    for leaf in leaves:
        parts = below[leaf.parts]
        name = parts[at] if len(parts) > at else ""
        if labels.is_of_emotions and not _is_emotion(name):
            raise _unknown(leaf.path, name or leaf.path.name)
        _say_passed_over(leaf)
        subject = "/".join(part for number, part in enumerate(parts) if number != at)
        rows += [Listed(file, name, {"subject": subject}) for file in leaf.pictures]
    if not labels.is_of_emotions:
        require_no_splits(dict.fromkeys(row.label for row in rows), root)
    if len({row.columns["subject"] for row in rows}) < 2:  # the folders around all classes, or none
        for row in rows:
            row.columns.clear()
    return rows


def _level_of_emotions(names: list[tuple[str, ...]]) -> int | None:
    depth = min(map(len, names))
    return next((level for level in range(depth) if all(_is_emotion(parts[level]) for parts in names)), None)


def _level_of_classes(names: list[tuple[str, ...]], labels: LabelSet) -> int:
    """The first level that the map knows, or else the first with more than one name."""
    levels = range(min(map(len, names)))
    if labels.mapping is not None:
        for level in levels:
            if {parts[level] for parts in names} <= labels.mapping.keys():
                return level
    return next((level for level in levels if len({parts[level] for parts in names}) > 1), levels[-1])


def _without_classes(root: Path, full: list[Folder], names: list[tuple[str, ...]]) -> UserError:
    """What to say where no level has emotions alone: the first name that is none, where others are or might be."""
    depth = min(map(len, names))
    levels = [level for level in range(depth) if any(_is_emotion(parts[level]) for parts in names)]
    level = (
        levels[0] if levels else next((at for at in range(depth) if len({parts[at] for parts in names}) > 1), depth - 1)
    )
    leaf, parts = next((leaf, parts) for leaf, parts in zip(full, names, strict=True) if not _is_emotion(parts[level]))
    name = parts[level]
    return _unknown(Path(root, *leaf.parts[: leaf.parts.index(name) + 1]), name)


def _unknown(folder: Path, name: str) -> UserError:
    return UserError(
        f"{folder}: unknown emotion {name!r}. Known: {', '.join(EMOTIONS)}; also {', '.join(sorted(ALIASES))} (in any "
        f"case). {_OTHER_CLASSES}"
    )


def _is_emotion(name: str) -> bool:
    try:
        canonical_name(name)
    except UserError:
        return False
    return True


def _flat(folder: Folder) -> UserError:
    name = folder.path.name
    return UserError(
        f"{folder.path}: {_counted(folder)} and no folders of classes. "
        f"Expected {name}/<emotion>/*.jpg, or {name}/metadata.csv with the columns file_name and label. Pictures "
        f"without labels can only be looked at: fer-hub predict {folder.path}"
    )


def _say_beside(folder: Folder) -> None:
    logger.warning("%s: %s beside the folders of classes, passed over.", folder.path, _counted(folder))


def _counted(folder: Folder) -> str:
    first, count = folder.pictures[0].name, len(folder.pictures)
    return f"{count:,} pictures ({first}, ...)" if count > 1 else f"1 picture ({first})"


def _say_passed_over(folder: Folder) -> None:
    others = [file for file in folder.others if file.suffix.lower() not in SUFFIXES]
    if others:
        logger.warning(
            "%s: %s, the first of %d that are not images (%s), is passed over.", folder.path, others[0].name,
            len(others), " ".join(sorted(IMAGE_SUFFIXES)),
        )  # fmt: skip
    if not folder.pictures:
        logger.warning("%s holds no images.", folder.path)
