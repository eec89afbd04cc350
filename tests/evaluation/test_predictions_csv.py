"""Predictions of other programs as CSV: what is read, and what each mistake is told."""

import re

import numpy as np
import pytest

from fer_hub import UserError
from fer_hub.evaluation.predictions_csv import read, write
from fer_hub.labels import EMOTIONS

RNG = np.random.default_rng(0)
PROBABILITIES = RNG.dirichlet(np.ones(7), 20)
LABELS = RNG.integers(7, size=20)

GOOD = """row,label,happy,sad
0,sad,0.25,0.75
1,happy,1,0
2,sad,.5,5e-1
"""
NAMES = ("happy", "sad")
TRUE = np.array([1, 0, 1])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keras.csv"


def test_round_trip_is_exact(path):
    write(path, PROBABILITIES, EMOTIONS, LABELS)
    assert path.read_text().startswith(f"row,label,{','.join(EMOTIONS)}\n0,{EMOTIONS[LABELS[0]]},")
    found = read(path, EMOTIONS, 20, LABELS)
    assert found.dtype == np.float64 and np.array_equal(found, PROBABILITIES)
    write(path, PROBABILITIES.astype(np.float32), EMOTIONS)
    assert path.read_text().startswith(f"row,{','.join(EMOTIONS)}\n0,0.")
    assert np.array_equal(read(path, EMOTIONS, 20, LABELS), PROBABILITIES.astype(np.float32))


def test_what_the_documentation_shows(path):
    names = EMOTIONS
    table = np.column_stack([np.arange(len(PROBABILITIES)), PROBABILITIES])
    np.savetxt(path, table, fmt="%.9g", delimiter=",", header=",".join(["row", *names]), comments="")
    np.testing.assert_allclose(read(path, EMOTIONS, 20), PROBABILITIES, rtol=0, atol=1e-9)


def test_rows_and_columns_in_any_order(path):
    order, shuffled = RNG.permutation(20), RNG.permutation(7)
    lines = [",".join([*(EMOTIONS[k] for k in shuffled), "row"])]
    lines += [",".join([*map(repr, PROBABILITIES[row, shuffled].tolist()), str(row)]) for row in order]
    path.write_text("\n".join(lines))
    assert np.array_equal(read(path, EMOTIONS, 20), PROBABILITIES)


def test_other_spellings(path):
    path.write_bytes("\ufeffROW, Label ,Happiness, SADNESS\r\n1,joy,1,0\r\n\r\n0,sad,0.25,0.75\r\n".encode())
    assert read(path, NAMES, 2, TRUE[:2]).tolist() == [[0.25, 0.75], [1, 0]]


def test_classes_of_ones_own(path):
    names = ("Bored", "a, b", "happy")
    write(path, np.full((2, 3), 1 / 3), names, np.array([1, 2]))
    assert read(path, names, 2, np.array([1, 2])).tolist() == [[1 / 3] * 3] * 2
    path.write_text('row,BORED,HAPPY,"A, b"\n0,1,0,0\n')
    assert read(path, names, 1).tolist() == [[1, 0, 0]]
    with pytest.raises(UserError, match="a class is called 'label'"):
        write(path, np.full((2, 2), 0.5), ("label", "happy"))


def test_classes_that_a_model_does_not_know(path):
    path.write_text(GOOD)
    with pytest.raises(UserError, match="no column for angry. Add one; 0 in each line"):
        read(path, ("angry", *NAMES), 3)
    found = read(path, ("angry", *NAMES), 3, TRUE + 1, allow_missing_classes=True)
    assert found.tolist() == [[0, 0.25, 0.75], [0, 1, 0], [0, 0.5, 0.5]]


def test_rounded_numbers_pass(path):
    path.write_text(GOOD.replace("0.25,0.75", "0.2503,0.7502").replace("1,0", "1.0000001,-1e-9"))
    assert read(path, NAMES, 3).tolist() == [[0.2503, 0.7502], [1, 0], [0.5, 0.5]]


def test_labels_are_only_compared_where_they_are_known(path):
    path.write_text(GOOD)
    assert np.array_equal(read(path, NAMES, 3, TRUE), read(path, NAMES, 3))
    with pytest.raises(UserError, match="line 2: row 0 has the label 'sad', in the split it is 'happy'.*another order"):
        read(path, NAMES, 3, 1 - TRUE)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("row,", "image,", "column 'image' is no class"),
        ("row,label,happy,sad", "label,happy,sad,angry", "column 'angry' is no class of this data set.*happy, sad"),
        ("row,label,", "label,happiness,", "two columns for 'happy'"),
        ("row,label,happy,sad", "row,label,happy,Row", "two columns for 'row'"),
        ("row,label,happy,sad", "", "no column 'row'"),
        (",sad\n", "\n", "no column for sad"),
        ("row,label,happy,sad", "row;label;happy;sad", "column 'row;label;happy;sad' is no class"),
        ("0,sad,0.25,0.75", "0,sad,0.25", "line 2 has 3 values, the header has 4"),
        ("0,sad,0.25,0.75", "0,sad,0,25,0,75", "line 2 has 6 values, the header has 4"),
        ("\n2,", "\n3,", r"line 4: row '3' is not a whole number in 0..2"),
        ("\n2,", "\n-2,", "line 4: row '-2' is not a whole number"),
        ("\n2,", f"\n{'9' * 5000},", "line 4: row '9999.*is not a whole number"),
        ("\n2,", "\n2.0,", "line 4: row '2.0' is not a whole number"),
        ("\n2,", "\n0,", "line 4: row 0 stands in line 2 already"),
        ("2,sad,.5,5e-1\n", "", r"has 2 of the split's 3 images. Missing are the rows 2\."),
        ("0.25,0.75", "nan,0.75", "line 2: 'nan' is not a probability of happy"),
        ("0.25,0.75", "inf,0.75", "line 2: 'inf' is not a probability of happy"),
        ("0.25,0.75", "0.25,", "line 2: '' is not a probability of sad"),
        ("0.25,0.75", "1.25,-0.25", "line 2: '1.25' is not a probability of happy"),
        ("0.25,0.75", "0.25,0.7", "line 2: the probabilities sum to 0.95, not 1 within 0.001"),
        ("1,happy", "1,0", "line 3: label '0' is no class. Write one of happy, sad, not its number"),
        ("1,happy", "1,anger", "line 3: label 'anger' is no class"),
    ],
)
def test_mistakes_are_named(path, before, after, words):
    text = GOOD.replace(before, after)
    assert text != GOOD
    path.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        read(path, NAMES, 3, TRUE)
    assert str(path) in str(caught.value)


def test_files_that_are_none(path):
    with pytest.raises(UserError, match="cannot open .*keras.csv: No such file"):
        read(path, NAMES, 3)
    path.write_bytes(b"\xff\xfe\x00row")
    with pytest.raises(UserError, match="is not a CSV file in UTF-8"):
        read(path, NAMES, 3)
    path.write_text("")
    with pytest.raises(UserError, match="no column 'row'"):
        read(path, NAMES, 3)
    path.write_text("row,happy,sad\n")
    with pytest.raises(
        UserError, match=re.escape("0 of the split's 7 images. Missing are the rows 0, 1, 2, 3, 4, ...")
    ):
        read(path, NAMES, 7)
    path.write_text('row,happy,sad\n0,"0.5\n')
    with pytest.raises(UserError):
        read(path, NAMES, 1)
