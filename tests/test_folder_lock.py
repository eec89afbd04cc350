"""A folder is held by one process, until it lets go or dies."""

import os
import platform
import subprocess
import sys

import pytest
from filelock import FileLock

from fer_hub import UserError, folder_lock

HOLD = """
import sys
from pathlib import Path
from fer_hub.folder_lock import hold

with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_holder_at_a_time_and_nothing_is_left(tmp_path):
    with folder_lock.hold(tmp_path):
        for _ in range(2):  # a refused one must not take the holder's name away
            with pytest.raises(UserError, match=f"process {os.getpid()} on {platform.node()!r}"):
                with folder_lock.hold(tmp_path):
                    pass
    assert not list(tmp_path.iterdir())
    with folder_lock.hold(tmp_path):
        pass


def test_a_killed_holder_holds_no_longer(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(UserError, match=f"process {holder.pid} on"), folder_lock.hold(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with folder_lock.hold(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"process": {}, "host": 1}', '{"process": 1}'])
def test_a_holder_that_left_no_name_is_another_process(text, tmp_path):
    with folder_lock.hold(tmp_path):
        (tmp_path / ".lock_holder.json").write_text(text)
        with pytest.raises(UserError, match="is in use by another process"), folder_lock.hold(tmp_path):
            pass


def test_a_disk_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def fail(lock):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", fail)
    with folder_lock.hold(tmp_path):
        assert "cannot be locked" in caplog.text and "no other training" in caplog.text
