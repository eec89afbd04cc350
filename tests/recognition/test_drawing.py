"""What is drawn on pictures, and the colours: legible, told apart, within the picture."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageColor
from skimage import data
from skimage.color import deltaE_ciede2000, rgb2lab

from fer_hub import EMOTIONS, colors
from fer_hub.recognition import drawing
from fer_hub.recognition.face import Face

WITH_CONTEMPT = (*EMOTIONS, "contempt")
GRAY = 128


def face(emotion, box, share=0.93, **more):
    others = [name for name in WITH_CONTEMPT if name != emotion]
    return Face({emotion: share} | dict.fromkeys(others, (1 - share) / len(others)), box, **more)


def blank(width, height):
    return Image.new("L", (width, height), GRAY)


def touched(picture, faces):
    """Which pixels drawing changes: bool (H, W)."""
    drawn = np.asarray(drawing.draw(picture, faces, WITH_CONTEMPT)).astype(int)
    return (drawn != np.asarray(picture.convert("RGB"))).any(-1)


def share_of(pixels, color):
    return (pixels == ImageColor.getrgb(color)).all(-1).mean()


# --- drawing ---


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("number", [0, 1, 3])
def test_the_drawn_picture_is_new_and_of_the_same_size(mode, number):
    picture = Image.fromarray(data.camera()).convert(mode)
    before = picture.tobytes()
    faces = [face("happy", (100 * n + 10, 200, 100 * n + 90, 290)) for n in range(number)]
    drawn = drawing.draw(picture, faces, EMOTIONS)
    assert drawn is not picture and drawn.mode == "RGB" and drawn.size == picture.size
    assert picture.tobytes() == before
    assert (drawn.tobytes() == picture.convert("RGB").tobytes()) == (number == 0)
    drawn.putpixel((0, 0), (1, 2, 3))
    assert picture.tobytes() == before


def test_the_box_is_where_the_face_is():
    box = (200, 150, 300, 280)
    changed = touched(blank(640, 480), [face("sad", box)])
    rows, columns = np.nonzero(changed[150:])  # below the caption
    assert (columns.min(), columns.max(), rows.max() + 150) == (200, 299, 279)
    assert not changed[155:275, 205:295].any()  # the face stays in sight


@pytest.mark.parametrize("box", [(0, 0, 640, 480), (0, 100, 50, 200), (560, 400, 640, 480), (639, 479, 640, 480)])
def test_boxes_at_the_edge_are_drawn_on_all_sides(box):
    drawn = np.asarray(drawing.draw(blank(640, 480), [face("sad", box)], EMOTIONS))
    color = ImageColor.getrgb(colors.of(EMOTIONS)["sad"])
    left, top, right, bottom = box
    middle = (top + bottom) // 2
    assert tuple(drawn[middle, left]) == tuple(drawn[middle, right - 1]) == tuple(drawn[bottom - 1, left]) == color


@pytest.mark.parametrize(
    ("box", "side"),
    [
        ((200, 150, 300, 280), "above"),
        ((200, 0, 300, 100), "below"),
        ((590, 150, 640, 280), "above"),
        ((0, 10, 60, 100), "below"),
    ],
)
def test_the_caption_stands_beside_the_box_and_within_the_picture(box, side):
    drawn = drawing.draw(blank(640, 480), [face("neutral", box, uncertain=True)], EMOTIONS)
    changed = (np.asarray(drawn) != GRAY).any(-1)
    left, top, right, bottom = box
    assert not changed[top + 5 : bottom - 5, left + 5 : right - 5].any()
    caption = np.argwhere(changed[:top] if side == "above" else changed[bottom + 2 :])
    height, width = np.ptp(caption, axis=0) + 1
    assert 12 <= height <= 40 and 5 * height < width < 15 * height  # whole: "uncertain (neutral 93 %)"


def test_a_face_that_fills_the_picture_has_its_caption_inside():
    drawn = np.asarray(drawing.draw(blank(320, 240), [face("happy", (0, 0, 320, 240))], EMOTIONS))
    caption = drawn[:18, :60]
    assert not (caption == GRAY).all(-1).any() and caption.max(-1).min() < 60 < 200 < caption.max()
    assert (drawn[120:220, 20:300] == GRAY).all()


def test_captions_of_a_row_of_faces_do_not_cover_each_other():
    boxes = [(x, 200, x + 100, 330) for x in range(10, 1100, 120)]
    picture = blank(1200, 600)
    together = touched(picture, [face("sad", box) for box in boxes])
    alone = sum(touched(picture, [face("sad", box)]).astype(int) for box in boxes)
    assert alone.max() == 1 and np.array_equal(together, alone > 0)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3), (48, 48), (4000, 3000)])
def test_every_size_of_picture_is_drawn_on(size):
    faces = [face("surprise", (0, 0, *size), uncertain=True), face("fear", (0, 0, 1, 1))]
    assert drawing.draw(blank(*size), faces, EMOTIONS).size == size


def test_captions_grow_with_the_picture():
    def height(scale):
        box = (200 * scale, 150 * scale, 300 * scale, 280 * scale)
        rows = np.nonzero(touched(blank(640 * scale, 480 * scale), [face("sad", box)])[: 150 * scale])[0]
        return np.ptp(rows)

    assert height(4) == pytest.approx(4 * height(1), rel=0.15)


@pytest.mark.parametrize(
    ("emotion", "share", "uncertain", "text"),
    [
        ("happy", 0.93, False, "happy 93 %"),
        ("sad", 0.306, True, "uncertain (sad 31 %)"),
        ("fear", 1.0, False, "fear 100 %"),
    ],
)
def test_captions_in_words(emotion, share, uncertain, text):
    assert drawing.caption(face(emotion, (0, 0, 9, 9), share, uncertain=uncertain)) == text


def luminance(color):
    """Relative luminance, 0..1: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    red, green, blue = linear(np.array(ImageColor.getrgb(color)) / 255)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(color, other):
    darker, lighter = sorted([luminance(color), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("emotion", WITH_CONTEMPT)
def test_captions_are_legible_on_every_colour(emotion):
    color = colors.of(WITH_CONTEMPT)[emotion]
    drawn = np.asarray(drawing.draw(blank(640, 480), [face(emotion, (200, 150, 300, 280))], WITH_CONTEMPT))
    caption = drawn[:150]
    inks = [ink for ink in ("black", "white") if share_of(caption, ink) > 0]
    assert len(inks) == 1 and share_of(caption, color) > 0
    assert contrast(inks[0], color) >= 4.5  # WCAG 2.2, level AA


# --- colours ---

# Linear RGB as people see it who lack the long-, middle- or short-wave cones: Machado, Oliveira and Fernandes 2009,
# "A Physiologically-based Model for Simulation of Color Vision Deficiency", the matrices of severity 1.0.
VISION = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(srgb):
    """IEC 61966-2-1; 0..1."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def seen(color, vision):
    """The colour in CIELAB."""
    light = np.clip(np.array(VISION[vision]) @ linear(np.array(ImageColor.getrgb(color)) / 255), 0, 1)
    return rgb2lab(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("label_names", [EMOTIONS, WITH_CONTEMPT], ids=len)
def test_colour_blind_people_tell_the_colours_apart(label_names, vision):
    """CIEDE2000 of 2.3 is just noticeable side by side; boxes are apart, so it takes several times that."""
    for (name, color), (other, another) in combinations(colors.of(label_names).items(), 2):
        assert deltaE_ciede2000(seen(color, vision), seen(another, vision)) > 10, (name, other)


@pytest.mark.parametrize("background", ["white", "#0b0f19"])
def test_the_gray_of_neutral_is_seen_on_light_and_dark_pages(background):
    assert contrast(colors.of(EMOTIONS)["neutral"], background) >= 3  # WCAG 2.2, graphical objects; #0b0f19 is Gradio's


def test_an_expression_has_its_colour_in_every_label_set():
    seven, some = colors.of(EMOTIONS), colors.of(("sad", "bored", "happy"))
    assert list(seven) == list(EMOTIONS)
    assert list(some) == ["sad", "bored", "happy"]
    assert (some["sad"], some["happy"]) == (seven["sad"], seven["happy"])
    assert colors.of(EMOTIONS[::-1]) == seven


@pytest.mark.parametrize("count", [1, 2, 8])
def test_unknown_labels_have_colours_of_their_own(count):
    names = [f"class {number}" for number in range(count)]
    found = colors.of(names)
    assert list(found) == names and len(set(found.values())) == count
    for color in found.values():
        ImageColor.getrgb(color)


def test_unknown_labels_leave_the_known_ones_their_colours():
    names = ("bored", "sad", "tired", "neutral")
    found = colors.of(names)
    assert len(set(found.values())) == 4
    assert {name: found[name] for name in ("sad", "neutral")} == {
        name: colors.of(EMOTIONS)[name] for name in ("sad", "neutral")
    }


@pytest.mark.parametrize("names", [[f"class {n}" for n in range(20)], [*WITH_CONTEMPT, "bored", "tired"]], ids=len)
def test_more_than_eight_classes_share_colours(names):
    found = colors.of(names)
    assert list(found) == names and len(set(found.values())) == 8
    assert found[names[-1]] != found[names[-2]]
