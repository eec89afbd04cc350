"""Pictures that come while they are looked at: which are seen, when, and that everything is closed afterwards."""

import gc
import io
import itertools
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
import rtsp_server
import torch
from camera import Camera, readers
from clips import animation, folder, noise, shade, shades, write
from PIL import Image

from fer_hub import EmotionRecognizer, FERModel, UserError
from fer_hub.recognition import capture
from fer_hub.recognition.detector import Detection
from fer_hub.recognition.stream import Stream, named
from fer_hub.recognition.video import Clip

RED, BLUE = np.full((48, 64, 3), (250, 0, 0), np.uint8), np.full((48, 64, 3), (0, 0, 250), np.uint8)


@pytest.fixture(scope="module")
def recognizer():
    """Finds one face in the middle of each picture."""
    return EmotionRecognizer(FERModel.from_pretrained("paper-cnn"), lambda picture: [Detection((16, 8, 48, 40))])


@pytest.fixture
def slow(recognizer):
    """Takes as long as six pictures of a `Camera`."""

    def find(picture):
        time.sleep(0.06)
        return [Detection((16, 8, 48, 40))]

    return EmotionRecognizer(recognizer.model, find)


@pytest.fixture
def clip(tmp_path):
    return write(tmp_path / "clip.mp4", shades(12), rate=10)


