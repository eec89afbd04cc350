"""Predictions of any model on a split as a CSV file, so that models of other libraries can be compared.

A header, then a line for each image, in any order; UTF-8, commas, decimal points:

    row,label,angry,disgust,fear,happy,sad,surprise,neutral
    0,fear,0.01,0.02,0.8,0.05,0.05,0.03,0.04

`row` is the image's place in the split, counted from 0. `label` may be left out; it is the *name* of the true class,
never its number, whose meaning differs between data sets, and it shows that file and split have the same order. Each
other column is the probability of a class, in any order of the columns; `anger` and `Happiness` are known too.

Without FER Hub, from an array `probabilities` (N, 7) whose columns have the order of `names`:

    table = np.column_stack([np.arange(len(probabilities)), probabilities])
    np.savetxt("keras.csv", table, fmt="%.9g", delimiter=",", header=",".join(["row", *names]), comments="")
"""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_hub.atomic_files import write_text
from fer_hub.errors import UserError
from fer_hub.labels import canonical_name
from fer_hub.untrusted import MAX_TABLE, read_file

TOLERANCE = 1e-3  # of a sum: what writing seven or eight numbers with four decimals can lose
ROUNDING = 1e-6  # of a value: a softmax in float32 may end just above 1


def write(
    path: str | Path, probabilities: np.ndarray, label_names: Sequence[str], labels: np.ndarray | None = None
) -> None:
    """Writes predictions; `read` gives the same float64 numbers back, bit for bit.

    Args:
        path: the CSV file; replaced where it exists.
        probabilities: float (N, C), in the order of the split.
        label_names: the C classes.
        labels: int (N,), for the column `label`; None leaves it out.

    Raises:
        UserError: the file cannot be written, or a class is called `row` or `label`.
    """
    reserved = {"row", "label"}.intersection(label_names)
    if reserved:
        raise UserError(
            f"a class is called {reserved.pop()!r}, which names another column of {path}. Rename the class."
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *([] if labels is None else ["label"]), *label_names])
    for row, values in enumerate(np.asarray(probabilities, np.float64).tolist()):
        writer.writerow([row, *([] if labels is None else [label_names[labels[row]]]), *values])
    write_text(Path(path), text.getvalue())


def read(
    path: str | Path,
    label_names: Sequence[str],
    n: int,
    labels: np.ndarray | None = None,
    allow_missing_classes: bool = False,
) -> np.ndarray:
    """Reads and checks predictions.

    Args:
        path: the CSV file.
        label_names: the classes of the split, C of them.
        n: images of the split.
        labels: int (n,), the split's; a column `label` has to agree with them.
        allow_missing_classes: classes without a column have probability 0, for models that do not know them.

    Returns:
        float64 (n, C), in the order of the split and of `label_names`; each row sums to 1 within .001, as written.

    Raises:
        UserError: the file cannot be read, or is not complete and valid; the message names the line.
    """
    path = Path(path)
    try:
        text = read_file(path, MAX_TABLE).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""))
        header = next(reader, [])
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8: {error}. Write it again as such.") from error

    columns = _columns(header, label_names, path)
    missing = [name for name in label_names if name not in columns.values()]
    if missing and not allow_missing_classes:
        raise UserError(
            f"{path} has no column for {', '.join(missing)}. Add one; 0 in each line where the model does not know it."
        )
    probabilities = np.zeros((n, len(label_names)))
    line_of_row: dict[int, int] = {}
    for line, cells in lines:
        where = f"{path}, line {line}"
        if len(cells) != len(header):
            raise UserError(f"{where} has {len(cells)} values, the header has {len(header)}. Write the line again.")
        given = {columns[at]: cell.strip() for at, cell in enumerate(cells)}
        row = _row(given["row"], n, where)
        if row in line_of_row:
            raise UserError(f"{where}: row {row} stands in line {line_of_row[row]} already. Remove one of them.")
        line_of_row[row] = line
        if labels is not None and "label" in given:
            _require_label(given["label"], label_names[labels[row]], label_names, row, where)
        values = [_probability(given[name], name, where) if name in given else 0.0 for name in label_names]
        if abs(sum(values) - 1) > TOLERANCE:
            raise UserError(
                f"{where}: the probabilities sum to {sum(values):.6g}, not 1 within {TOLERANCE}. "
                "Write the softmax of the model's outputs, with four decimals or more."
            )
        probabilities[row] = values
    lost = [row for row in range(n) if row not in line_of_row]
    if lost:
        shown = ", ".join(map(str, lost[:5])) + (", ..." if len(lost) > 5 else "")
        raise UserError(
            f"{path} has {n - len(lost):,} of the split's {n:,} images. Missing are the rows {shown}. "
            "Predict the whole split."
        )
    return probabilities


def _columns(header: list[str], label_names: Sequence[str], path: Path) -> dict[int, str]:
    """What each column holds: `row`, `label` or one of `label_names`."""
    columns: dict[int, str] = {}
    for at, cell in enumerate(header):
        word = cell.strip()
        name = word.lower() if word.lower() in ("row", "label") else _class_name(word, label_names)
        if name is None:
            raise UserError(
                f"{path}: column {word!r} is no class of this data set. Its columns are row, label (optional) and "
                f"{', '.join(label_names)}, separated by commas. Rename or remove it."
            )
        if name in columns.values():
            raise UserError(f"{path} has two columns for {name!r}. Remove one of them.")
        columns[at] = name
    if "row" not in columns.values():
        raise UserError(f"{path} has no column 'row', the place of each image in the split, counted from 0. Add it.")
    return columns


def _class_name(word: str, label_names: Sequence[str]) -> str | None:
    """The class that a word means, by its own name or an emotion's alias; None where there is none."""
    for name in label_names:
        if word.lower() == name.lower():
            return name
    try:
        name = canonical_name(word)
    except UserError:
        return None
    return name if name in label_names else None


def _row(text: str, n: int, where: str) -> int:
    if not (re.fullmatch("[0-9]{1,9}", text) and int(text) < n):
        raise UserError(f"{where}: row {text!r} is not a whole number in 0..{n - 1}, the images of the split.")
    return int(text)


def _require_label(text: str, expected: str, label_names: Sequence[str], row: int, where: str) -> None:
    found = _class_name(text, label_names)
    if found is None:
        raise UserError(f"{where}: label {text!r} is no class. Write one of {', '.join(label_names)}, not its number.")
    if found != expected:
        raise UserError(
            f"{where}: row {row} has the label {found!r}, in the split it is {expected!r}. "
            "The file has the images in another order, or is of another split."
        )


def _probability(text: str, name: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -ROUNDING <= value <= 1 + ROUNDING:
        raise UserError(f"{where}: {text!r} is not a probability of {name}, a number in 0..1.")
    return min(max(value, 0.0), 1.0)
