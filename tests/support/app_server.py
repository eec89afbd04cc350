"""`python app.py` as a process of its own, and a listener that hears whatever it sends into the world."""

import atexit
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from fer_hub import FERModel
from fer_hub.hub.locate import DEFAULT_MODEL

ROOT = Path(__file__).parents[2]
SECOND = "second"  # the model that the shared page offers besides the shipped one


@dataclass(frozen=True)
class App:
    """A running page.

    Attributes:
        address: http://host:port.
        folder: it was started in; a model in it can be named by its name.
        temporary: the folder that it uses as /tmp.
        process: of the server.
        listener: address of a server that it must not ask for anything.
        heard: the first lines of what came there.
    """

    address: str
    folder: Path
    temporary: Path
    process: subprocess.Popen
    listener: str
    heard: list[str]

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def uploads(self) -> list[Path]:
        """The folders of what visitors upload; that of a running server is one."""
        return [path for path in self.temporary.glob("fer-hub-page-*") if path.is_dir()]


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[App]:
    """Starts app.py in a folder and waits until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    temporary = folder / "tmp"
    temporary.mkdir()
    with _listening() as (listener, heard), open(folder / "log", "w") as log:
        # Another address of this machine than the default, so that it is seen whether the variable is obeyed.
        ours = {"GRADIO_SERVER_NAME": "127.0.0.2", "GRADIO_SERVER_PORT": str(port), "TMPDIR": str(temporary)}
        # Whoever wants to fetch something asks the listener; a test that only forbids it would not notice the attempt.
        ours |= {"HF_HUB_OFFLINE": "0", "no_proxy": "127.0.0.1,127.0.0.2,localhost"}
        ours |= {name: listener for name in ("http_proxy", "https_proxy", "all_proxy")}
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), *arguments],
            cwd=folder, env={**_environment(), **ours}, stdout=log, stderr=log,
        )  # fmt: skip
        scheme = "https" if "--ssl_certfile" in arguments else "http"
        app = App(f"{scheme}://127.0.0.2:{port}", folder, temporary, process, listener, heard)
        try:
            end = time.monotonic() + 180
            while not _answers(app.address):
                assert process.poll() is None and time.monotonic() < end, app.log()
                time.sleep(0.1)
            yield app
        finally:
            process.terminate()
            process.wait(60)
    assert app.uploads() == []  # they end with the server


@cache
def shared() -> App:
    """One page for all tests of this process, with two models: to start one takes seconds. It ends with pytest."""
    stack = ExitStack()
    atexit.register(stack.close)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fer-hub-app-")))
    FERModel().save_pretrained(folder / SECOND)
    (folder / SECOND / "README.md").unlink()  # a model of somebody's who wrote no card
    return stack.enter_context(running(folder, "--model", DEFAULT_MODEL, SECOND))


@contextmanager
def _listening() -> Iterator[tuple[str, list[str]]]:
    """An HTTP server that gives nothing: its address, and the first lines of the requests that came."""
    heard = []

    class Listener(BaseHTTPRequestHandler):
        def handle_one_request(self):
            heard.append(self.rfile.readline().decode(errors="replace").strip())
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", heard
        server.shutdown()


def _environment() -> dict[str, str]:
    """This process's, without what keeps programs from speaking to others: app.py must see to that itself."""
    left_out = "_PROXY", "_DISABLE_TELEMETRY"
    return {name: value for name, value in os.environ.items() if not name.upper().endswith(left_out)}


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=30, trust_env=False, verify=False).status_code == 200
    except httpx.TransportError:
        return False