@pytest.fixture
def served(clip):
    """Addresses of a web camera (motion JPEG without end) and of a recording."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            if self.path == "/clip.mp4":
                self.send_header("Content-Length", str(clip.stat().st_size))
                self.end_headers()
                self.wfile.write(clip.read_bytes())
                return
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
            self.end_headers()
            for picture in itertools.cycle(shades(50)):
                file = io.BytesIO()
                Image.fromarray(picture).save(file, "jpeg", quality=95)
                head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {file.tell()}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + file.getvalue() + b"\r\n")
                except OSError:  # who looked has gone
                    return
                time.sleep(0.01)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


# --- recordings and iterators: every picture ---


def test_an_animation_and_a_folder_of_frames_are_files_too(recognizer, tmp_path):
    moving = animation(tmp_path / "clip.webp", shades(4), 50)
    frames = folder(tmp_path / "frames", shades(3))
    assert [frame.time for frame in recognizer.stream(moving)] == [0, 0.05, 0.1, 0.15]
    assert [frame.time for frame in recognizer.stream(str(frames), fps=10)] == [0, 0.1, 0.2]


def test_a_file_gives_what_video_gives(recognizer, clip):
    assert list(recognizer.stream(clip)) == list(recognizer.stream(str(clip))) == list(recognizer.video(clip))


def test_a_capture_of_a_recording_gives_every_picture_and_stays_the_callers(slow, clip):
    source = cv2.VideoCapture(str(clip))
    stream = slow.stream(source)
    frames = list(stream)
    assert [(frame.index, round(frame.time, 3)) for frame in frames] == [(n, n / 10) for n in range(12)]
    assert stream.problem is None and source.isOpened()
    source.release()
    with pytest.raises(UserError, match="the capture is not open"):
        next(slow.stream(source))


def test_a_recording_at_an_address_gives_every_picture(recognizer, served):
    frames = list(recognizer.stream(f"{served}/clip.mp4"))
    assert [(frame.index, round(frame.time, 3)) for frame in frames] == [(n, n / 10) for n in range(12)]


@pytest.mark.parametrize(
    ("source", "options", "times"),
    [
        (lambda: iter([RED, BLUE, RED]), {"fps": 4}, [0, 0.25, 0.5]),
        (lambda: [RED, BLUE, RED], {"fps": 29.97}, [0, 1 / 29.97, 2 / 29.97]),
        (lambda: np.stack([RED, BLUE]), {"fps": 10}, [0, 0.1]),
        (lambda: torch.zeros(2, 3, 48, 64), {"fps": 10}, [0, 0.1]),
        (lambda: [(7.5, RED), (7.5, Image.fromarray(RED)), (np.float32(9), RED)], {}, [7.5, 7.5, 9]),
        (lambda: zip(np.array([1.0, 2.0]), [RED, BLUE], strict=True), {}, [1, 2]),
        (lambda: iter(()), {}, []),
    ],
    ids=["iterator", "list", "array", "tensor", "pairs", "zip", "empty"],
)
def test_the_times_of_pictures_one_by_one(recognizer, source, options, times):
    frames = list(recognizer.stream(source(), **options))
    assert [frame.index for frame in frames] == list(range(len(times)))
    assert [frame.time for frame in frames] == pytest.approx(times)
    assert {face.track for frame in frames for face in frame.faces} == ({1} if times else set())


def test_an_iterator_without_times_goes_by_the_clock_and_drops_nothing(slow):
    start = time.monotonic()
    frames = list(slow.stream(picture for picture in shades(4)))
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    times = [frame.time for frame in frames]
    assert 0 <= times[0] < 0.05 and min(np.diff(times)) >= 0.06 and times[-1] <= time.monotonic() - start


def test_probabilities_are_smoothed_over_the_stated_times(recognizer):
    pictures = [RED, np.random.default_rng(0).integers(0, 256, RED.shape, dtype=np.uint8)]
    raw = [faces[0].probabilities["sad"] for faces in recognizer(pictures)]
    _, calm = recognizer.stream(pictures, fps=2, half_life=0.5)
    assert calm.faces[0].probabilities["sad"] == pytest.approx(sum(raw) / 2, abs=1e-5)


def test_the_order_of_colours_is_said_once(recognizer):
    crops = [next(iter(recognizer.stream(iter([picture]), channel_order=order))).faces[0].crop.max()
             for picture, order in ((RED, "rgb"), (BLUE, "bgr"), (BLUE, "rgb"))]  # fmt: skip
    assert crops[0] == crops[1] > crops[2]


def test_a_bad_picture_is_named_and_the_source_goes_on_to_belong_to_the_caller(recognizer):
    source = iter([RED, "nowhere.png", BLUE])
    stream = recognizer.stream(source, fps=5)
    next(stream)
    with pytest.raises(UserError, match=r"picture 1 \(from 0\): cannot open nowhere.png"):
        next(stream)
    assert next(source) is BLUE


# --- live sources: the newest picture ---


def test_a_live_source_drops_pictures_and_shows_the_newest(slow):
    camera = Camera()
    start, frames, seen = time.monotonic(), [], []
    stream = slow.stream(camera)
    for frame in stream:
        frames.append(frame)
        seen.append(shade(np.asarray(stream.picture)))
    indices = [frame.index for frame in frames]
    assert indices == seen and indices[-1] == 49  # the last one is newest, too
    assert 4 <= len(frames) < 20 and min(np.diff(indices)) >= 1
    times = [frame.time for frame in frames]
    assert times[0] < 0.2 and sorted(times) == times and times[-1] <= time.monotonic() - start
    assert stream.problem == f"the capture gives no more pictures after {times[-1]:.2f} s (picture 50)"
    assert not readers() and not camera.is_released


def test_a_picture_is_not_shown_twice(recognizer):
    indices = [frame.index for frame in itertools.islice(recognizer.stream(Camera()), 8)]
    assert len(set(indices)) == 8


def test_a_web_camera(recognizer, served):
    with recognizer.stream(f"{served}/live.mjpg") as stream:
        for frame in itertools.islice(stream, 5):
            assert abs(shade(np.asarray(stream.picture)) - frame.index % 50) <= 2  # the first ones may be lost
            assert frame.faces[0].track == 1
    assert not readers()


def test_a_network_camera(slow, tmp_path):
    """What security cameras speak. 60 pictures in three seconds, of which a slow program sees some."""
    content = write(tmp_path / "camera.ts", noise(60), rate=20).read_bytes()
    with rtsp_server.camera(content, seconds=3) as (address, requests):
        stream = slow.stream(address)
        frames = list(stream)
    assert [request.split()[0] for request in requests[:4]] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    assert len(frames) > 5 and frames[-1].index > 30 and frames[-1].time < 10
    assert {face.track for frame in frames for face in frame.faces} == {1}
    assert stream.problem.startswith("rtsp://127.0.0.1:") and "gives no more pictures after" in stream.problem
    assert not readers()


def test_a_camera_that_warms_up(recognizer):
    assert shade(np.asarray(first_picture(recognizer, Camera(failures=5)))) < 5


def first_picture(recognizer, source):
    with recognizer.stream(source) as stream:
        next(stream)
        return stream.picture


ENDINGS = {
    "break": lambda stream: None,
    "close": Stream.close,
    "with": lambda stream: stream.__exit__(None, None, None),
}


@pytest.mark.parametrize("source", [0, "0", "/dev/video0", np.int64(0)], ids=repr)
@pytest.mark.parametrize("how", ENDINGS)
def test_a_camera_is_released_and_no_thread_is_left(recognizer, monkeypatch, source, how):
    camera = Camera()
    monkeypatch.setattr(cv2, "VideoCapture", lambda *given: {(0,): camera}[given])
    stream = recognizer.stream(source)
    assert camera.reads == 0  # nothing is opened yet
    next(stream)
    assert len(readers()) == 1
    ENDINGS[how](stream)
    gc.disable()  # references alone must close it
    try:
        del stream
        assert camera.is_released and not readers()
    finally:
        gc.enable()


def test_a_camera_is_released_where_the_program_fails(monkeypatch):
    camera = Camera()
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: camera)
    broken = EmotionRecognizer(FERModel.from_pretrained("paper-cnn"), lambda picture: [][0])
    with pytest.raises(IndexError):
        next(broken.stream(0))
    assert camera.is_released and not readers()


def test_what_fails_in_the_camera_reaches_the_caller(recognizer):
    camera = Camera(1 / 0 for _ in range(1))
    with pytest.raises(ZeroDivisionError):
        next(recognizer.stream(camera))
    assert not readers()


def test_a_stream_that_was_closed_has_ended(recognizer):
    stream = recognizer.stream(Camera())
    stream.close()
    assert list(stream) == [] and not readers()


# --- what cannot be opened ---


def test_a_network_stream_that_stalls_is_given_up(recognizer, monkeypatch):
    monkeypatch.setattr(capture, "WAIT", 300)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections and says nothing
        start = time.monotonic()
        with pytest.raises(UserError, match=r"cannot open http://127\.0\.0\.1:\d+/live"):
            next(recognizer.stream(f"http://me:secret@127.0.0.1:{server.getsockname()[1]}/live"))
        assert time.monotonic() - start < 5


def test_passwords_are_not_told():
    assert named("rtsp://me:secret@camera.local/1") == "rtsp://camera.local/1"


def test_a_camera_that_is_not_there(recognizer):
    with pytest.raises(UserError, match="cannot open camera 7: there is none"):
        next(recognizer.stream("/dev/video7"))


async def pictures_later():
    yield RED


@pytest.mark.parametrize(
    ("source", "options", "kind", "words"),
    [
        (b"bytes", {}, UserError, "write them to a file first"),
        (io.BytesIO(), {}, UserError, "write them to a file first"),
        (None, {}, UserError, "a NoneType is not a stream"),
        (RED, {}, UserError, "one picture is not a stream"),
        (Image.fromarray(RED), {}, UserError, "one picture is not a stream"),
        ("file:///clip.mp4", {}, UserError, "is no address that is read here"),
        ("nowhere.mp4", {}, UserError, "there is no such file"),
        (pictures_later(), {}, TypeError, "async for"),
        ([RED], {}, UserError, "give fps=25, or pairs"),
        ([RED], {"fps": 0}, UserError, "fps=0 is not a positive number"),
        ([(1, RED)], {"fps": 5}, UserError, r"picture 0 \(from 0\): a tuple is not a picture"),
        ([(1, RED), (0.5, RED)], {}, UserError, "has the time 0.5 s, and the one before 1.0 s"),
        ([(1, RED), (float("nan"), RED)], {}, UserError, "has the time nan s"),
        ([(True, RED)], {"fps": 5}, UserError, "a tuple is not a picture"),
        (0, {"fps": 30}, UserError, "camera 0 has times of its own"),
        (0, {"channel_order": "grb"}, UserError, "'grb' is not one of rgb, bgr"),
        (0, {"half_life": -1}, UserError, "half_life"),
    ],
    ids=lambda value: re.sub(" (at|object).*", "", repr(value))[:30],  # no addresses: two processes must agree
)
def test_what_is_no_stream_is_refused(recognizer, source, options, kind, words):
    with pytest.raises(kind, match=words) as error:
        list(recognizer.stream(source, **options))
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("source", [0, iter([RED]), [RED], Camera(), None], ids=lambda value: type(value).__name__)
def test_video_names_stream(recognizer, source):
    with pytest.raises(UserError, match=r"recognizer\.stream\(\.\.\.\) takes") as error:
        recognizer.video(source)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("source", [b"bytes", io.BytesIO(), memoryview(b"")], ids=lambda value: type(value).__name__)
def test_video_takes_no_bytes(recognizer, source):
    with pytest.raises(UserError, match="write its bytes to one"):
        Clip(recognizer, source)


def test_video_takes_no_address(recognizer):
    with pytest.raises(UserError, match=r"is an address, not a file: download it first.*recognizer\.stream"):
        recognizer.video("rtsp://camera.local/1")
