"""The folder for everything that the page writes, and its end.

A server that is stopped removes its folder; that of a killed one is removed by the next server. Each one holds a lock,
which the system releases when its holder dies, so that no server removes what another one uses.
"""

import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "fer-hub-page-"


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder for what gradio and this process write meanwhile; readable by this user alone.

    It is below GRADIO_TEMP_DIR, or below the system's folder for temporary files.
    """
    base, variable = os.environ.get("GRADIO_TEMP_DIR"), tempfile.tempdir
    parent = Path(base or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    _remove_former(parent)
    path = parent / f"{PREFIX}{secrets.token_hex(8)}"
    with _signals_that_raise(), _locked(path):
        path.mkdir(mode=0o700)
        # Two of them: gradio copies no results that lie in its own folder already, and they are deleted once written.
        uploads, results = path / "gradio", path / "other"
        uploads.mkdir()
        results.mkdir()
        os.environ["GRADIO_TEMP_DIR"], tempfile.tempdir = str(uploads), str(results)
        try:
            yield path
        finally:
            tempfile.tempdir = variable
            os.environ.pop("GRADIO_TEMP_DIR")
            if base is not None:
                os.environ["GRADIO_TEMP_DIR"] = base
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def deleting_old(folder: Path, age: float) -> Iterator[None]:
    """Deletes meanwhile what lies in a folder for longer, but for what is there already.

    Args:
        folder: with all folders below it.
        age: seconds after which a file is deleted, and between two looks: it is there twice as long at most.
    """
    kept, is_over = set(folder.rglob("*")), threading.Event()

    def delete() -> None:
        while not is_over.wait(age):
            for file in set(folder.rglob("*")) - kept:
                with suppress(OSError):  # it is gone already
                    if file.is_file() and time.time() - file.stat().st_ctime > age:
                        file.unlink()

    thread = threading.Thread(target=delete, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _remove_former(parent: Path) -> None:
    for path in parent.glob(f"{PREFIX}*"):
        if path.is_dir() and not path.is_symlink():
            with suppress(OSError, Timeout), _locked(path):  # another user's, or in use
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock of a folder, which lies beside it: so it can be taken before there is a folder to be found.

    Raises:
        Timeout: another process holds it.
    """
    lock = path.with_name(f"{path.name}.lock")
    with FileLock(lock, blocking=False):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows deletes no open file
                lock.unlink(missing_ok=True)


@contextmanager
def _signals_that_raise() -> Iterator[None]:
    """Lets a signal that ends this process first end what is open, as an exception does."""
    received = []

    def end(number: int, frame) -> None:
        received.append(number)
        raise SystemExit(128 + number)

    # There is no SIGHUP on Windows, nohup ignores it, and other threads than the main one may set none.
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    is_main = threading.current_thread() is threading.main_thread()
    changed = [number for number in known if is_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
        if received:  # now for good: threads that still compute would abort an interpreter that ends by itself
            sys.stdout.flush()
            signal.raise_signal(received[0])
