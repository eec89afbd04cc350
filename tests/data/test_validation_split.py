"""Validation is cut with whole groups, near the classes' shares, by a seed; what cannot be cut is said."""

from pathlib import Path

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, Dataset

import train
from fer_hub.data import dataset
from fer_hub.data.reading import Reading
from fer_hub.data.sources import png
from fer_hub.data.validation_split import cut
from fer_hub.errors import UserError
from fer_hub.training.splits import load_splits

BY_SUBJECT = Reading(group_column="subject")


def rows(persons=40, each=12, classes=4):
    """Each person shows each class, some more often."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([rng.permutation(np.arange(each) % classes) for _ in range(persons)])
    feature = ClassLabel(names=[f"c{number}" for number in range(classes)])
    people = [f"p{number // each:02}" for number in range(persons * each)]
    table = {"label": labels, "subject": people, "row": np.arange(len(labels))}
    return Dataset.from_dict(table).cast_column("label", feature)


def test_a_person_is_on_one_side(caplog):
    train, validation = cut(rows(), "faces", 3, "subject")
    assert len(train) + len(validation) == 480 and len(validation) == 48
    assert not set(train["subject"]) & set(validation["subject"])
    assert np.bincount(validation["label"]).tolist() == [12] * 4
    assert "4 of 40 values of subject, seed 3" in caplog.text


def test_the_seed_decides():
    first, again, other = (cut(rows(), "faces", seed, "subject")[1]["row"] for seed in (1, 1, 2))
    assert list(first) == list(again) != list(other)


def test_large_and_small_groups():
    """Groups of very different size, each of one class only in part: the share stays near a tenth."""
    sizes = [60, 40, *[9] * 12, *[3] * 20]
    groups = np.repeat([f"g{number}" for number in range(len(sizes))], sizes)
    labels = np.random.default_rng(2).choice(3, len(groups), p=[0.7, 0.25, 0.05])
    table = Dataset.from_dict({"label": labels, "video": groups}).cast_column("label", ClassLabel(names=list("abc")))
    train, validation = cut(table, "clips", 0, "video")
    assert not set(train["video"]) & set(validation["video"])
    assert 0.05 < len(validation) / len(table) < 0.17
    assert set(train["label"]) == {0, 1, 2}


@pytest.mark.parametrize(
    ("people", "said"),
    [
        (["one"] * 8, "all training images have the subject one"),
        (["a"] * 4 + ["b"] * 4, "a class has no training image left"),
        (["a", "b", "", None, *"abab"], "2 images have no subject, the first is number 2"),
    ],
)
def test_groups_that_cannot_be_cut(people, said):
    table = Dataset.from_dict({"label": [0] * 4 + [1] * 4, "subject": people})
    with pytest.raises(UserError, match=said):
        cut(table.cast_column("label", ClassLabel(names=["x", "y"])), "faces", 0, "subject")


@pytest.fixture
def write(tmp_path):
    def write(**splits):
        for name, people in splits.items():
            rng = np.random.default_rng(len(name))
            images = [{"bytes": png(rng.integers(0, 256, (4, 4), dtype=np.uint8)), "path": None} for _ in people]
            labels = ["happy", "sad"] * (len(people) // 2)
            table = Dataset.from_dict({"image": images, "label": labels, "subject": people})
            table.cast_column("image", datasets.Image()).to_parquet(tmp_path / f"{name}.parquet")
        return str(tmp_path)

    return write


def test_load_cuts_by_groups_and_drops_their_column(write):
    people = [f"p{number // 4}" for number in range(80)]
    source = write(train=people)
    loaded = dataset.load(source, reading=BY_SUBJECT)
    assert loaded["train"].column_names == ["image", "label"] and len(loaded["validation"]) == 8
    kept = dataset.load(source, reading=BY_SUBJECT, keep="subject")
    assert not set(kept["train"]["subject"]) & set(kept["validation"]["subject"])
    assert list(dataset.load(source, seed=None, reading=BY_SUBJECT)) == ["train"]
    with pytest.raises(UserError, match="no column 'person'; found image, label, subject"):
        dataset.load(source, reading=Reading(group_column="person"))


def test_persons_in_two_splits_of_the_source_are_said(write, caplog):
    dataset.load(write(train=["a", "b", "c", "d"], validation=["d", "e"]), reading=BY_SUBJECT)
    assert "1 of 5 values of subject stand in more than one split, such as d." in caplog.text


def test_the_flags_of_a_training_reach_its_splits(write, caplog):
    """With names of columns, groups and a broken picture; the config, which is recorded, has all of them."""
    source = Path(write(train=[f"p{number // 4}" for number in range(80)])) / "train.parquet"
    table = Dataset.from_parquet(str(source)).cast_column("image", datasets.Image(decode=False))
    images = [image if row else {"bytes": b"broken", "path": None} for row, image in enumerate(table["image"])]
    table = table.remove_columns("image").add_column("face", images, feature=datasets.Image())
    table.rename_column("label", "mood").to_parquet(source)
    flags = ["--image_column_name", "face", "--label_column_name", "mood", "--group_column", "subject"]
    config, *_ = train.parse_arguments(["--dataset_name", str(source.parent), *flags, "--skip_unreadable"])
    splits = load_splits(config)
    assert (len(splits.train), len(splits.validation)) in [(71, 8), (72, 7)]
    assert sum(counts.get("not a readable image", 0) for counts in splits.left_out.values()) == 1
    assert "of 20 values of subject" in caplog.text and config.group_column == "subject"
