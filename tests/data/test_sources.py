"""Images that tables name by paths: read where they lie in the data set, and nowhere else."""

import json

import numpy as np
import pyarrow.parquet
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from huggingface_hub import constants

from fer_hub.data import dataset, sources
from fer_hub.data.pixels import decode
from fer_hub.data.sources import png
from fer_hub.errors import UserError
from fer_hub.labels import EMOTIONS

FACES = [png(np.full((48, 48), value, np.uint8)) for value in range(14)]
FEATURES = Features({"image": Image(), "label": ClassLabel(names=list(EMOTIONS))})


def table(folder, path):
    """A parquet file of 14 faces, the last of which is a path."""
    folder.mkdir(exist_ok=True)
    encoded = [{"bytes": face, "path": None} for face in FACES[:-1]] + [{"bytes": None, "path": path}]
    rows = Dataset.from_dict({"image": encoded, "label": [place % 7 for place in range(14)]}, features=FEATURES)
    for split in ("train", "validation"):
        pyarrow.parquet.write_table(rows.data.table, folder / f"{split}.parquet")
    return folder


@pytest.mark.parametrize("name", ["face.png", "a/../face.png", "link.png"])
def test_images_beside_the_table_are_read(name, tmp_path):
    folder = table(tmp_path / "data", str(tmp_path / "data" / name))
    (folder / "a").mkdir()
    (folder / "face.png").write_bytes(FACES[13])
    (folder / "link.png").symlink_to("face.png")
    found = decode(dataset.load(str(folder))["train"], "here")
    assert found.images[13].unique().tolist() == [13]


OUTSIDE = ("/etc/passwd", "../secret.png", "a/../../secret.png", "ABSOLUTE", "link.png", "/dev/zero", "pipe", "a\0b",
           "nowhere.png", "https://example.org/x.png", "x" * 5000)  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: repr(path[:20]))
def test_other_files_of_the_machine_are_not(path, tmp_path):
    (tmp_path / "secret.png").write_bytes(FACES[0])
    folder = table(tmp_path / "data", str(tmp_path / "secret.png") if path == "ABSOLUTE" else path)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "pipe").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="data, split train, row 13: .* which is not in the data set"):
        dataset.load(str(folder))


def test_data_sets_of_the_hub_have_their_images_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    inside, other = (tmp_path / f"datasets--user--{name}/snapshots/1/face.png" for name in ("faces", "other"))
    for file in (inside, other):
        file.parent.mkdir(parents=True)
        blob = file.parents[2] / "blob"
        blob.write_bytes(FACES[5])
        file.symlink_to(blob)
    (inside.parent / "shared.png").symlink_to(tmp_path / "store.png")  # as Xet keeps what two repositories share
    (tmp_path / "store.png").write_bytes(FACES[5])

    def check(path):
        rows = {"image": [{"bytes": None, "path": str(path)}], "_row": [7]}
        part = Dataset.from_dict(rows).cast_column("image", Image(decode=False))
        sources.require_inside(part, "user/faces", "user/faces")

    check(inside)
    check(inside.parent / "shared.png")
    for path in (other, "/etc/passwd", tmp_path / "store.png"):
        with pytest.raises(UserError, match="user/faces, row 7: .* not in the data set"):
            check(path)


@pytest.mark.parametrize("place", ["{outside}/secret.png", "../secret.png"])
@pytest.mark.parametrize("alone", [True, False])
def test_a_list_of_paths_cannot_name_pictures_elsewhere(place, alone, tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    for file in (tmp_path / "secret.png", folder / "own.png"):
        file.write_bytes(FACES[0])
    lines = ["path,label", "own.png,happy", place.format(outside=tmp_path) + ",sad"]
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"line 3: .*secret.png does not lie in .*faces, and a table could name"):
        dataset.load(str(folder / "list.csv" if alone else folder), seed=None)


def test_saved_tables_of_datasets_cannot_name_files_elsewhere(tmp_path):
    """`save_to_disk` embeds pictures; a stranger's folder may be made otherwise."""
    (tmp_path / "secret.png").write_bytes(FACES[0])
    rows = {"image": [{"bytes": None, "path": str(tmp_path / "secret.png")}] * 2, "label": [3, 4]}
    plain = Features({"image": {"bytes": Value("binary"), "path": Value("string")}, "label": FEATURES["label"]})
    Dataset.from_dict(rows, features=plain).save_to_disk(tmp_path / "saved")
    described = tmp_path / "saved" / "dataset_info.json"
    info = json.loads(described.read_text())
    described.write_text(json.dumps(info | {"features": info["features"] | {"image": {"_type": "Image"}}}))
    with pytest.raises(UserError, match="row 0: the image is the file .*secret.png, which is not in the data set"):
        dataset.load(str(tmp_path / "saved"), seed=None)
