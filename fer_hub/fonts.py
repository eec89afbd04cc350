"""Names in any script, drawn as letters and never as empty boxes: by a font that has them, else in other words.

ASCII needs nothing of this; matplotlib, which finds the fonts of the system, is imported for other names alone.
"""

import logging
import os
import string
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from fer_hub.labels import for_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

_ASCII = frozenset(string.printable) - frozenset(string.whitespace)
_NO_LETTERS = ("lastresort", "adobeblank", "emoji", "fallback")  # fonts that have boxes, or pictures of one size
_STYLES = ("bold", "italic", "oblique", "black", "thin", "light", "condensed", "mono", "serif")  # taken last


def for_captions(names: Sequence[str]) -> tuple[str | None, dict[str, str]]:
    """The font of a picture's captions, and what stands there for each name.

    Args:
        names: all classes, in the model's order.

    Returns:
        The path of a font file that has ASCII and the letters of the names, None for Pillow's own; and name -> text.
        A name that no font has is written in ASCII where that is its letters without accents, else as "class 3", its
        number from 0; a warning says so.
    """
    if all(name.isascii() for name in names):
        return None, dict(zip(names, names, strict=True))
    font, covered = _best(tuple(names), mixed=False)
    return font, _shown(tuple(names), covered, "class")


def for_figures(names: Sequence[str], kind: str = "class") -> list[str]:
    """What matplotlib writes for each name, which `finish` finds a font for; as for captions, and with $ escaped.

    Args:
        names: of classes or models, in their order.
        kind: what a name is of that no font has: "class 3".
    """
    names = tuple(names)
    covered = frozenset(names) if all(name.isascii() for name in names) else _best(names, mixed=True)[1]
    return [for_matplotlib(text) for text in _shown(names, covered, kind).values()]


def finish(figure: "Figure") -> None:
    """Gives the texts of a figure fonts that have their letters; in titles, letters that no font has become "?"."""
    from matplotlib import font_manager
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if not text.get_text().isascii()]
    ticks = [label.get_text() for axes in figure.axes for label in axes.get_xticklabels() + axes.get_yticklabels()]
    fonts = []
    for words in {text.get_text() for text in texts} | {words for words in ticks if not words.isascii()}:
        font, covered = _best((words,), mixed=True)
        if covered and font not in fonts:
            fonts.append(font)
        if not covered:
            for text in texts:
                if text.get_text() == words:
                    text.set_text("".join(letter if letter in _letters(_own()) else "?" for letter in words))
    if not fonts:
        return
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for font in fonts:
        if font not in known:
            font_manager.fontManager.addfont(font)
    families = [font_manager.get_font(font).family_name for font in (_own(), *fonts)]
    for text in texts:
        text.set_fontfamily(families)
    for axes in figure.axes:
        axes.tick_params(labelfontfamily=families)


@lru_cache(maxsize=256)
def _best(names: tuple[str, ...], mixed: bool) -> tuple[str | None, frozenset[str]]:
    """The font that has the letters of most names, and these names; beside matplotlib's own font where mixed."""
    best, most = None, frozenset()
    beside = _letters(_own()) if mixed else frozenset()
    for font in _fonts():
        letters = _letters(font) | beside
        covered = frozenset(name for name in names if _needed(name, mixed) <= letters)
        if len(covered) > len(most):
            best, most = font, covered
        if len(most) == len(set(names)):
            break
    return best, most


def _needed(name: str, mixed: bool) -> frozenset[str]:
    return frozenset(letter for letter in name if not letter.isspace()) | (frozenset() if mixed else _ASCII)


@lru_cache(maxsize=64)  # so that a video's pictures warn once
def _shown(names: tuple[str, ...], covered: frozenset[str], kind: str) -> dict[str, str]:
    shown, replaced = {}, []
    for number, name in enumerate(names):
        text = name
        if name not in covered and not name.isascii():
            parts = unicodedata.normalize("NFKD", name)
            text = "".join(part for part in parts if not unicodedata.combining(part)).strip()
            if not text.isascii() or not text or text in names or text in shown.values():
                text = f"{kind} {number}"
            replaced.append(f"{name} as {text}")
        shown[name] = text
    if replaced:
        logger.warning(
            "No font of this system has all letters of the names, which are drawn otherwise: %s. A font of "
            "their script, such as Noto Sans, helps.",
            ", ".join(replaced),
        )
    return shown


@lru_cache(maxsize=1)
def _fonts() -> list[str]:
    """Fonts of the system, plain ones first, after the one that comes with matplotlib."""
    from matplotlib import font_manager

    def rank(path: str) -> tuple:
        name = os.path.basename(path).lower()
        return sum(style in name for style in _STYLES), name, path

    found = [path for path in font_manager.findSystemFonts() if not _has_no_letters(path)]
    return [_own(), *sorted(found, key=rank)]


def _has_no_letters(path: str) -> bool:
    name = os.path.basename(path).lower().replace(" ", "")
    return any(word in name for word in _NO_LETTERS)


def _own() -> str:
    """DejaVu Sans, which comes with matplotlib: Latin, Greek, Cyrillic and more."""
    import matplotlib

    return os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@lru_cache(maxsize=8)  # of hundreds of fonts, with up to 65,000 letters each
def _letters(path: str) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
        return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
    except (OSError, RuntimeError, ValueError):  # a broken file, or not what its name says
        return frozenset()
