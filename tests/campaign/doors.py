"""The doors through which files come in, and what stands before each of them."""

import contextlib
import copy
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from fer_hub import FERModel, images
from fer_hub.data import dataset, label_sets
from fer_hub.errors import UserError
from fer_hub.evaluation import predictions_csv, seeds
from fer_hub.hub import card, model_folder
from fer_hub.labels import EMOTIONS
from fer_hub.models import config as model_config

from . import cases
from .command import command
from .data_doors import decoded, names, tables
from .judge import Case

SHIPPED = Path(__file__).parents[2] / "fer_hub" / "weights" / "fer-small"


def _folder() -> Path:
    return Path(tempfile.mkdtemp())


def _model(folder: Path) -> Path:
    """A model folder with everything, whose weights are links."""
    folder.mkdir(exist_ok=True)
    for file in model_folder.records(SHIPPED):
        copied = folder / file.relative_to(SHIPPED)
        copied.parent.mkdir(exist_ok=True)
        copied.write_bytes(file.read_bytes())
    (folder / "config.json").write_bytes((SHIPPED / "config.json").read_bytes())
    (folder / model_folder.WEIGHTS).unlink(missing_ok=True)
    (folder / model_folder.WEIGHTS).symlink_to(SHIPPED / model_folder.WEIGHTS)
    return folder


def _writing(file: Path, content: bytes | Callable[[], bytes], call: Callable[[], object]) -> Callable[[], object]:
    def run():
        file.write_bytes(content if isinstance(content, bytes) else content())
        return call()

    return run


# --- JSON ------------------------------------------------------------------------------------------------------------


def configs() -> Iterator[Case]:
    """config.json of a model folder, as every loader reads it."""
    folder, whole = _model(_folder()), json.loads((SHIPPED / "config.json").read_text())
    file = folder / "config.json"

    def read() -> dict:
        return vars(model_config.read(folder, str(folder)))

    for name, content in _records(whole, file.read_bytes(), 300):
        yield Case(f"config.json, {name}", _writing(file, content, read), str(folder))


def records() -> Iterator[Case]:
    """results.json and train_config.json, as `info`, the card and `aggregate` read them."""
    folder = _model(_folder())
    names = ("results.json", "train_config.json")
    contents = {name: (SHIPPED / name).read_bytes() for name in names}

    def read() -> list:
        results, record = (model_folder.read_record(folder / name) for name in names)
        found = [len(card.render(results, record))]
        with contextlib.suppress(UserError):  # a run may lack what only some can do without
            found.append(seeds.as_summary(seeds.by_recipe([folder])))
        found.append(seeds.as_table(seeds.aggregate([folder])))
        return found

    for name in names:
        small = json.loads(contents[name])
        for split in ("validation", "test"):
            for key in ("flip", "intervals", "dedup") if split == "test" else ("intervals", "reliability"):
                small.get(split, {}).pop(key, None)  # like others, or read by nobody
            small.get(split, {}).get("coverage", {}).pop("curve", None)
        # Each seventeenth, since a card takes some tenths of a second: each odd value comes to many places.
        for change, content in itertools.islice(_records(small, contents[name], 200), 0, None, 17):
            yield Case(f"{name}, {change}", _writing(folder / name, content, read), ".json")
        (folder / name).write_bytes(contents[name])


def commands() -> Iterator[Case]:
    """The same files through `fer-hub info --json`: a sample, since each loads the weights."""
    folder = _model(_folder())
    for name in ("config.json", "results.json", "train_config.json"):
        whole = (SHIPPED / name).read_bytes()
        for change, content in itertools.islice(_records(json.loads(whole), whole, 30), 0, None, 97):
            call = _writing(folder / name, content, lambda: command("info", str(folder), "--json"))
            yield Case(f"{name}, {change}", call, str(folder))
        (folder / name).write_bytes(whole)


def label_maps() -> Iterator[Case]:
    """--label_map."""
    file, whole = _folder() / "map.json", {"1": "sad", "x": "happy", "y": None}
    for change, content in _records(whole, json.dumps(whole).encode(), 100):
        yield Case(change, _writing(file, content, lambda: label_sets.read_map(file)), str(file))


def cards() -> Iterator[Case]:
    """README.md of a folder that is to be pushed."""
    heads = (
        "date: 2024-13-45", "a: &a [*a]", "a: &a [1]\nb: *a", "x: !!python/object/apply:os.system [ls]", "x: !!bool q",
        "[" * 60_000, "- a\n" * 15_000, "x: " + "9" * 5000, "x: .nan", "x: .inf", "? [a]\n: b", "x: =", "<<: 1", "\t",
        "x: !!timestamp x", 'x: !!int ""', "x: \x00", "", "null", "[]", "a: 1\na: 2", "x: " + "y" * 10**6, "\x1b[2J",
    )  # fmt: skip
    whole = (SHIPPED / "README.md").read_bytes() if (SHIPPED / "README.md").is_file() else card.render({}, {}).encode()
    for head in heads:
        data = f"---\n{head}\n---\n".encode()
        yield Case(f"head {head[:30]!r}", lambda data=data: model_folder.card_metadata(data, "README.md"), "README.md")
    for change, data in cases.damaged(whole[:5000], 200, seed=1):
        yield Case(change, lambda data=data: model_folder.card_metadata(data, "README.md"), "README.md")


