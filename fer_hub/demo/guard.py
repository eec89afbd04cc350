"""What stands before gradio: it refuses requests that are too large or come from other sites, and ends broken ones.

Gradio limits single files of an upload and nothing else, takes requests of any host, and lets a request that it cannot
answer end in a traceback.
"""

import asyncio
import ipaddress
import json
import logging
import os
import socket
import traceback
from collections.abc import Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

MAX_FILE_SIZE = 20 * 2**20  # bytes of one file
MAX_FILES = 100  # of one upload
MAX_UPLOAD = 2 * MAX_FILE_SIZE  # bytes of all files of one upload, which are written to disk as they come
MAX_BODY = MAX_FILE_SIZE * 4 // 3 + 2**20  # bytes of any other request, held in memory: a picture in base64 fits
PATIENCE = 30  # seconds for which the rest of a refused body is thrown away, so that the client reads the answer
# Gradio's own tools for authors: a screen recorder, which runs ffmpeg on whatever comes, and an editor of the source.
NOT_OFFERED = "/gradio_api/process_recording", "/gradio_api/vibe-edit", "/gradio_api/undo-vibe-edit"
NOT_FOR_OTHERS = (
    "This page answers this computer alone. Open it under the address that `python app.py` printed; behind a proxy, "
    "start it with GRADIO_ROOT_PATH=https://ITS.PUBLIC.ADDRESS"
)
UNANSWERABLE = (
    "This request cannot be answered: what it names is not there any more, or its values have another form than the "
    "page's API takes."
)
Send = Callable[[dict], Awaitable[None]]
Receive = Callable[[], Awaitable[dict]]

logger = logging.getLogger(__name__)


def options(names: Collection[str] | None) -> dict:
    """What `launch(app_kwargs=...)` takes to put the guard around gradio.

    Args:
        names: of this machine, as for `Guard`.
    """

    @asynccontextmanager
    async def outermost(app):
        # As `middleware=` it would stand within gradio's own, which answers other sites before it.
        app.middleware_stack = Guard(app.middleware_stack, names)
        yield

    return {"lifespan": outermost, "exception_handlers": {Exception: _unanswerable}}


def names_of(host: str | None, share: bool) -> frozenset[str] | None:
    """The names under which a page is open to this machine alone, besides its addresses; None where others may ask.

    Args:
        host: that the page listens on; default: gradio's, GRADIO_SERVER_NAME or 127.0.0.1.
        share: whether it also has a public address.
    """
    host = (host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1").strip("[]")
    try:
        addresses = {found[4][0] for found in socket.getaddrinfo(host, None)}
    except OSError:  # the server says so when it starts
        return None
    if share or "SPACE_ID" in os.environ or not all(map(_is_loopback, addresses)):
        return None
    public = _host_of(os.environ.get("GRADIO_ROOT_PATH", ""))
    return frozenset({"localhost", host.lower()} | ({public} if public else set()))


class Guard:
    """An ASGI application around another one.

    Answers 413 to a body over `MAX_BODY`, to an upload over `MAX_UPLOAD` and to one of more than `MAX_FILES` files,
    whether they state their length or not. Where the page is open to this machine alone, answers 403 to what other
    sites ask: a name of theirs may lead to this machine. Forbids browsers to guess types. What the application fails
    to answer is one line in the log.
    """

    def __init__(self, app: Callable[[dict, Receive, Send], Awaitable[None]], names: Collection[str] | None):
        """Sets what the guard stands before.

        Args:
            app: the application.
            names: under which this machine asks, besides the loopback addresses; None: everybody may.
        """
        self.app, self.names = app, names

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:  # noqa: D102 (as ASGI has it)
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send)
        if self.names is not None and not _is_of_this_machine(scope, self.names):
            await answer.refuse(403, NOT_FOR_OTHERS)
        elif scope["path"].startswith(NOT_OFFERED):
            await answer.refuse(404, "This page does not offer that.")
        else:
            try:
                await self.app(scope, _Body(scope, receive, answer).receive, answer.send)
            except Exception as error:
                if answer.refused:  # the application saw the request end too early
                    return
                logger.warning("%s %s: %s", scope["method"], in_one_line(scope["path"]), described(error))
                await answer.break_off()


