"""The documents keep their promises: links lead somewhere, code runs, commands have their flags, names exist."""

import importlib.util
import io
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import clips
import numpy as np
import pytest
from PIL import Image

import app
import train
from fer_hub.cli import arguments
from fer_hub.evaluation import markdown_tables

ROOT = Path(__file__).parent.parent
DOCS = sorted(ROOT.glob("docs/*.md"))
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")] + DOCS
CARDS = [ROOT / "model_card.md", *sorted(ROOT.glob("fer_hub/weights/*/README.md"))]
EXAMPLES = ROOT / "fer_hub/examples"
# Flags of other programs that the pages mention.
FOREIGN_FLAGS = {"--help", "--quiet", "--multi_gpu", "--num_processes", "--cpu"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, also those within lists."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, re.M | re.S)
    return [re.sub(rf"^{indent}", "", block, flags=re.M) for indent, block in found]


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]+`", "", re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S))


def inline_code(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings."""
    found = []
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S), re.M):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.append(anchor if anchor not in found else f"{anchor}-{found.count(anchor)}")
    return set(found)


@pytest.mark.parametrize("page", PAGES + CARDS, ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists() and file.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(file.read_text()), target


def test_a_wrong_link_would_be_found(tmp_path):
    assert anchors("# What is `x`?\n## A [link](b.md), twice\n## A link, twice\n```\n# no\n```\n") == {
        "what-is-x", "a-link-twice", "a-link-twice-1",
    }  # fmt: skip
    assert re.findall(r"\]\(([^)\s]+)\)", without_code("[a](b.md) `[c](d.md)`\n```\n[e](f.md)\n```\n")) == ["b.md"]


def test_readme_is_short_and_has_one_table():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 170
    assert len(re.findall(r"^\|(?: *-+ *\|)+$", text, re.M)) == 1  # the line below a table's head


def test_readme_has_the_two_commands_of_a_fresh_machine():
    lines = [line for block in blocks((ROOT / "README.md").read_text(), "bash") for line in block.splitlines()]
    assert (
        "python3 -m venv .venv && . .venv/bin/activate && pip install -r requirements.txt && "
        "accelerate launch --quiet train.py --dataset_name synthetic --output_dir runs/synthetic"
    ) in lines
    assert ". .venv/bin/activate && pip install -r requirements-dev.txt && pytest -q" in lines


def test_the_index_names_every_page():
    index = (ROOT / "docs/README.md").read_text()
    assert [page.name for page in DOCS if page.name != "README.md" and f"]({page.name})" not in index] == []


# --- code ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with the files that the pages speak of."""
    shutil.copy(EXAMPLES / "crop-happy.png", tmp_path / "face.png")
    with Image.open(EXAMPLES / "astronaut.webp") as photo:
        photo.convert("RGB").save(tmp_path / "photo.jpg")
        around = np.asarray(photo.convert("RGB"))[:320, 64:384]
    clips.write(tmp_path / "talk.mp4", [around] * 6)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_blocks(page: Path, names: dict, **in_place_of: tuple[str, str]) -> None:
    """Run the python blocks of a page one after another, as a reader would paste them."""
    for block in blocks(page.read_text(), "python"):
        for typed, real in in_place_of.values():
            assert typed in block
            block = block.replace(typed, real)
        exec(compile(block, name_of(page), "exec"), names)


def test_code_of_the_readme_runs(desk, capsys):
    run_blocks(ROOT / "README.md", {})
    assert "happy" in capsys.readouterr().out


def test_code_of_the_page_on_python_runs(desk, capsys):
    run_blocks(ROOT / "docs/python.md", {})
    assert "happy" in capsys.readouterr().out
    made = {"drawn.png", "talk_faces.mp4", "talk.csv", "talk.json", "talk.png", "heat.png"}
    assert made <= {file.name for file in desk.iterdir()}


def test_code_of_the_page_on_evaluation_writes_what_compare_reads(desk):
    names = ["angry", "happy"]
    run_blocks(ROOT / "docs/evaluation.md", {"np": np, "probabilities": np.array([[0.25, 0.75]]), "names": names})
    assert (desk / "keras.csv").read_text() == "row,angry,happy\n0,0.25,0.75\n"


def test_code_of_the_page_on_experiments_runs(desk, faces, write_csv, capsys):
    source = str(write_csv(faces))
    run_blocks(
        ROOT / "docs/experiments.md", {}, model=("runs/small-teacher/best", "fer-small"), data=("data/fer2013", source)
    )
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["40", "44", "48"]


def test_all_pages_with_code_are_run():
    """demo.md is run by the tests of the page, which serve it, and recipes.md by tests/recognition."""
    run = {"README.md", "docs/python.md", "docs/evaluation.md", "docs/experiments.md"}
    run |= {"docs/demo.md", "docs/recipes.md"}
    assert {name_of(page) for page in PAGES if blocks(page.read_text(), "python")} == run


# --- commands ------------------------------------------------------------------------------------------------------


def help_of(program: Callable[[list[str]], object], *arguments: str) -> str:
    """What a program prints when it is called for help."""
    with redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit) as end:
        program([*arguments, "--help"])
    assert end.value.code == 0
    return printed.getvalue()


def start_app(given: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["app.py", *given])
        app.main()


@pytest.fixture(scope="module")
def flags() -> dict[str, set[str]]:
    """The flags of each program, those of fer-hub by command: from its usage, not from its examples."""
    names = re.findall(r"^    ([a-z-]+)(?: |$)", help_of(arguments.main), re.M)
    assert {"info", "push-dataset"} <= set(names)
    texts = {f"fer-hub {name}": help_of(arguments.main, name) for name in names}
    texts["app.py"] = help_of(start_app)
    found = {program: set(re.findall(r"--[a-z]\w*", text.split("\n\n")[0])) for program, text in texts.items()}
    found["train.py"] = set(re.findall(r"^  (--\w+)", help_of(train.parse_arguments), re.M))
    return found


