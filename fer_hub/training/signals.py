"""Ctrl-C and SIGTERM end a training between two steps, with its state saved."""

import signal


class Interrupted(Exception):
    """SIGINT or SIGTERM asked the run to stop, and it has saved its state. `signal` is the number."""

    def __init__(self, signal_number: int):
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal = signal_number


class StopSignals:
    """Notes SIGINT and SIGTERM while a step runs; a second one ends the process at once."""

    def __enter__(self):
        self.received = 0
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _note(self, number, frame):
        self.received = number
        signal.signal(number, self._before[number])

    def __exit__(self, *exc):
        for number, handler in self._before.items():
            signal.signal(number, handler)
