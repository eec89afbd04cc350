"""The folder of the page's files, in processes that end in every way."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from fer_hub.demo import temporary_files

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, sys, tempfile, time
from pathlib import Path
from fer_hub.demo import temporary_files

with temporary_files.folder() as folder:
    Path(os.environ["GRADIO_TEMP_DIR"], "upload.png").write_bytes(b"a face")
    with tempfile.NamedTemporaryFile(delete=False) as torn:
        torn.write(b"half a face")
    print(folder, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def heard_signals():
    """Children hear SIGINT and SIGHUP, also where this process was started in the background or by nohup."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in zip((signal.SIGINT, signal.SIGHUP), before, strict=True):
        signal.signal(number, handler)


@contextmanager
def server(parent, **variables):
    """A process with such a folder: itself, and the folder. It ends by itself when it is told so."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(parent), **variables},
    )  # fmt: skip
    try:
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


def held(parent):
    return sorted(path.name for path in parent.rglob("*"))


@pytest.mark.parametrize("way", ["by itself", "SIGTERM", "SIGHUP", "SIGINT"])
def test_nothing_is_left_by_a_server_that_is_stopped(way, tmp_path):
    with server(tmp_path) as (process, folder):
        assert folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
        assert len(held(folder)) == 4  # two folders with a file each
        if way == "by itself":
            process.stdin.write("\n")
            process.stdin.flush()
        else:
            process.send_signal(getattr(signal, way))
        status = process.wait(20)
    assert held(tmp_path) == []
    assert status == (0 if way == "by itself" else -getattr(signal, way))


def test_what_a_killed_server_left_goes_when_the_next_one_starts_and_a_running_ones_stays(tmp_path):
    with server(tmp_path) as (running, first), server(tmp_path) as (killed, second):
        killed.kill()
        killed.wait()
        assert held(second)  # nobody was there to remove it
        foreign = tmp_path / "fer-hub-page-notes"
        foreign.write_text("a file, and no server's folder")
        with server(tmp_path) as (_, third):
            assert not second.exists() and first.exists() and third.exists()
            assert running.poll() is None and len(held(first)) == 4 and foreign.exists()


def test_nohup_goes_on_after_its_terminal(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with server(tmp_path) as (process, folder):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.3)
            assert process.poll() is None and folder.exists()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_named_folder_is_used_and_everything_is_as_before_afterwards(tmp_path, monkeypatch):
    named = tmp_path / "not there yet"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(named))
    before = tempfile.gettempdir(), signal.getsignal(signal.SIGTERM)
    with temporary_files.folder() as folder:
        uploads, results = Path(os.environ["GRADIO_TEMP_DIR"]), Path(tempfile.gettempdir())
        assert folder.parent == named and uploads.parent == results.parent == folder and uploads != results
    assert (tempfile.gettempdir(), signal.getsignal(signal.SIGTERM)) == before
    assert os.environ["GRADIO_TEMP_DIR"] == str(named) and held(named) == []


def test_files_are_deleted_after_a_while_but_for_those_that_were_there(tmp_path):
    example, upload = tmp_path / "example.png", tmp_path / "more" / "mine.png"
    example.write_bytes(b"drawn")
    with temporary_files.deleting_old(tmp_path, 0.1):
        upload.parent.mkdir()
        upload.write_bytes(b"a face")
        assert upload.exists()
        end = time.monotonic() + 10
        while upload.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
    assert example.exists()
