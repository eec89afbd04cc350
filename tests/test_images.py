"""What becomes of pictures of other modes, sizes and orientations."""

import base64
import io
import os
import struct
import sys
import tempfile
import warnings

import damaged
import heic
import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from fer_hub import UserError, images
from fer_hub.images import MAX_PIXELS, MAX_SLOW_PIXELS, each, read, to_gray_square

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
    with pytest.raises(UserError, match=f"mode '{mode}'.*8 or 16 bit"):
        to_gray_square(Image.new(mode, (48, 48)))


# --- the ways in ---


def png(image=None, form="png"):
    buffer = io.BytesIO()
    (image or Image.fromarray(COLOUR)).save(buffer, form)
    return buffer.getvalue()


def temporary(content):
    file = tempfile.SpooledTemporaryFile()  # what web frameworks keep uploads in
    file.write(content)
    file.seek(0)
    return file


def with_alpha(array):
    return np.dstack([array, ALPHA])


SAME = {
    "PIL": lambda path: Image.fromarray(COLOUR),
    "path": lambda path: path,
    "string": lambda path: str(path),
    "PathLike": lambda path: next(os.scandir(path.parent)),
    "PathLike of bytes": lambda path: next(os.scandir(os.fsencode(path.parent))),
    "element of an array": lambda path: np.array([str(path)])[0],
    "base64": lambda path: base64.b64encode(png()).decode(),
    "base64 in lines": lambda path: base64.encodebytes(png()).decode(),
    "base64 for addresses": lambda path: base64.urlsafe_b64encode(png()).decode().rstrip("="),
    "data": lambda path: "data:image/png;base64," + base64.b64encode(png()).decode(),
    "data of a browser": lambda path: "data:;charset=utf-8;base64," + base64.b64encode(png(form="bmp")).decode(),
    "open file": lambda path: path.open("rb"),
    "temporary file": lambda path: temporary(path.read_bytes()),
    "bytes": lambda path: png(),
    "file": lambda path: io.BytesIO(png()),
    "RGB": lambda path: COLOUR,
    "RGBA": lambda path: with_alpha(COLOUR),
    "float32": lambda path: COLOUR.astype(np.float32) / 255,
    "float64": lambda path: COLOUR / 255,
    "uint16": lambda path: COLOUR.astype(np.uint16) * 257,
    "not contiguous": lambda path: np.repeat(COLOUR, 2, axis=1)[:, ::2],
    "tensor": lambda path: torch.from_numpy(COLOUR).permute(2, 0, 1),
    "float tensor": lambda path: torch.from_numpy(COLOUR).permute(2, 0, 1).float() / 255,
    "tensor with gradient": lambda path: (torch.from_numpy(COLOUR).permute(2, 0, 1) / 255).requires_grad_(),
}


@pytest.mark.parametrize("way", SAME)
def test_every_way_in_gives_the_same_picture(way, tmp_path):
    path = tmp_path / "face.png"
    path.write_bytes(png())
    assert np.array_equal(to_gray_square(SAME[way](path)), to_gray_square(Image.fromarray(COLOUR)))


@pytest.mark.parametrize(
    "gray",
    [
        GRAY,
        GRAY[:, :, None],
        np.dstack([GRAY, ALPHA]),
        np.dstack([GRAY] * 3),
        np.dstack([GRAY] * 3 + [ALPHA]),
        GRAY / 255,
        torch.from_numpy(GRAY),
        torch.from_numpy(GRAY)[None],
        torch.from_numpy(GRAY)[None].expand(3, -1, -1),
    ],
    ids=lambda gray: f"{type(gray).__name__} {tuple(gray.shape)}",
)
def test_gray_is_gray_in_every_form(gray):
    assert np.array_equal(to_gray_square(gray), GRAY)


def test_bool_is_black_and_white():
    assert np.array_equal(to_gray_square(GRAY > 127), np.where(GRAY > 127, 255, 0))


def test_bgr_only_when_asked():
    expected = to_gray_square(COLOUR)
    assert np.array_equal(to_gray_square(COLOUR[:, :, ::-1], "bgr"), expected)
    assert np.array_equal(to_gray_square(np.dstack([COLOUR[:, :, ::-1], ALPHA]), "bgr"), expected)
    tensor = torch.from_numpy(COLOUR).permute(2, 0, 1)
    assert np.array_equal(to_gray_square(tensor.flip(0), "bgr"), expected)
    assert not np.array_equal(to_gray_square(COLOUR[:, :, ::-1]), expected)
    assert np.array_equal(to_gray_square(Image.fromarray(COLOUR), "bgr"), expected)  # PIL knows its order
    assert np.array_equal(to_gray_square(GRAY, "bgr"), GRAY)
    with pytest.raises(UserError, match="'grb' is not one of rgb, bgr"):
        to_gray_square(COLOUR, "grb")


