"""A training ends with its launcher, and only with a launcher."""

import os
import shlex
import signal
import subprocess
import threading

import psutil
import pytest

from fer_hub.training import signals
from fer_hub.training.signals import StopSignals


class Parent:
    """A parent process with a command line."""

    def __init__(self, command):
        self.command = command

    def cmdline(self):
        return shlex.split(self.command)


@pytest.mark.parametrize(
    ("variable", "command", "watched"),
    [
        ("ACCELERATE_MIXED_PRECISION", "/usr/bin/python /usr/bin/accelerate launch train.py", True),
        ("ACCELERATE_MIXED_PRECISION", "python -m accelerate.commands.launch --quiet train.py", True),
        ("TORCHELASTIC_RUN_ID", "python /home/me/venv/bin/torchrun --nproc_per_node 2 train.py", True),
        ("TORCHELASTIC_RUN_ID", "python -m torch.distributed.run train.py", True),
        ("TORCHELASTIC_RUN_ID", "python /venv/torch/distributed/run.py train.py", True),
        ("ACCELERATE_MIXED_PRECISION", "bash", False),  # exported by the user, who then logs out
        ("ACCELERATE_MIXED_PRECISION", "bash -c 'train.py --output_dir runs/accelerate'", False),
        ("HOME", "python /usr/bin/accelerate launch train.py", False),
    ],
)
def test_launchers_alone_are_watched(variable, command, watched, monkeypatch):
    for name in ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "no")
    monkeypatch.setattr(psutil, "Process", lambda pid: Parent(command))
    started = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread))
    signals.end_with_launcher()
    assert bool(started) is watched


def test_death_of_the_launcher_is_a_sigterm_and_no_second_one():
    """A second SIGTERM would end the process before it has saved."""
    process = subprocess.Popen(["sleep", "60"])
    launcher = psutil.Process(process.pid)
    process.kill()
    process.wait()
    with StopSignals() as stop:
        signals._watch(launcher)
        assert stop.received == signal.SIGTERM
        signals._watch(launcher)
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        signals._watch(launcher)
        assert stop.received == signal.SIGINT
