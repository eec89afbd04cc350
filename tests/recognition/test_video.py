"""A video's faces over time: found, followed, written down and drawn in. With the shipped model and detector."""

import csv
import gc
import itertools
import json
import tracemalloc

import av
import numpy as np
import pytest
from clips import TURNS, corner, noise, shades, turn, write
from PIL import Image
from skimage.data import astronaut

from fer_hub import EmotionRecognizer, UserError
from fer_hub.recognition import drawing, video_writer
from fer_hub.recognition.video import Clip, Frame, to_csv, to_json
from fer_hub.recognition.video_reader import Picture, VideoFile
from fer_hub.recognition.video_writer import writing

FACE = np.asarray(Image.fromarray(astronaut()[20:212, 130:322]).resize((96, 96)))


@pytest.fixture(scope="module")
def recognizer():
    return EmotionRecognizer.from_pretrained()


def scene(*lefts, size=(320, 120)):
    """A picture with the astronaut's face at each place."""
    picture = np.full((size[1], size[0], 3), 60, np.uint8)
    for left in lefts:
        picture[10:106, left : left + 96] = FACE
    return picture


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Two seconds, 20 pictures: one face moves to the right, a second one is there in between."""
    pictures = [scene(6 * n, 220) if 5 <= n < 15 else scene(6 * n) for n in range(20)]
    return write(tmp_path_factory.mktemp("clips") / "moving.mp4", pictures, rate=10, movflags="faststart")


@pytest.fixture
def blank(tmp_path):
    return write(tmp_path / "blank.mp4", shades(4))


def decode(path):
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def cut(path, target, share):
    content = path.read_bytes()
    target.write_bytes(content[: int(len(content) * share)])
    return target


# --- recognition ---


def test_faces_are_found_and_followed(recognizer, moving):
    clip = recognizer.video(moving)
    assert isinstance(clip, Clip) and (clip.duration, clip.frame_count) == (2.0, 20)
    frames = list(clip)
    assert clip.problem is None
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(20)])
    assert [{face.track for face in frame.faces} for frame in frames] == [{1}] * 5 + [{1, 2}] * 10 + [{1}] * 5
    for frame in frames:
        (first,) = (face for face in frame.faces if face.track == 1)
        middle = (first.box[0] + first.box[2]) / 2
        assert abs(middle - (6 * frame.index + 48)) < 12
        assert first.emotion == "happy" and not first.uncertain
    (alone,) = recognizer(scene(0))
    assert frames[0].faces[0].probabilities["happy"] == pytest.approx(alone.probabilities["happy"], abs=0.05)


def test_probabilities_are_smoothed_as_asked(recognizer, moving):
    raw, calm = (
        [face for frame in Clip(recognizer, moving, half_life=seconds) for face in frame.faces if face.track == 1]
        for seconds in (0, 0.3)
    )
    expected = raw[0].probabilities["happy"]
    for before, after in zip(raw[1:], calm[1:], strict=True):
        expected += (1 - 2 ** (-0.1 / 0.3)) * (before.probabilities["happy"] - expected)
        assert after.probabilities["happy"] == pytest.approx(expected, abs=1e-6)
        assert sum(after.probabilities.values()) == pytest.approx(1)


def test_every_nth_picture_is_recognized(recognizer, moving):
    frames = list(Clip(recognizer, moving, every=6))
    assert [(frame.index, frame.time) for frame in frames] == [(0, 0.0), (6, 0.6), (12, 1.2), (18, 1.8)]


def test_the_threshold_is_the_models(recognizer, moving, monkeypatch):
    monkeypatch.setattr(recognizer.model, "abstention_threshold", 1.01)
    assert all(face.uncertain for frame in Clip(recognizer, moving, every=10) for face in frame.faces)


def test_boxes_are_those_of_the_upright_picture(recognizer, tmp_path):
    sideways = np.rot90(scene(100))
    matrix, shown = TURNS["90"]
    assert np.array_equal(shown(sideways), scene(100))
    path = turn(write(tmp_path / "phone.mp4", [sideways]), matrix)
    (frame,) = Clip(recognizer, path, annotated=tmp_path / "out.mp4")
    (face,) = frame.faces
    assert 100 < face.box[0] < face.box[2] < 196 and face.box[3] <= 106
    assert decode(tmp_path / "out.mp4")[0][1].shape == (120, 320, 3)


def test_nothing_happens_before_the_iteration(recognizer, moving, monkeypatch):
    monkeypatch.setattr(recognizer, "detector", lambda picture: pytest.fail("recognized"))
    clip = Clip(recognizer, moving)
    assert clip.problem is None


def test_no_picture_is_kept(recognizer, tmp_path):
    path = write(tmp_path / "in.mp4", itertools.islice(itertools.cycle(shades(50, (480, 270), 1)), 80))
    gc.collect()
    tracemalloc.start()
    try:
        for _ in Clip(recognizer, path, every=39, annotated=tmp_path / "out.mp4"):
            alive = [type(thing) for thing in gc.get_objects() if type(thing) in (Picture, av.VideoFrame)]
            assert alive.count(Picture) == 1 and alive.count(av.VideoFrame) < 5
        assert tracemalloc.get_traced_memory()[1] < 12e6  # the 80 pictures are 31 MB
    finally:
        tracemalloc.stop()


def test_progress_is_told(recognizer, moving, tmp_path, capsys):
    told = []
    list(Clip(recognizer, moving, every=10, progress=lambda *done: told.append(done)))
    assert told == [(0.0, 2.0), (1.0, 2.0), (2.0, 2.0)]
    list(Clip(recognizer, moving, every=10, progress=True))
    output = capsys.readouterr()
    assert "100%" in output.err and output.out == ""
    list(Clip(recognizer, moving, every=10))
    assert capsys.readouterr() == ("", "")


def test_a_video_that_is_cut_off_gives_what_is_there(recognizer, moving, tmp_path):
    clip = Clip(recognizer, cut(moving, tmp_path / "cut.mp4", 0.6), annotated=tmp_path / "out.mp4")
    to_json(clip, tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert 5 < len(written["frames"]) < 18 and written["frames"][0]["faces"]
    assert written["problem"] == clip.problem and "what came before is complete" in clip.problem
    assert len(decode(tmp_path / "out.mp4")) == len(written["frames"])


@pytest.mark.parametrize("every", [0, -1, 1.5, "2"])
def test_every_is_a_whole_number(every, recognizer, blank):
    with pytest.raises(UserError, match="every="):
        Clip(recognizer, blank, every=every)


def test_mistakes_are_told_before_anything_is_computed(recognizer, blank, tmp_path):
    for options, words in (
        ({"half_life": -1}, "half_life"),
        ({"annotated": tmp_path / "out.avi"}, r"name it out\.mp4 \(H\.264\) or out\.webm"),
        ({"annotated": tmp_path / "none" / "out.mp4"}, "there is no folder"),
        ({"annotated": blank}, "is the video itself"),
    ):
        with pytest.raises(UserError, match=words):
            Clip(recognizer, blank, **options)
    with pytest.raises(UserError, match="no such file"):
        Clip(recognizer, tmp_path / "none.mp4")


# --- the annotated video ---


def test_the_annotated_video_carries_boxes_between_recognized_pictures(recognizer, moving, tmp_path):
    frames = {frame.index: frame.faces for frame in Clip(recognizer, moving, every=4, annotated=tmp_path / "out.mp4")}
    annotated, original = decode(tmp_path / "out.mp4"), decode(moving)
    assert [time for time, _ in annotated] == pytest.approx([time for time, _ in original], abs=2e-5)
    for number, ((_, picture), (_, plain)) in enumerate(zip(annotated, original, strict=True)):
        faces = frames[number - number % 4]
        drawn = np.asarray(drawing.draw(Image.fromarray(plain), faces, recognizer.model.label_names))
        changed = (drawn != plain).any(-1)  # boxes and names
        assert changed.sum() > 1000
        difference = np.abs(picture.astype(int) - drawn).mean(-1)
        assert difference[changed].mean() < 25 < np.abs(plain.astype(int) - drawn).mean(-1)[changed].mean()
        assert difference[~changed].mean() < 4


def test_the_annotated_video_plays_in_browsers(recognizer, moving, tmp_path):
    list(Clip(recognizer, moving, every=10, annotated=tmp_path / "out.mp4"))
    content = (tmp_path / "out.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.duration * stream.time_base == 2 and stream.average_rate == 10


def test_webm_is_vp9(recognizer, blank, tmp_path):
    list(Clip(recognizer, blank, annotated=tmp_path / "out.webm"))
    with av.open(str(tmp_path / "out.webm")) as container:
        assert container.streams.video[0].codec_context.name == "vp9"
    assert len(decode(tmp_path / "out.webm")) == 4


def test_odd_sizes_colours_and_times_are_kept(tmp_path):
    pictures, times = [corner((61, 45)), np.full((45, 61, 3), (200, 60, 30), np.uint8)], [0.5, 3.123456]
    with writing(tmp_path / "out.mp4", 25) as add:
        for picture, time in zip(pictures, times, strict=True):
            add(picture, time)
    written = decode(tmp_path / "out.mp4")
    assert [time for time, _ in written] == pytest.approx(times, abs=1e-5)
    assert written[0][1].shape == (46, 62, 3)
    assert np.abs(written[0][1][:45, :61].astype(int) - pictures[0]).mean() < 10
    assert np.abs(written[1][1].astype(int) - (200, 60, 30)).max() < 8  # also in the added row and column


def test_pictures_of_another_size_and_equal_times_do_not_stop_the_writing(tmp_path):
    with writing(tmp_path / "out.mp4", 25) as add:
        add(np.full((48, 64, 3), 50, np.uint8), 1.0)
        for _ in range(4):
            add(np.full((96, 32, 3), 90, np.uint8), 1.0)
    written = decode(tmp_path / "out.mp4")
    assert [picture.shape for _, picture in written] == [(48, 64, 3)] * 5
    assert 0 < np.diff([time for time, _ in written]).min() and written[-1][0] < 1.001
    assert [round(picture.mean(), -1) for _, picture in written] == [50] + [90] * 4


def test_an_iteration_that_is_given_up_leaves_nothing(recognizer, moving, tmp_path):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"from before")
    for _ in Clip(recognizer, moving, annotated=target):
        break
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"] and target.read_bytes() == b"from before"
    list(Clip(recognizer, moving, every=10, annotated=target))
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"] and len(decode(target)) == 20


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    # /dev/full takes nothing; the temporary file is made to be it
    (tmp_path / "full.tmp").symlink_to("/dev/full")
    monkeypatch.setattr(video_writer, "temporary_beside", lambda path: tmp_path / "full.tmp")
    with pytest.raises(UserError, match=r"cannot write .*out\.webm: No space left"):
        with writing(tmp_path / "out.webm", 25) as add:
            for number, picture in enumerate(noise(60)):
                add(picture, number / 25)
    assert not list(tmp_path.iterdir())


# --- tables ---


def test_csv_and_json_hold_the_frames(recognizer, moving, tmp_path):
    frames = list(Clip(recognizer, moving, every=4)) + [Frame(20, 2.0, [])]
    to_csv(frames, tmp_path / "out.csv")
    to_json(iter(frames), tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written == {"frames": [frame.to_dict() for frame in frames], "problem": None}
    assert written["frames"][-1] == {"frame": 20, "time": 2.0, "faces": []}
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = recognizer.model.label_names
    assert list(rows[0]) == ["frame", "time", "track", "emotion", "uncertain", "left", "top", "right", "bottom",
                             "detection_score", *names]  # fmt: skip
    faces = [(frame, face) for frame in frames for face in frame.faces]
    assert len(rows) == len(faces) == 7
    for row, (frame, face) in zip(rows, faces, strict=True):
        assert (int(row["frame"]), float(row["time"])) == (frame.index, frame.time)
        assert (int(row["track"]), row["emotion"], row["uncertain"]) == (face.track, face.emotion, "0")
        assert tuple(int(row[side]) for side in ("left", "top", "right", "bottom")) == face.box
        assert {name: float(row[name]) for name in names} == face.probabilities


def test_tables_of_no_faces(tmp_path):
    to_csv([Frame(0, 0.0, [])], tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().startswith("frame,time,track,emotion")
    to_json([], tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == {"frames": [], "problem": None}


def test_tables_are_whole_or_not_there(recognizer, moving, tmp_path):
    def broken():
        yield from Clip(recognizer, moving, every=10)
        raise RuntimeError("no memory")

    for write_table, target in ((to_csv, tmp_path / "out.csv"), (to_json, tmp_path / "out.json")):
        target.write_text("from before")
        with pytest.raises(RuntimeError, match="no memory"):  # and not "cannot write"
            write_table(broken(), target)
        assert target.read_text() == "from before"
        with pytest.raises(UserError, match="there is no folder"):
            write_table((pytest.fail("computed") for _ in range(1)), tmp_path / "none" / target.name)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_video_is_read_by_its_content_not_its_name(moving, tmp_path):
    (tmp_path / "moving.m3u8").write_bytes(moving.read_bytes())
    assert sum(1 for _ in VideoFile(tmp_path / "moving.m3u8")) == 20
