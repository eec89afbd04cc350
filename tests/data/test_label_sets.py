"""What labels mean: by the flags, by a map, in an order; and what is refused, with the line that mends it."""

import hashlib
import json
import os

import datasets
import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Value
from PIL import Image

from fer_hub import UserError
from fer_hub.data import dataset, ferplus, label_sets
from fer_hub.data.label_maps import read_map
from fer_hub.data.label_sets import LabelSet, from_flags
from fer_hub.data.pixels import decode
from fer_hub.data.sources import png
from fer_hub.labels import EMOTIONS

AUTO = LabelSet("auto")
TEXT, WHOLE = Value("string"), Value("int64")


@pytest.fixture
def write(tmp_path):
    """Writes labels by split as parquet files with a random picture each; gives the folder."""

    def write(splits, kind=TEXT):
        rng = np.random.default_rng(0)
        features = datasets.Features({"image": datasets.Image(), "label": kind})
        for name, labels in splits.items():
            images = [{"bytes": png(rng.integers(0, 256, (48, 48), dtype=np.uint8)), "path": None} for _ in labels]
            Dataset.from_dict({"image": images, "label": labels}, features=features).to_parquet(
                tmp_path / "data" / f"{name}.parquet"
            )
        return str(tmp_path / "data")

    return write


def named(source, labels, split="train"):
    """The classes, and the name of each image's."""
    found = dataset.load(source, labels=labels)[split]
    names = found.features["label"].names
    return names, [names[label] for label in found["label"]]


def of_map(tmp_path, mapping):
    path = tmp_path / "map.json"
    path.write_text(mapping if isinstance(mapping, str) else json.dumps(mapping))
    return path


# --- flags ---


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"label_set": "auto", "label_map": "x.json"}, "leave out --label_set auto"),
        ({"votes": "fer2013new.csv"}, "--label_set ferplus: add that"),
        ({"label_set": "auto", "votes": "fer2013new.csv"}, "--label_set ferplus: add that"),
        ({"soft_labels": True}, "add --label_set ferplus --ferplus FILE"),
        ({"label_map": "nowhere.json"}, "cannot open nowhere.json: No such file"),
    ],
)
def test_flags_that_do_not_go_together(flags, said):
    with pytest.raises(UserError) as caught:
        from_flags(**flags)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_label_sets_of_flags(tmp_path):
    assert from_flags() == label_sets.FER2013 and from_flags().is_fer2013
    path = of_map(tmp_path, {"0": "anger", "1": " Boredom ", "2": None})
    found = from_flags(label_map=str(path))
    assert found.mapping == {"0": "angry", "1": "Boredom", "2": None} and found.told == "label_map"
    votes = from_flags("ferplus", votes="v.csv", soft_labels=True)
    assert (votes.told, votes.votes, votes.soft, votes.is_fer2013) == ("ferplus", "v.csv", True, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ('["happy"]', "must be a JSON object"),
        ('{"1": 3}', "must be a JSON object"),
        ('{"1": ""}', "must be a JSON object"),
        ('{"1": "sad", "2": "fear", "1": "happy"}', "'1' stands there twice"),
        ("\udcff", "is not JSON"),
    ],
)
def test_files_that_are_no_map(tmp_path, text, said):
    path = tmp_path / "map.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=said):
        read_map(path)


def test_a_misspelled_class_of_a_map_is_told(tmp_path, caplog):
    mapping = read_map(of_map(tmp_path, {"1": "suprise", "2": "sadness", "3": "bored", "4": "Contempt", "5": None}))
    assert mapping == {"1": "suprise", "2": "sad", "3": "bored", "4": "Contempt", "5": None}
    (message,) = caplog.messages
    assert message == "--label_map: suprise is a class of its own. If surprise is meant, write that."


def test_a_source_without_votes_needs_a_file_of_them(write):
    with pytest.raises(UserError, match="needs the votes: --ferplus fer2013new.csv"):
        dataset.load(write({"train": [1, 2], "validation": [1]}, WHOLE), labels=from_flags("ferplus"))


# --- auto ---


