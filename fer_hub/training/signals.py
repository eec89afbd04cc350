"""Ctrl-C, SIGTERM and the death of the launcher end a training between two steps, with its state saved."""

import os
import re
import signal
import threading
import time

import psutil

# Each launcher sets one of these. A user may export the first as well: the parent's command line decides.
_LAUNCHED = {"ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID"}
_LAUNCHER = re.compile(
    r"(.*[/\\])?(accelerate|torchrun)(\.exe)?"
    r"|(accelerate\.commands|torch\.distributed)\..+"
    r"|.*(accelerate[/\\]commands|torch[/\\]distributed)[/\\]\w+\.py"
)


class Interrupted(Exception):
    """SIGINT or SIGTERM asked the run to stop, and it has saved its state. `signal` is the number."""

    def __init__(self, signal_number: int):
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal = signal_number


class StopSignals:
    """Notes SIGINT and SIGTERM while a step runs; a second one ends the process at once."""

    stopping = False  # of this process: some signal was noted, and the state will be saved

    def __enter__(self):
        self.received = 0
        StopSignals.stopping = False
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _note(self, number, frame):
        self.received = number
        StopSignals.stopping = True
        signal.signal(number, self._before[number])

    def __exit__(self, *exc):
        for number, handler in self._before.items():
            signal.signal(number, handler)


def end_with_launcher() -> None:
    """Send this process a SIGTERM when the launcher that started it dies; call it once, at the start.

    A killed launcher leaves its trainings to themselves: nobody would read what they print or could stop them, and a
    resumed run would start beside them. Without a launcher nothing is watched: `nohup python train.py &` outlives its
    shell.
    """
    if not _LAUNCHED & os.environ.keys():
        return
    try:
        parent = psutil.Process(os.getppid())
        words = parent.cmdline()[:4]  # python, its options, and what it runs
        if "-c" in words or not any(map(_LAUNCHER.fullmatch, words)):
            return
    except psutil.Error:
        return
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(launcher: psutil.Process) -> None:
    while os.getppid() == launcher.pid and launcher.is_running():  # Windows never changes the former
        time.sleep(1)
    if not StopSignals.stopping:  # a second signal would end the process before the state is saved
        signal.raise_signal(signal.SIGTERM)
