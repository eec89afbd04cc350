"""Names in every script are drawn with letters, in other words where no font has them, and never as empty boxes."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from fer_hub import fonts
from fer_hub.evaluation import plots
from fer_hub.recognition import drawing, timeline
from fer_hub.recognition.face import Face

CHINESE = ("愤怒", "快乐", "悲伤")
ANCIENT = ("𐎠𐎡", "𓀀", "Ärger")  # Old Persian and hieroglyphs, which hardly any system has


@pytest.fixture(autouse=True)
def fresh():
    for cached in (fonts._best, fonts._fonts, fonts._shown):
        cached.cache_clear()
    yield
    for cached in (fonts._best, fonts._fonts, fonts._shown):
        cached.cache_clear()


@pytest.fixture
def bare(monkeypatch):
    """A system without fonts."""
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])


@pytest.fixture
def chinese_font(tmp_path, monkeypatch):
    """A system whose only font has ASCII, as thin strokes, and the letters of CHINESE, as full squares."""
    letters = [chr(code) for code in range(32, 127)] + sorted(set("".join(CHINESE)))
    names = {letter: f"u{ord(letter):04X}" for letter in letters}

    def glyph(left, bottom, right, top):
        pen = TTGlyphPen(None)
        pen.moveTo((left, bottom))
        for point in ((left, top), (right, top), (right, bottom)):
            pen.lineTo(point)
        pen.closePath()
        return pen.glyph()

    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap({ord(letter): name for letter, name in names.items()})
    shapes = {name: glyph(0, 0, 900, 800) if ord(letter) > 127 else glyph(400, 300, 500, 400)
              for letter, name in names.items()}  # fmt: skip
    builder.setupGlyf({".notdef": glyph(0, 0, 10, 10)} | shapes)
    builder.setupHorizontalMetrics({name: (1000, 0) for name in [".notdef", *names.values()]})
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = str(tmp_path / "Squares.ttf")
    builder.save(path)
    broken = tmp_path / "Broken.ttf"
    broken.write_bytes(b"no font")
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(broken), path])
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    return path


def drawn(names, which=0):
    probabilities = {name: float(number == which) for number, name in enumerate(names)}
    face = Face(probabilities, (200, 150, 300, 280))
    return np.asarray(drawing.draw(Image.new("L", (640, 480), 128), [face], names))


def test_plain_names_stay_and_need_no_search(monkeypatch):
    monkeypatch.setattr(fonts, "_fonts", lambda: pytest.fail("searched"))
    assert fonts.for_captions(["happy", "sad"]) == (None, {"happy": "happy", "sad": "sad"})
    assert fonts.for_figures(["happy", "$5"]) == ["happy", r"\$5"]


def test_plain_captions_do_not_import_matplotlib():
    code = (
        "import sys; from PIL import Image; from fer_hub.recognition import drawing; from fer_hub.recognition.face "
        "import Face; drawing.draw(Image.new('L', (90, 90)), [Face({'sad': 1.0}, (9, 9, 50, 50))], ['sad']); "
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("names", [("Ärger", "Glück"), ("радость", "грусть"), ("χαρά", "λύπη"), ("rõ ràng", "buồn")])
def test_matplotlibs_own_font_is_enough_for_many_scripts(names, bare, caplog):
    font, shown = fonts.for_captions(names)
    assert font.endswith("DejaVuSans.ttf") and list(shown.values()) == list(names)
    assert fonts.for_figures(names) == list(names) and caplog.text == ""
    assert not np.array_equal(drawn(names, 0), drawn(names, 1))


def test_a_font_of_the_system_is_found(chinese_font, caplog):
    assert fonts.for_captions(CHINESE) == (chinese_font, dict(zip(CHINESE, CHINESE, strict=True)))
    assert fonts.for_figures(CHINESE) == list(CHINESE) and caplog.text == ""
    caption = drawn(CHINESE)[:149]
    rows, columns = np.nonzero((caption != 128).any(-1))
    inside = caption[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()]
    color = inside[0, 0]
    assert 0.15 < (inside != color).any(-1).mean() < 0.6  # two full squares, and strokes


def test_names_that_no_font_has_become_ascii_or_numbers_with_one_warning(bare, caplog):
    names = ("ｈａｐｐｙ", *CHINESE, "Ärger", "sad")
    for _ in range(3):
        font, shown = fonts.for_captions(names)
        assert list(shown.values()) == ["happy", "class 1", "class 2", "class 3", "Ärger", "sad"]
    assert font.endswith("DejaVuSans.ttf")
    assert len(caplog.records) == 1 and "愤怒 as class 1" in caplog.text and "Noto Sans" in caplog.text


def test_two_names_never_become_one(bare):
    shown = fonts.for_captions(("ｓａｄ", "sad", "𝐬𝐚𝐝", "𓀀"))[1]
    assert len(set(shown.values())) == 4 and all(text.isascii() for text in shown.values())


def figures(names, folder):
    numbers = dict.fromkeys(names, {})
    results = {"confusion_matrix": np.eye(len(names), dtype=int).tolist(), "per_class": numbers}
    plots.plot_confusion_matrix(results, "模型 on 数据", folder / "matrix.png")
    frames = [{"time": time / 10, "faces": [{"track": 1, "probabilities": dict.fromkeys(names, 1 / len(names))}]}
              for time in range(20)]  # fmt: skip
    timeline.plot(frames, names, folder / "timeline.png")
    models = {name: {"accuracy": 0.5, "interval": (0.4, 0.6)} for name in names}
    plots.plot_comparison({"models": models, "n": 9}, "数据", folder / "comparison.png")


@pytest.mark.parametrize("names", [CHINESE, ANCIENT])
@pytest.mark.parametrize("system", ["bare", "chinese_font"])
def test_figures_have_no_letter_that_their_fonts_lack(names, system, request, tmp_path, monkeypatch):
    request.getfixturevalue(system)
    saved, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *given, **more: (saved.append(self), save(self, *given, **more))
    )
    with warnings.catch_warnings(action="error"):  # matplotlib warns of each glyph that is missing
        figures(names, tmp_path)
    labels = [label.get_text() for label in saved[0].axes[0].get_yticklabels()]
    if names == CHINESE and system == "chinese_font":
        assert labels == list(CHINESE) and saved[0].axes[0].get_title() == "?? on ??"
    elif names == CHINESE:
        assert labels == ["class 0", "class 1", "class 2"]
    else:
        assert labels == ["class 0", "class 1", "Ärger"]


def test_a_figure_of_plain_texts_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(fonts, "_best", lambda *_: pytest.fail("searched"))
    figure = Figure()
    figure.subplots().set(title="happy", xlabel="share")
    fonts.finish(figure)
