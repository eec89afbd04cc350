"""A validation split, cut from train where a source has none."""

import logging
import warnings

import numpy as np
from datasets import Dataset
from sklearn.model_selection import StratifiedGroupKFold

from fer_hub.errors import UserError

logger = logging.getLogger(__name__)

SHARE = 0.1  # of train; FER2013's own is 11 %


def cut(train: Dataset, source: str, seed: int, group_column: str | None = None) -> tuple[Dataset, Dataset]:
    """Cut a tenth of train off, with the classes in its proportions.

    Args:
        train: columns `image` and `label`, and that of the groups.
        source: what messages call the data set.
        seed: of the choice.
        group_column: the pictures of a group, such as a person, stay on one side. The shares of the classes are then
            as near as whole groups allow.

    Returns:
        train and validation.

    Raises:
        UserError: there are too few pictures or groups.
    """
    if group_column is None:
        try:
            parts = train.train_test_split(test_size=SHARE, stratify_by_column="label", seed=seed)
        except ValueError as error:
            raise UserError(
                f"{source}: no validation split, and none can be cut from train, which is too small: a tenth of its "
                f"{len(train):,} pictures must hold one of each class, and each class needs two. Add pictures, or a "
                "validation split."
            ) from error
        kept, held, by = parts["train"], parts["test"], f"stratified, seed {seed}"
    else:
        groups = np.array(_groups(train, source, group_column))
        rows = _rows_of_groups(np.array(train["label"]), groups, source, seed, group_column)
        kept, held = train.select(np.flatnonzero(~rows)), train.select(np.flatnonzero(rows))
        by = f"{len(set(groups[rows]))} of {len(set(groups))} values of {group_column}, seed {seed}"
    logger.warning(
        "%s has no validation split: %d of its %d training images (%s) are validation now.", source, len(held),
        len(train), by,
    )  # fmt: skip
    return kept, held


def say_shared_groups(splits: dict[str, Dataset], source: str, group_column: str) -> None:
    """Say which groups stand in more than one split of a source that has its own."""
    groups = {name: set(_groups(rows, source, group_column)) for name, rows in splits.items()}
    shared = {value for name in groups for other in groups if name != other for value in groups[name] & groups[other]}
    if shared:
        logger.warning(
            "%s: %d of %d values of %s stand in more than one split, such as %s.", source, len(shared),
            len(set().union(*groups.values())), group_column, min(shared),
        )  # fmt: skip


def _groups(rows: Dataset, source: str, column: str) -> list[str]:
    values = rows[column][:]
    missing = [number for number, value in enumerate(values) if value is None or not str(value).strip()]
    if missing:
        raise UserError(
            f"{source}: {len(missing):,} images have no {column}, the first is number {missing[0]}. Fill the column: "
            "each needs a group."
        )
    return [str(value) for value in values]


def _rows_of_groups(labels: np.ndarray, groups: np.ndarray, source: str, seed: int, column: str) -> np.ndarray:
    """Marks the pictures of the groups that become validation: bool (N,)."""
    folds = min(round(1 / SHARE), len(set(groups)))
    if folds < 2:
        raise UserError(f"{source}: all training images have the {column} {groups[0]}: two at least can be divided.")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer images than folds: looked at below
        try:
            found = [held for _, held in splitter.split(labels, labels, groups)]
        except ValueError as error:
            raise UserError(f"{source}: no validation split can be cut by {column}: {error}") from error
    counts = np.bincount(labels)
    present = counts > 0

    def distance(held: np.ndarray) -> float:
        shares = np.bincount(labels[held], minlength=len(counts))[present] / counts[present]
        return float(np.abs(shares - SHARE).sum())

    def is_usable(held: np.ndarray) -> bool:
        return len(held) > 0 and (np.bincount(labels[held], minlength=len(counts)) < counts)[present].all()

    usable = [held for held in found if is_usable(held)]
    if not usable:
        raise UserError(
            f"{source}: whichever values of {column} become validation, a class has no training image left. Classes of "
            f"one {column} cannot be divided; leave --group_column out, or add images."
        )
    marks = np.zeros(len(labels), dtype=bool)
    marks[min(usable, key=distance)] = True
    return marks
