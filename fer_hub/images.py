"""Anything that a user hands over as a picture -> an upright 8-bit picture -> the 48x48 gray square of the networks.

The model, the command line and everything that shows pictures to people read them here, so that the same picture gives
the same numbers wherever it enters.
"""

import base64
import binascii
import inspect
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fer_hub import picture_files
from fer_hub.errors import UserError
from fer_hub.picture_files import MAX_PIXELS
from fer_hub.untrusted import MAX_PICTURE, open_file

SIZE = 48
# Antialiased when shrinking; also timm's and transformers' default, so that every loader resizes alike.
FILTER = Image.Resampling.BICUBIC
MAX_SLOW_PIXELS = 2_500_000  # where Pillow's decoder is Python itself, as for QOI: some ten microseconds a pixel
CHANNEL_ORDERS = ("rgb", "bgr")
_DATA = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]{64,}={0,2}\s*")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")  # of picture files


def read(image: object, channel_order: str = "rgb") -> Image.Image:
    """Opens one picture.

    EXIF orientation is applied, alpha is dropped, 16 bits are scaled to 8. Sensors of 10, 12 and 14 bits store their
    pictures in 16: where no pixel needs all 16, the fewest of 8, 10, 12 and 14 bits that hold the brightest pixel are
    the full range. Of an animation the first frame is taken, and a warning logged. A JPEG of over 64 and up to 256
    million pixels that is not progressive is decoded at half its width and height, with a warning: boxes of its faces
    refer to that size.

    Args:
        image: one of
            a path, bytes, an open binary file, base64 text or a base64 `data:` address: any format that Pillow reads,
            and HEIC where pi-heif is installed;
            a PIL image, of mode 1, L, LA, P, RGB, RGBA, CMYK, YCbCr, HSV or I;16;
            an array (H, W), (H, W, 1), (H, W, 2: gray and alpha), (H, W, 3) or (H, W, 4: with alpha):
            bool, uint8 (0-255), uint16 (0-65535) or float (0-1);
            a torch tensor (H, W) or (C, H, W), of the same types and C.
        channel_order: of the colours of arrays and tensors: "rgb", or "bgr" as OpenCV has them. Files and PIL images
            know their own.

    Returns:
        Mode L where the picture is gray, otherwise RGB.

    Raises:
        UserError: not a picture, damaged, empty, over 64 million pixels, or values whose range is not known.
        TypeError: an upload or a call that has to be awaited first.
    """
    require_channel_order(channel_order)
    if isinstance(image, Image.Image):
        # It may be read only now, or be closed.
        with _decoding("the picture", "cannot be read: {}. Open it again."):
            return _eight_bits(image, "the picture")
    if isinstance(image, np.ndarray):
        return _from_array(image, channel_order)
    if _is_tensor(image):
        return _from_tensor(image, channel_order)
    if _is_file(image):
        return _from_file(image)
    kind = type(image).__name__
    if inspect.isawaitable(image) or hasattr(image, "__aiter__"):
        raise TypeError(
            f"a {kind} is not a picture yet: await it, or collect it with `async for`, and pass its result."
        )
    raise UserError(f"a {kind} is not a picture: give a path, bytes, a PIL image, an array or a tensor.")


def require_channel_order(channel_order: str) -> None:
    """Make sure that `channel_order` names an order of colours.

    Raises:
        UserError: it is neither "rgb" nor "bgr".
    """
    if channel_order not in CHANNEL_ORDERS:
        raise UserError(f"channel_order {channel_order!r} is not one of {', '.join(CHANNEL_ORDERS)}.")


def require_on_error(on_error: str) -> None:
    """Make sure that `on_error` says what to do with a picture that cannot be read.

    Raises:
        UserError: it is neither "raise" nor "skip".
    """
    if on_error not in ("raise", "skip"):
        raise UserError(f"on_error {on_error!r} is not one of raise, skip.")


def to_gray_square(image: object, channel_order: str = "rgb") -> np.ndarray:
    """Converts a picture to the networks' input.

    Colour becomes luma (ITU-R BT.601: .299 R + .587 G + .114 B), other sizes are resized to 48x48 (bicubic,
    antialiased, aspect not kept). A gray 48x48 picture passes unchanged.

    Args:
        image: as for `read`.
        channel_order: as for `read`.

    Returns:
        uint8 (48, 48), 0-255.

    Raises:
        UserError: as for `read`.
    """
    gray = read(image, channel_order).convert("L")
    if gray.size != (SIZE, SIZE):
        gray = gray.resize((SIZE, SIZE), FILTER)
    return np.asarray(gray)


