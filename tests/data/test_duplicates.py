"""Copies within and across splits: found, counted, and removed from what a run trains on."""

import pytest
import torch

from fer_hub.data import dataset, duplicates
from fer_hub.data.pixels import Pixels, decode
from fer_hub.labels import EMOTIONS
from fer_hub.recipes import TrainConfig
from fer_hub.training.splits import load_splits


def with_rows(pixels, replaced):
    """A copy in which the rows named are (image, label) of other places."""
    images, labels = pixels.images.clone(), pixels.labels.clone()
    for row, (image, label) in replaced.items():
        images[row], labels[row] = image, label
    return Pixels(images, labels)


@pytest.fixture(scope="module")
def planted(faces):
    """Copies in four groups, and three blank images of which two are alike.

    train 3 = 0 and 9 = 0 (one group of three); validation 1 = train 5 with another label; test 0 = train 5;
    test 4 = validation 2; blank: train 20 and test 6 (black, so they are also a group), train 21 (white).
    """
    train, validation, test = faces.values()
    black, white = torch.zeros(48, 48, dtype=torch.uint8), torch.full((48, 48), 255, dtype=torch.uint8)
    first = train.images[0], train.labels[0]
    train = with_rows(train, {3: first, 9: first, 20: (black, 1), 21: (white, 1)})
    shown = train.images[5]
    validation = with_rows(validation, {1: (shown, (train.labels[5] + 1) % 7)})
    test = with_rows(
        test, {0: (shown, train.labels[5]), 4: (validation.images[2], validation.labels[2]), 6: (black, 1)}
    )
    return {"train": train, "validation": validation, "test": test}


def test_groups(planted):
    assert duplicates.find_groups(planted) == [
        [("train", 0), ("train", 3), ("train", 9)],
        [("train", 5), ("validation", 1), ("test", 0)],
        [("train", 20), ("test", 6)],
        [("validation", 2), ("test", 4)],
    ]


def test_one_changed_pixel_is_no_copy(faces):
    image, label = faces["train"].images[0].clone(), faces["train"].labels[0]
    image[47, 47] ^= 1
    splits = {"train": faces["train"], "test": with_rows(faces["test"], {0: (image, label)})}
    assert duplicates.find_groups(splits) == []
    assert not duplicates.also_in(splits["test"], [splits["train"]]).any()


def test_report(planted):
    assert duplicates.report(planted) == {
        "extra_copies": 6,
        "groups_across_splits": 3,
        "groups_with_contradictory_labels": 1,
        "blank": 3,
        "validation_also_in_train": 1,
        "test_also_in_train": 2,
    }


def test_report_without_copies_or_test(faces):
    assert duplicates.report({name: faces[name] for name in ("train", "validation")}) == {
        "extra_copies": 0,
        "groups_across_splits": 0,
        "groups_with_contradictory_labels": 0,
        "blank": 0,
        "validation_also_in_train": 0,
    }


def test_also_in(planted):
    train, validation, test = planted.values()
    assert duplicates.also_in(test, [train]).nonzero().flatten().tolist() == [0, 6]
    assert duplicates.also_in(test, [train, validation]).nonzero().flatten().tolist() == [0, 4, 6]
    assert duplicates.also_in(validation, [train]).nonzero().flatten().tolist() == [1]
    assert duplicates.also_in(train, [validation, test]).nonzero().flatten().tolist() == [5, 20]
    nowhere = duplicates.also_in(train, [])
    assert nowhere.dtype == torch.bool and nowhere.shape == (56,) and not nowhere.any()


# What load_splits makes of them


@pytest.fixture
def load(planted, write_csv, tmp_path, monkeypatch):
    """Loads the planted splits, or others, with the given settings of a run."""
    monkeypatch.chdir(tmp_path)  # a relative name keeps this test's own name out of the messages

    def load(splits=planted, **settings):
        write_csv(splits)
        return load_splits(TrainConfig(dataset_name="fer2013.csv", **settings))

    return load


def assert_equal(actual, expected):
    assert torch.equal(actual.images, expected.images)
    assert torch.equal(actual.labels, expected.labels)


def test_nothing_is_removed_unasked(load, planted, caplog):
    splits = load()
    for name, pixels in splits.present().items():
        assert_equal(pixels, planted[name])
    assert list(splits.present()) == ["train", "validation", "test"]
    assert splits.test_leaked.nonzero().flatten().tolist() == [0, 6]
    assert splits.counts == duplicates.report(planted)
    assert splits.label_names == EMOTIONS
    assert "official class counts" in caplog.text and "removed" not in caplog.text