def described(error: Exception) -> str:
    """An error and its place as one line of a log."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {place.name}, {Path(place.filename).name}: {in_one_line(str(error))}"


def in_one_line(text: str) -> str:
    """A visitor's words as a log can show them: 200 characters at most, and none that steers a terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[:200])


class _Answer:
    """What goes back to the client.

    Attributes:
        refused: whether the guard has answered; what the application says is then dropped.
    """

    def __init__(self, send: Send):
        self.refused = False
        self._send, self._started, self._finished, self._is_stream = send, False, False, False

    async def send(self, message: dict) -> None:
        if self.refused:
            return
        if message["type"] == "http.response.start":
            self._started = True
            headers = [header for header in message.get("headers", ()) if header[0] != b"x-content-type-options"]
            self._is_stream = any(value.startswith(b"text/event-stream") for _, value in headers)
            message = message | {"headers": [*headers, (b"x-content-type-options", b"nosniff")]}
        elif message["type"] == "http.response.body":
            self._finished = not message.get("more_body", False)
        await self._send(message)

    async def refuse(self, status: int, reason: str) -> None:
        """Answers in the application's stead, unless it has begun to answer."""
        if not self._started:
            await _text(self.send, status, reason)
        self.refused = True

    async def break_off(self) -> None:
        """Ends an answer that the application did not end; a stream of events says why, as gradio's clients read it."""
        if not self._started:
            await self.refuse(400, UNANSWERABLE)
        elif not self._finished:
            told = json.dumps(
                {"msg": "unexpected_error", "success": False, "message": UNANSWERABLE, "error": UNANSWERABLE}
            )
            content = f"event: error\ndata: {told}\n\n".encode() if self._is_stream else b""
            await self.send({"type": "http.response.body", "body": content, "more_body": False})


class _Body:
    """What comes from the client, counted."""

    def __init__(self, scope: dict, receive: Receive, answer: _Answer):
        self._receive, self._answer = receive, answer
        kind = Message()
        kind["content-type"] = (_values(scope, b"content-type") or [""])[0]
        is_upload = scope["path"].rstrip("/") == "/gradio_api/upload" and kind.get_content_maintype() == "multipart"
        self._limit, self._size, self._files, self._end = MAX_UPLOAD if is_upload else MAX_BODY, 0, 0, b""
        self._mark = f"--{kind.get_boundary()}".encode() if is_upload and kind.get_boundary() else None
        stated = (_values(scope, b"content-length") or ["0"])[0]
        self._stated = int(stated[:20]) if stated.isdecimal() else 0

    async def receive(self) -> dict:
        if self._answer.refused:
            return {"type": "http.disconnect"}
        message = await self._receive() if self._stated <= self._limit else {"type": "http.request", "more_body": True}
        problem = self._problem(message.get("body", b""))
        if problem is None:
            return message
        try:
            async with asyncio.timeout(PATIENCE):
                while message.get("more_body"):
                    message = await self._receive()
        except TimeoutError:
            pass
        await self._answer.refuse(413, problem)
        return {"type": "http.disconnect"}

    def _problem(self, content: bytes) -> str | None:
        self._size += len(content)
        if max(self._size, self._stated) > self._limit:
            return f"Too large: {self._limit // 2**20} MiB at most."
        if self._mark:
            content = self._end + content  # a mark may come in two pieces
            self._files += content.count(self._mark)
            self._end = content[len(content) - len(self._mark) + 1 :]
            if self._files > MAX_FILES + 1:  # one mark more ends the last file
                return f"Too many files: {MAX_FILES} at once at most."
        return None


def _is_of_this_machine(scope: dict, names: Collection[str]) -> bool:
    """Whether the page was asked under a name of this machine, and not by the page of another site."""
    hosts = [_host_of(f"//{host}") for host in _values(scope, b"host")]
    origins = [_host_of(origin) for origin in _values(scope, b"origin")]
    return bool(hosts) and all(name and (name in names or _is_loopback(name)) for name in hosts + origins)


def _host_of(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _values(scope: dict, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


async def _unanswerable(request, error: Exception):
    async def answer(scope: dict, receive: Receive, send: Send) -> None:
        await _text(send, 400, UNANSWERABLE)

    return answer


async def _text(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text.encode())).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode(), "more_body": False})
