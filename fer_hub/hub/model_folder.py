"""What a model folder holds, and the check that one is whole before it leaves the machine.

The same list serves whoever saves, fetches or pushes a model: nothing else in a folder belongs to it.
"""

import os
import re
import shlex
from pathlib import Path

from fer_hub.errors import UserError
from fer_hub.hub.records import SHAPES
from fer_hub.shapes import require_shape
from fer_hub.untrusted import MAX_FILE, MAX_RECORD, parse_json, parse_yaml, read_file

WEIGHTS = "model.safetensors"
REQUIRED = ("config.json", WEIGHTS)
CARD = "README.md"
RECORDS = ("results.json", "train_config.json", CARD, "figures/*.png", "onnx/*.onnx")  # of these very weights
PATTERNS = REQUIRED + RECORDS  # as glob patterns of one level
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".npz")


def belongs(path: str) -> bool:
    """Whether a model folder may hold `path`, relative and with slashes."""
    return any(re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]+"), path) for pattern in PATTERNS)


def records(folder: Path) -> list[Path]:
    """The files that tell of the weights, as far as they are there, sorted."""
    return sorted(file for pattern in RECORDS for file in folder.glob(pattern) if file.is_file())


def require_model(folder: Path, name: str) -> None:
    """Raises UserError where `folder`, which the user knows as `name`, lacks the files that make a model."""
    missing = [file for file in REQUIRED if not (folder / file).is_file()]
    if not missing:
        return
    pickles = [file.name for file in sorted(folder.glob("*")) if file.suffix in PICKLES]
    if missing == [WEIGHTS] and pickles:
        raise UserError(pickles_only(name, pickles[0]))
    raise UserError(f"{name} is not a model folder: {missing[0]} is missing. A training writes one as best/.")


def pickles_only(where: object, pickle: str) -> str:
    """What to say of a model that has no weights which are safe to open."""
    return (
        f"{where} has its weights as {pickle} only. Such files are pickles, which can run any code: they are never "
        f"opened here. Ask its author for {WEIGHTS}."
    )


def read_complete(folder: str | Path) -> dict[str, bytes]:
    """Every file of a folder that is fit to be published; whether the weights load is not looked at.

    Args:
        folder: a model folder with its card.

    Returns:
        The files' bytes by relative path with slashes, sorted.

    Raises:
        UserError: a foreign or missing file, or a record that does not parse.
    """
    folder = Path(os.path.expanduser(folder))
    if not os.path.isdir(folder):
        raise UserError(f"{folder} is not a folder. Give that of a model, for example runs/paper/best.")
    require_model(folder, str(folder))
    # A link to a folder counts as a file, and so as foreign: what is in it would not be listed.
    paths = {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_symlink() or not file.is_dir()
    }
    foreign = [path for path, file in paths.items() if not (belongs(path) and file.is_file())]
    if foreign:
        pickles = [path for path in foreign if path.endswith(PICKLES)]
        why = " Pickles can run any code and are never published." if pickles else ""
        raise UserError(
            f"{folder} holds what is no part of a model: {', '.join(foreign[:5])}{' ...' if foreign[5:] else ''}.{why} "
            f"Move it elsewhere. A model folder holds {', '.join(PATTERNS)}."
        )
    if CARD not in paths:
        raise UserError(
            f"{folder} has no card: {CARD} is missing. A finished training writes it; this writes a bare one: "
            + shlex.join(
                [
                    "python",
                    "-c",
                    "from fer_hub import FERModel; "
                    f"FERModel.from_pretrained({str(folder)!r}).save_pretrained({f'{folder}-complete'!r})",
                ]
            )
        )
    files = {path: read_file(file, MAX_FILE) for path, file in paths.items()}
    for path, data in files.items():
        if path.endswith(".json"):
            parse_record(data, f"{folder}/{path}")
    card_metadata(files[CARD], f"{folder}/{CARD}")
    return files


def read_record(file: Path) -> dict:
    """A record that may be missing: {} then; raises UserError as `parse_record`."""
    return parse_record(read_file(file, MAX_RECORD), str(file)) if os.path.lexists(file) else {}


def parse_record(data: bytes, where: str) -> dict:
    """Parse a JSON record, strictly: values of `records.SHAPES` have their types.

    Args:
        data: the file.
        where: its path; the name at its end says which record it is.

    Raises:
        UserError: it is not such a record; the message says what of it.
    """
    try:
        record = parse_json(data)
    except ValueError as error:
        raise UserError(f"{where} is not JSON: {error}. Restore it, or train again.") from error
    if not isinstance(record, dict):
        raise UserError(f"{where} is not a JSON object. Restore it, or train again.")
    name = os.path.basename(where)
    try:
        require_shape(record, SHAPES.get(name, {}), name.removesuffix(".json"))
    except ValueError as error:
        raise UserError(f"{where} is not what a training writes: {error}. Restore it, or train again.") from error
    return record


def card_metadata(card: bytes, where: str) -> dict:
    """The YAML block at the head of a card; raises UserError where a safe loader does not read it."""
    try:
        head = re.match(r"---\n(.*?\n)---\n", card.decode().replace("\r\n", "\n"), re.DOTALL)
        metadata = parse_yaml(head[1]) if head else None
    except ValueError as error:
        raise UserError(f"{where}: the metadata at its head is not safe YAML: {error}.") from error
    if not isinstance(metadata, dict):
        raise UserError(f"{where} does not begin with metadata: a line ---, YAML, and another line ---.")
    return metadata
