"""Starts train.py as often as a test file likes, and imports torch once.

Its imports take a new process five to eight seconds, more than most trainings here. So one process imports them, and is
forked for each start: what runs then is the script train.py with its own arguments, output, signals and exit status, as
a shell would have started it. The tests of the start itself, of launchers and of other environments do without this.
"""

import atexit
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path
from select import select

ROOT = Path(__file__).parents[2]


class Program:
    """A started train.py, with the part of `subprocess.Popen` that the tests use. One at a time."""

    def __init__(self, arguments: list, environment: dict[str, str] | None = None):
        self.returncode = None
        self.written = [tempfile.NamedTemporaryFile("r") for _ in ("stdout", "stderr")]
        files = [file.name for file in self.written]
        request = {"argv": [str(ROOT / "train.py"), *map(str, arguments)], "files": files, "cwd": os.getcwd()}
        self.server = server(None if environment is None else tuple(environment.items()))
        self.server.stdin.write(json.dumps(request).encode() + b"\n")
        self.pid = int(self.server.stdout.readline())

    def poll(self, timeout: float = 0) -> int | None:
        """The exit status, as Popen gives it, or None while the program runs."""
        if self.returncode is None and select([self.server.stdout], [], [], timeout)[0]:
            self.returncode = int(self.server.stdout.readline())
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for the end; what was written to stdout and stderr."""
        if self.poll(timeout) is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.poll(None)
            raise subprocess.TimeoutExpired("train.py", timeout)
        texts = [file.read() for file in self.written]
        for file in self.written:
            file.close()
        return tuple(texts)


@cache
def server(environment: tuple | None) -> subprocess.Popen:
    """The process that is forked, one for each environment: imports read it. It ends with pytest."""
    # Without buffers: a line that was read ahead would be missed by `select`.
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        env=None if environment is None else dict(environment),
    )  # fmt: skip
    assert process.stdout.readline() == b"ready\n"
    atexit.register(process.communicate)
    return process


def serve() -> None:
    """Forks for each line of stdin; writes the number of the process, then its exit status."""
    # As in train.main, which a process of its own runs before it imports torch.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    import fer_hub.evaluation.plots
    import fer_hub.hub.push
    import fer_hub.training.loop  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(become(**json.loads(line)))  # to tear down all that was imported would take seconds
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(argv: list[str], files: list[str], cwd: str) -> int:
    """Runs train.py in this process; its exit status."""
    os.setsid()  # a group of its own, as Popen's start_new_session gives
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), descriptor)
    os.chdir(cwd)
    sys.argv = argv
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as end:
        return end.code
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    serve()
