"""`fer-hub live`: what it draws, writes and leaves behind."""

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
from camera import Camera, readers
from PIL import Image
from skimage.data import astronaut

from fer_hub import EmotionRecognizer
from fer_hub.cli import live
from fer_hub.cli.arguments import main

ROOT = Path(__file__).parents[2]
QUIET = ("OPENCV_LOG_LEVEL", "OPENCV_FFMPEG_LOGLEVEL")
FACE = np.asarray(Image.fromarray(astronaut()[20:212, 130:322]).resize((96, 96)))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name in QUIET:  # the command sets them: this takes them back
        monkeypatch.setenv(name, "")
    return tmp_path


@pytest.fixture
def talk(here):
    return clips.write(here / "talk.mp4", [FACE] * 4, rate=10)


@pytest.fixture
def camera(monkeypatch):
    """A face before camera 0, for ever; BGR, as OpenCV gives it."""
    camera = Camera(itertools.repeat(FACE[:, :, ::-1]))
    monkeypatch.setattr(cv2, "VideoCapture", lambda *given: {(0,): camera}[given])
    return camera


@pytest.fixture
def window(monkeypatch):
    """OpenCV's window: the pictures that it showed; `window.keys` are pressed one after the other."""

    class Window(list):
        keys, is_visible = [], True

    shown = Window()
    monkeypatch.setattr(live, "_has_window", lambda: True)
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: shown.append(picture))
    monkeypatch.setattr(cv2, "waitKey", lambda delay: shown.keys.pop(0) if shown.keys else -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda title, name: float(shown.is_visible))
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    return shown


def test_a_table_and_json_lines(talk, capsys):
    expected = list(EmotionRecognizer.from_pretrained().video(talk))
    assert main(["live", "talk.mp4", "--output", "faces.csv"]) == 0
    said = capsys.readouterr()
    assert said.out == "talk.mp4: 0.3 s, 4 frames looked at, 1 face, written to faces.csv\n"
    assert said.err == "writing faces.csv; Ctrl-C ends it and keeps what is written\n"
    with open("faces.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["time"], row["emotion"]) for row in rows] == [
        (str(frame.index), str(frame.time), frame.faces[0].emotion) for frame in expected
    ]
    assert main(["live", "talk.mp4", "--output", "-"]) == 0
    said = capsys.readouterr()
    assert [json.loads(line) for line in said.out.splitlines()] == [frame.to_dict() for frame in expected]
    assert said.err == "talk.mp4: 0.3 s, 4 frames looked at, 1 face\n"


def test_ctrl_c_ends_it_and_keeps_what_is_written(camera, capsys):
    def interrupted():
        yield from itertools.repeat(FACE[:, :, ::-1], 60)
        signal.raise_signal(signal.SIGINT)
        yield from itertools.repeat(FACE[:, :, ::-1])

    camera.pictures = interrupted()
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["live", "--output", "faces.jsonl", "--json"]) == 0
    finally:
        signal.signal(signal.SIGINT, handler)
    result = json.loads(capsys.readouterr().out)
    with open("faces.jsonl") as file:
        frames = [json.loads(line) for line in file]
    assert result["frames_seen"] == len(frames) > 1 and result["seconds"] == frames[-1]["time"]
    assert {face["emotion"] for frame in frames for face in frame["faces"]} == {"happy"}
    assert (datetime.now().astimezone() - datetime.fromisoformat(result["started"])).total_seconds() < 60
    assert result["source"] == "0" and result["written"] == "faces.jsonl" and result["problem"] is None
    assert camera.is_released and not readers()


def test_a_window_shows_the_faces_until_a_key_ends_it(camera, window, capsys):
    window.keys = [-1, ord("x"), ord("q")]
    assert main(["live"]) == 0
    assert len(window) == 3 and camera.is_released and not readers()
    changed = (window[-1] != FACE[:, :, ::-1]).any(-1)
    assert 0.02 < changed.mean() < 0.5  # a box and its words, on a picture in BGR
    assert capsys.readouterr().out.endswith(" s, 3 frames looked at, 1 face\n")


def test_a_closed_window_ends_it_too(camera, window):
    window.is_visible = False
    assert main(["live", "--output", "faces.csv"]) == 0
    assert len(window) == 1
    with open("faces.csv") as file:
        assert len(file.readlines()) == 2


def test_a_camera_that_is_pulled_out_is_told(camera, capsys):
    camera.pictures = iter([FACE[:, :, ::-1]] * 3)
    assert main(["live", "--output", "faces.jsonl", "--json"]) == 2
    said = capsys.readouterr()
    assert "error: camera 0 gives no more pictures after " in said.err
    assert json.loads(said.out)["failed"] == 1 and "(picture 3)" in json.loads(said.out)["problem"]


def test_limits_hold(talk, capsys):
    assert main(["live", "talk.mp4", "--output", "-", "--min_face_size", "90"]) == 0
    assert all(json.loads(line)["faces"] == [] for line in capsys.readouterr().out.splitlines())
    assert main(["live", "talk.mp4", "--output", "-", "--max_faces", "0"]) == 2
    assert "max_faces=0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["0"], "there is no display to draw in"),
        (["rtsp://me:secret@camera.local/1"], "fer-hub live rtsp://camera.local/1 --output faces.csv"),
        (["nowhere.mp4", "--output", "faces.csv"], "there is no such file"),
        (["talk.mp4", "--output", "talk.mp4"], "is neither .csv nor .jsonl"),
        (["talk.mp4", "--output", "old.csv"], "exists, and a recording cannot be repeated"),
        (["talk.mp4", "--output", "none/faces.csv"], "there is no folder none"),
        (["talk.mp4", "--output", "-", "--json"], "leave one out"),
        (["talk.mp4", "--output", "faces.csv", "--model", "nowhere"], "no model at nowhere"),
    ],
)
def test_mistakes_end_with_2_and_leave_nothing(arguments, words, talk, here, capsys):
    (here / "old.csv").write_text("from before")
    assert main(["live", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and words in said.err and "secret" not in said.err
    assert {file.name for file in here.iterdir()} == {"talk.mp4", "old.csv"}
    assert (here / "old.csv").read_text() == "from before"


def test_a_process_of_its_own_says_one_line_about_a_camera_that_is_not_there(here):
    command = [sys.executable, "-m", "fer_hub", "live", "7", "--output", "faces.csv"]
    environment = {name: value for name, value in os.environ.items() if name not in QUIET} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and done.stdout == "" and not list(here.iterdir())
    assert done.stderr.startswith("error: cannot open camera 7: ") and done.stderr.count("\n") == 1


def test_a_display_that_does_not_answer_is_none(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":4711")
    assert not live._has_window()


def test_a_reader_that_has_enough_ends_it(talk, monkeypatch):
    with subprocess.Popen(["true"], stdin=subprocess.PIPE, text=True) as reader:
        monkeypatch.setattr(sys, "stdout", reader.stdin)
        reader.wait()
        assert main(["live", "talk.mp4", "--output", "-"]) == 141
