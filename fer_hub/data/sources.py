"""Opens each kind of source as raw `datasets` tables; `dataset.py` gives them their one form."""

import glob
import io
import logging
import re
from pathlib import Path

import datasets
import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict
from huggingface_hub import HfApi
from PIL import Image

from fer_hub.data import synthetic
from fer_hub.errors import UserError
from fer_hub.labels import EMOTIONS, canonical_name

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
# Keys are compared without case, digits and punctuation. PublicTest and PrivateTest are the names of the 2013 contest.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "dev": "validation",
    "publictest": "validation",
    "test": "test",
    "privatetest": "test",
}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


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


def open_csv(path: Path) -> DatasetDict:
    """One table with fer2013.csv's columns; its column Usage is read by `dataset`."""
    if path.suffix != ".csv":
        raise UserError(f"{path} is not a data set: give fer2013.csv, or the folder that holds the parquet files.")
    return _load_files("csv", {"train": [str(path)]}, path)


def open_parquet(path: Path) -> DatasetDict:
    """A folder of parquet files whose names, or whose folders' names, begin with a split's name."""
    files: dict[str, list[str]] = {}
    for file in sorted(path.rglob("*.parquet")):
        # train-00000-of-00001.parquet, or train/0000.parquet as in the Hub's converted branch
        word = re.match(r"[A-Za-z]*", file.name)[0] or file.parent.name
        files.setdefault(split_name(word, file), []).append(str(file))
    return _load_files("parquet", files, path)


def _load_files(kind: str, files: dict[str, list[str]], path: Path) -> DatasetDict:
    splits = {}
    for split, names in files.items():  # one by one: together they would have to have the same columns
        names = [glob.escape(name) for name in names]  # `datasets` takes them for patterns
        where = path if len(files) == 1 else f"{path}, split {split}"
        try:
            splits[split] = datasets.load_dataset(kind, data_files={split: names}, split=split)  # nosec B615  # local files
        except Exception as error:
            cause = error.__cause__ or error
            lines = str(cause).strip().split("\n")  # Arrow prints tables in between
            reason = " ... ".join(dict.fromkeys([lines[0], lines[-1]])).rstrip(".!") or type(cause).__name__
            raise UserError(
                f"{where}: cannot be read as {kind}: {reason}. Is the download complete, and not empty?"
            ) from error
    return DatasetDict(splits)


def open_image_folders(path: Path, emotions_only: bool) -> DatasetDict:
    """`SPLIT/CLASS/*.jpg`, or `CLASS/*.jpg`, which is all train; labels are the folders' names.

    Raises:
        UserError: there are none; or with `emotions_only` one is not named after an emotion, also not with a number:
            folders 1 to 7 of another data set are not FER2013's 1 to 7.
    """
    folders = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and not folder.name.startswith(".")]
    if not folders:
        tables = "".join(f" To use {file.name}, give its own path: {file}" for file in sorted(path.glob("*.csv"))[:1])
        raise UserError(f"{path}: holds neither parquet files nor folders of images (train/<emotion>/*.jpg).{tables}")
    if not any(_split_key(folder.name) in SPLIT_NAMES for folder in folders):
        return DatasetDict(train=_image_folder_split(folders, emotions_only))  # <class>/*.jpg: everything is train
    splits: dict[str, Dataset] = {}
    for folder in folders:
        classes = [child for child in sorted(folder.iterdir()) if child.is_dir() and not child.name.startswith(".")]
        name = split_name(folder.name, folder)
        if name in splits:
            raise UserError(f"{path}: two folders are the {name} split; keep one of them.")
        splits[name] = _image_folder_split(classes, emotions_only)
    # Kaggle's copy keeps both contest sets in test/, told apart by the file names.
    names = splits["test"]["name"] if "test" in splits else []
    public = [row for row, name in enumerate(names) if name.startswith("PublicTest_")]
    private = [row for row, name in enumerate(names) if name.startswith("PrivateTest_")]
    if "validation" not in splits and public and private and len(public) + len(private) == len(names):
        splits["validation"], splits["test"] = splits["test"].select(public), splits["test"].select(private)
    return DatasetDict(splits)


def _image_folder_split(classes: list[Path], emotions_only: bool) -> Dataset:
    columns: dict[str, list] = {"image": [], "label": [], "name": []}
    for folder in classes:
        if emotions_only:
            try:
                canonical_name(folder.name)
            except UserError as error:
                raise UserError(f"{folder}: {error} Other classes: --label_set auto, or --label_map FILE.") from error
        files = [file for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
        images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
        if len(images) < len(files):
            other = next(file for file in files if file.suffix.lower() not in IMAGE_SUFFIXES)
            logger.warning(
                "%s: %s, the first of %d that are not images (%s), is passed over.", folder, other.name,
                len(files) - len(images), " ".join(sorted(IMAGE_SUFFIXES)),
            )  # fmt: skip
        if not images:
            logger.warning("%s holds no images.", folder)
        for file in images:
            columns["image"].append({"bytes": file.read_bytes(), "path": str(file)})
            columns["label"].append(folder.name)
            columns["name"].append(file.name)
    text = datasets.Value("string")
    return Dataset.from_dict(
        columns, features=datasets.Features({"image": datasets.Image(), "label": text, "name": text})
    )


def _split_key(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def split_name(name: str, where: object) -> str:
    """Maps a source's name of a split to train, validation or test; raises UserError for an unknown one."""
    if _split_key(name) not in SPLIT_NAMES:
        raise UserError(f"{where}: unknown split {name[:40]!r}. Known: {', '.join(SPLIT_NAMES)}.")
    return SPLIT_NAMES[_split_key(name)]


def features() -> datasets.Features:
    """The canonical columns: `image`, encoded, and `label`."""
    return datasets.Features({"image": datasets.Image(), "label": ClassLabel(names=list(EMOTIONS))})


def png(image: np.ndarray) -> bytes:
    """Encodes gray pixels, uint8 (H, W), losslessly."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", compress_level=1)
    return buffer.getvalue()
