"""What strangers may send: values that no record should have, files that are no files, and bytes that were damaged."""

import copy
import io
import os
import random
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, features

LONG = "x" * 100_000
ODD_VALUES = (
    None, True, -1, 0, 2**53, 1e308, 1e-300, "", " ", "text", LONG, "\x1b[2J", "\u202e", "a\nb", "../../etc/passwd",
    "~nobody", [], {}, [[]], [None], {"": 0}, [1, "a"], {"a": {"b": []}},
)  # fmt: skip
# JSON that json.dumps does not write.
ODD_JSON = (
    "", "{", "[]", "null", "NaN", "1e999", '{"a": 1e999}', '{"a": Infinity}', '{"a": ' + "9" * 400 + "}",
    '{"a": ' + "9" * 5000 + "}", '{"a": "\\ud800"}', '{"a": "\\u0000"}', '{"a": 1, "a": 2}', "[" * 100_000,
    '{"a": ' * 20_000, "\x00" * 1000, "\ufeff", '{"a": 1} x',
)  # fmt: skip


def changed(record: dict) -> Iterator[tuple[str, Callable[[], dict]]]:
    """Yield makers of copies of a record, each with one value replaced by an odd one, or left out."""
    for path in _paths(record):
        for odd in ODD_VALUES:
            yield f"{'.'.join(map(str, path))} is {str(odd)[:20]!r}", partial(_with, record, path, odd)
        yield f"{'.'.join(map(str, path))} is gone", partial(_without, record, path)


def _paths(value: object, path: tuple = ()) -> Iterator[tuple]:
    """Yield the places of all values; of lists, and of objects with many alike, the first alone."""
    if isinstance(value, dict):
        alike = len(value) > 3 and len({type(inner) for inner in value.values()}) == 1
        for key, inner in list(value.items())[: 1 if alike and isinstance(next(iter(value.values())), dict) else None]:
            yield (*path, key)
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield (*path, 0)
        yield from _paths(value[0], (*path, 0))


def _with(record: dict, path: tuple, value: object) -> dict:
    record = copy.deepcopy(record)
    target = record
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return record


def _without(record: dict, path: tuple) -> dict:
    record = copy.deepcopy(record)
    target = record
    for key in path[:-1]:
        target = target[key]
    del target[path[-1]]
    return record


def damaged(data: bytes, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield `count` damaged copies: cut off, with flipped bits, with zeros or noise in a stretch, with bytes twice."""
    rng = random.Random(seed)
    for number in range(count):
        copied, place = bytearray(data), rng.randrange(len(data))
        how = ("cut", "bit", "head", "zeros", "noise", "twice")[number % 6]
        if how == "cut":
            del copied[place:]
        elif how == "bit":
            copied[place] ^= 1 << rng.randrange(8)
        elif how == "head":
            copied[rng.randrange(min(64, len(data)))] = rng.randrange(256)
        elif how == "zeros":
            copied[place : place + 16] = bytes(16)
        elif how == "noise":
            copied[place : place + 32] = rng.randbytes(32)
        else:
            copied[place:place] = copied[: rng.randrange(200)]
        yield f"{how} at {place}", bytes(copied)


def pictures() -> Iterator[tuple[str, bytes]]:
    """Yield a face-sized picture in every format that Pillow writes here."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    kinds = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO", "PCX", "DDS", "SGI", "JPEG2000", "AVIF",
             "QOI", "ICNS", "DIB", "MSP", "IM", "SPIDER", "XBM")  # fmt: skip
    for kind in kinds:
        if (kind == "AVIF" and not features.check("avif")) or (kind == "WEBP" and not features.check("webp")):
            continue
        mode = {"MSP": "1", "XBM": "1", "SPIDER": "F"}.get(kind, "RGB")
        buffer = io.BytesIO()
        try:
            picture.convert(mode).save(buffer, kind)
        except (KeyError, OSError):  # this Pillow reads it alone, or not at all
            continue
        yield kind, buffer.getvalue()


def no_files(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Yield paths called `name` of what is no file: each in a folder of its own below `folder`."""

    def place(kind: str) -> Path:
        (folder / kind).mkdir(parents=True)
        return folder / kind / name

    os.mkfifo(place("pipe"))
    yield "pipe", folder / "pipe" / name
    place("zeros").symlink_to("/dev/zero")
    yield "link to /dev/zero", folder / "zeros" / name
    place("tty").symlink_to("/dev/tty")
    yield "link to a terminal", folder / "tty" / name
    place("folder").mkdir()
    yield "folder", folder / "folder" / name
    place("dangling").symlink_to("nowhere")
    yield "dangling link", folder / "dangling" / name
    place("loop").symlink_to(name)
    yield "loop", folder / "loop" / name
    place("empty").touch()
    yield "empty file", folder / "empty" / name
    place("secret").touch(mode=0)
    yield "file of no rights", folder / "secret" / name
    with place("huge").open("wb") as file:
        file.truncate(2**40)  # takes no place on the disk
    yield "terabyte of zeros", folder / "huge" / name
    server = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(place("socket").parent)  # the path of a socket has 100 characters at most
    try:
        server.bind(name)
    finally:
        os.chdir(here)
        server.close()
    yield "socket", folder / "socket" / name
