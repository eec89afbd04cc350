"""The names of splits, however a data set spells them."""

import re
from collections.abc import Iterable

from fer_hub.errors import UserError
from fer_hub.labels import canonical_name

SPLITS = ("train", "validation", "test")
ALL = "all"  # the pictures of a data set that has no splits

# PublicTest and PrivateTest are the names of the 2013 contest.
_WORDS = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "dev": "validation",
    "publictest": "validation",
    "test": "test",
    "testing": "test",
    "privatetest": "test",
}


def find_split(name: str) -> str | None:
    """Return the split that a name stands for, or None.

    Args:
        name: one word of a split among others counts, with any prefix, suffix, case and digits: `"FER2013Train"`,
            `"val_1"`, `"PublicTest"`. Names of two splits ("train_val") or with an emotion in them do not.
    """
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    words = [re.sub(r"(?<=[a-z]{3})(set|data)$", "", word) if word not in _WORDS else word for word in words]
    if any(_is_emotion(word) for word in words):
        return None
    found = {_WORDS[word] for word in words if word in _WORDS}
    if found == {"test"} and "public" in words:
        return "validation"
    return found.pop() if len(found) == 1 else None


def split_name(name: str, where: object) -> str:
    """Return train, validation or test for a source's name of it; raise UserError for an unknown one."""
    found = find_split(name)
    if found is None:
        raise UserError(
            f"{where}: unknown split {name[:40]!r}. Known: {', '.join(_WORDS)}, also with a prefix, suffix or digits."
        )
    return found


def require_no_splits(names: Iterable[str], source: object) -> None:
    """Raise UserError where several classes are named like splits: they are a layout that was misunderstood."""
    splits = [name for name in names if find_split(name)]
    if len(splits) > 1:
        raise UserError(
            f"{source}: the classes {', '.join(splits[:5])} look like splits. Expected SPLIT/CLASS/*.jpg, or a table "
            "whose label column holds the classes: --label_column_name names it."
        )


def _is_emotion(word: str) -> bool:
    try:
        canonical_name(word)
    except UserError:
        return False
    return True
