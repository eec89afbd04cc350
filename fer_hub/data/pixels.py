"""A split as one uint8 tensor: decoded once, cached, then indexed.

FER2013 is 28,709 x 2,304 bytes = 66 MB as pixels: batches are index operations, and no worker decodes anything twice.
"""

import contextlib
import hashlib
import io
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import datasets
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from pyarrow.compute import struct_field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sklearn.model_selection import train_test_split

from fer_hub.atomic_files import temporary_beside
from fer_hub.data.dataset import LabelledSplits
from fer_hub.errors import UserError
from fer_hub.images import to_gray_square
from fer_hub.untrusted import MAX_PICTURE, read_file

logger = logging.getLogger(__name__)

# Part of the cache key: raise it when the same bytes decode to other pixels (resize filter, luma weights).
DECODER_VERSION = "1"
MOST_LISTED = 20  # images that cannot be read, in one message
UNREADABLE = "not a readable image"  # why images are left out


@dataclass(frozen=True)
class Pixels:
    """A decoded split.

    Attributes:
        images: uint8 (N, 48, 48), 0-255.
        labels: int64 (N,), index into the data set's label names.
        targets: float32 (N, C), the distributions that soft labels are; None where the labels are all there is.
    """

    images: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: torch.Tensor) -> "Pixels":
        """The rows that an index or bool tensor selects."""
        return Pixels(self.images[rows], self.labels[rows], None if self.targets is None else self.targets[rows])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (first 16 hex digits) of pixels, labels and targets: equal for equal data from whatever file."""
        digest = hashlib.sha256(self.images.numpy().tobytes())
        digest.update(self.labels.numpy().tobytes())
        if self.targets is not None:
            digest.update(self.targets.numpy().tobytes())
        return digest.hexdigest()[:16]

    def blank(self) -> torch.Tensor:
        """Marks images whose 2,304 pixels are all equal: bool (N,)."""
        flat = self.images.flatten(1)
        return flat.amax(1) == flat.amin(1)


def stratified_sample(pixels: Pixels, count: int, seed: int) -> Pixels:
    """`count` images with the classes in the split's proportions, in the split's order; all if it has no more.

    Raises:
        UserError: fewer images than classes would be drawn or left out.
    """
    if count >= len(pixels):
        return pixels
    try:
        rows, _ = train_test_split(np.arange(len(pixels)), train_size=count, stratify=pixels.labels, random_state=seed)
    except ValueError as error:
        raise UserError(f"a stratified sample of {count} images cannot be drawn: {error}") from error
    return pixels[torch.from_numpy(np.sort(rows))]


def decode_splits(
    splits: LabelledSplits, names: Iterable[str], source: str, skip_unreadable: bool = False
) -> dict[str, Pixels]:
    """Decodes splits of a data set.

    Args:
        splits: as `dataset.load` gives them. With `skip_unreadable`, rows that cannot be read leave them, and are
            counted in `left_out`.
        names: of the splits.
        source: what messages call the data set.
        skip_unreadable: leave such rows out instead of refusing the data set.

    Raises:
        UserError: as `decode`; or no image of a split can be read.
    """
    found = {}
    for name in names:
        where = f"{source}, split {name}"
        if not skip_unreadable:
            found[name] = decode(splits[name], where)
            continue
        pixels, problems = _decoded(splits[name], where, skip_unreadable)
        if problems:
            logger.warning("%s", _listed(problems, where, len(splits[name]), "Left out."))
            if len(problems) == len(splits[name]):
                raise UserError(f"{where}: no image can be read.")
            kept = np.delete(np.arange(len(splits[name])), list(problems))
            splits[name] = splits[name].select(kept)
            splits.left_out[name] = splits.left_out[name] | {UNREADABLE: len(problems)}
        found[name] = pixels
    return found


def decode(split: datasets.Dataset, where: str) -> Pixels:
    """Decodes a canonical split, or reads it from the cache (beside the `datasets` cache, so `HF_HOME` moves it).

    Args:
        split: columns `image` (datasets.Image, with its bytes), `label` and, for soft labels, `target`.
        where: what error messages call it, e.g. `"data/fer2013, split train"`.

    Raises:
        UserError: images cannot be decoded; the message lists their rows and files.
    """
    pixels, _ = _decoded(split, where, skip_unreadable=False)
    return pixels


def _decoded(split: datasets.Dataset, where: str, skip_unreadable: bool) -> tuple[Pixels, dict[int, str]]:
    """The images that can be read; and of the others the row, and what is wrong with it."""
    table = split.cast_column("image", datasets.Image(decode=False)).with_format("arrow")[:]
    encoded, paths = (struct_field(table.column("image"), name).to_pylist() for name in ("bytes", "path"))
    problems: dict[int, str] = {}
    for row, (data, path) in enumerate(zip(encoded, paths, strict=True)):
        if data is None:
            encoded[row] = _read(path, row, problems)
    labels, targets = torch.from_numpy(table.column("label").to_numpy().astype(np.int64)), None
    if "target" in table.column_names:
        targets = torch.tensor(table.column("target").to_pylist(), dtype=torch.float32)

    digest = hashlib.sha256(DECODER_VERSION.encode())
    for data in encoded:
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    cached = Path(datasets.config.HF_DATASETS_CACHE) / "fer_hub_pixels" / f"{digest.hexdigest()}.safetensors"
    if not problems and cached.exists():
        try:
            return Pixels(load_file(cached)["images"], labels, targets), problems
        except (OSError, SafetensorError) as error:
            logger.warning("%s cannot be read (%s): the images are decoded again.", cached, error)

    images = torch.empty(len(encoded), 48, 48, dtype=torch.uint8)
    for row, data in enumerate(encoded):
        if row in problems:
            continue
        try:
            with Image.open(io.BytesIO(data)) as image:
                images[row] = torch.from_numpy(to_gray_square(image).copy())
        except Exception as error:  # PIL raises a dozen types for broken files (also SyntaxError, struct.error)
            name = f" ({paths[row]})" if paths[row] else ""
            # Pillow names the buffer's address here.
            reason = "its format is unknown" if isinstance(error, UnidentifiedImageError) else error
            problems[row] = f"row {row}{name}: not a readable image: {reason}"
    if not problems:
        _store(images, cached)
        return Pixels(images, labels, targets), problems
    if not skip_unreadable:
        advice = (
            "Remove or replace it, or add --skip_unreadable."
            if len(problems) == 1
            else "Remove or replace them, or add --skip_unreadable."
        )
        raise UserError(_listed(problems, where, len(encoded), advice))
    kept = torch.from_numpy(np.delete(np.arange(len(encoded)), list(problems)))
    return Pixels(images, labels, targets)[kept], problems


def _listed(problems: dict[int, str], where: str, count: int, advice: str) -> str:
    """The images that cannot be read, a line each, as far as they fit on a screen."""
    told = [problems[row] for row in sorted(problems)]
    if len(told) == 1:
        return f"{where}, {told[0]}. {advice}"
    more = [f"  ... and {len(told) - MOST_LISTED:,} more"] if len(told) > MOST_LISTED else []
    lines = [f"  {line[:200]}" for line in told[:MOST_LISTED]]
    return "\n".join([f"{where}: {len(told):,} of {count:,} images cannot be read. {advice}", *lines, *more])


def _store(images: torch.Tensor, cached: Path) -> None:
    temporary = temporary_beside(cached)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        save_file({"images": images}, temporary)
        os.replace(temporary, cached)
    except (OSError, SafetensorError) as error:  # only speed is lost: the pixels are in memory
        logger.warning("Decoded images are not cached (%s): the next run decodes them again.", error)
        with contextlib.suppress(OSError):  # it may be missing, or the folder be no folder
            temporary.unlink()


def _read(path: str | None, row: int, problems: dict[int, str]) -> bytes:
    """The bytes of a file; none, and an entry in `problems`, where it cannot be read."""
    try:
        if path is not None:
            return read_file(path, MAX_PICTURE)
        problems[row] = f"row {row}: the image is missing"
    except UserError as error:
        problems[row] = f"row {row}: cannot read the image file {path[:200]}: {error}".rstrip(".")
    return b""
