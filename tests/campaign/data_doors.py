"""The doors of data sets: parquet files, tables, image folders, and names of anything."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet
from datasets import ClassLabel, Dataset, Features, Image, Value

from fer_hub import images
from fer_hub.data import dataset, label_sets
from fer_hub.data.pixels import decode
from fer_hub.data.sources import png
from fer_hub.labels import EMOTIONS

from . import cases
from .command import command
from .judge import Case


def tables() -> Iterator[Case]:
    """Parquet files and fer2013.csv with odd labels, paths and pixels."""
    folder, face = Path(tempfile.mkdtemp()), png(np.full((48, 48), 9, np.uint8))
    secret = folder / "secret.png"
    secret.write_bytes(face)
    labels = {
        "bool": (Value("bool"), [True, False]),
        "float": (Value("float64"), [0.5, float("nan")]),
        "infinite": (Value("float64"), [0.0, float("inf")]),
        "large": (Value("int64"), [0, 2**62]),
        "negative": (Value("int64"), [0, -5]),
        "empty": (Value("string"), ["", "happy"]),
        "long": (Value("string"), ["happy", cases.LONG]),
        "control": (Value("string"), ["happy", "\x1b[2J"]),
        "lines": (Value("string"), ["happy", "a\nb"]),
        "binary": (Value("binary"), [b"happy", b"\xff"]),
        "missing": (Value("string"), [None, "happy"]),
        "date": (Value("timestamp[s]"), [0, 1]),
    }
    for number, (name, (kind, values)) in enumerate(labels.items()):
        for label_set in ("fer2013", "auto"):
            place = folder / f"labels-{number}-{label_set}"
            rows = {"image": [{"bytes": face, "path": None}] * 2, "label": values}
            _parquet(place, Dataset.from_dict(rows, features=Features({"image": Image(), "label": kind})))
            call = lambda place=place, label_set=label_set: decoded(str(place), label_set)  # noqa: E731
            yield Case(f"labels: {name}, {label_set}", call, str(place), True)
    paths = ("/etc/passwd", "../secret.png", str(secret), "/dev/zero", "~/x.png", "", "a\0b", "nowhere.png", cases.LONG,
             "http://127.0.0.1:9/x.png", "hf://datasets/a/b/x.png", "inner/../../secret.png", "link.png")  # fmt: skip
    for number, path in enumerate(paths):
        place = folder / f"paths-{number}"
        rows = {"image": [{"bytes": face, "path": None}, {"bytes": None, "path": path}], "label": [0, 1]}
        kinds = Features({"image": Image(), "label": ClassLabel(names=list(EMOTIONS))})
        _parquet(place, Dataset.from_dict(rows, features=kinds))
        (place / "link.png").symlink_to(secret)
        yield Case(f"path {path[:40]!r}", lambda place=place: decoded(str(place)), str(place), True)
    whole = (folder / "labels-0-auto" / "train.parquet").read_bytes()
    for number, (change, data) in enumerate(cases.damaged(whole, 60, seed=5)):
        place = folder / f"damaged-{number}"
        place.mkdir()
        (place / "train.parquet").write_bytes(data)
        yield Case(f"parquet: {change}", lambda place=place: decoded(str(place)), str(place))
    pixels = " ".join(["7"] * 2304)
    rows = "".join(f"{label},{pixels},Training\n" for label in range(7)) * 12
    whole = f"emotion,pixels,Usage\n{rows}".encode()
    for number, (change, data) in enumerate(cases.damaged(whole, 40, seed=6)):
        file = folder / f"damaged-{number}.csv"
        file.write_bytes(data)
        yield Case(f"csv: {change}", lambda file=file: decoded(str(file)), str(file))


def names() -> Iterator[Case]:
    """Names that are too long, not UTF-8, of another user's home, or with control characters."""
    odd = ("a" * 300, "/" + "a" * 5000, "~nobody-here/x", "\udcff.jpg", "\x1b[2J.jpg", "a\nb.jpg", "-", "")
    doors = {
        "picture": images.read,
        "predict": lambda name: command("predict", "--", name),
        "model": lambda name: command("info", "--", name),
        "data set": dataset.load,
        "label map": label_sets.read_map,
        "push": lambda name: command("push", "--repo_id", "user/name", "--", name),
        "votes": lambda name: command("duplicates", "--label_set", "ferplus", "--ferplus", name, "synthetic-none"),
        "aggregate": lambda name: command("aggregate", "--", name),
    }
    for (door, call), name in itertools.product(doors.items(), odd):
        yield Case(f"{door} {name[:20]!r}", lambda call=call, name=name: call(name), bad=True)
    folder = Path(tempfile.mkdtemp())
    for number, name in enumerate((b"\xff.png", b"\x1b[2J.png", b"a\nb.png")):
        place = os.fsencode(folder / str(number) / "happy")
        os.makedirs(place)
        os.makedirs(place.replace(b"happy", b"sad"))
        for where in (place, place.replace(b"happy", b"sad")):
            for copied in range(12):
                with open(os.path.join(where, b"%d%s" % (copied, name)), "wb") as file:
                    file.write(png(np.full((48, 48), copied, np.uint8)))
        yield Case(f"image folder with {name!r}", lambda number=number: decoded(str(folder / str(number))))
        yield Case(f"predict {name!r}", lambda number=number: command("predict", str(folder / str(number)), "--json"))
    for number, name in enumerate((b"\xff", b"\x1b[2J", b"a\nb", b"x" * 200)):
        for inner in (name, b"happy"):
            place = os.path.join(os.fsencode(folder / f"class-{number}"), inner)
            os.makedirs(place)
            for copied in range(12):
                with open(os.path.join(place, b"%d.png" % copied), "wb") as file:
                    file.write(png(np.full((48, 48), copied, np.uint8)))
        for label_set in ("auto", "fer2013"):
            call = lambda number=number, label_set=label_set: decoded(str(folder / f"class-{number}"), label_set)  # noqa: E731
            yield Case(f"class {name[:9]!r}, {label_set}", call, bad=True)


def _parquet(place: Path, rows: Dataset) -> None:
    place.mkdir()
    pyarrow.parquet.write_table(rows.data.table, place / "train.parquet")  # `datasets` would look for the files now


def decoded(source: str, label_set: str = "fer2013") -> list:
    loaded = dataset.load(source, labels=label_sets.LabelSet(label_set))
    return [len(decode(split, f"{source}, split {name}")) for name, split in loaded.items()]
