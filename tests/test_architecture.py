"""The rooms of the package: imports point downward and never in a circle. The source is read, nothing is imported."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the top down; "" is the package's own folder. A room may import those of the lines below its own, and itself.
LEVELS = (
    {"training", "cli", "demo"},
    {"evaluation", "recognition"},
    {"models"},
    {"hub", "metrics"},
    {"data"},
    {""},
)
HEIGHT = {room: -level for level, rooms in enumerate(LEVELS) for room in rooms}
MOST_MODULES = 16  # beside __init__, in one folder


def source_files(package: Path) -> dict[str, Path]:
    """Return the files by dotted name: `fer_hub.data.sources`, or `fer_hub.data` for the `__init__` of a room."""
    files = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return files


def room_of(file: Path, package: Path) -> str:
    """Return the first folder below the package; "" for the package's own modules."""
    folders = file.relative_to(package).parts[:-1]
    return folders[0] if folders else ""


def imported_names(file: Path, package: Path) -> set[str]:
    """Return the dotted names that a file imports, wherever in it: in functions and under TYPE_CHECKING too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            folder = file.parent.relative_to(package.parent).parts
            above = folder[: len(folder) + 1 - node.level] if node.level else ()
            origin = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{origin}.{alias.name}" for alias in node.names}
    return names


def problems(package: Path) -> list[str]:
    """Return what breaks the rules in a package, a sentence each."""
    files = source_files(package)
    exempt = {package.name, f"{package.name}.__main__"}
    found, graph = [], {}
    for module, file in files.items():
        if module in exempt:
            continue
        graph[module] = set()
        for name in sorted(imported_names(file, package)):
            if name.split(".")[0] != package.name:
                continue
            target = name
            while target not in files:  # a function or class: its module
                target = target.rpartition(".")[0]
            if target == package.name:
                if name != f"{package.name}.__version__":  # the names there lead on to modules, unseen
                    found.append(f"{module} imports {name}: name the module that defines it")
                continue
            graph[module].add(target)
            here, there = room_of(file, package), room_of(files[target], package)
            if here != there and HEIGHT[there] >= HEIGHT[here]:
                found.append(f"{module} -> {target} points upward")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1][:0:-1]  # the first stands again at the end
        first = circle.index(min(circle))
        found.append("circle: " + " -> ".join([*circle[first:], *circle[: first + 1]]))

    for folder in sorted({file.parent for file in files.values()}):
        name = folder.relative_to(package.parent).as_posix()
        number = len([file for file in folder.glob("*.py") if file.name != "__init__.py"])
        if number > MOST_MODULES:
            found.append(f"{name} has {number} modules, more than {MOST_MODULES}")
        if folder != package and not _is_docstring_alone(folder / "__init__.py"):
            found.append(f"{name}/__init__.py is not a docstring alone")
    return found


def _is_docstring_alone(file: Path) -> bool:
    if not file.exists():
        return False
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return len(tree.body) == 1 and ast.get_docstring(tree) is not None


def test_the_package_keeps_its_rooms():
    assert problems(ROOT / "fer_hub") == []


def test_the_tests_mirror_the_rooms():
    rooms = {room_of(file, ROOT / "fer_hub") for file in source_files(ROOT / "fer_hub").values()} - {""}
    folders = {file.relative_to(ROOT / "tests").parts[0] for file in (ROOT / "tests").glob("*/*.py")}
    assert folders - {"support", "campaign"} == rooms == set(HEIGHT) - {""}


SOUND = {
    "__init__.py": "from fer_hub.models.model import FERModel\n",
    "__main__.py": "import fer_hub.cli.arguments\n",
    "errors.py": "class UserError(Exception): ...\n",
    "data/__init__.py": '"""Data."""\n',
    "data/sources.py": "import os.path\nfrom fer_hub import __version__\nfrom fer_hub.errors import UserError\n",
    "models/__init__.py": '"""Models."""\n',
    "models/config.py": "",
    "models/model.py": "from . import config\nfrom ..data import sources\n",
    "cli/__init__.py": '"""Command line."""\n',
    "cli/arguments.py": "import fer_hub.models.model\n",
}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"data/sources.py": "from fer_hub.models.model import FERModel\n"},
         "fer_hub.data.sources -> fer_hub.models.model points upward"),
        ({"data/sources.py": "def load():\n    from fer_hub.models import config\n"},
         "fer_hub.data.sources -> fer_hub.models.config points upward"),
        ({"data/sources.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import fer_hub.cli.arguments\n"},
         "fer_hub.data.sources -> fer_hub.cli.arguments points upward"),
        ({"errors.py": "from .data.sources import read\n"}, "fer_hub.errors -> fer_hub.data.sources points upward"),
        ({"errors.py": "from fer_hub import FERModel\n"},
         "fer_hub.errors imports fer_hub.FERModel: name the module that defines it"),
        ({"demo/__init__.py": '"""Demo."""\n', "demo/page.py": "from fer_hub.cli import arguments\n"},
         "fer_hub.demo.page -> fer_hub.cli.arguments points upward"),
        ({"models/config.py": "def load():\n    from fer_hub.models.model import FERModel\n"},
         "circle: fer_hub.models.config -> fer_hub.models.model -> fer_hub.models.config"),
        ({f"data/module{n}.py": "" for n in range(16)}, "fer_hub/data has 17 modules, more than 16"),
        ({f"module{n}.py": "" for n in range(16)}, "fer_hub has 18 modules, more than 16"),
        ({"data/__init__.py": '"""Data."""\nimport os\n'}, "fer_hub/data/__init__.py is not a docstring alone"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_found(changes, problem, tmp_path):
    for name, source in {**SOUND, **changes}.items():
        file = tmp_path / "fer_hub" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
    found = problems(tmp_path / "fer_hub")
    assert problem in found if problem else found == []


NEW_MODULES = """
import sys
before = set(sys.modules)
import fer_hub
names = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(names - sys.stdlib_module_names))
"""


def test_importing_the_package_prints_nothing_and_loads_the_standard_library_alone():
    done = subprocess.run([sys.executable, "-c", NEW_MODULES], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("['fer_hub']\n", "")
