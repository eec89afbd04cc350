"""The crowd's votes: rows by hand, files that are not what they seem, and facts of the real ones."""

import hashlib
import json

import numpy as np
import pytest
from sklearn.metrics import log_loss

from fer_hub import UserError, dataset, ferplus, statistics
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


# --- a model beside the crowd, by hand ---

VOTES = np.array(
    [
        [0, 0, 0, 10, 0, 0, 0, 0, 0, 0],  # happy, all ten
        [0, 0, 0, 7, 0, 0, 3, 0, 0, 0],  # happy, seven of ten
        [0, 0, 0, 0, 8, 0, 0, 0, 1, 1],  # sad, all eight that are left
        [0, 0, 0, 0, 4, 0, 6, 0, 0, 0],  # neutral, six of ten
        [0, 0, 0, 5, 0, 0, 5, 0, 0, 0],  # undecided
        [0, 0, 0, 0, 2, 0, 2, 6, 0, 0],  # contempt
        [0, 0, 0, 2, 0, 0, 0, 0, 0, 8],  # not a face
    ]
)
NAMES = ("happy", "neutral", "sad")  # in another order than FER+'s
LABELS = np.array([0, 1, 2, 2, 0, 1, 0])
SAYS = np.array([0, 0, 2, 0, 1, 0, 1])
PROBABILITIES = np.full((7, 3), 0.1) + 0.7 * np.eye(3)[SAYS]


@pytest.fixture(scope="module")
def found():
    return ferplus.measure(PROBABILITIES, LABELS, VOTES, NAMES)


def test_accuracy_is_against_the_majority_on_the_pictures_that_have_one(found):
    assert found["n"] == 4
    assert found["accuracy"] == 3 / 4 and found["interval"] == statistics.wilson(3, 4)
    assert found["label_accuracy"] == 2 / 4
    left_out = dict.fromkeys(("angry", "disgust", "fear", "surprise"), 0)
    assert found["left_out"] == left_out | {"contempt": 1, "no majority or unknown": 1, "not a face": 1}


def test_distribution(found):
    # Happy, neutral, sad: where half of the votes and more are for other answers, the picture does not count.
    shares = [[1, 0, 0], [0.7, 0.3, 0], [0, 0, 1], [0, 0.6, 0.4], [0.5, 0.5, 0]]
    assert found["n_distribution"] == 5
    expected = np.mean([log_loss([0, 1, 2], np.tile(p, (3, 1)), sample_weight=q, labels=[0, 1, 2]) for q, p in
                        zip(shares, PROBABILITIES, strict=False)])  # fmt: skip
    assert found["cross_entropy"] == pytest.approx(expected)
    entropy = np.mean([0, -(0.7 * np.log(0.7) + 0.3 * np.log(0.3)), 0, -(0.6 * np.log(0.6) + 0.4 * np.log(0.4)),
                       np.log(2)])  # fmt: skip
    assert found["kl"] == pytest.approx(expected - entropy)


def test_who_says_what_the_crowd_says_has_no_divergence():
    shares = np.array([[0.7, 0.3, 0], [0, 0.6, 0.4]])
    found = ferplus.measure(shares, LABELS[[1, 3]], VOTES[[1, 3]], NAMES)
    assert found["kl"] == pytest.approx(0, abs=1e-12) and found["cross_entropy"] > 0.6
    assert found["accuracy"] == 1


def test_accuracy_by_agreement(found):
    assert [(part["above"], part["up_to"], part["n"], part["accuracy"]) for part in found["by_agreement"]] == [
        (0.5, 0.7, 2, 0.5),  # seven of ten belong to the lower part
        (0.9, 1.0, 2, 1.0),
    ]
    assert found["by_agreement"][0]["interval"] == statistics.wilson(1, 2)


def test_errors_are_split_by_whom_the_crowd_sides_with(found):
    # Wrong by FER2013's labels: row 1 (with the model), 3 (a third answer), 4, 5 (contempt) and 6.
    assert found["errors"] == {"n": 5, "with_model": 0.2, "with_label": 0, "with_neither": 0.4, "undecided": 0.4}
    other = ferplus.measure(PROBABILITIES[[3]], np.array([1]), VOTES[[3]], NAMES)
    assert other["errors"] == {"n": 1, "with_model": 0, "with_label": 1, "with_neither": 0, "undecided": 0}
    right = ferplus.measure(PROBABILITIES[[0]], LABELS[[0]], VOTES[[0]], NAMES)
    assert right["errors"] == {"n": 0, "with_model": 0, "with_label": 0, "with_neither": 0, "undecided": 0}


@pytest.mark.filterwarnings("error")
def test_results_are_json_without_infinities():
    found = ferplus.measure(np.eye(3)[SAYS], LABELS, VOTES, NAMES)  # certain, and wrong
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["cross_entropy"] > 5


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


def test_the_labels_themselves_as_a_model(real):
    path, labels = real
    found = ferplus.measure(np.eye(7)[labels["validation"]], labels["validation"],
                            ferplus.read(path, "validation", labels["validation"]), EMOTIONS)  # fmt: skip
    assert found["accuracy"] == found["label_accuracy"] == pytest.approx(0.6704, abs=1e-4)
    assert found["n"] == 3186 and found["n"] + sum(found["left_out"].values()) == 3589
    assert sum(part["n"] for part in found["by_agreement"]) == found["n"]
    assert found["errors"]["n"] == 0
    # Whom more taggers agree on, FER2013's labels name more often, too.
    accuracies = [part["accuracy"] for part in found["by_agreement"]]
    assert accuracies == sorted(accuracies) and accuracies[-1] > accuracies[0] + 0.2


def test_shuffled_real_data_is_refused(real):
    path, labels = real
    for mixed in (np.random.default_rng(0).permutation(labels["test"]), labels["test"][:-1]):
        with pytest.raises(UserError, match="not FER2013's in the order"):
            ferplus.read(path, "test", mixed)
