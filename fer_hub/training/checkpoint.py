"""Resume states of a training: rotated, verified when read, and the room for them made sure beforehand."""

import logging
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import torch

from fer_hub.atomic_files import write_atomically
from fer_hub.errors import UserError

logger = logging.getLogger(__name__)

KEEP = 2  # resume states; the older one serves when the newest is damaged


def require_space(folder: Path, needed: int) -> None:
    """Fails before the first epoch rather than after it.

    Args:
        folder: created where needed.
        needed: bytes.

    Raises:
        UserError: the folder cannot be created or written, or the disk has less space.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write_test"
        probe.write_bytes(b"0" * 4096)
        probe.unlink()
    except OSError as error:
        raise UserError(f"cannot write to --output_dir {folder}: {error.strerror}. Choose another folder.") from error
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"--output_dir {folder}: {free / 1e6:.0f} MB free, the run needs {needed / 1e6:.0f} MB. "
            "Free space or choose another folder."
        )


def save_state(folder: Path, state: dict) -> Path:
    """Writes a resume state and removes all but the newest `KEEP`.

    Args:
        folder: checkpoints/ of the run.
        state: tensors, numbers, strings, lists and dicts; `step` names the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{state['step']:08d}.pt"
    write_atomically(path, lambda temporary: torch.save(state, temporary))
    for old in _states(folder)[KEEP:]:
        old.unlink()
    return path


def load_state(path: Path) -> dict:
    """Reads a resume state.

    Raises:
        UserError: the file is missing, damaged, or something else.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}. Use --resume_from_checkpoint last, or leave it out to start anew.")
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not verify the checksums that torch.save writes
            damaged = archive.testzip()
        if damaged:
            raise UserError(f"{path} is damaged (checksum of {damaged}).")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}).") from error
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} is no resume state of FER Hub. Use --resume_from_checkpoint last.") from error
    if not (isinstance(state, dict) and {"step", "record"} <= state.keys()):
        raise UserError(f"{path} is no resume state of FER Hub. Use --resume_from_checkpoint last.")
    return state


def load_last_state(folder: Path) -> dict | None:
    """The newest readable resume state of a run; None where the run has none.

    Raises:
        UserError: there are states and all are damaged.
    """
    paths = _states(folder)
    for path in paths:
        try:
            return load_state(path)
        except UserError as error:
            logger.warning("%s Trying the one before it.", error)
    if paths:
        raise UserError(f"every checkpoint in {folder} is damaged. Remove the folder to start anew.")
    return None


def _states(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("step_*.pt") if re.fullmatch(r"step_\d+\.pt", path.name)]
    return sorted(found, key=lambda path: int(path.stem[5:]), reverse=True)
