"""A small Hugging Face Hub over real HTTP, for the real client: it reads, writes, and fails where a test says so."""

import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType

from hub_api import Answer, as_json, respond
from hub_state import Store

TOKENS = MappingProxyType({"hf_write": "write", "hf_read": "read"})


@dataclass
class Fault:
    """What goes wrong with the requests it matches; see `Hub.fault`."""

    method: str | None
    path: str
    times: int | None = 1
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: str | None = None
    call: Callable[[], object] | None = None
    delay: float = 0
    hits: int = 0

    def matches(self, method: str, path: str) -> bool:
        left = self.times is None or self.hits < self.times
        return left and self.method in (None, method) and re.search(self.path, path) is not None


class Hub(Store):
    """The state of a running server.

    Attributes:
        endpoint: what HF_ENDPOINT names.
        tokens: the role, "write" or "read", by token; None: whatever token is sent does not matter.
        namespaces: the user to whom all tokens belong, then the organizations; only these can be written.
        requests: (method, path with query) of all requests, in the order of their arrival.
        on_request: called with (index in `requests`, method, path) once a request arrived whole, before anything is
            done for it; what it returns, if anything, is a `cut`.
        errors: what tests' callbacks, or this server, raised; `run` raises the first.
    """

    def __init__(self, tokens: Mapping[str, str] | None, user: str, organizations: tuple[str, ...]):
        super().__init__()
        self.endpoint = ""
        self.tokens = None if tokens is None else dict(tokens)
        self.namespaces = [user, *organizations]
        self.requests: list[tuple[str, str]] = []
        self.on_request: Callable[[int, str, str], str | None] = lambda index, method, path: None
        self.faults: list[Fault] = []
        self.errors: list[Exception] = []

    def fault(self, method: str | None, path: str, **what) -> Fault:
        """Lets requests fail; the oldest fault that matches and is not used up takes a request alone.

        Args:
            method: None: any.
            path: a regular expression, searched in the path as received: quoted, with its query.
            what: `times` (1; None: for ever), `call` (a function, called first), `delay` (seconds), and then one of
                `status` with `headers` and `body` (answered in place of any work), `cut="before"` (no work and no
                answer: the connection closes), `cut="after"` (the work is done, its answer never sent), or none.

        Returns:
            The fault, whose `hits` counts; it ends early with `times = 0`.
        """
        fault = Fault(method, path, **what)
        with self.lock:
            self.faults.append(fault)
        return fault

    def arrive(self, method: str, path: str) -> tuple[int, Fault]:
        """Logs a request; its place, and the fault that takes it."""
        with self.lock:
            self.requests.append((method, path))
            fault = next((fault for fault in self.faults if fault.matches(method, path)), Fault(None, ""))
            fault.hits += 1
            return len(self.requests) - 1, fault


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave as one: apart, each answer would wait for an acknowledgement

    def handle_any(self):
        body = self.read_body()
        try:
            answer = self.work_out(body)
        except Exception as error:
            self.server.hub.errors.append(error)
            answer = as_json({"error": repr(error)}, 500)
        if answer is None:
            self.close_connection = True
        else:
            self.send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def work_out(self, body: bytes) -> Answer | None:
        """The answer, or None where the connection is to be cut."""
        hub = self.server.hub
        index, fault = hub.arrive(self.command, self.path)
        cut = hub.on_request(index, self.command, self.path)
        if fault.call:
            fault.call()
        time.sleep(fault.delay)
        cut = cut or fault.cut
        if cut == "before":
            return None
        if fault.status:
            kind = "text/html" if fault.body.lstrip().startswith(b"<") else "application/json"
            return Answer(fault.status, fault.body, {"Content-Type": kind, **fault.headers})
        answer = respond(hub, self.command, self.path, self.headers, body)
        return None if cut == "after" else answer

    def read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.read_exactly(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0].strip() or b"-1", 16):
            chunks.append(self.read_exactly(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    def read_exactly(self, size: int) -> bytes:
        data = self.rfile.read(size) if size >= 0 else b""
        if len(data) != size:  # half a request must not be worked on
            raise ConnectionError("the client left before its request was whole")
        return data

    def send(self, answer: Answer):
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # clients that are killed are what tests are about
            super().handle_error(request, client_address)


@contextmanager
def run(tokens: Mapping[str, str] | None = TOKENS, user: str = "user", organizations: tuple[str, ...] = ()):
    """Serves an empty Hub on a port of its own; yields it."""
    hub = Hub(tokens, user, organizations)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.hub = hub
        hub.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
    if hub.errors:
        raise hub.errors[0]


@contextmanager
def serve(repo_id: str, files: dict[str, Path], revision: str = "main"):
    """Serves `files` (path in the repository -> file) as the data set and model `repo_id`; yields the endpoint."""
    with run(tokens=None) as hub:
        for repo_type in ("model", "dataset"):
            hub.add_repo(repo_id, {path: file.read_bytes() for path, file in files.items()}, repo_type, branch=revision)
        yield hub.endpoint
