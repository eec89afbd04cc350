"""What the guard lets through to an application, and what it answers in its stead."""

import asyncio
import json
import logging

import pytest

from fer_hub.demo import guard

MIB = 2**20


def ask(application, *, names=None, method="POST", path="/gradio_api/call/predict", headers=(), body=()):
    """The status, the headers and the text of an answer, and how many bytes of the body were asked for."""
    pieces, sent, taken = list(body), [], []

    async def receive():
        piece = pieces.pop(0) if pieces else b""
        taken.append(len(piece))
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message):
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(guard.Guard(application, names)(scope, receive, send))
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert len(starts) == 1 and not sent[-1].get("more_body")
    text = b"".join(message.get("body", b"") for message in sent).decode()
    return starts[0]["status"], dict(starts[0]["headers"]), text, sum(taken)


async def echo(scope, receive, send):
    """Reads everything and answers its length."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RuntimeError("the client left")
        size, more = size + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


# --- sizes ---


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("stated", [True, False])
def test_bodies_over_the_limit_are_413_whether_they_state_their_length_or_not(kind, stated):
    for extra, status in ((0, 200), (1, 413)):
        pieces = [bytes(MIB)] * (guard.MAX_BODY // MIB) + [bytes(guard.MAX_BODY % MIB + extra)]
        headers = [("content-type", kind)] + [("content-length", str(guard.MAX_BODY + extra))] * stated
        got, _, text, taken = ask(echo, headers=headers, body=pieces)
        assert got == status and taken == guard.MAX_BODY + extra  # read to its end, so that the client reads the answer
        assert text == (str(guard.MAX_BODY) if status == 200 else "Too large: 27 MiB at most.")


def test_a_picture_of_the_largest_size_passes_in_base64():
    assert guard.MAX_BODY > guard.MAX_FILE_SIZE * 4 / 3


def multipart(files, size=1, boundary="edge"):
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\n'.encode()
    return (part + bytes(size) + b"\r\n") * files + f"--{boundary}--\r\n".encode()


def upload(body, piece=1000, path="/gradio_api/upload", kind='multipart/form-data; boundary="edge"'):
    pieces = [body[start : start + piece] for start in range(0, len(body), piece)]
    return ask(echo, path=path, headers=[("content-type", kind)], body=pieces)[0::2]


@pytest.mark.parametrize("piece", [7, 64, 100_000])
def test_files_of_an_upload_are_counted_wherever_its_pieces_end(piece):
    assert upload(multipart(guard.MAX_FILES), piece)[0] == 200
    assert upload(multipart(guard.MAX_FILES + 1), piece) == (413, "Too many files: 100 at once at most.")


def test_an_upload_may_hold_more_than_other_requests_but_not_everything():
    assert upload(multipart(2, 19 * MIB), MIB)[0] == 200
    assert upload(multipart(3, 19 * MIB), MIB) == (413, "Too large: 40 MiB at most.")
    assert upload(multipart(2, 19 * MIB), MIB, path="/gradio_api/component_server")[0] == 413
    assert upload(multipart(2, 19 * MIB), MIB, kind="application/json")[0] == 413


def test_a_client_that_never_ends_gets_its_answer(monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE", 0.05)

    async def endless():
        await asyncio.sleep(0.001)
        return {"type": "http.request", "body": bytes(MIB), "more_body": True}

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"1" + b"0" * 5000)]}
    asyncio.run(guard.Guard(echo, None)(scope, endless, send))
    assert sent[0]["status"] == 413


# --- sites ---

LOCAL = frozenset({"localhost", "page.example"})


@pytest.mark.parametrize(
    ("host", "origin", "passes"),
    [
        ("127.0.0.1:7860", None, True),
        ("127.0.0.2", "http://127.0.0.1:3000", True),
        ("[::1]:7860", "http://[::1]:7860", True),
        ("LOCALHOST:7860", "https://localhost:7860", True),
        ("page.example", "https://page.example", True),
        ("evil.example:7860", None, False),
        ("evil.example:7860", "http://evil.example:7860", False),
        ("127.0.0.1:7860", "http://evil.example", False),
        ("127.0.0.1:7860", "null", False),
        ("127.0.0.1:7860", "", False),
        ("localhost.evil.example", None, False),
        ("127.0.0.1.evil.example", None, False),
        ("localhost@evil.example", None, False),
        ("0.0.0.0:7860", None, False),
        ("[::1", None, False),
        (None, None, False),
    ],
)
def test_a_page_of_this_machine_answers_no_other_site(host, origin, passes):
    headers = [("host", host)] * (host is not None) + [("origin", origin)] * (origin is not None)
    for method in ("GET", "POST", "OPTIONS"):
        status, given, text, _ = ask(echo, names=LOCAL, method=method, headers=headers)
        assert status == (200 if passes else 403) and not any(b"access-control" in name for name in given)
        assert passes or "answers this computer alone" in text
        assert ask(echo, names=None, method=method, headers=headers)[0] == 200


@pytest.mark.parametrize(
    ("host", "share", "variables", "names"),
    [
        (None, False, {}, {"localhost", "127.0.0.1"}),
        ("localhost", False, {}, {"localhost"}),
        ("[::1]", False, {}, {"localhost", "::1"}),
        (None, False, {"GRADIO_SERVER_NAME": "127.0.0.2"}, {"localhost", "127.0.0.2"}),
        (None, False, {"GRADIO_ROOT_PATH": "https://Page.Example/faces"}, {"localhost", "127.0.0.1", "page.example"}),
        (None, False, {"GRADIO_ROOT_PATH": "/faces"}, {"localhost", "127.0.0.1"}),
        (None, True, {}, None),
        ("0.0.0.0", False, {}, None),
        ("::", False, {}, None),
        ("192.0.2.1", False, {}, None),
        (None, False, {"GRADIO_SERVER_NAME": "0.0.0.0"}, None),
        (None, False, {"SPACE_ID": "user/space"}, None),
    ],
)
def test_only_what_listens_to_this_machine_alone_asks_for_names(host, share, variables, names, monkeypatch):
    for name in ("GRADIO_SERVER_NAME", "GRADIO_ROOT_PATH", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert guard.names_of(host, share) == names


def test_browsers_guess_no_types_and_may_frame_the_page():
    async def framed(scope, receive, send):
        headers = [(b"content-type", b"text/html"), (b"x-content-type-options", b"odd")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"page"})

    for names, host in ((None, "x.hf.space"), (LOCAL, "localhost"), (LOCAL, "evil.example")):
        _, given, _, _ = ask(framed, names=names, method="GET", path="/", headers=[("host", host)])
        assert given[b"x-content-type-options"] == b"nosniff"
        assert not {b"x-frame-options", b"content-security-policy"} & set(given)


def test_what_is_gradios_and_not_the_pages_is_not_offered():
    for path in ("/gradio_api/process_recording", "/gradio_api/vibe-edit/", "/gradio_api/undo-vibe-edit"):
        assert ask(echo, path=path)[0] == 404


# --- errors ---


def test_an_error_is_a_line_of_the_log_that_steers_no_terminal(caplog):
    async def fail(scope, receive, send):
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})
        raise KeyError("a\x1b[2J\nb" + "x" * 10_000)

    with caplog.at_level(logging.WARNING):
        assert ask(fail, path="/gradio_api/call/\n\x1b")[::2] == (400, "no")
    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith("POST /gradio_api/call/\\n\\x1b: KeyError in fail, test_guard.py: ")
    assert said.isprintable() and len(said) < 400


def test_a_stream_that_breaks_off_tells_its_client_why():
    async def fail(scope, receive, send):
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"event: heartbeat\ndata: null\n\n", "more_body": True})
        raise RuntimeError("no such event")

    _, _, text, _ = ask(fail)
    told = json.loads(text.rpartition("event: error\ndata: ")[2])
    assert told["msg"] == "unexpected_error" and "cannot be answered" in told["error"]


def test_an_application_that_never_answers_is_answered_for():
    async def fail(scope, receive, send):
        raise RuntimeError

    status, _, text, _ = ask(fail)
    assert status == 400 and "cannot be answered" in text