@pytest.mark.parametrize(
    ("kind", "train", "expected"),
    [
        (TEXT, ["dog", "Cat", "bird", "dog"], ["Cat", "bird", "dog"]),  # sorted, spelled as they are
        (TEXT, ["10", "9", "1"], ["1", "9", "10"]),
        (WHOLE, [10, 9, 1, 9], ["1", "9", "10"]),
        (Value("float64"), [2.0, 11.0], ["2", "11"]),
        (ClassLabel(names=["z", "y", "x"]), [2, 0], ["z", "x"]),  # in the column's order, as far as train has them
        (
            TEXT,
            ["contempt", "neutral", "Happiness", "anger"],
            ["anger", "Happiness", "neutral", "contempt"],
        ),  # ours first
    ],
)
def test_own_classes(write, kind, train, expected):
    names, found = named(write({"train": train, "validation": train[:1]}, kind), AUTO)
    assert names == expected
    spelled = kind.names if isinstance(kind, ClassLabel) else None
    assert found == [spelled[label] if spelled else str(label).removesuffix(".0") for label in train]


def test_own_classes_of_folders(tmp_path, faces):
    for split in ("train", "validation"):
        for number, name in enumerate(("cat", "dog", "10", "9")):
            (tmp_path / split / name).mkdir(parents=True)
            Image.fromarray(faces["train"].images[number].numpy()).save(tmp_path / split / name / "a.png")
    assert named(str(tmp_path), AUTO) == (["10", "9", "cat", "dog"],) * 2
    with pytest.raises(UserError, match="10: unknown emotion '10'.*--label_set auto, or --label_map FILE"):
        dataset.load(str(tmp_path))


def test_folders_of_numbers_are_no_emotions(tmp_path):
    (tmp_path / "train" / "3").mkdir(parents=True)
    with pytest.raises(UserError, match="3: unknown emotion '3'"):
        dataset.load(str(tmp_path))


@pytest.mark.parametrize(
    ("splits", "kind", "said"),
    [
        (
            {"train": ["a", "b"], "validation": ["a"], "test": ["c", "d"]},
            TEXT,
            "test has images of c, d, and train has",
        ),
        ({"train": ["a", "a"], "validation": ["a"]}, TEXT, "two classes at least, these labels make 1"),
        ({"train": [1.0, 2.5], "validation": [1.0]}, Value("float64"), "row 1: the label is 2.5"),
        ({"train": ["a", None], "validation": ["a"]}, TEXT, "row 1: the label is None"),
        ({"train": ["a", " "], "validation": ["a"]}, TEXT, "row 1: the label is ' '"),
    ],
)
def test_own_classes_that_are_refused(write, splits, kind, said):
    with pytest.raises(UserError, match=said):
        dataset.load(write(splits, kind), labels=AUTO)


# --- maps ---

RAF_DB = {"1": "surprise", "2": "fear", "3": "disgust", "4": "happiness", "5": "sad", "6": "angry", "7": "neutral"}


@pytest.mark.parametrize(
    ("kind", "labels"),
    [(TEXT, list("1234567")), (WHOLE, list(range(1, 8))), (ClassLabel(names=list("1234567")), list(range(7)))],
    ids=["text", "numbers", "classes"],
)
def test_a_map_of_numbers(write, tmp_path, kind, labels):
    source = write({"train": labels, "validation": labels}, kind)
    names, found = named(source, LabelSet(mapping=read_map(of_map(tmp_path, RAF_DB))))
    assert names == list(EMOTIONS)
    assert found == ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]


def test_a_map_leaves_out_renames_joins_and_counts(write, caplog):
    mapping = {"anger": "angry", "rage": "angry", "contempt": None, "smirk": "Scorn", "joy": "happy", "ill": None}
    source = write({"train": ["joy", "smirk", "contempt", "rage", "anger", "contempt", "ill"], "validation": ["joy"]})
    loaded = dataset.load(source, labels=LabelSet(mapping=mapping))
    assert named(source, LabelSet(mapping=mapping)) == (
        ["angry", "happy", "Scorn"],
        ["happy", "Scorn", "angry", "angry"],
    )
    assert loaded.left_out == {"train": {"contempt": 2, "ill": 1}, "validation": {}}
    dataset.say_left_out(loaded, loaded)
    assert caplog.messages == ["train: 3 images are left out: contempt (2), ill (1)."]
    pictures = decode(loaded["train"], "train").images
    everything = decode(dataset.load(source, labels=AUTO)["train"], "train").images
    assert torch.equal(pictures, everything[[0, 1, 3, 4]])