def are_many(images: object) -> bool:
    """Whether `images` is several pictures, as `each` takes them, and not one.

    Raises:
        UserError: an array (3, H, W) or (4, H, W), which may be either, or a table whose columns are not told.
    """
    if isinstance(images, np.ndarray):
        if images.dtype.kind in "OUT":  # of paths, or of pictures of several sizes
            return images.ndim > 0
        if images.ndim == 3 and images.shape[0] in (3, 4) and images.shape[2] > 4:
            raise UserError(_channels_first(images.shape) + " Several gray pictures: list(array).")
        return images.ndim == 4 or (images.ndim == 3 and images.shape[2] > 4)
    if _is_tensor(images):
        return images.ndim == 4
    if isinstance(images, Mapping) or hasattr(images, "iterrows"):  # iterating would give the names of the columns
        raise UserError(f'a {type(images).__name__} is not a list of pictures: give one column, such as data["path"].')
    return isinstance(images, Iterable) and not (isinstance(images, Image.Image) or _is_file(images))


def each(images: object) -> Iterator[object]:
    """The single pictures of what a user hands over, one at a time.

    Args:
        images: one picture as for `read`, any iterable of such (a list, an iterator, a column of a table, an array of
            paths), an array (N, H, W) or (N, H, W, C), or a tensor (N, C, H, W). Three dimensions are one picture
            where the channels' place says 1 to 4.

    Raises:
        UserError: a tensor (N, H, W), which cannot be told from (C, H, W) for every N; an array (3, H, W) or
            (4, H, W), likewise.
    """
    yield from images if are_many(images) else (images,)


def _is_tensor(image: object) -> bool:
    torch = sys.modules.get("torch")  # whoever has a tensor has imported torch; this file works without
    return torch is not None and isinstance(image, torch.Tensor)


def _is_file(image: object) -> bool:
    return isinstance(image, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(image, "read")


def _from_file(file) -> Image.Image:
    name = "the picture"
    if inspect.iscoroutinefunction(getattr(file, "read", None)):
        raise TypeError(f"a {type(file).__name__} is read with await: pass its content, await upload.read().")
    if isinstance(file, io.TextIOBase):
        raise UserError('a file in text mode is not a picture: open it as bytes, open(path, "rb").')
    if isinstance(file, str) and (decoded := _decoded(file)) is not None:
        file = io.BytesIO(decoded)
    elif isinstance(file, str | os.PathLike):
        file = os.fsdecode(file)
        name = file if len(file) <= 120 else f"...{file[-117:]}"
        if file.startswith(("http://", "https://")):
            raise UserError(f"{file[:80]} is an address, not a file: download it first.")
        file = Path(file)
    elif not hasattr(file, "read"):
        file = io.BytesIO(file)
    with (
        _decoding(name),
        open_file(file, MAX_PICTURE) if isinstance(file, Path) else nullcontext(file) as stream,
        picture_files.opened(stream, name) as opened,
    ):
        _require_size(opened.width, opened.height, name)
        _require_fast(opened, name)
        opened.load()
        return _eight_bits(opened, name)


@contextmanager
def _decoding(name: str, words: str = "is damaged: {}. Fetch or save it again.") -> Iterator[None]:
    """Turns whatever goes wrong with a picture into a UserError with its name.

    Pillow's decoders raise whatever comes: of damaged AVIF RuntimeError, of QOI IndexError, of DDS NotImplementedError.
    """
    try:
        yield
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not a picture in a format that Pillow reads.") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} has more than {MAX_PIXELS:,} pixels: shrink it first.") from error
    except MemoryError as error:
        raise UserError(f"{name} needs more memory than there is: shrink it first.") from error
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:  # the system's words, of a file that is not there ...
            raise UserError(f"cannot open {name}: {error.strerror}.") from error
        reason = str(error)[:200] or type(error).__name__
        raise UserError(f"{name} {words.format(reason)}") from error


