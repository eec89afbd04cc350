"""What becomes of pictures of other modes, sizes and orientations."""

import numpy as np
import pytest
from PIL import Image

from fer_hub.images import to_gray_square

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (48, 48), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (48, 48, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (48, 48), dtype=np.uint8)
LUMA = COLOUR @ np.array([0.299, 0.587, 0.114])


def assert_close(actual, expected, tolerance):
    assert actual.shape == (48, 48) and actual.dtype == np.uint8
    assert np.abs(actual.astype(float) - expected).max() <= tolerance


def test_gray_picture_of_the_right_size_passes_unchanged():
    actual = to_gray_square(Image.fromarray(GRAY))
    assert actual.dtype == np.uint8
    assert np.array_equal(actual, GRAY)


def test_colour_becomes_luma():
    assert_close(to_gray_square(Image.fromarray(COLOUR)), LUMA, 0.51)


def test_alpha_is_dropped():
    with_alpha = Image.fromarray(np.dstack([COLOUR, ALPHA]))
    assert with_alpha.mode == "RGBA"
    assert np.array_equal(to_gray_square(with_alpha), to_gray_square(Image.fromarray(COLOUR)))
    gray_with_alpha = Image.merge("LA", (Image.fromarray(GRAY), Image.fromarray(ALPHA)))
    assert np.array_equal(to_gray_square(gray_with_alpha), GRAY)


@pytest.mark.parametrize("transparency", [None, 7])
def test_palette_becomes_luma_of_its_colours(transparency):
    palette = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
    image = Image.fromarray(GRAY).copy()
    image.putpalette(palette.tobytes())
    assert image.mode == "P"
    if transparency is not None:
        image.info["transparency"] = transparency
    assert_close(to_gray_square(image), (palette @ np.array([0.299, 0.587, 0.114]))[GRAY], 0.51)


def test_one_bit_becomes_black_and_white():
    bits = GRAY > 127
    assert np.array_equal(to_gray_square(Image.fromarray(bits)), np.where(bits, 255, 0))


@pytest.mark.parametrize(("mode", "kind"), [("I;16", "<u2"), ("I;16B", ">u2")])
def test_sixteen_bits_are_scaled_to_eight(mode, kind):
    deep = RNG.integers(0, 65536, (48, 48))
    deep[0, :4] = 0, 256, 65279, 65535  # the ends must stay black and white
    image = Image.frombytes(mode, (48, 48), deep.astype(kind).tobytes())
    actual = to_gray_square(image)
    assert_close(actual, deep / 257, 1)
    assert (actual[0, 0], actual[0, 3]) == (0, 255)


def test_cmyk_becomes_luma():
    cmyk = RNG.integers(0, 256, (48, 48, 4), dtype=np.uint8)
    image = Image.frombytes("CMYK", (48, 48), cmyk.tobytes())
    ink, black = cmyk[..., :3].astype(float), cmyk[..., 3:].astype(float)
    assert_close(to_gray_square(image), (255 - ink) * (255 - black) / 255 @ np.array([0.299, 0.587, 0.114]), 1.5)


@pytest.mark.parametrize("mode", ["YCbCr", "HSV"])
def test_other_colour_spaces_become_luma(mode):
    smooth = Image.fromarray(COLOUR).resize((12, 12)).resize((48, 48))  # HSV in bytes is too coarse for pure noise
    expected = np.asarray(smooth) @ np.array([0.299, 0.587, 0.114])
    assert_close(to_gray_square(smooth.convert(mode)), expected, 4)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (5, np.transpose),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).T),
        (8, np.rot90),
    ],
)
def test_exif_orientation_is_applied(orientation, upright):
    image = Image.fromarray(GRAY)
    image.getexif()[0x0112] = orientation
    assert np.array_equal(to_gray_square(image), upright(GRAY))


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (47, 49), (224, 224), (100, 10)])
def test_other_sizes_become_48x48(size):
    assert_close(to_gray_square(Image.new("L", size, 123)), np.full((48, 48), 123), 0)
    ramp = np.linspace(0, 255, size[1])[:, None].repeat(size[0], 1).astype(np.uint8)
    if size[1] > 1:
        rows = to_gray_square(Image.fromarray(ramp)).astype(int)
        assert (np.diff(rows, axis=0) >= 0).all() and (np.diff(rows, axis=1) == 0).all()
        assert rows[0, 0] < 30 and rows[-1, 0] > 225  # top stays top


def test_aspect_is_not_kept():
    wide = np.zeros((48, 192), np.uint8)
    wide[:, 96:] = 255
    actual = to_gray_square(Image.fromarray(wide))
    assert (actual[:, :22] == 0).all() and (actual[:, 26:] == 255).all()


def test_shrinking_is_antialiased():
    board = (np.indices((480, 480)).sum(0) % 2 * 255).astype(np.uint8)  # picking pixels would give black or white
    inner = to_gray_square(Image.fromarray(board))[2:-2, 2:-2].astype(int)
    assert np.abs(inner - 127).max() <= 3


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_value_range_are_refused(mode):
    with pytest.raises(ValueError, match=f"mode '{mode}'.*8 or 16 bit"):
        to_gray_square(Image.new(mode, (48, 48)))
