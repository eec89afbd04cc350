"""The file of `--label_map`: which label of a data set means which class."""

import difflib
import json
import logging
from collections import Counter
from pathlib import Path

from fer_hub.errors import UserError
from fer_hub.labels import ALIASES, FERPLUS, canonical_name

logger = logging.getLogger(__name__)


def read_map(path: str | Path) -> dict[str, str | None]:
    """A label map: label as the data has it -> class, by our name where we have one; None for images to leave out.

    Raises:
        UserError: the file cannot be read or is no such map.
    """
    try:
        found = json.loads(Path(path).expanduser().read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except OSError as error:
        raise UserError(f"--label_map: cannot open {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"--label_map: {path} is not JSON: {error}.") from error
    usable = isinstance(found, dict) and all(
        value is None or (isinstance(value, str) and value.strip()) for value in found.values()
    )
    if not usable:
        raise UserError(
            f"--label_map: {path} must be a JSON object from labels as the data has them to classes, or to null for "
            'images to leave out: {"1": "surprise", "contempt": null}'
        )
    mapping = {label: None if value is None else _our_name(value) for label, value in found.items()}
    for name in dict.fromkeys(value for value in mapping.values() if value and value.lower() not in FERPLUS):
        if close := difflib.get_close_matches(name.lower(), [*FERPLUS, *ALIASES], 1, cutoff=0.8):
            logger.warning("--label_map: %s is a class of its own. If %s is meant, write that.", name, close[0])
    return mapping


def _our_name(name: str) -> str:
    try:
        return canonical_name(name)
    except UserError:
        return name.strip()


def _once(pairs: list[tuple[str, object]]) -> dict:
    repeated = [label for label, times in Counter(label for label, _ in pairs).items() if times > 1]
    if repeated:
        raise ValueError(f"the label {repeated[0]!r} stands there twice")
    return dict(pairs)
