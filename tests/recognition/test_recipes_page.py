"""The programs of docs/recipes.md run as they stand."""

import io
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from camera import Camera, readers
from fastapi.testclient import TestClient
from PIL import Image
from skimage.data import astronaut

ROOT = Path(__file__).parents[2]
FACE = astronaut()[:256, 100:356]


@pytest.fixture(scope="module")
def recipes():
    """The programs by the heading they stand under."""
    text = (ROOT / "docs/recipes.md").read_text()
    return {part.split("\n")[0]: re.search(r"```python\n(.*?)```", part, re.DOTALL) for part in text.split("\n## ")}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with photo.jpg and photos/, of which one is damaged."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("photo.jpg", "photos/a.jpg", "photos/c.jpg"):
        Image.fromarray(FACE).save(name, quality=95)
    (tmp_path / "photos" / "b.jpg").write_bytes(b"no picture")
    return tmp_path


def run(recipes, heading):
    names = {}
    exec(compile(recipes[heading][1], heading, "exec"), names)
    return names


def test_json(recipes, capsys):
    run(recipes, "Results as JSON")
    (face,) = json.loads(capsys.readouterr().out)
    assert face["emotion"] == "happy"


def test_a_web_service(recipes):
    client = TestClient(run(recipes, "A web service (FastAPI)")["app"])
    file = io.BytesIO()
    Image.fromarray(FACE).save(file, "png")
    answer = client.post("/faces", files={"file": ("face.png", file.getvalue())})
    assert answer.status_code == 200 and [face["emotion"] for face in answer.json()] == ["happy"]
    answer = client.post("/faces", files={"file": ("face.png", b"no picture")})
    assert answer.status_code == 422 and "not a picture" in answer.json()["detail"]


def test_a_camera(recipes, monkeypatch, capsys):
    camera, shown, keys = Camera(itertools.repeat(FACE[:, :, ::-1])), [], iter([-1, ord("q")])
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: camera)
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: shown.append(np.asarray(picture)))
    monkeypatch.setattr(cv2, "waitKey", lambda delay: next(keys))
    run(recipes, "A camera (OpenCV)")
    assert len(shown) == 2 and camera.is_released and not readers()
    assert (shown[0] != FACE[:, :, ::-1]).any(-1).mean() < 0.5  # BGR, with a box
    assert [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()] == ["[(1, 'happy')]"] * 2


def test_many_pictures(recipes, capsys, caplog):
    run(recipes, "Many pictures")
    assert capsys.readouterr().out.splitlines() == ["a.jpg ['happy']", "b.jpg []", "c.jpg ['happy']"]
    assert len(caplog.records) == 1


def test_a_pool_of_workers(recipes, here):
    for name in ("b.jpg", "c.jpg"):  # one picture starts one worker
        (here / "photos" / name).unlink()
    (here / "pool.py").write_text(recipes["A pool of workers"][1])
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "pool.py"], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "a.jpg ['happy']\n"