def test_labels_that_a_map_does_not_name_are_listed(write):
    source = write({"train": ["a", "b"], "validation": ["a"], "test": ["d", "c"]})
    with pytest.raises(UserError, match="does not name 'c', 'd'. Give each a class, or null"):
        dataset.load(source, labels=LabelSet(mapping={"a": "happy", "b": "sad"}))
    with pytest.raises(UserError, match="all images of test are left out"):
        dataset.load(source, labels=LabelSet(mapping={"a": "happy", "b": "sad", "c": None, "d": None}))


def test_a_training_leaves_out_what_it_cannot_learn(write, caplog):
    labels = LabelSet(mapping={"a": "happy", "b": "sad", "c": "fear", "d": None, "e": "bored"})
    source = write({"train": ["b", "a", "b"], "validation": ["c", "b", "d", "a", "c"], "test": ["a"]})
    whole = dataset.load(source, labels=labels)
    assert whole["validation"].features["label"].names == ["fear", "happy", "sad"]
    caplog.clear()
    loaded = dataset.of_train(whole, labels)
    assert caplog.messages == ["No training image is fear or bored: the model will not know it."]
    for split, expected in {"train": [1, 0, 1], "validation": [1, 0], "test": [0]}.items():
        assert loaded[split].features["label"].names == ["happy", "sad"] and loaded[split]["label"] == expected
    assert loaded.left_out == {"train": {}, "validation": {"d": 1, "fear": 2}, "test": {}}
    one = LabelSet(mapping={"a": "happy", "b": "happy", "c": "fear", "d": "fear"})
    with pytest.raises(UserError, match="train: a classifier needs two classes"):
        dataset.of_train(dataset.load(source, labels=one), one)


# --- the crowd ---

LABELS = np.tile(np.arange(7), 3)
VOTES = np.eye(10, dtype=int)[LABELS] * 9 + np.eye(10, dtype=int)[8]
VOTES[1] = [0, 0, 0, 0, 0, 0, 0, 9, 1, 0]  # contempt
VOTES[2] = [0, 0, 0, 0, 4, 5, 0, 0, 1, 0]  # surprise by more than half of the nine that are left
VOTES[3] = [0, 0, 5, 5, 0, 0, 0, 0, 0, 0]  # no majority, but a distribution
VOTES[4] = [0, 0, 0, 2, 0, 0, 0, 0, 7, 1]  # unknown
VOTES[5] = [0, 1, 0, 0, 0, 0, 0, 0, 0, 9]  # not a face
VOTES[6] = [0, 0, 0, 0, 0, 0, 5, 0, 5, 0]  # no more than half of the votes are for emotions


@pytest.fixture
def voted(write, tmp_path, monkeypatch):
    """21 labels that stand for FER2013's in each split, and votes on them; gives both paths."""
    for split in ("train", "validation", "test"):
        digest = hashlib.sha256(LABELS.astype(np.uint8).tobytes()).hexdigest()
        monkeypatch.setitem(ferplus._OFFICIAL_ORDER, split, digest)
    path = tmp_path / "fer2013new.csv"
    lines = ["Usage,Image name,anger,disgust,fear,happiness,sadness,surprise,neutral,contempt,unknown,NF"]
    for usage in ("Training", "PublicTest", "PrivateTest"):
        lines += [f"{usage},x.png," + ",".join(map(str, row)) for row in VOTES]
    path.write_text("\n".join(lines))
    return write({split: LABELS.tolist() for split in ("train", "validation", "test")}, WHOLE), str(path)


def test_majorities_are_the_labels(voted):
    source, votes = voted
    loaded = dataset.load(source, labels=from_flags("ferplus", votes=votes))
    for split, rows in loaded.items():
        assert rows.features["label"].names == [*EMOTIONS, "contempt"]
        assert rows["label"][:] == [0, 7, 5, *LABELS[7:]]
        assert loaded.left_out[split] == {"no majority or unknown": 3, "not a face": 1}
        assert decode(rows, split).targets is None


