"""Copies of data sets on the Hub: the same pixels, and private. Real client, real server (hub_server)."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from fer_hub import EMOTIONS, images
from fer_hub.cli.arguments import main
from fer_hub.data import dataset
from fer_hub.data.pixels import decode
from fer_hub.hub import dataset_repo
from fer_hub.hub.model_folder import card_metadata

ROOT = Path(__file__).parents[2]
REPO = "user/faces"
TRAIN = "data/train-00000-of-00001.parquet"


def push(source, *options):
    return main(["push-dataset", str(source), "--repo_id", REPO, "--json", *options])


def environment(hub):
    return {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_write"}


def write(files, folder):
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


# --- the files ---


def test_a_copy_has_the_pixels_and_labels_of_the_source(faces, write_csv, tmp_path):
    source = str(write_csv(faces))
    copy = dataset.load(str(write(dataset_repo.files(dataset.load(source), source, REPO), tmp_path / "copy")))
    for name, pixels in faces.items():
        assert decode(copy[name], name).fingerprint == pixels.fingerprint
    picture = Image.open(io.BytesIO(copy["train"][0]["image"]["bytes"]))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (48, 48))


def test_equal_data_gives_equal_files_which_do_not_name_the_source(faces, write_csv):
    sources = [str(write_csv(faces, name=name)) for name in ("one.csv", "two.csv")]
    one, two = (dataset_repo.files(dataset.load(source), source, REPO) for source in sources)
    assert one == two


def test_pictures_in_colour_and_of_other_sizes_stay_what_they_are(tmp_path):
    rng = np.random.default_rng(0)
    for emotion in EMOTIONS:
        (tmp_path / "source" / emotion).mkdir(parents=True)
        for index in range(20):
            shape = (60, 50, 3) if index % 2 else (48, 48)
            exif = Image.Exif()
            exif[0x010E] = "where it was taken"
            picture = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
            picture.save(tmp_path / "source" / emotion / f"{index}.jpg", exif=exif)
    splits = dataset.load(str(tmp_path / "source"))
    files = dataset_repo.files(splits, "source", REPO)
    copy = dataset.load(str(write(files, tmp_path / "copy")))
    for row in range(len(splits["train"])):
        before = images.read(splits["train"][row]["image"]["path"])  # files that are there stay files
        after = images.read(copy["train"][row]["image"]["bytes"])
        assert before.mode == after.mode and np.array_equal(before, after)
    assert b"where it was taken" not in b"".join(files.values())
    assert "stored as PNG (of different sizes, gray and colour)" in files["README.md"].decode()


def test_the_card_tells_what_is_there(faces, write_csv):
    source = str(write_csv({**faces, "test": faces["train"][:5]}))
    card = dataset_repo.files(dataset.load(source), source, REPO)["README.md"]
    metadata = card_metadata(card, "README.md")
    assert metadata["license"] == "other" and metadata["license_name"] == "unclear"
    assert metadata["task_categories"] == ["image-classification"] and metadata["size_categories"] == ["n<1K"]
    assert metadata["configs"][0]["data_files"][0] == {"split": "train", "path": TRAIN}
    assert [split["num_examples"] for split in metadata["dataset_info"]["splits"]] == [56, 21, 5]
    text = card.decode()
    assert "| train | 8 | 8 | 8 | 8 | 8 | 8 | 8 | 56 |" in text
    assert "5 groups of copies stand in more than one split" in text and "test: 5." in text
    assert "private" in text and "not recorded" in text and "Carrier" not in text
    assert str(Path(source).parent) not in text


def test_the_card_of_drawn_faces_says_so(faces, write_csv):
    splits = dataset.load(str(write_csv(faces)))  # drawing them takes longer
    card = dataset_repo.files(splits, "synthetic", REPO)["README.md"]
    assert card_metadata(card, "README.md")["license"] == "apache-2.0"
    assert "a program drew them" in card.decode() and "unclear" not in card.decode()


def test_the_card_of_the_real_data_names_its_origin(fer2013_path):
    counted = ("extra_copies", "groups_across_splits", "groups_with_contradictory_labels", "blank")
    splits = dataset.load(fer2013_path)  # writing all of it would take long
    card = dataset_repo._card(splits, fer2013_path, REPO, dict.fromkeys(counted, 0), {(48, 48, "L")})
    assert "Carrier" in card and "Licence: unclear" in card and "| test | 491 | 55 |" in card
    assert card_metadata(card.encode(), "README.md")["size_categories"] == ["10K<n<100K"]


# --- the push ---

LOAD = """
import datasets, json, sys
from fer_hub.data import dataset
from fer_hub.data.pixels import decode
plain = datasets.load_dataset(sys.argv[1])
ours = dataset.load(sys.argv[1])
print(json.dumps({"names": plain["train"].features["label"].names, "columns": plain["train"].column_names,
                  "fingerprints": {name: [decode(data[name], name).fingerprint for data in (plain, ours)]
                                   for name in plain}}))
"""


def test_a_push_is_private_loads_again_and_is_not_repeated(hub, online, faces, write_csv, capsys):
    source = str(write_csv(faces))
    command = [sys.executable, "-m", "fer_hub", "push-dataset", source, "--repo_id", REPO, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment(hub), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert hub.repo(REPO, "dataset").private and len(hub.commits(REPO, repo_type="dataset")) == 2

    loaded = subprocess.run(
        [sys.executable, "-c", LOAD, REPO], cwd=ROOT, env=environment(hub), capture_output=True, text=True
    )
    assert loaded.returncode == 0, loaded.stderr
    found = json.loads(loaded.stdout)
    assert found["names"] == list(EMOTIONS) and found["columns"] == ["image", "label"]
    assert found["fingerprints"] == {name: [pixels.fingerprint] * 2 for name, pixels in faces.items()}

    assert push(source) == 0
    said = json.loads(capsys.readouterr().out)
    assert not said["uploaded"] and said["commit"] == json.loads(done.stdout)["commit"]


def test_a_split_that_is_gone_goes_and_what_is_not_ours_stays(hub, online, faces, write_csv):
    files = {"data/test-00000-of-00001.parquet": b"of an earlier push", "data/notes.parquet": b"theirs"}
    hub.add_repo(REPO, files, repo_type="dataset", private=True)
    assert push(write_csv({name: faces[name] for name in ("train", "validation")})) == 0
    held = hub.files(REPO, repo_type="dataset")
    assert "data/test-00000-of-00001.parquet" not in held and held["data/notes.parquet"] == b"theirs"
    assert pq.read_table(io.BytesIO(held[TRAIN])).num_rows == len(faces["train"])


def test_an_existing_public_repository_is_refused(hub, online, faces, write_csv, capsys):
    head = hub.add_repo(REPO, {"README.md": b"# public\n"}, repo_type="dataset", private=False)
    assert push(write_csv(faces)) == 2 and "exists and is public" in capsys.readouterr().err
    assert hub.commits(REPO, repo_type="dataset")[-1].sha == head


def test_a_dry_run_writes_nothing(hub, online, faces, write_csv, capsys):
    assert push(write_csv(faces), "--dry_run") == 0
    assert TRAIN in json.loads(capsys.readouterr().out)["uploaded"]
    assert not hub.repos
