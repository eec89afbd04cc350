"""The figure and the words say the same as the frames."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from fer_hub import colors, timeline
from fer_hub.recognition.face_tracks import TrackedFace
from fer_hub.recognition.video import Frame

NAMES = ["angry", "happy", "sad"]


def face(track, **probabilities):
    return TrackedFace({name: probabilities.get(name, 0.0) for name in NAMES}, (0, 0, 9, 9), 0.9, False, None, track)


def film(*faces_at, spacing=0.1):
    return [Frame(number, number * spacing, list(faces)) for number, faces in enumerate(faces_at)]


HAPPY, SAD = face(1, happy=0.8, sad=0.2), face(1, happy=0.1, sad=0.9)
CHANGE = film(*[[HAPPY]] * 20, *[[]] * 10, *[[SAD]] * 10)


def drawn(frames, names=NAMES):
    file = io.BytesIO()
    timeline.plot(frames, names, file)
    picture = Image.open(file)
    assert picture.format == "PNG"
    return np.asarray(picture.convert("RGB"))


def columns(picture, name):
    """The columns in which most of the height has the colour of an expression; the legend is outside."""
    color = ImageColor.getrgb(colors.of(NAMES)[name])
    share = (picture == color).all(-1).mean(0)
    return np.flatnonzero(share > 0.25)


def test_the_figure_has_areas_gaps_and_names():
    picture = drawn(CHANGE)
    happy, sad = columns(picture, "happy"), columns(picture, "sad")
    assert not len(columns(picture, "angry"))
    width = (sad.max() + 1 - happy.min()) / 4  # of a second
    assert np.ptp(happy) == pytest.approx(2 * width, abs=3) and np.ptp(sad) == pytest.approx(width, abs=3)
    assert sad.min() - happy.max() == pytest.approx(width, abs=4)  # nothing is drawn where there was no face


def test_a_damaged_part_is_a_gap_too():
    frames = film(*[[HAPPY]] * 30) + [Frame(60 + n, 6 + n / 10, [HAPPY]) for n in range(30)]
    happy = columns(drawn(frames), "happy")
    assert np.diff(happy).max() > 0.2 * np.ptp(happy)  # 3 to 4 s are held, 4 to 6 s are unknown
    assert timeline.describe(frames).startswith("Face 1, 0.0 to 3.9 s, 6.0 to 9.0 s: mostly happy (100 % of the time)")


def test_a_single_picture_and_no_face_at_all_are_drawn():
    assert len(columns(drawn(film([HAPPY])), "happy"))
    for frames in ([], film([], [])):
        picture = drawn(frames)
        assert not any(len(columns(picture, name)) for name in NAMES)
        assert timeline.describe(frames) == "No face was found."


def test_frames_and_their_json_are_the_same():
    records = [frame.to_dict() for frame in CHANGE]
    assert np.array_equal(drawn(CHANGE), drawn(iter(records)))
    assert timeline.describe(iter(CHANGE)) == timeline.describe(records)


def test_the_figure_goes_to_a_path_too(tmp_path):
    timeline.plot(CHANGE, NAMES, tmp_path / "figure")
    assert Image.open(tmp_path / "figure").format == "PNG"


def test_words():
    assert timeline.describe(CHANGE) == (
        "Face 1, 0.0 to 2.0 s, 3.0 to 4.0 s: mostly happy (67 % of the time); happy from 0.0 s, sad from 3.0 s."
    )


def test_words_leave_out_what_was_over_at_once():
    frames = film(*[[HAPPY]] * 10, [SAD], *[[HAPPY]] * 10, *[[SAD]] * 5)
    assert timeline.describe(frames).endswith("happy from 0.0 s, sad from 2.1 s.")
    assert timeline.describe(film([SAD])).endswith("mostly sad (100 % of the time); sad from 0.0 s.")


def test_words_are_bounded():
    flicker = film(*([[HAPPY]] * 6 + [[SAD]] * 6) * 20)
    assert timeline.describe(flicker).endswith("sad from 4.2 s, and 32 more changes.")
    coming = film(*([[HAPPY]] * 2 + [[]] * 2) * 20)
    assert "28.0 to 28.2 s" not in timeline.describe(coming) and " and 12 more times: mostly" in timeline.describe(
        coming
    )


def test_the_longest_faces_are_shown_and_the_others_counted():
    frames = film(*([face(track, happy=1.0) for track in range(1, 7) if number < 10 * track] for number in range(60)))
    words = timeline.describe(frames).splitlines()
    assert [line.split(",")[0] for line in words[:-1]] == ["Face 3", "Face 4", "Face 5", "Face 6"]
    assert words[-1] == "Not described: 2 faces seen for a shorter time."
    assert drawn(frames).shape[0] > 2 * drawn(CHANGE).shape[0]  # a panel each
