"""Opens each kind of source as raw `datasets` tables; `dataset.py` gives them their one form."""

import glob
import io
import os
import re
from pathlib import Path

import datasets
import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict
from huggingface_hub import HfApi, constants
from huggingface_hub.file_download import repo_folder_name
from PIL import Image
from pyarrow.compute import struct_field

from fer_hub import untrusted
from fer_hub.data import image_folders, layout, listings, synthetic
from fer_hub.data.label_sets import LabelSet
from fer_hub.data.reading import AS_FOUND, Reading
from fer_hub.data.split_names import ALL, SPLITS, find_split, split_name
from fer_hub.errors import UserError
from fer_hub.labels import EMOTIONS


def open_synthetic() -> DatasetDict:
    """The drawn faces, the same at every call."""
    splits = {}
    for name in SPLITS:
        images, labels = synthetic.draw_split(name)
        encoded = [{"bytes": png(image), "path": None} for image in images]
        splits[name] = Dataset.from_dict({"image": encoded, "label": labels}, features=features())
    return DatasetDict(splits)


def open_hub(source: str, revision: str | None) -> DatasetDict:
    """A data set of the Hub, from the network or its cache; raises UserError with two ways to go on without."""
    try:
        if revision:  # asked first: where it is missing or out of reach, `datasets` takes any cached one instead
            HfApi().dataset_info(source, revision=revision)
        return datasets.load_dataset(source, revision=revision)
    except Exception as error:  # network, authentication, missing repo and broken files raise unrelated types
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"cannot load {source} from the Hub: {reason}\n"
            f"  {source} is no file or folder here either.\n"
            "  with a local copy:  --dataset_name PATH/TO/fer2013 (parquet or image folders) or PATH/TO/fer2013.csv\n"
            "  with nothing:       --dataset_name synthetic"
        ) from error


def open_file(path: Path, labels: LabelSet, reading: Reading = AS_FOUND) -> DatasetDict:
    """One table: fer2013.csv, whose column Usage is read by `dataset`, a CSV that names picture files, or parquet."""
    if path.suffix == ".parquet" and _begins_with(path, b"PAR1"):
        return _load_files("parquet", {find_split(path.stem) or ALL: [str(path)]}, path)
    if path.suffix.lower() in listings.SUFFIXES and listings.is_listing(path, reading):
        return image_folders.open_listing(path, labels, reading)
    if path.suffix != ".csv":
        packed = " Unpack it first." if path.suffix in {".zip", ".gz", ".tar", ".tgz", ".rar", ".7z"} else ""
        raise UserError(
            f"{path} is not a data set: give fer2013.csv, or the folder that holds the parquet files.{packed}"
        )
    untrusted.open_file(path, untrusted.MAX_TABLE).close()  # a link to a device without an end is refused
    return _load_files("csv", {find_split(path.stem) or ALL: [str(path)]}, path)


def open_folder(path: Path, labels: LabelSet, reading: Reading = AS_FOUND) -> DatasetDict:
    """A folder of parquet files, of pictures, or that `save_to_disk` of `datasets` wrote."""
    if any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return _open_saved(path)
    files = [file for file in sorted(path.rglob("*.parquet")) if file.name != "metadata.parquet"]
    files = [file for file in files if not any(map(layout.is_junk, file.relative_to(path).parts))]
    return _open_parquet(files, path) if files else image_folders.open_folders(path, labels, reading)


def _open_saved(path: Path) -> DatasetDict:
    try:
        found = datasets.load_from_disk(str(path))
    except Exception as error:  # Arrow, JSON and file errors have no common type
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: save_to_disk of datasets wrote it, and it cannot be opened: {reason}. Is the copy complete?"
        ) from error
    if isinstance(found, Dataset):
        return DatasetDict({find_split(str(found.split or "")) or ALL: found})
    splits: dict[str, Dataset] = {}
    for name, part in found.items():
        split = ALL if len(found) == 1 and find_split(name) is None else split_name(name, path)
        if split in splits:
            raise UserError(f"{path}: two parts are the {split} split ({', '.join(found)}); keep one of them.")
        splits[split] = part
    return DatasetDict(splits)


def _open_parquet(found: list[Path], path: Path) -> DatasetDict:
    """Parquet files whose names, or whose folders' names, tell the split; none of them does: there are no splits."""
    # train-00000-of-00001.parquet, or train/0000.parquet as in the Hub's converted branch
    words = {file: re.match(r"[A-Za-z]*", file.name)[0] or file.parent.name for file in found}
    names = {file: next(filter(find_split, (file.stem, file.parent.name)), None) for file in found}
    files: dict[str, list[str]] = {}
    for file in found:
        if not file.is_file():  # reading a named pipe would wait forever
            raise UserError(f"{file} is no file, or a link to none. Remove it.")
        split = split_name(names[file] or words[file], file) if any(names.values()) else ALL
        files.setdefault(split, []).append(str(file))
    return _load_files("parquet", files, path)


def _begins_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _load_files(kind: str, files: dict[str, list[str]], path: Path) -> DatasetDict:
    splits = {}
    for split, names in files.items():  # one by one: together they would have to have the same columns
        names = [glob.escape(name) for name in names]  # `datasets` takes them for patterns
        where = path if len(files) == 1 else f"{path}, split {split}"
        key = "train" if split == ALL else split  # `datasets` has another meaning for "all"
        try:
            splits[split] = datasets.load_dataset(kind, data_files={key: names}, split=key)  # nosec B615  # local files
        except Exception as error:
            cause = error.__cause__ or error
            lines = str(cause).strip().split("\n")  # Arrow prints tables in between
            reason = " ... ".join(dict.fromkeys([lines[0], lines[-1]])).rstrip(".!") or type(cause).__name__
            raise UserError(
                f"{where}: cannot be read as {kind}: {reason}. Is the download complete, and not empty?"
            ) from error
    return DatasetDict(splits)


def features() -> datasets.Features:
    """The canonical columns: `image`, encoded, and `label`."""
    return datasets.Features({"image": datasets.Image(), "label": ClassLabel(names=list(EMOTIONS))})


def png(image: np.ndarray) -> bytes:
    """Encodes gray pixels, uint8 (H, W), losslessly."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


# --- images that a table names by their paths: a stranger's table could name any file of this machine ---


def require_inside(part: Dataset, source: str, where: str) -> None:
    """Raise UserError where an image is stored as a path that leads out of the data set; the message names the row.

    Args:
        part: column `image` (Image(decode=False)) and `_row`, the place of each row for messages.
        source: of the data set, as for `dataset.load`.
        where: what messages call the part.
    """
    folders = _image_folders(source)
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


def _image_folders(source: str) -> dict[Path, Path]:
    """Folders in which images may lie -> folders to which links in them may lead; none for a table of its own."""
    path = Path(os.path.expanduser(source))
    if os.path.isdir(path):
        # In folders of images the files are what was found there, also links that their owner made.
        is_table = any(any(path.rglob(pattern)) for pattern in ("*.parquet", "*.arrow"))
        return {path: path if is_table else Path(path.absolute().anchor)}
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
