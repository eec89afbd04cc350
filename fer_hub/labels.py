"""The seven emotions, their one order, and the other words that data sets use for them."""

from collections.abc import Iterable, Sequence

from fer_hub.errors import UserError, printable

# fer2013.csv's numbers 0..6. Folders sort alphabetically and Hub copies use other words: always map by name.
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FERPLUS = (*EMOTIONS, "contempt")  # FER+'s eight: ours in our order, then its own
LONGEST_NAME = 100  # characters of a class's name
LABEL_SETS = ("fer2013", "ferplus", "auto")  # what `label_sets` makes of a data set's labels

# Our count of the official fer2013.csv, in the order of EMOTIONS.
OFFICIAL_COUNTS = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "validation": (467, 56, 496, 895, 653, 415, 607),
    "test": (491, 55, 528, 879, 594, 416, 626),
}

ALIASES = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "neutrality": "neutral",
    "calm": "neutral",
}


def canonical_name(name: str) -> str:
    """The project's name of an emotion.

    Args:
        name: any spelling: `"Happiness"`, `" anger "`, `"SAD"`.

    Returns:
        One of `EMOTIONS`.

    Raises:
        UserError: the name is neither one of `EMOTIONS` nor an alias.
    """
    key = name.strip().lower()
    key = ALIASES.get(key, key)
    if key not in EMOTIONS:
        raise UserError(
            f"unknown emotion {name!r}. Known: {', '.join(EMOTIONS)}; also {', '.join(sorted(ALIASES))} (in any case)."
        )
    return key


def key(name: str) -> str:
    """What spellings of one class share: the project's name of an emotion, any other name in lower case."""
    try:
        return canonical_name(name)
    except UserError:
        return name.strip().lower()


def match(names: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    """Which classes two sets have in common: "Anger" and "angry" are one class, and so are "Cat" and "cat".

    Returns:
        name -> its spelling in `others`, in the order of `names`, for those that are there: the same spelling, or
        another one where both sets have but one that means it.
    """
    keys, other_keys = list(map(key, names)), list(map(key, others))
    found = {}
    for name, meaning in zip(names, keys, strict=True):
        if name in others:
            found[name] = name
        elif keys.count(meaning) == other_keys.count(meaning) == 1:
            found[name] = others[other_keys.index(meaning)]
    return found


def require_names(names: Iterable[str], where: object) -> None:
    """Make sure that classes have names which every file, page and terminal can hold and show.

    Raises:
        UserError: a name is empty, longer than `LONGEST_NAME`, or has control characters or no UTF-8 form.
    """
    for name in names:
        fault = ""
        if not name.strip():
            fault = "is empty"
        elif len(name) > LONGEST_NAME:
            fault = f"has {len(name):,} characters, over {LONGEST_NAME}"
        elif "\n" in name or "\t" in name or printable(name) != name:
            fault = "has characters that cannot be shown"
        if fault:
            raise UserError(f"{where}: the name of a class {fault}: {name[:LONGEST_NAME]!r}. Rename it.")


def for_matplotlib(name: str) -> str:
    """Escape a class name for matplotlib, which would read text between two dollar signs as a formula."""
    return name.replace("$", r"\$")
