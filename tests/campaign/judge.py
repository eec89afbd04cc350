"""Runs cases in a process of their own, each for a limited time, and says what became of them."""

import math
import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass

from fer_hub.errors import MAX_CHARACTERS, MAX_LINES, UserError, printable

LIMIT = 20  # seconds; a single case takes milliseconds, or a second where a program starts
VERDICTS = ("right", "refused", "wrong", "crashed", "hung")


@dataclass(frozen=True)
class Case:
    """One attempt.

    Attributes:
        name: says how to make it again.
        call: raises UserError where it refuses; what it returns is checked: numbers must be finite.
        named: a part of every message.
        bad: it must be refused.
    """

    name: str
    call: Callable[[], object]
    named: str = ""
    bad: bool = False


class _Late(BaseException):
    pass


def judge(case: Case, limit: float = LIMIT) -> tuple[str, str]:
    """Run a case in this process; its verdict, and what is wrong."""
    try:
        with _limited(limit):
            found = case.call()
    except UserError as error:
        fault = _fault(str(error), case)
        return ("wrong", fault) if fault else ("refused", "")
    except _Late:
        return "hung", f"more than {limit} s"
    except Exception as error:  # what this is about
        return "crashed", repr(error)[:300]
    if case.bad:
        return "wrong", f"not refused: {str(found)[:100]}"
    if not _finite(found):
        return "wrong", f"not finite: {str(found)[:100]}"
    return "right", ""


def run(door: Callable[[], Iterable[Case]], limit: float = LIMIT) -> tuple[Counter, list[str]]:
    """Run all cases of a door; the counts of the verdicts, and a line for each that is neither right nor refused.

    The process of the cases is forked; where it dies, another one goes on behind the case that killed it.
    """
    counts, faults, done = Counter(), [], 0
    context = multiprocessing.get_context("fork")
    while True:
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(door, done, limit, theirs), daemon=True)
        worker.start()
        theirs.close()
        running = None
        while True:
            try:
                told = ours.recv() if ours.poll(limit + 60) else ("hung", "cannot be interrupted")
            except EOFError:
                worker.join()
                told = ("crashed", f"the process ended with {worker.exitcode}")
            if told is None:
                worker.join()
                return counts, faults
            if isinstance(told, str):
                running = told
                continue
            if running is None:
                worker.kill()
                raise RuntimeError(f"the cases cannot be made: {told[1]}")
            verdict, fault = told
            counts[verdict] += 1
            done += 1
            if fault:
                faults.append(f"{verdict}: {running}: {fault}")
            if "cannot be interrupted" in fault or "the process ended" in fault:
                worker.kill()
                worker.join()
                break
            running = None


def _work(door: Callable[[], Iterable[Case]], done: int, limit: float, pipe) -> None:
    for number, case in enumerate(door()):
        if number >= done:
            pipe.send(case.name)
            pipe.send(judge(case, limit))
    pipe.send(None)


@contextmanager
def _limited(seconds: float):
    def late(*_):
        raise _Late

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _fault(message: str, case: Case) -> str:
    """What is wrong with a message."""
    if len(message) > MAX_CHARACTERS or message.count("\n") >= MAX_LINES:
        return f"a message of {len(message):,} characters"
    if printable(message) != message:
        return f"control characters: {message[:200]!r}"
    if case.named not in message:
        return f"does not name {case.named}: {message[:200]}"
    if "Traceback" in message or not message.strip():
        return f"no message for people: {message[:200]!r}"
    return ""


def _finite(found: object) -> bool:
    if isinstance(found, dict):
        return all(map(_finite, found.values()))
    if isinstance(found, list | tuple):
        return all(map(_finite, found))
    return not isinstance(found, float) or math.isfinite(found)
