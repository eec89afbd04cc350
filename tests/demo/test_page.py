"""The page as programs meet it: `python app.py` in a process of its own, asked by gradio_client and by bare HTTP."""

import base64
import io
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import app_server
import clips
import damaged
import httpx
import numpy as np
import psutil
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from fer_hub import EmotionRecognizer, UserError
from fer_hub.demo import guard, page, temporary_files
from fer_hub.hub.locate import DEFAULT_MODEL, shipped_names

ROOT = Path(__file__).parents[2]
ASTRONAUT, GROUP = ROOT / "fer_hub/examples/astronaut.webp", ROOT / "fer_hub/examples/group.png"
CROPS = sorted((ROOT / "fer_hub/examples").glob("crop-*.png"))
MODELS = list(dict.fromkeys((DEFAULT_MODEL, app_server.SECOND, *shipped_names())))  # those of the command line first
FIELDS = {"emotion", "probabilities", "box", "detection_score", "uncertain"}
WEB = httpx.Client(timeout=60)  # one for all: to make one takes longer than most questions
MARK = {"meta": {"_type": "gradio.FileData"}}
# What each call takes where it is asked without gradio_client, around the payload of a file or of several.
CALLS = {
    "predict": lambda payload, model=DEFAULT_MODEL: [payload, model],
    "predict_crops": lambda payload, model=DEFAULT_MODEL: [payload if isinstance(payload, list) else [payload], model],
    "video": lambda payload, model=DEFAULT_MODEL: [payload, 3, model],
}


@pytest.fixture(scope="module")
def app():
    return app_server.shared()


@pytest.fixture(scope="module")
def client(app):
    return Client(app.address, verbose=False)


@pytest.fixture(scope="module")
def recognizer():
    return EmotionRecognizer.from_pretrained(DEFAULT_MODEL)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Thirty pictures, cut out of a photo more and more to the right, in MPEG-TS, which can be torn anywhere."""
    photo = np.asarray(Image.open(ASTRONAUT).convert("RGB"))
    moving = [photo[:320, 64 + number : 384 + number] for number in range(30)]
    return clips.write(tmp_path_factory.mktemp("clip") / "clip.ts", moving)


@pytest.fixture
def quiet(app):
    """The test's mistakes are the visitor's: none of them is a traceback in the log of the server."""
    before = len(app.log())
    yield
    assert "Traceback" not in app.log()[before:]


@pytest.fixture
def logged(app):
    """The lines that the server has logged since the last question; they come a moment after an answer."""
    place = len(app.log())

    def lines():
        nonlocal place
        time.sleep(0.2)
        said, place = app.log()[place:], len(app.log())
        return said.splitlines()

    return lines


def ask(app, call, payload, **options):
    """What a call says of a file's payload: ("complete" or "error", data)."""
    address = f"{app.address}/gradio_api/call/{call}"
    event = WEB.post(address, json={"data": CALLS[call](payload, **options)}).json()["event_id"]
    told = WEB.get(f"{address}/{event}", timeout=120).text
    kind, data = re.search(r"event: (complete|error)\ndata: (.*)", told).groups()
    return kind, json.loads(data)


def upload(app, name, content):
    """The server's path of an upload."""
    answer = WEB.post(f"{app.address}/gradio_api/upload", files={"files": (name, content)})
    assert answer.status_code == 200, answer.text
    return answer.json()[0]


def refused(app, call, payload):
    """The words with which a visitor's file is refused."""
    kind, said = ask(app, call, payload)
    assert kind == "error" and said["error"], said
    assert "/" not in said["error"] and "0x" not in said["error"]  # no place of the server
    return said["error"]


def handler(app, inputs, outputs):
    """The number of the page's own call with a first field and an output of these kinds."""
    config = WEB.get(f"{app.address}/config").json()
    kinds = {part["id"]: part["type"] for part in config["components"]}
    calls = [call for call in config["dependencies"] if call["inputs"] and kinds[call["inputs"][0]] == inputs]
    return next(call["id"] for call in calls if outputs in [kinds[output] for output in call["outputs"]])


def in_session(app, session, number, data):
    """What a visitor's page is told at the end of a call."""
    asked = {"data": data, "fn_index": number, "session_hash": session}
    WEB.post(f"{app.address}/gradio_api/queue/join", json=asked)
    told = WEB.get(f"{app.address}/gradio_api/queue/data?session_hash={session}", timeout=120).text
    return [line.replace(" ", "") for line in told.splitlines() if "process_completed" in line]


