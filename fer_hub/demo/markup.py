"""Results as HTML: what the page shows, readable without colours, without pictures and with a screen reader."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from PIL import Image

from fer_hub import colors
from fer_hub.recognition.drawing import caption
from fer_hub.recognition.face import Face

# Colours of the page's theme, so that light and dark both work; the bars have a border because yellow is pale on white.
CSS = """
.fer-faces {display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; margin: 1rem 0}
.fer-face {border: 1px solid var(--border-color-primary); border-radius: 8px; padding: .75rem; margin: 0}
.fer-face img {width: 6rem; height: 6rem; border-radius: 4px; margin: 0 0 .5rem}
.fer-face figcaption {font-weight: 600; overflow-wrap: anywhere}
table.fer-bars, table.fer-table {width: 100%; border-collapse: collapse}
table.fer-bars th {font-weight: 400; text-align: left; padding: .1rem .5rem .1rem 0; white-space: nowrap}
table.fer-bars td {padding: .1rem 0; width: 100%}
table.fer-bars td:last-child {width: auto; text-align: right; padding-left: .5rem; white-space: nowrap;
    font-variant-numeric: tabular-nums}
.fer-face table.fer-bars, .fer-face table.fer-bars :is(tr, th, td) {border: 0; background: none}
table.fer-table :is(th, td) {text-align: left; padding: .25rem .5rem; vertical-align: top}
.fer-bar {height: .9rem; box-sizing: border-box; border: 1px solid var(--body-text-color-subdued); border-radius: 2px;
    min-width: 2px}
.fer-scroll {overflow-x: auto}
.fer-live img {width: 100%; height: auto; border-radius: 8px}
"""
NO_FACE = (
    "<p role='status'><strong>No face found.</strong> The search needs eyes, nose and mouth, and a face of some ten "
    "pixels. Is the picture one closely cut face? The tab <em>Crops</em> takes it as it is.</p>"
)
UNCERTAIN = (
    "<p><strong>Uncertain</strong> means that no expression stands out enough to be told: for this model the first "
    "choice is then often wrong.</p>"
)


def faces(found: Sequence[Face], label_names: Sequence[str]) -> str:
    """A table of all faces, and for each its crop and the bars of its probabilities."""
    if not found:
        return NO_FACE
    rows = (
        f"<tr><td>{number}</td><td>{escape(caption(face))}</td><td>{_score(face)}</td><td>{_box(face)}</td></tr>"
        for number, face in enumerate(found, 1)
    )
    table = (
        f"<p role='status'><strong>{_count(len(found))} found.</strong></p><div class='fer-scroll' tabindex='0'>"
        "<table class='fer-table'><tr><th>Face</th><th>Expression</th><th>Detector's score</th>"
        f"<th>Box: left, top, right, bottom</th></tr>{''.join(rows)}</table></div>"
    )
    cards = (
        _card(
            _picture(face.crop, f"Face {number}, as the model sees it"),
            f"Face {number}: {caption(face)}",
            face,
            label_names,
        )
        for number, face in enumerate(found, 1)
    )
    note = UNCERTAIN if any(face.uncertain for face in found) else ""
    return f"{table}{note}<div class='fer-faces'>{''.join(cards)}</div>"


def crops(named: Iterable[tuple[str, Face | str]], label_names: Sequence[str]) -> str:
    """For each file its crop and bars, or what is wrong with it."""
    cards = (
        f"<figure class='fer-face'><figcaption>{escape(name)}</figcaption><p>Not read: {escape(face)}</p></figure>"
        if isinstance(face, str)
        else _card(_picture(face.crop, f"{name}, as the model sees it"), f"{name}: {caption(face)}", face, label_names)
        for name, face in named
    )
    return f"<div class='fer-faces'>{''.join(cards)}</div>"


def heat_maps(maps: Sequence[tuple[Face, Image.Image, str]]) -> str:
    """For each face where the model looked, as a picture and in words."""
    if not maps:
        return NO_FACE
    cards = (
        f"<figure class='fer-face'>{_picture(heat, words)}<figcaption>Face {number}: {escape(face.emotion)}"
        f"</figcaption><p>{escape(words)}</p></figure>"
        for number, (face, heat, words) in enumerate(maps, 1)
    )
    return (
        "<p role='status'>Bright places speak most for the expression that was told (HiResCAM). It is a coarse hint at "
        f"what the model used, not an explanation of the person.</p><div class='fer-faces'>{''.join(cards)}</div>"
    )


def live(frame: Image.Image, found: Sequence[Face], label_names: Sequence[str], rate: float) -> str:
    """A camera's picture with its faces drawn in, and bars; one piece, so that both change at once."""
    words = "; ".join(caption(face) for face in found) or "No face found"
    # decoding=sync: otherwise browsers show an empty frame between two pictures.
    shown = (
        f"<img src='{_data(frame, 'JPEG')}' width='{frame.width}' height='{frame.height}' decoding='sync' "
        f"alt='{escape(words, quote=True)}'>"
    )
    cards = (_card("", f"Face {number}: {caption(face)}", face, label_names) for number, face in enumerate(found, 1))
    return (
        f"<div class='fer-live'>{shown}<p>{escape(words)}. {rate:.1f} frames per second.</p>"
        f"<div class='fer-faces'>{''.join(cards)}</div></div>"
    )


def timeline(figure: bytes, words: str, problem: str | None) -> str:
    """A figure of the expressions over time (PNG), the same in words, and what could not be read."""
    image = f"data:image/png;base64,{base64.b64encode(figure).decode()}"
    warning = f"<p><strong>Not all of it could be read:</strong> {escape(problem)}</p>" if problem else ""
    return (
        f"{warning}<img src='{image}' alt='{escape(words, quote=True)}' style='width:100%;height:auto'>"
        f"<p role='status'>{escape(words)}</p>"
    )


def _card(picture: str, title: str, face: Face, label_names: Sequence[str]) -> str:
    text = escape(title).replace(" %", "&nbsp;%")
    return f"<figure class='fer-face'>{picture}<figcaption>{text}</figcaption>{_bars(face, label_names)}</figure>"


def _bars(face: Face, label_names: Sequence[str]) -> str:
    color_of = colors.of(label_names)
    rows = (
        f"<tr><th scope='row'>{escape(name)}</th><td><div class='fer-bar' style='width:{100 * probability:.1f}%;"
        f"background:{color_of[name]}'></div></td><td>{100 * probability:.1f} %</td></tr>"
        for name, probability in face.probabilities.items()
    )
    return f"<table class='fer-bars'>{''.join(rows)}</table>"


def _picture(pixels: np.ndarray | Image.Image, words: str) -> str:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    return f"<img src='{_data(image, 'PNG')}' alt='{escape(words, quote=True)}'>"


def _data(image: Image.Image, form: str) -> str:
    file = io.BytesIO()
    image.save(file, form, quality=80)
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def _score(face: Face) -> str:
    return "" if face.detection_score is None else f"{100 * face.detection_score:.1f} %"


def _box(face: Face) -> str:
    return ", ".join(str(side) for side in face.box)


def _count(number: int) -> str:
    return "1 face" if number == 1 else f"{number} faces"
