"""One program at a time in a folder, by a lock that the kernel releases when its holder dies."""

import json
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from fer_hub.atomic_files import write_json
from fer_hub.errors import UserError

logger = logging.getLogger(__name__)

_LOCK = ".lock"
_HOLDER = ".lock_holder.json"  # not in the lock file itself, which Windows lets nobody else read


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a folder until the block ends or this process does.

    On disks that know no locks, a warning says so and nothing is held.

    Args:
        folder: an existing folder.

    Raises:
        UserError: another process holds it; the message says which, and what to do.
    """
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"{folder} is in use by {_holder(folder)}: two trainings would overwrite each other's files. "
            "Wait until that one ends, stop it, or choose another --output_dir."
        ) from None
    except (OSError, NotImplementedError) as error:
        logger.warning("%s cannot be locked (%s): make sure that no other training writes to it.", folder, error)
        yield
        return
    try:
        write_json(folder / _HOLDER, {"process": os.getpid(), "host": platform.node()})
        yield
    finally:
        # Before the release: afterwards they may be those of the next holder. Windows keeps an open file.
        for name in (_HOLDER, _LOCK):
            with suppress(OSError):
                (folder / name).unlink()
        lock.release()


def _holder(folder: Path) -> str:
    try:
        found = json.loads((folder / _HOLDER).read_text(encoding="utf-8"))
        return f"process {int(found['process'])} on {str(found['host'])[:100]!r}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
