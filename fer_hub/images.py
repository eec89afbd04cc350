"""Anything that a user hands over as a picture -> an upright 8-bit picture -> the 48x48 gray square of the networks.

The model, the command line and everything that shows pictures to people read them here, so that the same picture gives
the same numbers wherever it enters.
"""

import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fer_hub.errors import UserError

SIZE = 48
# Antialiased when shrinking; also timm's and transformers' default, so that every loader resizes alike.
FILTER = Image.Resampling.BICUBIC
MAX_PIXELS = 64_000_000  # a small file can claim any size; this many pixels take 0.2 GB as RGB
CHANNEL_ORDERS = ("rgb", "bgr")


def read(image: object, channel_order: str = "rgb") -> Image.Image:
    """Opens one picture.

    EXIF orientation is applied, alpha is dropped, 16 bits are scaled to 8, the first frame of an animation is taken.

    Args:
        image: one of
            a path, bytes, or an open binary file: any format that Pillow reads;
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
    """
    if channel_order not in CHANNEL_ORDERS:
        raise UserError(f"channel_order {channel_order!r} is not one of {', '.join(CHANNEL_ORDERS)}.")
    if isinstance(image, Image.Image):
        try:
            return _eight_bits(image)
        except (OSError, SyntaxError, ValueError, EOFError) as error:  # read only now, or closed before
            if isinstance(error, UserError):
                raise
            raise UserError(f"the picture cannot be read: {error}. Open it again.") from error
    if isinstance(image, np.ndarray):
        return _from_array(image, channel_order)
    if _is_tensor(image):
        return _from_tensor(image, channel_order)
    if isinstance(image, str | Path | bytes | bytearray | memoryview) or hasattr(image, "read"):
        return _from_file(image)
    raise UserError(
        f"a {type(image).__name__} is not a picture: give a path, bytes, a PIL image, an array or a tensor."
    )


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
    """Whether `images` is several pictures, as `each` takes them, and not one."""
    if isinstance(images, np.ndarray):
        return images.ndim == 4 or (images.ndim == 3 and images.shape[2] > 4)
    if _is_tensor(images):
        return images.ndim == 4
    one = isinstance(images, Image.Image | str | Path | bytes | bytearray | memoryview) or hasattr(images, "read")
    return isinstance(images, Iterable) and not one


def each(images: object) -> Iterator[object]:
    """The single pictures of what a user hands over, one at a time.

    Args:
        images: one picture as for `read`, any iterable of such, an array (N, H, W) or (N, H, W, C), or a tensor
            (N, C, H, W). Three dimensions are one picture where the channels' place says 1 to 4.

    Raises:
        UserError: a tensor (N, H, W), which cannot be told from (C, H, W) for every N.
    """
    yield from images if are_many(images) else (images,)


def _is_tensor(image: object) -> bool:
    torch = sys.modules.get("torch")  # whoever has a tensor has imported torch; this file works without
    return torch is not None and isinstance(image, torch.Tensor)


def _from_file(file) -> Image.Image:
    name = "the picture"
    if isinstance(file, str | Path):
        name = str(file)
        if name.startswith(("http://", "https://", "data:")):
            raise UserError(f"{name[:80]} is an address, not a file: download it first.")
        file = Path(os.path.expanduser(file))
    elif not hasattr(file, "read"):
        file = io.BytesIO(file)
    try:
        with Image.open(file) as opened:
            _require_size(opened.width, opened.height, name)
            opened.load()
            return _eight_bits(opened)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UserError(f"cannot open {name}: {error.strerror}.") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not a picture in a format that Pillow reads.") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} has more than {MAX_PIXELS:,} pixels: shrink it first.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # each format's decoder fails in its own way
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name} is damaged: {error}. Fetch or save it again.") from error


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
        array = array // 257
    elif array.dtype.kind == "f":
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # NaN fails both
            raise UserError(f"a float picture has values in 0..1, this one in {low:g}..{high:g}: bring it there first.")
        array = np.rint(array * 255.0)
    elif array.dtype != np.uint8:
        raise UserError(f"an array of {array.dtype} has no stated value range: image.astype(np.uint8) if it is 0..255.")
    return Image.fromarray(np.ascontiguousarray(array.astype(np.uint8)))


def _eight_bits(image: Image.Image) -> Image.Image:
    _require_size(image.width, image.height, "the picture")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UserError(
            f"a picture of mode {image.mode!r} (32-bit pixels) has no stated value range; save it as 8 or 16 bit."
        )
    if image.mode in ("La", "RGBa"):  # Pillow converts these in two steps alone
        image = image.convert(image.mode[:-1] + "A")
    if image.mode in ("1", "L", "LA"):
        return image.convert("L")
    return image.convert("RGB")


def _require_size(width: int, height: int, name: str) -> None:
    if not width or not height:
        raise UserError(f"{name} is empty: {width} x {height} pixels.")
    if width * height > MAX_PIXELS:
        raise UserError(f"{name} has {width * height:,} pixels, over {MAX_PIXELS:,}: shrink it first.")
