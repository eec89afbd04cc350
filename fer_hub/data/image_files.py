"""Images that a table names by their paths alone: they must lie in the data set itself.

A table may come from anybody, and a path may name any file of this machine, which could then be published with the
data.
"""

import os
from pathlib import Path

import datasets
from datasets import Dataset
from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name
from pyarrow.compute import struct_field

from fer_hub.errors import UserError


def require_inside(part: Dataset, source: str, where: str) -> None:
    """Raise UserError where an image is stored as a path that leads out of the data set; the message names the row.

    Args:
        part: column `image` (Image(decode=False)) and `_row`, the place of each row for messages.
        source: of the data set, as for `dataset.load`.
        where: what messages call the part.
    """
    folders = _folders(source)
    if not folders or not len(part):
        return
    column = part.with_format("arrow")[:].column("image")
    encoded, paths = (struct_field(column, name) for name in ("bytes", "path"))
    if not encoded.null_count:
        return
    for row, missing, path in zip(part["_row"], encoded.is_null().to_pylist(), paths.to_pylist(), strict=True):
        if missing and path and not any(_lies_in(path, folder, target) for folder, target in folders.items()):
            raise UserError(
                f"{where}, row {row}: the image is the file {path[:200]}, which is not in the data set, and a data set "
                "could name any file of this machine. Store the images in the table, or beside it."
            )


def _folders(source: str) -> dict[Path, Path]:
    """Folders in which images may lie -> folders to which links in them may lead; none for a table of its own."""
    path = Path(os.path.expanduser(source))
    if os.path.isdir(path):
        # In folders of images the files are what was found there, also links that their owner made.
        return {path: path if any(path.rglob("*.parquet")) else Path(path.absolute().anchor)}
    if os.path.exists(path):
        return {path.parent: path.parent} if path.suffix == ".parquet" else {}
    # The client's cache has links from a repository's files to where it stores them.
    cache, extracted = Path(constants.HF_HUB_CACHE), Path(datasets.config.DOWNLOADED_DATASETS_PATH)
    name = repo_folder_name(repo_id=source, repo_type="dataset")
    return {cache / name: cache, extracted: extracted}


def _lies_in(path: str, folder: Path, target: Path) -> bool:
    if "\0" in path:
        return False
    named, real = Path(os.path.abspath(path)), Path(os.path.realpath(path))
    return named.is_relative_to(os.path.abspath(folder)) and real.is_relative_to(os.path.realpath(target))