def same(faces, expected):
    """Whether the page's faces are the recognizer's, but for the rounding of other threads."""
    assert len(faces) == len(expected)
    for face, other in zip(faces, expected, strict=True):
        assert face["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
        assert face["detection_score"] == pytest.approx(other["detection_score"], abs=1e-5)
        assert {**face, "probabilities": 0, "detection_score": 0} == {**other, "probabilities": 0, "detection_score": 0}
    return True


# --- what programs get ---


def test_predict_with_the_picture_alone_gives_the_recognizers_faces(client, recognizer):
    found = client.predict(handle_file(GROUP), api_name="/predict")
    assert len(found) > 3 and all(set(face) == FIELDS for face in found)
    assert same(found, [face.to_dict() for face in recognizer(GROUP)])
    assert client.predict(handle_file(GROUP), api_name="/predict") == found


def test_a_picture_without_a_face_gives_an_empty_list(client, tmp_path):
    Image.new("RGB", (320, 240), "gray").save(tmp_path / "wall.png")
    assert client.predict(handle_file(tmp_path / "wall.png"), api_name="/predict") == []


def test_a_camera_picture_in_the_request_is_read(app, recognizer):
    url = f"data:image/webp;base64,{base64.b64encode(ASTRONAUT.read_bytes()).decode()}"
    kind, (found,) = ask(app, "predict", {"url": url, **MARK})
    assert kind == "complete" and same(found, [face.to_dict() for face in recognizer(ASTRONAUT)])


def test_predict_crops_answers_for_each_file_also_beside_a_damaged_one(client, recognizer, tmp_path):
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    files = [CROPS[0], tmp_path / "damaged.png", CROPS[3]]
    first, damaged, last = client.predict([handle_file(file) for file in files], api_name="/predict_crops")
    assert same([first, last], [recognizer(file, crop=True)[0].to_dict() for file in (CROPS[0], CROPS[3])])
    assert list(damaged) == ["error"] and "not a picture" in damaged["error"] and "/" not in damaged["error"]


def test_video_gives_the_faces_over_time(client, recognizer, clip):
    found = client.predict(handle_file(clip), every=10, api_name="/video")
    expected = [frame.to_dict() for frame in recognizer.video(clip, every=10)]
    assert set(found) == {"frames", "problem"} and found["problem"] is None
    assert [(frame["frame"], frame["time"]) for frame in found["frames"]] == [
        (frame["frame"], frame["time"]) for frame in expected
    ]
    assert [frame["frame"] for frame in found["frames"]] == [0, 10, 20]
    for frame, other in zip(found["frames"], expected, strict=True):
        assert frame["faces"] and same(frame["faces"], other["faces"])


def test_what_cannot_be_read_of_a_video_is_told(client, clip, tmp_path):
    content = bytearray(clip.read_bytes())
    content[len(content) // 2 : len(content) * 2 // 3] = bytes(len(content) * 2 // 3 - len(content) // 2)
    (tmp_path / "torn.ts").write_bytes(content)
    found = client.predict(handle_file(tmp_path / "torn.ts"), every=1, api_name="/video")
    assert 0 < len(found["frames"]) < 30 and "damaged" in found["problem"]


def test_the_api_is_these_three_calls_and_each_takes_one_of_the_models(client):
    published = client.view_api(return_format="dict")["named_endpoints"]
    assert set(published) == {"/predict", "/predict_crops", "/video"}
    for call in published.values():
        assert [type_of["type"] for type_of in call["parameters"][-1:]] == [{"enum": MODELS, "type": "string"}]


def test_both_models_of_the_command_line_can_be_chosen(app, client):
    config = WEB.get(f"{app.address}/config").json()
    (picker,) = [part["props"] for part in config["components"] if part["type"] == "dropdown"]
    assert [name for name, _ in picker["choices"]] == MODELS and picker["value"] == DEFAULT_MODEL
    shipped = client.predict([handle_file(CROPS[0])], api_name="/predict_crops")
    second = client.predict([handle_file(CROPS[0])], app_server.SECOND, api_name="/predict_crops")
    model = EmotionRecognizer.from_pretrained(app.folder / app_server.SECOND)
    assert same(second, [model(CROPS[0], crop=True)[0].to_dict()]) and second != shipped


def test_the_code_of_its_document_runs(app, clip, tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/demo.md").read_text(), re.DOTALL)
    assert [block for block in blocks if "gradio_client" in block] == blocks != []
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r'handle_file\("([^"]+)"\)', "".join(blocks)):
        shutil.copy({".mp4": clip, ".png": CROPS[3], ".jpg": ASTRONAUT}[Path(name).suffix], name)
    for block in blocks:
        assert "http://127.0.0.1:7860" in block
        exec(compile(block.replace("http://127.0.0.1:7860", app.address), "demo.md", "exec"), {})
    assert "happy" in capsys.readouterr().out


# --- what it refuses ---


@pytest.mark.parametrize("call", CALLS)
def test_a_model_that_is_not_offered_is_refused(app, call):
    payload = {"path": upload(app, "photo.webp", ASTRONAUT.read_bytes()), **MARK}
    for name in ("user/model", "/etc", str(app.folder / app_server.SECOND)):
        kind, said = ask(app, call, payload, model=name)
        assert kind == "error" and "not in the list of choices" in said["error"]


@pytest.mark.parametrize("call", CALLS)
def test_addresses_are_not_fetched(app, call, quiet):
    before = list(app.heard)
    places = f"{app.listener}/photo.png", "https://example.com/photo.png"
    for place in places:
        assert "fetches nothing" in refused(app, call, {"path": place, **MARK})
    assert app.heard == before


@pytest.mark.parametrize("call", CALLS)
def test_other_files_and_addresses_are_not_opened_however_they_come(app, call, tmp_path):
    secret, before = tmp_path / "secret.webp", list(app.heard)
    shutil.copy(ASTRONAUT, secret)
    uploads = app.uploads()[0] / "gradio"
    places = [secret, f"file://{secret}", f"{uploads}/x/../../../../../../..{secret}", uploads, "a\0b"]
    places += [f"{app.listener}/photo.png", f"HTTP{app.listener[4:]}/photo.png"]
    payloads = [{"path": str(place), **mark} for place in places for mark in (MARK, {})]  # gradio checks marked ones
    payloads += [{"path": str(place), "is_stream": True, **MARK} for place in (secret, places[-2])]
    for payload in payloads:
        kind, said = ask(app, call, payload)
        assert kind == "error" and "secret" not in json.dumps(said) and "/" not in (said["error"] or ""), payload
    assert app.heard == before


@pytest.mark.parametrize("kind", ["image", "file"])
def test_a_click_on_an_example_opens_nothing_else(app, kind, tmp_path):
    # Gradio then replaces the visitor's field by a new one.
    example, show = handler(app, inputs="dataset", outputs=kind), handler(app, inputs=kind, outputs="html")
    asked = {"data": [0], "fn_index": example, "session_hash": kind}
    answer = WEB.post(f"{app.address}/gradio_api/run/predict", json=asked)
    assert answer.status_code == 200 and answer.json()["data"][0]["__type__"] == "update"
    shutil.copy(ASTRONAUT, tmp_path / "secret.webp")
    own = {"path": upload(app, "own.webp", ASTRONAUT.read_bytes()), **MARK}
    secret, address = {"path": str(tmp_path / "secret.webp")}, {"path": f"{app.listener}/photo.png", **MARK}
    for payload, told in ((own, '"success":true'), (secret, '"success":false'), (address, "fetches nothing")):
        (done,) = in_session(app, kind, show, [payload if kind == "image" else [payload], DEFAULT_MODEL])
        assert told.replace(" ", "") in done


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4"])
def test_playlists_are_refused_and_name_nothing_to_fetch(app, name, clip, quiet):
    other, before = upload(app, "clip.ts", clip.read_bytes()), list(app.heard)
    playlists = (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{app.listener}/part.ts\n#EXT-X-ENDLIST\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{other}'\n",
        f"ffconcat version 1.0\nfile '{app.listener}/part.ts'\n",
    )
    for content in playlists:
        said = refused(app, "video", {"path": upload(app, name, content.encode()), **MARK})
        assert "The file is not a video" in said
    assert app.heard == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("bomb.png", damaged.bomb(), "more than 64,000,000 pixels"),
        *((name, content, "is damaged") for name, content in damaged.by_decoder().items()),
        ("half.webp", ASTRONAUT.read_bytes()[:9000], "damaged"),
        ("text.png", b"text", "not a picture"),
        ("empty.png", b"", "not a picture"),
    ],
)
def test_bad_pictures_are_refused_quickly_in_words(app, name, content, words, quiet):
    payload = {"path": upload(app, name, content), **MARK}
    start = time.monotonic()
    assert words in refused(app, "predict", payload)
    (face,) = ask(app, "predict_crops", payload)[1][0]
    assert list(face) == ["error"] and words in face["error"] and "/" not in face["error"]
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("content", "words"), [(b"text", "The file is not a video"), (ASTRONAUT.read_bytes(), "The file is not a video")]
)
def test_bad_videos_are_refused_in_words(app, content, words, quiet):
    assert words in refused(app, "video", {"path": upload(app, "clip.mp4", content), **MARK})


