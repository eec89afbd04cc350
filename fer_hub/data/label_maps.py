"""The file of `--label_map`: which label of a data set means which class."""

import difflib
import logging
from pathlib import Path

from fer_hub.errors import UserError
from fer_hub.labels import ALIASES, FERPLUS, canonical_name, require_names
from fer_hub.untrusted import MAX_RECORD, parse_json, read_file

logger = logging.getLogger(__name__)


def read_map(path: str | Path) -> dict[str, str | None]:
    """A label map: label as the data has it -> class, by our name where we have one; None for images to leave out.

    Raises:
        UserError: the file cannot be read or is no such map.
    """
    try:
        data = read_file(path, MAX_RECORD)
    except UserError as error:
        raise UserError(f"--label_map: {error}") from error
    try:
        found = parse_json(data)
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
    require_names(filter(None, mapping.values()), f"--label_map: {path}")
    for name in dict.fromkeys(value for value in mapping.values() if value and value.lower() not in FERPLUS):
        if close := difflib.get_close_matches(name.lower(), [*FERPLUS, *ALIASES], 1, cutoff=0.8):
            logger.warning("--label_map: %s is a class of its own. If %s is meant, write that.", name, close[0])
    return mapping


def _our_name(name: str) -> str:
    try:
        return canonical_name(name)
    except UserError:
        return name.strip()
