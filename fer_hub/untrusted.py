"""Files, JSON and YAML from outside, read with limits: whatever a stranger made of them, reading ends, and soon.

A path may be a pipe that nobody writes to, a device without an end or a link to one. JSON may be nested deeper than
Python's stack, have numbers that become infinite, or say one thing twice.
"""

import errno
import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import yaml

from fer_hub.errors import UserError

MAX_RECORD = 16 * 2**20  # bytes of a JSON file; those of FER Hub have 30 KB
MAX_YAML = 2**16  # characters of a card's head; those of FER Hub have 4,000. Without libyaml these take seconds
MAX_PICTURE = 2**29  # bytes: 64 million pixels of 16-bit RGBA, not compressed
MAX_TABLE = 2**29  # bytes of a CSV file; fer2013.csv has 301 million
MAX_FILE = 2**31  # bytes of weights and of ONNX files, whose format ends there
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_DEPTH = 32  # of JSON and YAML
MAX_DIGITS = 18  # of a whole number: it fits 64 bits


# --- files ---------------------------------------------------------------------------------------------------------


def open_file(path: str | Path, limit: int) -> BinaryIO:
    """Open a regular file for reading; a link to one is one, too.

    Args:
        path: as typed; `~` is the home folder.
        limit: bytes that the file may have.

    Raises:
        UserError: it cannot be opened, is no regular file, or is larger.
    """
    place = os.path.expanduser(path)
    path = str(path) if len(str(path)) <= 120 else f"...{str(path)[-117:]}"  # what messages show
    try:
        _require_regular(os.stat(place), path, limit)  # before it is opened: a device may act on that
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(place, flags), "rb")
    except OSError as error:
        raise UserError(f"cannot open {path}: {error.strerror}.") from error
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"cannot open {path}: a file cannot have this name ({error}).") from error
    try:
        _require_regular(os.fstat(file.fileno()), path, limit)  # it may have been replaced in between
    except UserError:
        file.close()
        raise
    return file


def read_file(path: str | Path, limit: int) -> bytes:
    """Read a regular file of `limit` bytes at most; raises UserError as `open_file` does."""
    with open_file(path, limit) as file:
        try:
            data = file.read(limit + 1)  # one that grows meanwhile, or does not tell its size, ends here
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}.") from error
    if len(data) > limit:
        raise _too_large(path, limit)
    return data


def _require_regular(status: os.stat_result, path: str | Path, limit: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise UserError(f"cannot open {path}: {os.strerror(errno.EISDIR)}.")
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"cannot open {path}: it is a pipe, a socket or a device, not a file.")
    if status.st_size > limit:
        raise _too_large(path, limit)


def _too_large(path: str | Path, limit: int) -> UserError:
    return UserError(f"cannot open {path}: it is larger than {limit / 2**20:,.0f} MiB, more than such a file needs.")


# --- JSON and YAML ---------------------------------------------------------------------------------------------------


def parse_json(text: bytes | str) -> object:
    """Parse JSON strictly.

    Args:
        text: UTF-8, with or without a byte order mark.

    Returns:
        Dicts, lists, strings, bools, None, whole numbers of `MAX_DIGITS` digits at most, and finite floats; at most
        `MAX_DEPTH` deep. Strings have neither null characters nor halves of UTF-16 pairs.

    Raises:
        ValueError: it is no such JSON, or an object has a key twice; the message says what of it.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        found = json.loads(
            text,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_refuse_constant,
            object_pairs_hook=_once,
        )
    except RecursionError:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from None
    _require_plain(found)
    return found


def parse_yaml(text: str) -> object:
    """Parse YAML with the safe loader, strictly.

    Args:
        text: at most `MAX_YAML` characters, without aliases, which could unfold without an end.

    Returns:
        As `parse_json`, and dates.

    Raises:
        ValueError: it is no such YAML; the message is one line.
    """
    if len(text) > MAX_YAML:
        raise ValueError(f"it is longer than {MAX_YAML:,} characters")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has an alias")
        found = yaml.load(text, Loader=_LOADER)  # nosec B506  # a safe one
    except Exception as error:  # each kind of value fails in its own way: of a date ValueError, of a bool KeyError
        raise ValueError(" ".join(str(error).split()) or repr(error)) from error
    _require_plain(found)
    return found


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS + 1:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:40]} is too large")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _once(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{repeated[:40]!r} stands there twice")
    return found


def _require_plain(found: object) -> None:
    for depth, value in _walked(found):
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
        if isinstance(value, str) and (bad := re.search("[\0\ud800-\udfff]", value)):
            raise ValueError(f"a text has the character {bad[0]!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"a number is {value}")
        if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
            raise ValueError(f"a number has more than {MAX_DIGITS} digits")


def _walked(found: object) -> Iterator[tuple[int, object]]:
    """Yield each value, and each key, with its depth; without recursion."""
    waiting = [(0, found)]
    while waiting:
        depth, value = waiting.pop()
        yield depth, value
        if depth <= MAX_DEPTH and isinstance(value, dict | list | tuple | set):
            waiting += [(depth + 1, inner) for inner in value]
            if isinstance(value, dict):
                waiting += [(depth + 1, inner) for inner in value.values()]