def test_a_video_cut_before_its_index_is_refused_in_words(app, tmp_path, quiet):
    whole = clips.write(tmp_path / "whole.mp4", clips.shades(20)).read_bytes()
    assert "The file is not a video" in refused(
        app, "video", {"path": upload(app, "clip.mp4", whole[: len(whole) // 2]), **MARK}
    )


@pytest.mark.parametrize("states_its_duration", [True, False])
def test_long_videos_are_refused(app, tmp_path, states_its_duration, quiet):
    options = {} if states_its_duration else {"live": "1"}  # as a browser's recorder writes it
    file = clips.write(tmp_path / "long.mkv", clips.shades(130, step=1), rate=1, **options)
    assert "longer than the 120 seconds" in refused(
        app, "video", {"path": upload(app, "long.mkv", file.read_bytes()), **MARK}
    )


def test_too_many_files_at_once_are_refused(app, quiet):
    own = {"path": upload(app, "face.png", CROPS[0].read_bytes()), **MARK}
    kind, (found,) = ask(app, "predict_crops", [own] * guard.MAX_FILES)
    assert kind == "complete" and len(found) == guard.MAX_FILES == 100
    assert "100 at most" in refused(app, "predict_crops", [own] * (guard.MAX_FILES + 1))


def test_large_files_are_refused(app):
    for size, status in ((guard.MAX_FILE_SIZE, 200), (guard.MAX_FILE_SIZE + 1, 413)):
        content = {"files": ("large.png", io.BytesIO(bytes(size)))}
        assert WEB.post(f"{app.address}/gradio_api/upload", files=content).status_code == status


ODD = [7, "x", [], {}, [None], {"path": 7, **MARK}, {"path": "x" * 5000, **MARK}, {"path": "x", "meta": 0},
       {"path": {"path": "x", **MARK}, **MARK}, {"path": "", "url": "data:,", "size": "big", **MARK}]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_values_of_another_form_are_answered_in_words_and_a_line_of_the_log(app, call, logged):
    for payload in ODD:
        kind, said = ask(app, call, payload)
        assert "/" not in json.dumps(said), payload
        assert (call, payload, said) == ("predict_crops", [], [[]]) or 20 < len(said["error"]) < 300, (payload, said)
    lines = logged()
    assert len(lines) <= len(ODD) and all(line.startswith(f"{call}: ") and len(line) < 400 for line in lines), lines


@pytest.mark.parametrize(
    ("call", "data"),
    [
        ("predict", []),
        ("predict", [None]),
        ("predict", [None, {"a": 1}]),
        ("predict", [None, "x" * 10_000]),
        ("video", [None, None, DEFAULT_MODEL]),
        ("video", [None, -5, DEFAULT_MODEL]),
        ("video", [None, 2.5, DEFAULT_MODEL]),
        ("video", [None, [], DEFAULT_MODEL]),
        ("load_example", [None]),
        ("show_1", [None]),
    ],
)
def test_wrong_arguments_are_answered_in_words_and_a_line_of_the_log(app, call, data, logged):
    address = f"{app.address}/gradio_api/call/{call}"
    event = WEB.post(address, json={"data": data}).json()["event_id"]
    told = WEB.get(f"{address}/{event}").text
    assert told.startswith("event: error\n") and len(json.loads(told.partition("data: ")[2])["error"]) < 300
    assert len(logged()) <= 1


def test_requests_that_name_nothing_are_answered_in_words_and_a_line_of_the_log(app, logged):
    address = f"{app.address}/gradio_api"
    queued = {"data": [], "session_hash": "nobody", "fn_index": 9999}
    for path, content in (
        ("call/nothing", {"json": {"data": []}}),
        ("run/nothing", {"json": {"data": []}}),
        ("call/v2/nothing", {"json": {}}),
        ("call/v2/predict", {"json": {"nothing": 1}}),
        ("queue/join", {"json": queued}),
        ("queue/join", {"json": queued | {"fn_index": -1}}),
        ("upload", {"files": {"files": (None, b"no file")}}),
        ("component_server", {"files": {"x": ("a", b"x")}}),
    ):
        answer = WEB.post(f"{address}/{path}", **content)
        assert answer.status_code == 400 and "cannot be answered" in answer.text, (path, answer.text)
        assert len(logged()) == 1, path
    for path in ("call/predict/nothing", "queue/data?session_hash=nothing"):
        answer = WEB.get(f"{address}/{path}")
        assert "event: error" in answer.text and "cannot be answered" in answer.text
        assert len(logged()) == 1, path


def test_large_requests_are_refused_and_not_held_in_memory(app, logged):
    def pieces(total):
        yield b'{"data": ["'
        for _ in range(total // 2**16):
            yield b"a" * 2**16

    server, address = psutil.Process(app.process.pid), f"{app.address}/gradio_api"
    before = server.memory_info().rss
    headers = {"content-type": "application/json"}
    assert WEB.post(f"{address}/call/predict", content=pieces(200 * 2**20), headers=headers).status_code == 413
    assert server.memory_info().rss - before < 100 * 2**20
    files = [("files", ("x", b"x"))] * (guard.MAX_FILES + 1)
    assert WEB.post(f"{address}/upload", files=files).status_code == 413
    files = [("files", ("x", bytes(guard.MAX_FILE_SIZE - 2**20)))] * 3
    assert WEB.post(f"{address}/upload", files=files).status_code == 413
    assert logged() == []


def test_pictures_in_a_request_may_be_no_larger_than_files(app):
    content = base64.b64encode(bytes(guard.MAX_FILE_SIZE + 1)).decode()
    assert "too large: 20 MiB" in refused(app, "predict", {"url": f"data:image/png;base64,{content}", **MARK})


def test_other_sites_get_no_answer_from_a_page_of_this_machine(app):
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}, {"origin": "null"}):
        for answer in (
            WEB.get(f"{app.address}/config", headers=headers),
            WEB.post(f"{app.address}/gradio_api/call/predict", headers=headers, json={"data": [None, DEFAULT_MODEL]}),
            WEB.options(app.address, headers=headers | {"access-control-request-method": "POST"}),
        ):
            assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers
    own = WEB.get(f"{app.address}/config", headers={"origin": app.address})
    assert own.status_code == 200


def test_browsers_guess_no_types_and_frames_are_allowed(app):
    for path in ("", "/config", "/theme.css", "/nothing", "/gradio_api/info", "/gradio_api/call/predict/nothing"):
        headers = WEB.get(app.address + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert not {"x-frame-options", "content-security-policy"} & set(headers)


# --- what it keeps and tells ---


def test_the_page_says_what_it_is_not_for_keeps_nothing_and_needs_no_other_server(app):
    config = WEB.get(f"{app.address}/config").json()
    said = " ".join(str(component["props"].get("value")) for component in config["components"])
    assert "not an emotion" in said and "Art. 5(1)(f)" in said and "deleted after twenty minutes" in said
    assert page.KEPT == 600
    assert not config["run_history"] and not config["analytics_enabled"]
    assert WEB.get(f"{app.address}/monitoring").status_code == 403
    assert not re.search(r"(url\(|@import)\W*http", WEB.get(f"{app.address}/theme.css").text)
    assert app.heard == []  # also no telemetry, no search for a newer version


def test_the_video_tab_leaves_no_folder_and_its_results_can_be_fetched(app, clip):
    work, show = app.uploads()[0] / "other", handler(app, inputs="video", outputs="video")
    before = set(work.iterdir())
    for content, told in ((clip.read_bytes(), "true"), (b"text", "false")):
        payload = {"path": upload(app, "clip.ts", content), **MARK}
        (done,) = in_session(app, "a visitor", show, [payload, 10, DEFAULT_MODEL])
        assert f'"success":{told}' in done
        if told == "true":
            results = set(re.findall(r'"path":"([^"]+/faces\.(?:mp4|csv|json))"', done))
            assert len(results) == 3, done
            for path in results:
                assert WEB.get(f"{app.address}/gradio_api/file={path}").status_code == 200
    assert set(work.iterdir()) == before


def test_uploads_are_deleted_after_a_while(tmp_path, monkeypatch, recognizer):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    blocks = page.build({DEFAULT_MODEL: recognizer})
    examples = {file for file in tmp_path.rglob("*") if file.is_file()}
    assert examples
    with temporary_files.deleting_old(tmp_path, 2):
        _, address, _ = blocks.launch(prevent_thread_lock=True, quiet=True)
        try:
            photo = io.BytesIO()
            Image.new("RGB", (64, 64)).save(photo, "png")
            (path,) = WEB.post(f"{address}gradio_api/upload", files={"files": ("mine.png", photo.getvalue())}).json()
            here = SimpleNamespace(address=address.rstrip("/"))
            assert ask(here, "predict", {"path": path, **MARK}) == ("complete", [[]])
            end = time.monotonic() + 30
            while {
                file for file in tmp_path.rglob("*") if file.is_file()
            } != examples:  # these stay, for other visitors
                assert time.monotonic() < end
                time.sleep(0.1)
        finally:
            blocks.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate that nobody vouches for, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    made = [folder / "cert.pem", folder / "key.pem"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=page", "-days", "2"]
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: it makes the certificate of these tests")
    subprocess.run([*command, "-out", made[0], "-keyout", made[1]], check=True, capture_output=True)
    return made


def test_https_and_what_a_page_leaves_when_it_is_stopped(certificate, tmp_path):
    options = "--ssl_certfile", str(certificate[0]), "--ssl_keyfile", str(certificate[1])
    with app_server.running(tmp_path, *options) as app:
        upload = {"files": ("mine.png", CROPS[0].read_bytes())}
        (path,) = httpx.post(f"{app.address}/gradio_api/upload", files=upload, verify=False).json()
        assert Path(path).is_file() and Path(path).is_relative_to(app.uploads()[0])
    assert not Path(path).exists() and app.uploads() == []
    assert app.process.returncode == -signal.SIGTERM and "Traceback" not in app.log()


@pytest.mark.parametrize(
    ("certfile", "keyfile", "words"),
    [
        (0, None, "belong together"),
        (None, 1, "belong together"),
        ("nowhere.pem", 1, "No such file"),
        (1, 1, "cannot be used"),
        (0, 0, "cannot be used"),
    ],
)
def test_certificates_that_cannot_be_used_are_named_at_once(certificate, certfile, keyfile, words):
    pem = [certificate[name] if isinstance(name, int) else name for name in (certfile, keyfile)]
    with pytest.raises(UserError, match=words):
        page.launch(ssl_certfile=pem[0] and str(pem[0]), ssl_keyfile=pem[1] and str(pem[1]))


# --- the command ---


def test_app_listens_where_the_environment_says(app):
    assert app.address.startswith("http://127.0.0.2:") and WEB.get(app.address).status_code == 200
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.1", int(app.address.rpartition(":")[2])))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "nowhere"], "no model at nowhere"),
        (["--model", DEFAULT_MODEL, "nowhere"], "no model at nowhere"),
        (["--host", "127.0.0.2", "--port", "taken"], "cannot be served"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of the server without a port
def test_app_names_a_mistake_and_ends_with_2(app, options, words, monkeypatch, capsys):
    import app as program

    options = [app.address.rpartition(":")[2] if option == "taken" else option for option in options]
    monkeypatch.setattr(sys, "argv", ["app.py", *options])
    assert program.main() == 2
    said = capsys.readouterr().err.splitlines()[-1]  # before a port that is taken the server names it too
    assert said.startswith("error: ") and words in said


def test_app_refuses_what_is_not_a_port():
    for port in ("0", "65536", "http"):
        done = subprocess.run([sys.executable, ROOT / "app.py", "--port", port], capture_output=True, text=True)
        assert done.returncode == 2 and "is not a port, 1 to 65535" in done.stderr