def commands(text: str) -> Iterator[list[str]]:
    """The commands in a page's bash blocks, split into words; brackets around what may be left out are taken away."""
    for block in blocks(text, "bash"):
        for line in block.splitlines():
            for command in re.split(r"&&|;|\|", re.sub(r" #.*", "", line)):
                if words := shlex.split(re.sub(r"[\[\]]|\.\.\.", "", command)):
                    yield words


def calls(text: str) -> Iterator[tuple[str, list[str]]]:
    """The commands that start a program of this project: its name, or that of the file, and its arguments."""
    for words in commands(text):
        if words[0] == "bandit":  # it reads programs and starts none
            continue
        for place, word in enumerate(words):
            if word == "fer-hub":
                yield f"fer-hub {words[place + 1]}", words[place + 2 :]
            elif re.fullmatch(r"(train|app|(benchmarks|docs)/\w+)\.py", word):
                yield word, words[place + 1 :]
            else:
                continue
            break


@pytest.mark.parametrize("page", PAGES + CARDS, ids=name_of)
def test_commands_have_their_flags(page, flags):
    for program, given in calls(page.read_text()):
        wanted = {word.partition("=")[0] for word in given if word.startswith("--")}
        if program == "train.py":
            train.parse_arguments(given)
        elif program in flags:
            assert wanted <= flags[program], program
        else:
            code = (ROOT / program).read_text()
            assert [flag for flag in wanted if f'"{flag}"' not in code] == [], program


def test_a_wrong_flag_would_be_found(flags):
    text = "```bash\ncd x && fer-hub evaluate A [B ...] --dataset_name X --tto flip   # why\n```\n"
    assert list(calls(text)) == [("fer-hub evaluate", ["A", "B", "--dataset_name", "X", "--tto", "flip"])]
    assert "--tta" in flags["fer-hub evaluate"] and "--tto" not in flags["fer-hub evaluate"]
    assert {"--seed", "--mixup", "--hub_model_id"} <= flags["train.py"] and "--port" in flags["app.py"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_flags_in_the_text_exist(page, flags):
    known = FOREIGN_FLAGS.union(*flags.values())
    text = " ".join(inline_code(page.read_text()))
    assert set(re.findall(r"(?<![\w-])--[a-z]\w*", text)) - known == set()


def test_the_page_on_the_command_line_has_every_command(flags):
    shown = {program for program, _ in calls((ROOT / "docs/command-line.md").read_text())}
    assert {program for program in flags if program.startswith("fer-hub")} == shown


def test_tables_of_results_have_their_place():
    written = []
    for page in PAGES:
        for program, given in calls(page.read_text()):
            if "--write" in given:
                file = ROOT / given[given.index("--write") + 1]
                kind = "comparison" if program == "fer-hub compare" else "summary" if "--summary" in given else "paper"
                markdown_tables.require_place(file, kind)
                written.append((name_of(file), kind))
    places = {("README.md", "summary"), ("docs/published-results.md", "comparison"), ("docs/paper.md", "paper")}
    assert set(written) == places
    marked = {
        (name_of(page), name) for page in PAGES for name in re.findall(r"^<!-- results:(\w+)", page.read_text(), re.M)
    }
    assert marked == places


# --- names ---------------------------------------------------------------------------------------------------------


def defines(file: str, name: str) -> bool:
    pattern = rf"^ *(?:def|class) {name}\b|^{name}\b[^=\n]*= "
    return re.search(pattern, (ROOT / file).read_text(), re.M) is not None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page):
    pattern = (
        r"(?:fer_hub|tests|benchmarks|docs|\.github|\.ci)/[\w./-]*|[\w-]+\.md|train\.py|app\.py|requirements[\w-]*\.txt"
    )
    named = [code for code in inline_code(page.read_text()) if re.fullmatch(pattern, code)]
    assert [code for code in named if "NAME" not in code and not (ROOT / code).exists()] == []


def test_the_architecture_page_names_what_is_there():
    text = (ROOT / "docs/architecture.md").read_text()
    rows = re.findall(r"^\|[^|]+\| `(fer_hub/[\w/]+\.py)` \|(.+)\|$", text, re.M)
    assert len(rows) > 15
    told = [(file, name) for file, names in rows for name in re.findall(r"`([A-Za-z_]\w+)`", names) if name != "owned"]
    told += [(file, name) for one, two, file in
             re.findall(r"(?:`(\w+)` and )?`(\w+)` (?:in|of) `(fer_hub/[\w/]+\.py)`", text)
             for name in (one, two) if name]  # fmt: skip
    assert [(file, name) for file, name in told if not defines(file, name)] == []
    assert not defines("fer_hub/training/augment.py", "mixup_ratio")


def test_the_architecture_page_has_every_folder():
    text = (ROOT / "docs/architecture.md").read_text()
    folders = {f"fer_hub/{file.parent.name}/" for file in ROOT.glob("fer_hub/*/__init__.py")}
    assert folders == set(re.findall(r"^\| `(fer_hub/\w+/)` \|", text, re.M))


def test_the_changelog_names_modules_that_are_there():
    rows = re.findall(r"^ *\| `(fer_hub\.[\w.]+)` \| (.+) \|$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert len(rows) > 40
    now = [name for _, cell in rows for name in re.findall(r"`(fer_hub\.[\w.]+)`", cell)]
    assert [name for name in now if importlib.util.find_spec(name) is None] == []
