"""Folders of pictures in every layout that people have: read as what they are, or refused with what was seen."""

import json

import datasets
import numpy as np
import pytest
from PIL import Image

from fer_hub.data import dataset
from fer_hub.data.label_sets import FER2013, LabelSet
from fer_hub.data.reading import AS_FOUND, Reading
from fer_hub.data.split_names import find_split
from fer_hub.errors import UserError

AUTO = LabelSet("auto")
RAF_DB = {"1": "surprise", "2": "fear", "3": "disgust", "4": "happy", "5": "sad", "6": "angry", "7": "neutral"}
RNG = np.random.default_rng(0)


def fill(root, *names, text=None):
    """Writes small pictures, or files with the text."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            file.write_text(text)
        else:
            Image.fromarray(RNG.integers(0, 256, (4, 4), dtype=np.uint8)).save(file)
    return root


def read(source, labels=FER2013, reading=AS_FOUND, keep=None):
    """By split, the pairs of file name and class, sorted."""
    found = dataset.load(str(source), seed=None, labels=labels, reading=reading, keep=keep)
    pairs = {}
    for split, rows in found.items():
        names = rows.features["label"].names
        files = rows.cast_column("image", datasets.Image(decode=False))["image"]
        pairs[split] = sorted((file["path"].rsplit("/", 1)[-1], names[label])
                              for file, label in zip(files, rows["label"], strict=True))  # fmt: skip
    return pairs


def refused(source, *fragments, labels=FER2013, reading=AS_FOUND, seed=None):
    with pytest.raises(UserError) as caught:
        dataset.load(str(source), seed=seed, labels=labels, reading=reading)
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert len(str(caught.value)) < 700 and "_votes" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Training", "train"), ("fer2013_train", "train"), ("FER2013Train", "train"), ("train_labels", "train"),
        ("trainset", "train"), ("FERTrain", "train"), ("val_1", "validation"), ("FER2013Valid", "validation"),
        ("PublicTest", "validation"), ("public_test", "validation"), ("Dev2", "validation"), ("TEST", "test"),
        ("PrivateTest", "test"), ("my-test-images", "test"), ("happy_train", None), ("train_val", None),
        ("latest", None), ("contest", None), ("strain", None), ("valence", None), ("", None), ("0000", None),
    ],
)  # fmt: skip
def test_names_of_splits(name, split):
    assert find_split(name) == split


# --- folders ---

HAPPY_SAD = [("a.png", "happy"), ("b.png", "sad")]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["happy/a.png", "sad/b.png"], {"all": HAPPY_SAD}),
        (["archive/archive/train/happy/a.png", "archive/archive/train/sad/b.png"], {"train": HAPPY_SAD}),
        (["images/test/happy/a.png", "images/test/sad/b.png"], {"test": HAPPY_SAD}),
        (["train/images/happy/a.png", "train/images/sad/b.png", "test/joy/c.png"],
         {"train": HAPPY_SAD, "test": [("c.png", "happy")]}),
        (["happy/s1/a.png", "sad/s2/b.png", "sad/s1/c.png"], {"all": [*HAPPY_SAD, ("c.png", "sad")]}),
        (["S001/Happiness/a.png", "S002/Sadness/b.png"], {"all": HAPPY_SAD}),
        (["happy/train/a.png", "sad/train/b.png", "sad/val/c.png"],
         {"train": HAPPY_SAD, "validation": [("c.png", "sad")]}),
        (["fer2013_train_1/happy/a.png", "fer2013_train_1/sad/b.png"], {"train": HAPPY_SAD}),
        (["test/s9/happy/a.png", "test/s8/sad/b.png"], {"test": HAPPY_SAD}),
    ],
)  # fmt: skip
def test_layouts(tmp_path, files, expected):
    assert read(fill(tmp_path, *files)) == expected


def test_junk_is_passed_over(tmp_path, caplog):
    fill(tmp_path, "train/happy/a.png", "train/sad/b.png", "__MACOSX/train/happy/._a.png", ".ipynb_checkpoints/c.png")
    fill(tmp_path, "train/.DS_Store", "train/happy/Thumbs.db", "train/sad/desktop.ini", "@eaDir/x/SYNO.jpg", text="x")
    assert read(tmp_path) == {"train": HAPPY_SAD}
    assert not caplog.messages


@pytest.mark.parametrize("labels", [FER2013, AUTO], ids=["emotions", "auto"])
def test_pictures_beside_the_folders_of_classes_are_said(tmp_path, caplog, labels):
    fill(tmp_path, "train/happy/a.png", "train/sad/b.png", "train/extra.png", "sample.png", "__pycache__/x/y.png")
    assert read(tmp_path, labels) == {"train": HAPPY_SAD}
    assert sorted(message.split(": ")[1] for message in caplog.messages) == [
        f"1 picture ({name}) beside the folders of classes, passed over." for name in ("extra.png", "sample.png")
    ]


def test_a_table_without_labels_is_told_of_where_folders_make_one_class(tmp_path):
    fill(tmp_path, "images/a.png", "images/b.png")
    fill(tmp_path, "labels.csv", text="file,mood\na.png,happy\nb.png,sad\n")
    for labels in (FER2013, AUTO):
        refused(tmp_path, "labels.csv has no column of labels", "found mood", "--label_column_name", labels=labels)
    assert read(tmp_path, AUTO, Reading(label_column="mood")) == {"all": HAPPY_SAD}


def test_classes_of_any_name_below_other_folders(tmp_path):
    fill(tmp_path, "pets/train/cat/a.png", "pets/train/dog/b.png", "pets/test/dog/c.png")
    assert read(tmp_path, AUTO) == {"train": [("a.png", "cat"), ("b.png", "dog")], "test": [("c.png", "dog")]}
    fill(
        tmp_path / "raf",
        *(f"DATASET/{split}/{number}/{number}.jpg" for split in ("train", "test") for number in RAF_DB),
    )
    found = read(tmp_path / "raf", LabelSet(mapping=RAF_DB))
    assert found["test"] == sorted((f"{number}.jpg", name) for number, name in RAF_DB.items())
    refused(tmp_path / "raf", "unknown emotion '1'", "--label_map FILE")


@pytest.mark.parametrize(
    ("files", "labels", "fragments"),
    [
        (["train/happy/a.png", "test/1.png", "test/2.png"], LabelSet(),
         ["test: 2 pictures (1.png, ...)", "Expected test/<emotion>/*.jpg", "metadata.csv", "fer-hub predict"]),
        (["1.png", "2.png"], LabelSet(), ["2 pictures (1.png, ...)"]),
        (["FER2013Train/a.png", "FER2013Test/b.png"], AUTO, ["FER2013T", "1 picture (", "no folders of classes"]),
        (["images/train/happy/a.png", "images/images/train/happy/a.png"], LabelSet(), ["unknown split 'images'"]),
        (["a/s1/1.png", "a/s2/2.png"], LabelSet(), ["unknown emotion 's1'", "--label_set auto"]),
        (["x/train/1.png", "y/test/1.png", "y/s/1.png"], AUTO, []),
    ],
)  # fmt: skip
def test_folders_that_are_refused(tmp_path, files, labels, fragments):
    fill(tmp_path, *files)
    if fragments:
        refused(tmp_path, *fragments, labels=labels)
    else:
        read(tmp_path, labels)


def test_classes_named_like_splits_are_refused(tmp_path):
    rows = {"image": [str(fill(tmp_path, "data/x.png") / "data/x.png")] * 3}
    rows["label"] = ["FER2013Train", "FER2013Valid", "Test"]
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "data" / "train.parquet")
    refused(tmp_path / "data", "FER2013Train, FER2013Valid, Test look like splits", labels=AUTO)
    fill(tmp_path / "other", "sets/Training/k/1.png", "sets/PublicTest/k/1.png", "sets/PrivateTest/j/1.png")
    refused(tmp_path / "other", "PrivateTest/j: unknown emotion 'j'")


# --- tables of files ---

VOTES = ("0,10,0,0,0,0,0,0,0,0", "0,0,0,6,1,0,3,0,0,0", "4,0,0,0,1,0,0,4,1,0", "0,0,0,0,0,0,0,9,1,0")


@pytest.mark.parametrize("box", ['"(0, 0, 48, 48)",', ""], ids=["their own", "of their script"])
def test_folders_of_ferplus(tmp_path, box):
    for number, folder in enumerate(("FER2013Train", "FER2013Valid", "FER2013Test")):
        names = [f"fer{number}{row}.png" for row in range(len(VOTES))]
        fill(tmp_path / "data" / folder, *names)
        lines = (f"{name},{box}{votes}\n" for name, votes in zip(names, VOTES, strict=True))
        (tmp_path / "data" / folder / "label.csv").write_text("".join(lines))
    found = read(tmp_path)
    assert list(found) == ["train", "validation", "test"]
    assert found["test"] == [("fer20.png", "happy"), ("fer21.png", "sad")]
    crowd = dataset.load(str(tmp_path), labels=LabelSet("ferplus", soft=True))
    names = crowd["test"].features["label"].names
    assert [names[label] for label in crowd["test"]["label"]] == ["happy", "sad", "contempt"]
    assert crowd.left_out["test"] == {"no majority or unknown": 1}
    shares = dict(zip(names, crowd["train"]["target"][1], strict=True))
    assert shares["sad"] == pytest.approx(6 / 9) and shares["fear"] == pytest.approx(3 / 9)
    assert {name for _, name in read(tmp_path, AUTO)["train"]} == {"happy", "sad", "contempt"}
    assert read(tmp_path, LabelSet(mapping={"happy": "up", "sad": "down", "contempt": None}))["train"] == [
        ("fer00.png", "up"), ("fer01.png", "down"),
    ]  # fmt: skip
    refused(tmp_path, "has FER+'s votes itself", labels=LabelSet("ferplus", votes="fer2013new.csv"))


def test_votes_of_fer2013new_beside_folders_of_pictures(tmp_path):
    fill(tmp_path, "images/FER2013Train/fer1.png", "images/FER2013Test/fer2.png")
    head = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    lines = [head, f"Training,fer1.png,{VOTES[0]}", f"PrivateTest,fer2.png,{VOTES[1]}", "PrivateTest,," + VOTES[0]]
    (tmp_path / "fer2013new.csv").write_text("\n".join(lines))
    assert read(tmp_path) == {"train": [("fer1.png", "happy")], "test": [("fer2.png", "sad")]}


def test_the_lists_of_raf_db(tmp_path):
    names = [f"{split}_{number:05}" for split in ("train", "test") for number in (1, 2)]
    fill(tmp_path, *(f"basic/Image/aligned/{name}_aligned.jpg" for name in names))
    fill(tmp_path, *(f"basic/Image/original/{name}.jpg" for name in names))
    fill(tmp_path, "basic/EmoLabel/list_patition_label.txt",
         text="".join(f"{name}.jpg {label}\n" for name, label in zip(names, (5, 1, 7, 4), strict=True)))  # fmt: skip
    expected = {
        "train": [("train_00001_aligned.jpg", "sad"), ("train_00002_aligned.jpg", "surprise")],
        "test": [("test_00001_aligned.jpg", "neutral"), ("test_00002_aligned.jpg", "happy")],
    }
    assert read(tmp_path) == expected
    assert read(tmp_path, LabelSet(mapping=RAF_DB)) == expected


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_metadata_beside_the_pictures(tmp_path, name):
    for split in ("train", "test"):
        rows = [("a.png", "happy"), ("b.png", "sad")]
        fill(tmp_path / split, *(file for file, _ in rows), "not_listed.png")
        text = "file_name,label\n" + "".join(f"{file},{label}\n" for file, label in rows)
        if name.endswith("jsonl"):
            text = "".join(json.dumps({"file_name": file, "label": label}) + "\n" for file, label in rows)
        fill(tmp_path / split, name, text=text)
    assert read(tmp_path) == {"train": HAPPY_SAD, "test": HAPPY_SAD}


@pytest.mark.parametrize(
    ("text", "reading", "expected"),
    [
        ("path,label\nfaces/a.png,happy\nfaces/b.png,sad\n", Reading(), {"all": HAPPY_SAD}),
        ("label;split;img\n3;train;faces/a.png\n4;val_1;faces/b.png\n", Reading(),
         {"train": [("a.png", "happy")], "validation": [("b.png", "sad")]}),
        ("a.png,happy\nb.png,sad\n", Reading(), {"all": HAPPY_SAD}),
        ("small,big,mood\nx.gif,a.png,Joy\nx.gif,b.png,SAD\n", Reading("big", "mood"), {"all": HAPPY_SAD}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("source", ["labels.csv", "."])
def test_a_table_of_paths(tmp_path, text, reading, expected, source):
    fill(tmp_path, "faces/a.png", "faces/b.png")
    fill(tmp_path, "labels.csv", text=text)
    assert read(tmp_path / source, reading=reading) == expected


def test_a_table_of_persons_beside_folders_of_classes(tmp_path):
    fill(tmp_path, "train/happy/a.png", "train/sad/b.png")
    fill(tmp_path, "metadata.csv", text="file_name,subject\ntrain/happy/a.png,7\ntrain/sad/b.png,9\n")
    assert read(tmp_path, keep="subject") == {"train": HAPPY_SAD}
    assert dataset.load(str(tmp_path), seed=None, keep="subject")["train"]["subject"] == ["7", "9"]


def test_folders_of_emotions_are_believed_before_a_table_of_numbers(tmp_path):
    fill(tmp_path, "train/happy/a.png", "train/sad/b.png")
    fill(tmp_path, "train_labels.csv", text="image,label\na.png,4\nb.png,5\n")
    assert read(tmp_path) == {"train": HAPPY_SAD}


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("path,mood\na.png,happy\nb.png,sad\n", ["no column of labels", "found mood", "--label_column_name"]),
        ("path,label\nc.png,happy\n", ["labels.csv", "neither beside it nor in a folder below"]),
        ("path,label\na.png,happy\na.png,sad\n", ["a.png is listed twice, as happy and as sad"]),
        ("path,label\na.png,happy\nb.png\n", ["labels.csv, line 3: 1 columns, expected 2"]),
        ("path,label,split\na.png,happy,train\nb.png,sad,holdout\n", ["labels.csv, line 3: unknown split 'holdout'"]),
        ("path,label,split\na.png,happy,train\nb.png,sad,\n", ["1 listed pictures are in no split", "others are in"]),
    ],
)
def test_tables_that_are_refused(tmp_path, text, fragments):
    fill(tmp_path, "a.png", "b.png")
    fill(tmp_path, "labels.csv", text=text)
    refused(tmp_path / "labels.csv", *fragments)


# --- save_to_disk, parquet, columns ---


def table(path, names=("happy", "sad"), image="image", label="label"):
    files = [fill(path, f"{name}.png") / f"{name}.png" for name in names]
    encoded = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    return datasets.Dataset.from_dict({image: encoded, label: list(names)}).cast_column(image, datasets.Image())


def test_what_datasets_saved(tmp_path):
    table(tmp_path / "x").save_to_disk(tmp_path / "one")
    assert read(tmp_path / "one") == {"all": [("happy.png", "happy"), ("sad.png", "sad")]}
    parts = {"train": table(tmp_path / "y"), "val": table(tmp_path / "z", ("fear", "happy"))}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "two")
    assert {split: len(rows) for split, rows in read(tmp_path / "two").items()} == {"train": 2, "validation": 2}
    (tmp_path / "two" / "train" / "dataset_info.json").write_text("{")
    refused(tmp_path / "two", "save_to_disk of datasets wrote it, and it cannot be opened")


@pytest.mark.parametrize(("name", "split"), [("test.parquet", "test"), ("faces.parquet", "all")])
def test_one_parquet_file(tmp_path, name, split):
    table(tmp_path / "x").to_parquet(tmp_path / "p" / name)
    expected = {split: [("happy.png", "happy"), ("sad.png", "sad")]}
    assert read(tmp_path / "p") == read(tmp_path / "p" / name) == expected


def test_columns_of_other_names(tmp_path):
    table(tmp_path / "x", image="face", label="mood").add_column("label", [9, 9]).to_parquet(
        tmp_path / "p/train.parquet"
    )
    expected = {"train": [("happy.png", "happy"), ("sad.png", "sad")]}
    assert read(tmp_path / "p", reading=Reading("face", "mood")) == expected
    refused(tmp_path / "p", "no column 'moo'", "found image, mood, label", reading=Reading(label_column="moo"))
    refused(tmp_path / "p", "no column 'img'", reading=Reading(image_column="img"))


def test_a_set_of_test_alone_cannot_be_learned(tmp_path):
    fill(tmp_path, "test/happy/a.png", "test/sad/b.png")
    assert read(tmp_path) == {"test": HAPPY_SAD}
    refused(tmp_path, "no training split; found test", seed=0)


def test_a_table_beside_its_pictures_is_read_with_their_folder(tmp_path):
    fill(tmp_path, "a.png", "b.png")
    fill(tmp_path, "labels.csv", text="image,label\na.png,happy\nb.png,sad\n")
    expected = {"all": [("a.png", "happy"), ("b.png", "sad")]}
    assert read(tmp_path) == read(tmp_path / "labels.csv") == expected