def test_soft_labels_are_the_shares_of_the_votes_of_train(voted):
    source, votes = voted
    soft = dataset.load(source, labels=from_flags("ferplus", votes=votes, soft_labels=True))
    hard = dataset.load(source, labels=from_flags("ferplus", votes=votes))
    assert soft["train"]["label"][:] == [0, 7, 5, 2, *LABELS[7:]]  # of two classes with five votes the first
    assert soft.left_out["train"] == {"no majority or unknown": 2, "not a face": 1}
    train = decode(soft["train"], "train")
    assert train.targets.dtype == torch.float32 and train.targets.shape == (18, 8)
    expected = np.eye(8)[[0, 7, 5, 2, *LABELS[7:]]]
    expected[2] = np.array([0, 0, 0, 0, 4, 5, 0, 0]) / 9
    expected[3] = np.array([0, 0, 1, 1, 0, 0, 0, 0]) / 2
    np.testing.assert_allclose(train.targets.numpy(), expected, rtol=1e-6)
    for split in ("validation", "test"):
        assert soft[split]["label"] == hard[split]["label"] and decode(soft[split], split).targets is None


def test_votes_need_fer2013(write):
    source = write({"train": [0, 1], "validation": [0, 1]}, WHOLE)
    with pytest.raises(UserError, match="labels of train are not FER2013's in the order"):
        dataset.load(source, labels=LabelSet("ferplus", votes="fer2013new.csv"))


# --- labels and names that are none ---


@pytest.mark.parametrize("label_set", ["fer2013", "auto"])
@pytest.mark.parametrize(
    ("kind", "odd"),
    [
        (Value("bool"), True),
        (Value("float64"), float("nan")),
        (Value("float32"), 0.5),
        (Value("binary"), b"happy"),
        (Value("timestamp[s]"), 1),
        (TEXT, ""),
        (TEXT, " "),
        (TEXT, "x" * 101),
        (TEXT, "\x1b[2J"),
        (TEXT, "a\nb"),
        (TEXT, None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_labels_that_are_no_names(label_set, kind, odd, write):
    values = {"bool": [True, False], "float64": [0.0, 1.0], "float32": [0.0, 1.0], "binary": [b"sad", b"fear"],
              "timestamp[s]": [0, 1], "string": ["sad", "fear"]}[kind.dtype]  # fmt: skip
    source = write({"train": values * 4 + [odd], "validation": values}, kind)
    with pytest.raises(UserError, match=source) as caught:
        dataset.load(source, labels=LabelSet(label_set))
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 101, "\u0007", "\u202e", "a\tb"])
def test_a_map_to_such_a_name(name, tmp_path):
    with pytest.raises(UserError, match="--label_map: .*: the name of a class"):
        read_map(of_map(tmp_path, {"1": name, "2": "sad"}))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"1": 1e999}', '{"1": "\\ud800"}', '{"a": ' + "9" * 5000 + "}", "\x00"]
)
def test_a_map_that_no_parser_should_take(text, tmp_path):
    with pytest.raises(UserError, match="--label_map: .* is not JSON"):
        read_map(of_map(tmp_path, text))


@pytest.mark.parametrize("name", [b"\xff", b"x" * 101, b"\x1b[2J"])
def test_class_folders_of_such_names(name, tmp_path):
    for folder in (b"happy", name):
        place = os.path.join(os.fsencode(tmp_path), folder)
        os.makedirs(place)
        for number in range(10):
            with open(os.path.join(place, b"%d.png" % number), "wb") as file:
                file.write(png(np.full((48, 48), number, np.uint8)))
    with pytest.raises(UserError, match="the name of a class|is not UTF-8"):
        dataset.load(str(tmp_path), labels=AUTO)


def test_file_names_that_are_not_utf8_are_told(tmp_path):
    for folder in ("happy", "sad"):
        (tmp_path / folder).mkdir()
        for number in range(10):
            (tmp_path / folder / f"{number}\udcff.png").write_bytes(png(np.full((48, 48), number, np.uint8)))
    with pytest.raises(UserError, match=r"\\udcff.png: its name, .* is not UTF-8"):
        dataset.load(str(tmp_path))
