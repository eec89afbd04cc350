"""Paths as typed -> the pictures and videos to look at, and the names of their results in an output folder."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from fer_hub import picture_files
from fer_hub.errors import UserError
from fer_hub.recognition import containers
from fer_hub.recognition.picture_clips import frames_in, is_animation

_SAVED_AS = {".jpg", ".jpeg", ".png"}  # annotated copies of other pictures become PNG
TABLES = "predictions.csv", "predictions.json"
OF_VIDEO = ".csv", ".json", ".png", ".mp4"


@dataclass(frozen=True)
class Source:
    """A file to look at, or a folder of frames.

    Attributes:
        file: its path, as typed or below the folder as typed.
        relative: its path below that folder; its name where the file itself was typed.
        error: why it cannot be looked at, where that is known already.
        results: the files that it will leave: an annotated copy of a picture, one for each of `OF_VIDEO` of a video;
            none without an output folder.
    """

    file: str
    relative: str = ""
    error: str | None = None
    results: tuple[Path, ...] = ()

    @cached_property
    def is_video(self) -> bool:
        """Whether it is a clip: a video by its suffix, an animation, a folder. All else is opened as a picture."""
        is_named_so = _suffix(self.file) in containers.SUFFIXES
        return is_named_so or self.is_folder or is_animation(os.path.expanduser(self.file))

    @cached_property
    def is_folder(self) -> bool:
        """Whether it is a folder, whose pictures are the frames of a clip."""
        return os.path.isdir(os.path.expanduser(self.file))


def listed(inputs: Sequence[str], as_video: bool = False) -> list[Source]:
    """The files to look at, in the order of `inputs`, each one once.

    Folders are searched with all their subfolders, in the order of the names. Hidden files and folders are left out,
    links to folders are not followed, and suffixes say what is a picture or a video.

    Args:
        inputs: paths of files and folders. A file is listed whether it is there or not.
        as_video: the pictures of a folder are the frames of a clip, and the folder is listed in their place; so is each
            of its subfolders.

    Raises:
        UserError: all of them are folders without a picture or video.
    """
    sources = {}
    for typed in inputs:
        is_folder = os.path.isdir(os.path.expanduser(typed))
        for source in _walked(typed, as_video) if is_folder else [Source(typed, os.path.basename(typed))]:
            sources.setdefault(os.path.abspath(os.path.expanduser(source.file)), source)
    if all(source.error for source in sources.values()):
        raise UserError(" ".join(source.error for source in sources.values()))
    return list(sources.values())


def with_results(sources: list[Source], inputs: Sequence[str], folder: Path) -> list[Source]:
    """The sources with the names of their results; no two share one, also where case does not count.

    Args:
        sources: as listed.
        inputs: that they were listed from.
        folder: for the results.

    Raises:
        UserError: results would overwrite a file that is no result, or would be found by the next search.
    """
    taken, results = set(TABLES), {}
    for source in sorted(sources, key=_renaming):
        stem, number = source.relative if source.is_folder else os.path.splitext(source.relative)[0], 1
        suffixes, place = _result_suffixes(source), stem
        while taken & (names := {(place + suffix).casefold() for suffix in suffixes}):
            number += 1
            place = f"{stem}_{number}"
        taken |= names
        results[source] = tuple(folder / (place + suffix) for suffix in suffixes)
    named = [replace(source, results=results[source]) for source in sources]
    _require_apart(folder, inputs, named)
    return named


def _result_suffixes(source: Source) -> Sequence[str]:
    if source.error:
        return ()
    suffix = os.path.splitext(source.file)[1]
    return OF_VIDEO if source.is_video else [suffix if suffix.lower() in _SAVED_AS else ".png"]


def _renaming(source: Source) -> int:
    """Pictures come first that keep their whole name, and then those that become PNG."""
    return 2 if source.is_video else _suffix(source.file) not in _SAVED_AS


def _walked(typed: str, as_video: bool) -> Iterator[Source]:
    known = containers.SUFFIXES if as_video else containers.SUFFIXES | picture_files.suffixes()
    folder, unread, is_empty = os.path.expanduser(typed), [], True
    for place, folders, files in os.walk(folder, onerror=unread.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if as_video and frames_in(place):
            is_empty = False
            yield Source(place, os.path.relpath(place, os.path.dirname(os.path.abspath(folder))))
        for name in sorted(files):
            file = os.path.join(place, name)
            is_special = os.path.exists(file) and not os.path.isfile(file)  # reading a named pipe would wait forever
            if _suffix(name) in known and not name.startswith(".") and not is_special:
                is_empty = False
                yield Source(file, os.path.relpath(file, folder))
    for error in unread:
        yield Source(error.filename, error=f"cannot open {error.filename}: {error.strerror}.")
    if is_empty and not unread:
        yield Source(typed, error=f"{typed} has no picture or video, going by the suffixes of its files.")


def _suffix(file: str) -> str:
    return os.path.splitext(file)[1].lower()


def _require_apart(folder: Path, inputs: Sequence[str], sources: list[Source]) -> None:
    for typed in inputs:
        given = Path(os.path.expanduser(typed))
        if os.path.isdir(given) and folder.resolve().is_relative_to(given.resolve()):
            raise UserError(f"--output {folder} is in {typed}, which is searched: name a folder outside of it.")
    read = {Path(os.path.expanduser(source.file)).resolve() for source in sources}
    covered = [result for source in sources for result in source.results if result.resolve() in read]
    if covered:
        raise UserError(f"--output {folder} would overwrite {covered[0]}, which is to be read: name another folder.")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise UserError(f"--output {folder} is a file: name a folder.")
    if os.path.isdir(folder) and any(folder.iterdir()) and not (folder / TABLES[1]).is_file():
        raise UserError(f"--output {folder} has files that results could overwrite: name a new folder.")