def _decoded(text: str) -> bytes | None:
    """The file in a base64 text; None where the text is something else, such as a path."""
    is_data = text[:5].lower() == "data:"
    start = _DATA.match(text)
    if is_data and not start:
        raise UserError("only base64 is read of data: addresses, data:image/png;base64,...")
    if not start and (not _BASE64.fullmatch(text) or os.path.exists(text[:4096])):
        return None
    content = re.sub(r"\s", "", text[start.end() if start else 0 :]).rstrip("=")
    try:
        decoded = base64.b64decode(
            content.replace("-", "+").replace("_", "/") + "=" * (-len(content) % 4), validate=True
        )
    except binascii.Error as error:
        if not start:
            return None
        raise UserError(f"the data: address is damaged: {error}.") from error
    # A long path without a dot in it consists of base64's letters too.
    return decoded if start or decoded.startswith(_MAGIC) else None


def _from_tensor(tensor, channel_order: str) -> Image.Image:
    if tensor.ndim == 3 and tensor.shape[0] not in (1, 2, 3, 4):
        raise UserError(
            f"a tensor of shape {tuple(tensor.shape)} is no picture (C, H, W). "
            "A batch of gray pictures is (N, 1, H, W): tensor.unsqueeze(1). From (H, W, C): tensor.permute(2, 0, 1)."
        )
    try:
        array = tensor.detach().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()  # numpy has no bfloat16
    except (TypeError, RuntimeError) as error:  # sparse, quantized, meta, ...
        raise UserError(f"a tensor of {tensor.dtype}, {tensor.layout}, is no picture: {error}") from error
    return _from_array(np.moveaxis(array, 0, -1) if array.ndim == 3 else array, channel_order)


def _from_array(array: np.ndarray, channel_order: str) -> Image.Image:
    if array.ndim == 3 and array.shape[0] in (1, 2, 3, 4) and array.shape[2] > 4:
        raise UserError(_channels_first(array.shape))
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] > 4):
        raise UserError(f"an array of shape {array.shape} is no picture: (H, W), or (H, W, C) with 1 to 4 channels.")
    _require_size(array.shape[1], array.shape[0], "the array")
    if array.ndim == 3:  # alpha is dropped
        array = array[:, :, 0] if array.shape[2] < 3 else array[:, :, :3]
        if array.ndim == 3 and channel_order == "bgr":
            array = array[:, :, ::-1]
    if array.dtype == bool:
        array = array * np.uint8(255)
    elif array.dtype == np.uint16:
        array = _from_16_bits(array)
    elif array.dtype.kind == "f":
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # NaN fails both
            raise UserError(f"a float picture has values in 0..1, this one in {low:g}..{high:g}: bring it there first.")
        array = np.rint(array * 255.0)
    elif array.dtype != np.uint8:
        raise UserError(f"an array of {array.dtype} has no stated value range: image.astype(np.uint8) if it is 0..255.")
    return Image.fromarray(np.ascontiguousarray(array.astype(np.uint8)))


def _channels_first(shape: tuple[int, ...]) -> str:
    return (
        f"an array of shape {shape} has its channels first, as tensors have them; arrays have them last: "
        "array.transpose(1, 2, 0)."
    )


def _from_16_bits(array: np.ndarray) -> np.ndarray:
    """Pixels of 16 bits, or of fewer bits stored in 16, as uint8."""
    bits = next(bits for bits in (8, 10, 12, 14, 16) if array.max() < 2**bits)
    return (array.astype(np.uint32) * 255 // (2**bits - 1)).astype(np.uint8)


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    _require_size(image.width, image.height, name)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray(_from_16_bits(np.asarray(image).astype(np.uint16)))
    if image.mode in ("I", "F"):
        raise UserError(
            f"{name} has mode {image.mode!r} (32-bit pixels), which states no value range: save it as 8 or 16 bit."
        )
    if image.mode in ("La", "RGBa"):  # Pillow converts these in two steps alone
        image = image.convert(image.mode[:-1] + "A")
    if image.mode in ("1", "L", "LA"):
        return image.convert("L")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _require_size(width: int, height: int, name: str) -> None:
    if not width or not height:
        raise UserError(f"{name} is empty: {width} x {height} pixels.")
    if width * height > MAX_PIXELS:
        raise UserError(f"{name} has {width * height:,} pixels, over {MAX_PIXELS:,}: shrink it first.")


def _require_fast(opened: Image.Image, name: str) -> None:
    pixels = opened.width * opened.height
    if pixels > MAX_SLOW_PIXELS and any(tile[0] in Image.DECODERS for tile in getattr(opened, "tile", ())):
        raise UserError(
            f"{name} has {pixels:,} pixels, and Pillow reads {opened.format} slowly: over {MAX_SLOW_PIXELS:,} save it "
            "as PNG or JPEG."
        )
