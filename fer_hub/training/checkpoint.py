"""Resume states of a training: rotated, verified when read; their folder is held by one run, and has room for them.

A state is what `torch.save` writes, followed by a line with the SHA-256 of all bytes before it. The checksums inside
the file do not cover its directory, and torch does not verify them.
"""

import hashlib
import logging
import pickle
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from fer_hub import folder_lock
from fer_hub.atomic_files import remove_temporaries, temporary_beside, write_atomically
from fer_hub.errors import UserError
from fer_hub.recipes import TrainConfig

logger = logging.getLogger(__name__)

KEEP = 2  # resume states; the older one serves when the newest is damaged
_DIGEST_LINE = re.compile(rb"\nsha256 ([0-9a-f]{64})\n")
_DIGEST_LENGTH = 73


@contextmanager
def own_folder(folder: Path, accelerator: Accelerator) -> Iterator[None]:
    """Holds the folder of a run while the block runs, so that no other training writes to it.

    The main process holds it, removes what killed writers left, and tells the others.

    Args:
        folder: created where needed, and removed again where the run left nothing in it.
        accelerator: tells which process is the main one.

    Raises:
        UserError: on all processes: the folder cannot be written, or another training uses it.
    """
    with ExitStack() as stack:
        refusal = [None]
        if accelerator.is_main_process:
            try:
                if not folder.exists():
                    stack.callback(_remove_if_empty, folder)
                require_space(folder, 0)
                stack.enter_context(folder_lock.hold(folder))
                for each in (folder, folder / "best", folder / "checkpoints"):
                    remove_temporaries(each)
            except UserError as error:
                refusal = [str(error)]
        broadcast_object_list(refusal)
        if refusal[0]:
            raise UserError(refusal[0])
        yield


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


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
        probe = temporary_beside(folder / ".write_test")
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


def bytes_of_run(config: TrainConfig, parameters: int) -> int:
    """What a run writes at most: best/ and, at a moment of rotation, KEEP + 1 states.

    A state has the weights, the best so far, their average where there is one, and the optimizer's sums, in float32.
    """
    copies = 3 + bool(config.ema_decay) + (config.optimizer == "adamw")
    return 4 * parameters * (2 + copies * (KEEP + 1))


def save_state(folder: Path, state: dict) -> Path:
    """Writes a resume state and removes all older ones but the newest that can be read.

    States of later steps stay: they are damaged, or the user went back behind them. They count neither for nor against
    the new one.

    Args:
        folder: checkpoints/ of the run.
        state: tensors, numbers, strings, lists and dicts; `step` names the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{state['step']:08d}.pt"

    def write(temporary: Path) -> None:
        torch.save(state, temporary)
        with temporary.open("rb+") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.write(f"\nsha256 {digest}\n".encode())

    write_atomically(path, write)
    older = [old for old in _states(folder) if _step(old) < state["step"]]
    kept = set(islice((old for old in older if _is_whole(old)), KEEP - 1))
    for old in older:
        if old not in kept:
            old.unlink()
    return path


def load_state(path: Path) -> dict:
    """Reads a resume state, with its digest or, of an older version, without.

    Raises:
        UserError: the file is missing, damaged, or something else.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}. Use --resume_from_checkpoint last, or leave it out to start anew.")
    try:
        _require_whole(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} is no resume state of FER Hub. Use --resume_from_checkpoint last.") from error
    except Exception as error:  # of damaged bytes zipfile, zlib, pickle and torch make a dozen types
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"{path} is damaged ({reason}).") from error
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
    return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.stem[5:])


def _is_whole(path: Path) -> bool:
    try:
        _require_whole(path)
    except Exception:  # as in `load_state`
        return False
    return True


def _require_whole(path: Path) -> None:
    """Raises one of many exceptions where the bytes are not those that were written."""
    with path.open("rb") as file:
        content = max(0, path.stat().st_size - _DIGEST_LENGTH)
        file.seek(content)
        line = _DIGEST_LINE.fullmatch(file.read())
        if line:
            file.seek(0)
            digest = hashlib.sha256()
            while content:
                block = file.read(min(content, 2**20))
                digest.update(block)
                content -= len(block)
            if digest.hexdigest().encode() != line[1]:
                raise ValueError("its checksum is another")
            return
    with zipfile.ZipFile(path) as archive:  # a state of an older version has the checksums of its parts alone
        damaged = archive.testzip()
    if damaged:
        raise ValueError(f"checksum of {damaged}")