def test_drop_leaked_train_removes_exactly_the_copies(load, planted, caplog):
    splits = load(drop_leaked_train=True)
    kept = torch.tensor([row for row in range(56) if row not in (5, 20)])
    assert_equal(splits.train, planted["train"][kept])
    assert_equal(splits.validation, planted["validation"])
    assert_equal(splits.test, planted["test"])
    assert splits.test_leaked.nonzero().flatten().tolist() == [0, 6]  # of the source, not of what is left
    assert splits.counts["test_also_in_train"] == 2
    assert "removed 2 training images" in caplog.text


@pytest.mark.parametrize("drop_leaked_train", [False, True])
def test_no_test_leaves_test_out_of_everything(load, planted, caplog, drop_leaked_train):
    splits = load(no_test=True, drop_leaked_train=drop_leaked_train)
    assert splits.test is None and splits.test_leaked is None
    assert list(splits.present()) == ["train", "validation"]
    assert not [name for name in splits.counts if "test" in name]
    assert "official class counts" in caplog.text  # said of the other splits
    assert not [message for message in caplog.messages if "test" in message.lower()]
    assert splits.counts == duplicates.report({name: planted[name] for name in ("train", "validation")})
    # Yet what is trained on does not depend on who looks: the copies of test images go, too.
    assert_equal(splits.train, load(drop_leaked_train=drop_leaked_train).train)


def test_source_without_test(load, planted, caplog):
    splits = load({name: planted[name] for name in ("train", "validation")})
    assert splits.test is None and splits.test_leaked is None
    assert "no test split: there will be no test results" in caplog.text


def test_samples(load, planted):
    splits = load(max_train_samples=28, max_eval_samples=7, seed=3)
    for name, pixels in splits.present().items():
        assert len(pixels) == (28 if name == "train" else 7)
        assert duplicates.also_in(pixels, [planted[name]]).all()
    assert torch.bincount(splits.test.labels, minlength=7).tolist() == [1] * 7
    # Leaks are those of the whole train split, not of its sample.
    assert torch.equal(splits.test_leaked, duplicates.also_in(splits.test, [planted["train"]]))
    assert_equal(load(max_train_samples=28, seed=3).train, splits.train)
    assert not torch.equal(load(max_train_samples=28, seed=4).train.images, splits.train.images)


def test_only_what_is_asked_for_is_sampled(load, planted):
    only_train = load(max_train_samples=28)
    assert len(only_train.train) == 28
    assert_equal(only_train.validation, planted["validation"])
    assert_equal(only_train.test, planted["test"])
    only_eval = load(max_eval_samples=14)
    assert_equal(only_eval.train, planted["train"])
    assert (len(only_eval.validation), len(only_eval.test)) == (14, 14)


def test_sample_is_drawn_from_what_is_left(load):
    splits = load(drop_leaked_train=True, max_train_samples=54)
    assert len(splits.train) == 54
    assert not duplicates.also_in(splits.train, [splits.validation, splits.test]).any()


# FER2013


@pytest.fixture(scope="module")
def real(fer2013_path):
    return {name: decode(split, name) for name, split in dataset.load(fer2013_path).items()}


# Of the copy that was counted; other copies may have some pictures in other pixels.
COUNTED = {"train": "7e02f2b510ce2ad1", "validation": "7ce21ddebe92439e", "test": "b8660174c8255211"}


def test_copies_in_fer2013(real):
    counts = duplicates.report(real)
    expected = {
        "extra_copies": 1855,
        "test_also_in_train": 288,
        "validation_also_in_train": 280,
        "groups_with_contradictory_labels": 59,
    }
    if {name: pixels.fingerprint for name, pixels in real.items()} == COUNTED:
        assert {key: counts[key] for key in expected} == expected
    else:
        for key, count in expected.items():
            assert abs(counts[key] - count) <= 10, key


def test_blank_images_in_fer2013(real):
    assert {name: int(pixels.blank().sum()) for name, pixels in real.items()} == {
        "train": 11,
        "validation": 1,
        "test": 0,
    }


def test_fer2013_test_split_without_leaks(real):
    leaked = duplicates.also_in(real["test"], [real["train"]])
    assert int((~leaked).sum()) == 3301


def test_drop_leaked_train_on_fer2013(real, fer2013_path, caplog):
    splits = load_splits(TrainConfig(dataset_name=fer2013_path, drop_leaked_train=True))
    assert not duplicates.also_in(splits.train, [real["validation"], real["test"]]).any()
    removed = len(real["train"]) - len(splits.train)
    assert removed == int(duplicates.also_in(real["train"], [real["validation"], real["test"]]).sum()) > 0
    assert caplog.messages == [
        f"--drop_leaked_train removed {removed} training images that also stand in another split."
    ]
