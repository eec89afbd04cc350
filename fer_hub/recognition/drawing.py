"""Faces drawn on their picture: a box each, with its expression and probability in words."""

from collections.abc import Mapping, Sequence

from PIL import Image, ImageColor, ImageDraw, ImageFont

from fer_hub import colors, fonts
from fer_hub.recognition.face import Face


def draw(picture: Image.Image, faces: Sequence[Face], label_names: Sequence[str]) -> Image.Image:
    """Draws the faces of a picture.

    Args:
        picture: mode L or RGB.
        faces: their boxes refer to this picture.
        label_names: all classes, which decide the colours.

    Returns:
        A new picture, mode RGB, of the same size.
    """
    drawn = picture.convert("RGB")  # a copy, also where it is RGB already
    pen = ImageDraw.Draw(drawn)
    color_of = colors.of(label_names)
    font, shown = fonts.for_captions(label_names)
    line = max(2, round(min(drawn.size) / 200))
    for face in sorted(faces, key=lambda face: face.box[2] - face.box[0]):  # the larger ones in front
        color = color_of[face.emotion]
        left, top, right, bottom = face.box
        pen.rectangle((left, top, right - 1, bottom - 1), outline=color, width=line)  # Pillow draws the end as well
        _label(pen, caption(face, shown), face.box, font, color, drawn.size)
    return drawn


def caption(face: Face, shown: Mapping[str, str] | None = None) -> str:
    """What stands at a face's box: `happy 93 %`, or `uncertain (sad 31 %)`; `shown` has other words for the names."""
    name = shown[face.emotion] if shown else face.emotion
    best = f"{name} {face.probabilities[face.emotion]:.0%}".replace("%", " %")
    return f"uncertain ({best})" if face.uncertain else best


def _label(
    pen: ImageDraw.ImageDraw,
    text: str,
    box: tuple[int, int, int, int],
    font_file: str | None,
    color: str,
    size: tuple[int, int],
) -> None:
    """Writes the caption above the box, or below it, or within it where neither has room."""
    # As wide as the box, so that the neighbours stay in sight, but legible where the picture is shown smaller.
    smallest, largest = (max(12, min(size) / share) for share in (40, 26))
    fitting = (box[2] - box[0]) / 5
    height = round(min(max(fitting, smallest), largest))
    font = ImageFont.truetype(font_file, height) if font_file else ImageFont.load_default(height)  # Pillow's own
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    pad = max(2, (bottom - top) // 4)
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = max(0, min(box[0], size[0] - width))
    above, below = box[1] - height, box[3]
    y = above if above >= 0 else below if below + height <= size[1] else box[1]
    pen.rectangle((x, y, x + width, y + height), fill=color)
    pen.text((x + pad - left, y + pad - top), text, font=font, fill=_ink(color))


def _ink(color: str) -> str:
    """Black or white, whichever has the better contrast on the colour (WCAG 2.2, relative luminance)."""
    channels = [value / 255 for value in ImageColor.getrgb(color)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "black" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "white"