def _records(whole: dict, data: bytes, count: int) -> Iterator[tuple[str, bytes | Callable[[], bytes]]]:
    for change, make in cases.changed(whole):
        yield change, lambda make=make: json.dumps(make()).encode()
    for odd in cases.ODD_JSON:
        yield f"file {odd[:20]!r}", odd.encode()
    yield from cases.damaged(data, count, seed=2)


# --- weights ---------------------------------------------------------------------------------------------------------


def weights() -> Iterator[Case]:
    """model.safetensors, loaded and asked about a picture."""
    folder, face = _folder(), np.full((48, 48), 128, np.uint8)
    torch.manual_seed(0)
    FERModel("test_resnet").save_pretrained(folder)
    file = folder / model_folder.WEIGHTS
    whole = file.read_bytes()
    state = {key: tensor.clone() for key, tensor in load_file(file).items()}  # load_file maps what is overwritten

    def ask() -> list:
        return FERModel.from_pretrained(folder).predict(face)

    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool,
             torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2)  # fmt: skip
    for kind in kinds:
        content = _saved(
            {key: tensor.to(kind) if tensor.is_floating_point() else tensor for key, tensor in state.items()}
        )
        bad = kind not in (torch.float64, torch.float16, torch.bfloat16)
        yield Case(f"all of {kind}", _writing(file, content, ask), str(folder), bad)
    for key, value in itertools.product(list(state)[:8], (1e200, 1e39, float("nan"), float("inf"), 3e38)):
        changed = copy.deepcopy(state)
        changed[key] = torch.full(state[key].shape, value, dtype=torch.float64)
        yield Case(f"{key} is {value}", _writing(file, _saved(changed), ask), str(folder), not abs(value) < 3.4e38)
    for key in list(state)[:8]:
        for shape in ((), (0,), (1,), (*state[key].shape, 1)):
            content = _saved({**state, key: torch.zeros(shape)})
            yield Case(f"{key} of shape {shape}", _writing(file, content, ask), str(folder), True)
    for change, data in cases.damaged(whole[:6000], 60, seed=3):
        yield Case(f"head: {change}", _writing(file, data + whole[6000:], ask), str(folder))


def _saved(state: dict) -> bytes:
    with tempfile.NamedTemporaryFile() as file:
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, file.name)
        return Path(file.name).read_bytes()


# --- pictures and other files ----------------------------------------------------------------------------------------


def pictures() -> Iterator[Case]:
    """Damaged pictures of every format, as paths and as bytes."""
    folder = _folder()
    for kind, whole in cases.pictures():
        file = folder / f"face.{kind.lower()}"
        for change, data in cases.damaged(whole, 120, seed=4):
            call = _writing(file, data, lambda file=file: images.to_gray_square(file).shape)
            yield Case(f"{kind}, {change}", call, str(file))
            yield Case(f"{kind} as bytes, {change}", lambda data=data: images.to_gray_square(data).shape)


def no_files() -> Iterator[Case]:
    """Pipes, devices, sockets, folders and broken links where a file is expected."""
    folder = _folder()
    doors = {
        "face.jpg": images.read,
        "face.png": lambda path: command("predict", str(path)),
        "clip.mp4": lambda path: command("predict", str(path)),
        "map.json": label_sets.read_map,
        "found.csv": lambda path: predictions_csv.read(path, EMOTIONS, 1),
        "fer2013.csv": lambda path: dataset.load(str(path)),
        "train.parquet": lambda path: dataset.load(str(path.parent)),
        "config.json": lambda path: FERModel.from_pretrained(path.parent),
        "model.safetensors": lambda path: FERModel.from_pretrained(path.parent),
        "results.json": lambda path: model_folder.read_record(path),
    }
    for name, call in doors.items():
        for kind, path in cases.no_files(folder / name, name):
            if name == "model.safetensors":
                (path.parent / "config.json").write_bytes((SHIPPED / "config.json").read_bytes())
            readable = kind == "file of no rights" and os.geteuid() == 0  # root reads it: it is an empty file then
            named = str(path.parent) if not readable else ""
            # A folder of pictures is searched, and an empty one is told.
            yield Case(f"{kind} called {name}", lambda path=path, call=call: call(path), named, True)
    for kind, path in cases.no_files(folder / "happy", "x.jpg"):
        faces = folder / "faces" / kind.replace(" ", "-").replace("/", "-") / "happy"
        faces.mkdir(parents=True)
        (faces / "x.jpg").symlink_to(path)
        yield Case(
            f"{kind} in an image folder", lambda faces=faces: decoded(str(faces.parent)), str(faces.parent), True
        )


DOORS = {
    door.__name__: door
    for door in (configs, records, commands, label_maps, cards, weights, pictures, no_files, tables, names)
}
