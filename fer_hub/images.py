"""A picture as PIL gives it -> the 48x48 gray square that the networks take."""

import numpy as np
from PIL import Image, ImageOps

SIZE = 48
# Antialiased when shrinking; also timm's and transformers' default, so that every loader resizes alike.
FILTER = Image.Resampling.BICUBIC


def to_gray_square(image: Image.Image) -> np.ndarray:
    """Converts a picture of any size and mode to the networks' input.

    EXIF orientation is applied, alpha is dropped, colour becomes luma (ITU-R BT.601: .299 R + .587 G + .114 B),
    16-bit gray is scaled to 8 bits, other sizes are resized to 48x48 (bicubic, antialiased, aspect not kept).
    A 48x48 picture of mode L passes unchanged.

    Args:
        image: mode 1, L, LA, P, RGB, RGBA, CMYK, YCbCr, HSV or I;16.

    Returns:
        uint8 (48, 48), 0-255.

    Raises:
        ValueError: a mode that has no stated value range (32-bit integer or float).
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint16) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode!r} (32-bit pixels) has no stated value range; save it as 8 or 16 bit")
    image = image.convert("L")
    if image.size != (SIZE, SIZE):
        image = image.resize((SIZE, SIZE), FILTER)
    return np.asarray(image)
