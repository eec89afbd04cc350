"""The seven emotions, their one order, and the other words that data sets use for them."""

from fer_hub.errors import UserError

# fer2013.csv's numbers 0..6. Folders sort alphabetically and Hub copies use other words: always map by name.
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

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


def label_of(name: str) -> int:
    """The label 0..6 of an emotion's name or alias; raises UserError as `canonical_name` does."""
    return EMOTIONS.index(canonical_name(name))
