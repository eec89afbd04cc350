"""`fer-hub predict`: what it finds, prints and writes, and what one bad file does."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import clips
import damaged
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from fer_hub import EmotionRecognizer, FERModel, images
from fer_hub.cli.arguments import main
from fer_hub.hub.locate import DEFAULT_MODEL
from fer_hub.recognition.video_reader import VideoFile

FACE = data.astronaut()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Pictures in a folder, one of them in a subfolder and one damaged, beside what is to be passed over."""
    folder = tmp_path_factory.mktemp("made") / "photos"
    (folder / "more").mkdir(parents=True)
    (folder / ".cache").mkdir()
    Image.fromarray(FACE).save(folder / "a.png")
    Image.fromarray(FACE).save(folder / "a.jpg", quality=95)
    Image.fromarray(data.camera()).save(folder / "more" / "b.tif")
    Image.new("RGB", (60, 40), "white").save(folder / "z.bmp")
    (folder / "cut.jpg").write_bytes((folder / "a.jpg").read_bytes()[:5000])
    (folder / "notes.txt").write_text("no picture")
    shutil.copy(folder / "a.png", folder / ".cache" / "a.png")
    shutil.copy(folder / "a.png", folder / ".a.png")
    os.mkfifo(folder / "pipe.png")  # whoever opens it waits forever
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """The working folder, with photos/ in it."""
    (tmp_path / "photos").symlink_to(made)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def talk(here):
    """Five pictures of a face that moves, half a second in all."""
    return clips.write(here / "talk.mp4", [np.roll(FACE, 8 * step, axis=1) for step in range(5)], rate=10)


