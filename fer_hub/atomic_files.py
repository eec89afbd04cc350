"""Files that are written whole or not at all."""

import json
import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError

from fer_hub.errors import UserError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` on a temporary neighbour of `path`, syncs it and renames it into place.

    A crash at any moment leaves the old file or the new one.

    Raises:
        UserError: the disk is full or the folder cannot be written; what stood at `path` still stands.
    """
    temporary = temporary_beside(path)
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # that of any new file; safetensors would make it private to this user
        write(temporary)
        temporary.chmod(mode)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch.save and safetensors report a full disk so
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise UserError(
            f"cannot write {path}: {reason}. What was there is untouched. Free space or mend the folder, and run the "
            "same line again (a training: with --resume_from_checkpoint last)."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def temporary_beside(path: Path) -> Path:
    """Return a new name in the same folder: two programs that write one file never share a temporary one."""
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files of writers that were killed.

    Only for whoever holds the folder: another program's write that is still going on would fail.
    """
    for path in folder.glob("*.tmp"):
        if re.fullmatch(r".+\.[0-9a-f]{8}\.tmp", path.name):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_atomically` for a string, in UTF-8."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: object) -> None:
    """`write_atomically` for JSON. NaN is refused: no other language reads it."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
