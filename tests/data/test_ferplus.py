"""The crowd's votes: rows by hand, files that are not what they seem, and facts of the real ones."""

import hashlib

import numpy as np
import pytest

from fer_hub import UserError
from fer_hub.data import dataset, ferplus
from fer_hub.labels import EMOTIONS

# In the order of `read`: angry disgust fear happy sad surprise neutral contempt, unknown, not a face.
MAJORITIES = [
    ([0, 0, 0, 10, 0, 0, 0, 0, 0, 0], 3),
    ([0, 0, 0, 6, 0, 0, 4, 0, 0, 0], 3),
    ([0, 0, 0, 5, 0, 0, 4, 0, 1, 0], 3),  # 5 of 10 are no majority, 5 of the 9 that are left are
    ([0, 0, 0, 5, 0, 0, 5, 0, 0, 0], 8),
    ([5, 0, 0, 0, 3, 0, 2, 0, 0, 0], 8),  # half is not more than half
    ([4, 0, 0, 0, 3, 0, 3, 0, 0, 0], 8),
    ([2, 1, 1, 1, 1, 1, 1, 1, 1, 0], 0),  # all that is left
    ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 8),  # nothing is left
    ([0, 0, 0, 0, 0, 0, 3, 7, 0, 0], 7),
    ([0, 0, 0, 4, 0, 0, 0, 0, 6, 0], 8),  # "unknown" by majority
    ([0, 0, 4, 0, 0, 0, 0, 0, 0, 6], 9),
    ([0, 0, 3, 0, 0, 0, 0, 0, 4, 3], 8),  # "unknown" and "not a face" count as votes
    ([0, 0, 0, 0, 0, 5, 0, 0, 2, 2], 5),
]


@pytest.mark.parametrize(("votes", "expected"), MAJORITIES, ids=str)
def test_majority_by_hand(votes, expected):
    assert ferplus.majority(np.array([votes])).tolist() == [expected]


# --- the file ---

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
OF_FILE = (4, 5, 6, 1, 3, 2, 0, 7, 8, 9)  # where the file has each of our columns
CROWD = np.repeat(np.eye(10, dtype=int)[:7], 3, axis=0) * 9 + np.eye(10, dtype=int)[8]
CROWD_LABELS = np.repeat(np.arange(7), 3)


def write(path, votes, usage="PublicTest"):
    rows = [f"{usage},x.png," + ",".join(str(row[at]) for at in np.argsort(OF_FILE)) for row in votes]
    path.write_text("\n".join([HEADER, f"Training,,{','.join('1' * 10)}", *rows]) + "\n")
    return path


@pytest.fixture
def small(monkeypatch):
    """Lets 21 labels stand for FER2013's validation split."""
    digest = hashlib.sha256(CROWD_LABELS.astype(np.uint8).tobytes()).hexdigest()
    monkeypatch.setitem(ferplus._OFFICIAL_ORDER, "validation", digest)


def test_columns_are_read_by_name_and_splits_by_usage(small, tmp_path):
    # Of the file's order, not by `write`, which could share a mistake.
    row = "PublicTest,fer0028638.png,0,1,2,3,40,5,6,7,8,9"
    path = write(tmp_path / "votes.csv", CROWD)
    lines = path.read_text().splitlines()
    path.write_text("\ufeff" + "\n".join([*lines[:2], row, *lines[3:]]))  # as Excel saves it
    votes = ferplus.read(path, "validation", CROWD_LABELS)
    assert votes.shape == (21, 10) and votes[0].tolist() == [40, 5, 6, 1, 3, 2, 0, 7, 8, 9]
    assert (votes[1:] == CROWD[1:]).all()


def test_other_labels_are_refused(small, tmp_path):
    path = write(tmp_path / "votes.csv", CROWD)
    for labels in (CROWD_LABELS[::-1], CROWD_LABELS[:-1], np.roll(CROWD_LABELS, 1)):
        with pytest.raises(UserError, match=f"the {len(labels)} labels of validation are not FER2013's in the order"):
            ferplus.read(path, "validation", labels)
    with pytest.raises(UserError, match="labels of test are not FER2013's"):
        ferplus.read(path, "test", CROWD_LABELS)


def test_other_files_are_refused(small, tmp_path):
    path = tmp_path / "votes.csv"
    with pytest.raises(UserError, match="cannot open .*votes.csv: No such file"):
        ferplus.read(path, "validation", CROWD_LABELS)
    with pytest.raises(UserError, match="has 20 rows for validation, FER2013 has 21"):
        ferplus.read(write(path, CROWD[1:]), "validation", CROWD_LABELS)
    with pytest.raises(UserError, match="has 0 rows for validation"):
        ferplus.read(write(path, CROWD, usage="PrivateTest"), "validation", CROWD_LABELS)
    for text in ("emotion,pixels,Usage\n0,1 2,PublicTest\n", f"{HEADER}\nPublicTest,x.png,1,2\n",
                 f"{HEADER}\nPublicTest,x.png,{',,'.join('12345')},NF\n"):  # fmt: skip
        path.write_text(text)
        with pytest.raises(UserError, match="is not FER.'s fer2013new.csv"):
            ferplus.read(path, "validation", CROWD_LABELS)
    path.write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match="is not FER.'s fer2013new.csv"):
        ferplus.read(path, "validation", CROWD_LABELS)


def test_rows_in_another_order_are_refused(small, tmp_path):
    mixed = np.random.default_rng(0).permutation(CROWD)
    with pytest.raises(UserError, match="rows of .* do not stand in the order of fer2013.csv: .* agree with .* Fetch"):
        ferplus.read(write(tmp_path / "votes.csv", mixed), "validation", CROWD_LABELS)


# --- the real votes ---


@pytest.fixture(scope="module")
def real(fer2013_path, ferplus_path):
    return ferplus_path, {name: np.array(split["label"]) for name, split in dataset.load(fer2013_path).items()}


def test_facts_of_the_real_votes(real):
    path, labels = real
    counted = {}
    for split in labels:
        crowd = ferplus.majority(ferplus.read(path, split, labels[split]))
        known = crowd < len(EMOTIONS)
        assert ((crowd < 8).sum(), known.sum()) == {
            "train": (25060, 24941),
            "validation": (3199, 3186),
            "test": (3153, 3137),
        }[split]
        counted[split] = (crowd == labels[split])[known].mean()
    assert counted == {
        "train": pytest.approx(0.680, abs=5e-4),
        "validation": pytest.approx(0.670, abs=5e-4),
        "test": pytest.approx(0.674, abs=5e-4),
    }


def test_shuffled_real_data_is_refused(real):
    path, labels = real
    for mixed in (np.random.default_rng(0).permutation(labels["test"]), labels["test"][:-1]):
        with pytest.raises(UserError, match="not FER2013's in the order"):
            ferplus.read(path, "test", mixed)