def found(capsys, *arguments, status=0):
    assert main(["predict", *arguments, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_picture(here, capsys):
    torch.set_num_threads(2)
    assert main(["predict", "photos/a.png"]) == 0
    assert torch.get_num_threads() == 1
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("photos/a.png: happy 9") and said.out.endswith("box 178, 57, 273, 177\n")
    assert len(said.out.splitlines()) == 1


def test_json_has_what_the_recognizer_finds(here, capsys):
    result = found(capsys, "photos/a.png", "./photos/more/b.tif")
    recognizer = EmotionRecognizer.from_pretrained()
    expected = [
        {"file": "photos/a.png", "width": 512, "height": 512, "faces": [f.to_dict() for f in recognizer(FACE)]},
        {"file": "./photos/more/b.tif", "width": 512, "height": 512,
         "faces": [f.to_dict() for f in recognizer(data.camera())]},
    ]  # fmt: skip
    assert result == {"model": DEFAULT_MODEL, "files": json.loads(json.dumps(expected)), "failed": 0}
    assert [len(file["faces"]) for file in result["files"]] == [1, 1]


def test_one_bad_file_of_a_folder_is_reported_and_the_rest_goes_on(here, capsys):
    assert main(["predict", "photos", "photos/../photos/a.png", "nowhere.png"]) == 2
    said = capsys.readouterr()
    *lines, last = said.out.splitlines()
    assert [re.sub(r"(uncertain \()?\w+ \d+ %\)?, box .*", "FACE", line) for line in lines] == [
        "photos/a.jpg: FACE",
        "photos/a.png: FACE",
        "photos/z.bmp: no face found",
        "photos/more/b.tif: FACE",
    ]
    assert "happy" in lines[0] and "happy" in lines[1]
    assert last == "2 of 6 files could not be read, or only in part"
    first, second = said.err.splitlines()  # no progress bar: this is no terminal
    assert first.startswith("error: photos/cut.jpg is damaged") and second.startswith("error: cannot open nowhere.png")

    result = found(capsys, "photos", "nowhere.png", status=2)
    names = ["photos/a.jpg", "photos/a.png", "photos/cut.jpg", "photos/z.bmp", "photos/more/b.tif", "nowhere.png"]
    assert [file["file"] for file in result["files"]] == names and result["failed"] == 2
    assert [file["file"] for file in result["files"] if "error" in file] == ["photos/cut.jpg", "nowhere.png"]
    assert result["files"][3] == {"file": "photos/z.bmp", "width": 60, "height": 40, "faces": []}


def test_forty_damaged_pictures_are_a_line_each_and_take_seconds(here, capsys):
    (here / "bad").mkdir()
    contents = [*damaged.by_decoder().items(), *((f"{form}.png", damaged.saved(form)[:40]) for form in damaged.FORMATS)]
    for number in range(40):
        name, content = contents[number % len(contents)]
        (here / "bad" / f"{number:02}-{name}").write_bytes(content)
    start = time.monotonic()
    assert main(["predict", "bad", "photos/a.png"]) == 2
    assert time.monotonic() - start < 20
    said = capsys.readouterr()
    face, last = said.out.splitlines()
    assert face.startswith("photos/a.png: happy ") and last.startswith("40 of 41 files could not be read")
    assert len(said.err.splitlines()) == 40
    assert all(re.match(r"error: bad/\d\d-\S+ is (damaged|not a picture)", line) for line in said.err.splitlines())


def test_uncertain_faces_are_named_so(here, capsys):
    model = FERModel.from_pretrained("paper-cnn")
    model.abstention_threshold = 0.9
    model.save_pretrained(here / "careful")
    assert main(["predict", "photos/a.png", "photos/more/b.tif", "--model", "careful"]) == 0
    sure, unsure = capsys.readouterr().out.splitlines()
    assert "uncertain" not in sure and "b.tif: uncertain (surprise " in unsure and " %), box 1" in unsure


def test_output_of_pictures(here, made, capsys):
    before = contents(made)
    shutil.copy(here / "photos" / "a.png", here / "predictions.png")
    result = found(capsys, "photos", "predictions.png", "photos/more", "--output", "out", status=2)
    assert contents(made) == before

    written = {file["file"]: file.get("written") for file in result["files"]}
    assert written == {
        "photos/a.jpg": ["out/a.jpg"],
        "photos/a.png": ["out/a.png"],
        "photos/cut.jpg": None,
        "photos/z.bmp": ["out/z.png"],
        "photos/more/b.tif": ["out/more/b.png"],  # once, although photos/more was named too
        "predictions.png": ["out/predictions.png"],
    }
    tables = {"predictions.csv", "predictions.json"}
    assert set(contents(here / "out")) == {file[0][4:] for file in written.values() if file} | tables
    drawn = np.asarray(Image.open("out/a.png")).astype(int)
    different = np.abs(drawn - FACE).sum(2) > 0
    left, top, right, bottom = result["files"][1]["faces"][0]["box"]
    assert different[top, left:right].mean() > 0.9 and different[top:bottom, left].mean() > 0.9
    assert not different[bottom + 5 :].any()
    assert Image.open("out/a.jpg").format == "JPEG" and Image.open("out/more/b.png").size == (512, 512)

    assert json.loads(Path("out/predictions.json").read_text()) == result
    with open("out/predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    flat = [(file["file"], face) for file in result["files"] for face in file.get("faces", [])]
    assert [(row["file"], row["face"], row["emotion"]) for row in rows] == [(f, "1", x["emotion"]) for f, x in flat]
    for row, (_, face) in zip(rows, flat, strict=True):
        assert [int(row[side]) for side in ("left", "top", "right", "bottom")] == face["box"]
        assert {name: float(row[name]) for name in face["probabilities"]} == face["probabilities"]

    first = contents(here / "out")
    found(capsys, "photos", "predictions.png", "photos/more", "--output", "out", status=2)  # its own results may go
    assert contents(here / "out") == first


def test_results_of_one_name_do_not_cover_each_other(here, talk, capsys):
    for name in ("same/x.tif", "same/x.png", "same/x.PNG", "other/x.png", "other/predictions.png"):
        (here / name).parent.mkdir(exist_ok=True)
        Image.new("L", (32, 32)).save(here / name)
    talk.rename(here / "same" / "x.mp4")
    clips.write(here / "other" / "predictions.mkv", clips.shades(2))
    result = found(capsys, "same", "other", "--output", "out")
    assert [(file["file"], file["written"][0]) for file in result["files"]] == [
        ("same/x.PNG", "out/x.PNG"),
        ("same/x.mp4", "out/x_5.csv"),
        ("same/x.png", "out/x_2.png"),
        ("same/x.tif", "out/x_4.png"),
        ("other/predictions.mkv", "out/predictions_2.csv"),
        ("other/predictions.png", "out/predictions.png"),
        ("other/x.png", "out/x_3.png"),
    ]
    assert len(contents(here / "out")) == 5 + 2 * 4 + 2
    assert json.loads(Path("out/predictions.json").read_text()) == result


def test_a_video(here, talk, capsys):
    assert main(["predict", "talk.mp4"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "talk.mp4: 0.5 s, 5 frames looked at, 1 face",
        "talk.mp4: face 1, 0.0 to 0.4 s: mostly happy (100 % of its frames)",
    ]
    result = found(capsys, "talk.mp4", "--every", "2", "--output", "out")["files"][0]
    assert result["tracks"][0].pop("shares")["happy"] == 1
    assert result == {
        "file": "talk.mp4",
        "duration": 0.5,
        "frames_seen": 3,
        "problem": None,
        "tracks": [{"track": 1, "frames": 3, "start": 0, "end": 0.4, "emotion": "happy", "uncertain": 0}],
        "written": ["out/talk.csv", "out/talk.json", "out/talk.png", "out/talk.mp4"],
    }
    with open("out/talk.csv", newline="") as file:
        assert [(row["frame"], row["emotion"]) for row in csv.DictReader(file)] == [(n, "happy") for n in "024"]
    record = json.loads(Path("out/talk.json").read_text())
    assert [frame["frame"] for frame in record["frames"]] == [0, 2, 4] and record["problem"] is None
    assert Image.open("out/talk.png").size[0] == 1200
    assert len(list(VideoFile("out/talk.mp4"))) == 5
    assert "probabilities" not in Path("out/predictions.json").read_text()


def test_a_video_that_breaks_off_gives_what_it_has_and_ends_with_2(here, capsys):
    whole = clips.write(here / "whole.mkv", clips.noise(40)).read_bytes()
    (here / "half.mkv").write_bytes(whole[: len(whole) // 2])
    assert main(["predict", "half.mkv", "--output", "out"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: half.mkv: after ")
    assert "half.mkv: 2.0 s" in said.out and "no face found" in said.out
    assert json.loads(Path("out/half.json").read_text())["problem"] in said.err
    (here / "none.mp4").write_bytes(b"no video")
    result = found(capsys, "half.mkv", "none.mp4", "photos/z.bmp", status=2)
    assert 10 < result["files"][0]["frames_seen"] < 30 and result["files"][0]["problem"] in said.err
    assert result["failed"] == 2 and "none.mp4 is not a video" in result["files"][1]["error"]
    assert result["files"][2]["faces"] == []


def test_faces_that_are_cut_already(here, talk, capsys):
    Image.fromarray(FACE[57:178, 178:273]).save("cut.png")
    result = found(capsys, "cut.png", "photos/z.bmp", "talk.mp4", "--crop", status=2)
    model = FERModel.from_pretrained(DEFAULT_MODEL)
    for entry, file in zip(result["files"], ["cut.png", "photos/z.bmp"], strict=False):
        (face,) = entry["faces"]
        assert face["box"] == [0, 0, entry["width"], entry["height"]] and face["detection_score"] is None
        assert face["probabilities"] == pytest.approx(model.predict(file)[0], abs=1e-6)
    assert result["files"][2]["error"] == "talk.mp4 is a video: --crop is for pictures of one face each."


def test_limits_of_faces(here, capsys):
    twice = np.hstack([FACE[:256, 100:356], np.asarray(Image.fromarray(FACE[:256, 100:356]).resize((128, 256)))])
    Image.fromarray(twice).save("twice.png")
    every, largest, large = (
        [face["box"] for face in found(capsys, "twice.png", *limits)["files"][0]["faces"]]
        for limits in ([], ["--max_faces", "1"], ["--min_face_size", "80"])
    )
    assert len(every) == 2 and largest == large == [box for box in every if box[2] < 256]


def test_animations_and_folders_of_frames_are_videos(here, capsys):
    moving = [np.roll(FACE, 8 * step, axis=1) for step in range(12)]
    clips.animation(here / "wave.gif", moving[:5], 100)
    clips.folder(here / "take.2", moving)
    clips.folder(here / "take.2" / "more", moving[:3], "{}.jpg")
    result = found(capsys, "wave.gif", "take.2", "--as_video", "--fps", "10", "--output", "out")
    assert result["failed"] == 0
    told = [(file["file"], file["duration"], file["frames_seen"], file["written"][0]) for file in result["files"]]
    assert told == [
        ("wave.gif", 0.5, 5, "out/wave.csv"),
        ("take.2", 1.2, 12, "out/take.2.csv"),
        ("take.2/more", 0.3, 3, "out/take.2/more.csv"),
    ]
    assert {track["emotion"] for file in result["files"] for track in file["tracks"]} == {"happy"}
    assert len(list(VideoFile("out/take.2.mp4"))) == 12


def test_a_part_of_a_video(here, talk, capsys):
    result = found(capsys, "talk.mp4", "--start", "0.2", "--end", "0.4", "--output", "out")["files"][0]
    assert (result["duration"], result["frames_seen"]) == (0.5, 2)
    assert (result["tracks"][0]["start"], result["tracks"][0]["end"]) == (0.2, 0.3)
    assert [picture.time for picture in VideoFile("out/talk.mp4")] == pytest.approx([0, 0.1])
    assert "start=7 is after the end" in found(capsys, "talk.mp4", "--start", "7", status=2)["files"][0]["error"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["photos/a.png", "--max_faces", "-1"], "max_faces=-1 is not a whole number from 1 on"),
        (["photos", "--output", "photos"], "is in photos, which is searched"),
        (["photos", "--output", "photos/more/out"], "is in photos, which is searched"),
        (["own/a.png", "--output", "own"], "would overwrite own/a.png, which is to be read"),
        (["photos/a.png", "--output", "own"], "own has files that results could overwrite"),
        (["photos/a.png", "--output", "own/a.png"], "own/a.png is a file"),
        (["photos/a.png", "--output", "own/a.png/out"], "cannot make the folder own/a.png/out"),
        (["photos/a.png", "--output", "out", "--model", "nowhere"], "no model at nowhere"),
        (["photos/a.png", "--every", "0"], "every 0 is not a whole number from 1 on"),
        (["photos/a.png", "--start", "2", "--end", "1"], "end=1.0 is not after start=2.0"),
        (["photos", "--fps", "10"], "add --as_video"),
        (["empty"], "empty has no picture or video"),
    ],
)
def test_mistakes_end_with_2_and_change_nothing(arguments, words, here, made, capsys):
    (here / "own").mkdir()
    (here / "empty").mkdir()
    shutil.copy(made / "z.bmp", here / "own" / "a.png")
    before = contents(here), contents(made)
    assert main(["predict", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and words in said.err
    assert (contents(here), contents(made)) == before


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_progress_bar_is_for_terminals_and_more_than_one_file(here, talk, monkeypatch):
    for inputs, bar in (["photos/z.bmp"], None), (["photos/z.bmp", "photos/a.jpg"], "file"), (["talk.mp4"], "/0.50"):
        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        assert main(["predict", *inputs]) == 0
        assert bar in terminal.getvalue() if bar else terminal.getvalue() == ""


def test_ctrl_c_ends_it_and_the_same_line_starts_again(here, monkeypatch, capsys):
    line = ["predict", "photos/a.png", "photos/z.bmp", "--output", "out"]
    read = images.read

    def interrupted(image, *rest):
        if isinstance(image, str) and image == "photos/z.bmp":
            signal.raise_signal(signal.SIGINT)
        return read(image, *rest)

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # as a terminal's Ctrl-C finds it
    try:
        with monkeypatch.context() as patch:
            patch.setattr(images, "read", interrupted)
            assert main(line) == 130
    finally:
        signal.signal(signal.SIGINT, handler)
    assert capsys.readouterr() == ("", "stopped: nothing is half done; the same line starts again\n")
    assert json.loads(Path("out/predictions.json").read_text())["files"] == []
    assert main(line) == 0
    assert len(json.loads(Path("out/predictions.json").read_text())["files"]) == 2


def test_a_process_of_its_own_with_a_name_that_is_not_utf8(here):
    shutil.copy(here / "photos" / "a.png", os.path.join(os.fsencode(here), b"caf\xe9.png"))
    command = [sys.executable, "-m", "fer_hub", "predict", b"caf\xe9.png", "nowhere.png"]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": root})
    assert done.returncode == 2
    assert done.stdout.startswith("caf\\udce9.png: happy 9")
    assert done.stderr == "error: cannot open nowhere.png: No such file or directory.\n"