def test_colour_and_gray_keep_their_modes():
    assert read(COLOUR).mode == read(with_alpha(COLOUR)).mode == read(png()).mode == "RGB"
    assert read(GRAY).mode == read(np.dstack([GRAY, ALPHA])).mode == "L"


def test_the_original_is_not_changed():
    array, image = COLOUR.copy(), Image.fromarray(COLOUR)
    image.getexif()[0x0112] = 3
    to_gray_square(array, "bgr"), to_gray_square(image)
    assert np.array_equal(array, COLOUR) and np.array_equal(np.asarray(image), COLOUR)
    assert image.getexif()[0x0112] == 3


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (COLOUR.astype(np.int64), "int64 has no stated value range"),
        (COLOUR.astype(float), r"values in 0\.\.1, this one in .*255"),
        (np.full((4, 4), np.nan), "values in 0..1, this one in nan"),
        (GRAY / 255 - 0.5, "values in 0..1, this one in -0.5"),
        (np.zeros((0, 5), np.uint8), r"shape \(0, 5\) is no picture"),
        (np.zeros(5, np.uint8), r"shape \(5,\) is no picture"),
        (np.zeros((2, 48, 48, 3), np.uint8), "is no picture"),
        (torch.zeros(5, 48, 48), r"unsqueeze\(1\)"),
        (torch.zeros(48, 48, 3), r"permute\(2, 0, 1\)"),
        (b"not a picture", "not a picture in a format that Pillow reads"),
        (b"", "not a picture in a format that Pillow reads"),
        (png()[:-300], "damaged"),
        (png(form="jpeg")[:300], "damaged"),
        ("nowhere.png", "cannot open nowhere.png: No such file"),
        (".", "cannot open .: Is a directory"),
        ("https://example.org/face.png", "is an address, not a file"),
        (7, "a int is not a picture"),
        (None, "a NoneType is not a picture"),
        ([[0, 1], [1, 0]], "a list is not a picture"),
        (io.StringIO("text"), r'open it as bytes, open\(path, "rb"\)'),
        ("data:image/png;base64,A*AA", "the data: address is damaged"),
        ("data:image/svg+xml,%3Csvg/%3E", "only base64 is read of data: addresses"),
        ("data:image/png;base64," + base64.b64encode(b"no picture").decode(), "not a picture in a format"),
        ("A" * 400, r"cannot open \.\.\.A+: File name too long"),
        ("face\0.png", "null"),
        (np.moveaxis(COLOUR, -1, 0), r"array\.transpose\(1, 2, 0\)"),
        (np.moveaxis(with_alpha(COLOUR), -1, 0), r"array\.transpose\(1, 2, 0\)"),
        (GRAY[None], r"array\.transpose\(1, 2, 0\)"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_picture_is_refused(bad, words):
    with pytest.raises(UserError, match=words) as error:
        to_gray_square(bad)
    assert len(str(error.value)) < 200


class Upload:
    async def read(self, size=-1):
        return png()


async def read_later():
    return png()


async def pictures_later():
    yield png()


@pytest.mark.parametrize("bad", [Upload, read_later, pictures_later], ids=lambda make: make.__name__)
def test_what_is_awaited_first_is_a_type_error(bad):
    thing = bad()
    with pytest.raises(TypeError, match="await") as error:
        to_gray_square(thing)
    assert len(str(error.value)) < 200
    if bad is read_later:
        thing.close()


@pytest.mark.parametrize("bad", [{"path": "a.png"}, pandas.DataFrame({"path": ["a.png"]})], ids=type)
def test_a_table_is_not_a_list_of_pictures(bad):
    with pytest.raises(UserError, match="give one column"):
        list(each(bad))


@pytest.mark.parametrize("channels", [3, 4])
def test_channels_first_arrays_have_one_answer(channels):
    first = np.zeros((channels, 48, 64), np.uint8)
    for take in (read, lambda array: list(each(array)), lambda array: [read(one) for one in each(array[None])]):
        with pytest.raises(UserError, match=r"array\.transpose\(1, 2, 0\)"):
            take(first)
    assert len(list(each(list(first)))) == channels  # as the message says


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_fewer_bits_stored_in_sixteen_are_not_dark(bits):
    """Infrared and depth cameras, and microscopes: the brightest pixel tells how many bits there are."""
    top = 2**bits - 1
    array = np.rint(GRAY / 255 * top).astype(np.uint16)
    array[0, 0] = top
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    for way in (array, file.getvalue(), torch.from_numpy(array)):
        assert np.abs(to_gray_square(way)[1:].astype(int) - GRAY[1:]).max() <= 1


def test_pictures_that_fail_late_are_refused(tmp_path):
    (tmp_path / "cut.png").write_bytes(png()[:-300])
    lazy, closed = Image.open(tmp_path / "cut.png"), Image.fromarray(GRAY)
    closed.close()
    for bad in (lazy, closed, torch.zeros(48, 48).to_sparse(), torch.zeros(48, 48, device="meta"), "~nobody/x.png"):
        with pytest.raises(UserError):
            to_gray_square(bad)
    assert np.array_equal(to_gray_square(Image.merge("LA", [Image.fromarray(GRAY)] * 2).convert("La").convert("LA")),
                          to_gray_square(Image.merge("LA", [Image.fromarray(GRAY)] * 2).convert("La")))  # fmt: skip


@pytest.mark.parametrize("name", damaged.by_decoder())
def test_whatever_a_decoder_raises_names_the_file(name, tmp_path):
    (tmp_path / name).write_bytes(damaged.by_decoder()[name])
    with pytest.raises(UserError, match=f"{name} is damaged: .+ Fetch or save it again") as caught:
        read(tmp_path / name)
    assert not isinstance(caught.value.__cause__, OSError | SyntaxError | ValueError | EOFError)


@pytest.mark.parametrize("form", damaged.FORMATS)
def test_every_format_cut_or_changed_is_a_picture_or_one_line(form, tmp_path):
    file, refused = tmp_path / "odd.picture", 0
    for seed in range(24):
        file.write_bytes(damaged.mutated(form, seed))
        try:
            with warnings.catch_warnings(action="ignore"):  # Pillow's, of odd metadata
                assert read(file).mode in ("L", "RGB")
        except UserError as error:
            refused += 1
            assert file.name in str(error) and len(str(error)) < 420
    assert refused  # otherwise nothing was damaged


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (struct.error("unpack requires a buffer of 4 bytes"), "is damaged: unpack requires"),
        (RecursionError("maximum recursion depth exceeded"), "is damaged: maximum recursion"),
        (AssertionError(), "is damaged: AssertionError"),
        (ZeroDivisionError("x" * 5000), f"is damaged: {'x' * 200}\\. "),
        (MemoryError(), "needs more memory than there is"),
        (Image.DecompressionBombError(), "has more than 64,000,000 pixels"),
        (OSError(36, "File name too long"), "cannot open .*: File name too long"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_decoders_to_come_name_the_file_too(raised, words, tmp_path, monkeypatch):
    def fail(self):
        raise raised

    (tmp_path / "face.png").write_bytes(png())
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(UserError, match=words) as caught:
        read(tmp_path / "face.png")
    assert "face.png" in str(caught.value)


def test_pictures_without_a_range_of_values_are_named(tmp_path):
    Image.new("I", (4, 4)).save(tmp_path / "depth.tif")
    with pytest.raises(UserError, match="depth.tif has mode 'I'"):
        read(tmp_path / "depth.tif")


def test_large_pictures_of_slow_decoders_are_refused(tmp_path):
    width, height = MAX_SLOW_PIXELS // 1000, 1001
    (tmp_path / "long.qoi").write_bytes(b"qoif" + struct.pack(">IIBB", width, height, 3, 0) + b"\xfd" * 41_000)
    with pytest.raises(UserError, match="long.qoi has 2,502,500 pixels, and Pillow reads QOI slowly"):
        read(tmp_path / "long.qoi")
    assert read(png(Image.new("L", (width, height)))).size == (width, height)


def test_bombs_are_refused_before_they_are_decoded(monkeypatch):
    side = int(MAX_PIXELS**0.5) + 1
    small_file = png(Image.new("1", (side, side)))
    assert len(small_file) < 20_000
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(UserError, match="pixels, over 64,000,000"):
        to_gray_square(small_file)


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_animations_give_their_first_frame_and_a_warning(kind, caplog):
    frames = [Image.new("L", (48, 48), value) for value in (10, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], lossless=True)
    assert (to_gray_square(buffer.getvalue()) == 10).all()
    assert "the picture is an animation: only its first picture is looked at" in caplog.text


@pytest.mark.parametrize("kind", ["tiff", "mpo"])
def test_pages_are_no_animation(kind, caplog):
    pages = [Image.new("L", (48, 48), value) for value in (10, 200)]
    buffer = io.BytesIO()
    pages[0].save(buffer, kind, save_all=True, append_images=pages[1:])
    assert (to_gray_square(buffer.getvalue()) == 10).all() and caplog.text == ""


@pytest.mark.parametrize("size", [(12000, 9000), (16320, 12240)])  # 108 and 200 megapixels
def test_photos_of_phones_with_over_100_megapixels_are_read_at_half_their_size(size, caplog):
    buffer = io.BytesIO()
    photo = Image.new("L", size, 77)
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    photo.save(buffer, "jpeg", exif=exif)
    with warnings.catch_warnings(action="error"):
        picture = images.read(buffer.getvalue())
    assert picture.size == (size[1] // 2, size[0] // 2) and picture.getpixel((99, 99)) == 77
    assert f"has {size[0]} x {size[1]} pixels, over 64,000,000: it is read at half its size" in caplog.text


@pytest.mark.parametrize(
    ("size", "options", "frame"),
    [((20000, 16000), {}, b"\xff\xc0"), ((10000, 8000), {"progressive": True}, b"\xff\xc2")],
)
def test_what_cannot_be_halved_is_refused_as_before(size, options, frame, caplog):
    buffer = io.BytesIO()
    Image.new("L", (16, 8)).save(buffer, "jpeg", **options)
    content = buffer.getvalue()
    place = content.index(frame) + 5  # height and width
    claimed = content[:place] + struct.pack(">HH", size[1], size[0]) + content[place + 4 :]
    with pytest.raises(UserError, match=f"has {size[0] * size[1]:,} pixels, over 64,000,000"):
        images.read(claimed)
    assert caplog.text == ""


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
@pytest.mark.parametrize("turns", [0, 1, 2])
def test_heic_is_read_upright(brand, turns, tmp_path):
    path = heic.write(tmp_path / "photo.heic", turns, brand)
    expected = np.rot90(heic.PICTURE, turns)
    for given in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
        picture = np.asarray(images.read(given)).astype(int)
        assert picture.shape == expected.shape and np.abs(picture - expected).mean() < 8


def test_a_damaged_heic_is_told(tmp_path):
    path = heic.write(tmp_path / "photo.heic")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="photo.heic"):
        images.read(path)


def test_without_pi_heif_the_line_that_installs_it_is_told(tmp_path, monkeypatch):
    path = heic.write(tmp_path / "photo.heic")
    monkeypatch.setattr(Image, "OPEN", {form: how for form, how in Image.OPEN.items() if form != "HEIF"})
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(
        UserError, match=r'photo.heic is a HEIC picture: pip install "fer-hub\[heif\]" or pip install pi-heif'
    ):
        images.read(path)


@pytest.mark.parametrize(
    ("pictures", "count"),
    [
        (Image.fromarray(COLOUR), 1),
        ("face.png", 1),
        (b"bytes", 1),
        (GRAY, 1),
        (COLOUR, 1),
        (np.stack([GRAY] * 5), 5),
        (np.stack([GRAY] * 2), 2),
        (np.stack([GRAY] * 3)[..., None], 3),
        (np.stack([COLOUR] * 3), 3),
        (torch.zeros(48, 48), 1),
        (torch.zeros(3, 48, 48), 1),
        (torch.zeros(5, 1, 48, 48), 5),
        ([GRAY, COLOUR, "face.png"], 3),
        ((GRAY,), 1),
        ((name for name in "ab"), 2),
        ([], 0),
        (np.zeros((0, 48, 48), np.uint8), 0),
        (np.array(["a.png", "b.png"]), 2),
        (np.array(["a.png", b"bytes", GRAY], object), 3),
        (pandas.Series(["a.png", "b.png"], index=[7, 9]), 2),
        (pandas.Index(["a.png"]), 1),
    ],
    ids=lambda value: None if isinstance(value, int) else f"{type(value).__name__} {getattr(value, 'shape', '')}",
)
def test_one_picture_and_many_are_told_apart(pictures, count):
    assert len(list(each(pictures))) == count
