"""Files of a repository on the Hub -> a folder in the client's cache that holds what the Hub holds.

The client compares sizes alone, and keeps a damaged file for ever.
"""

import hashlib
import os
import re
import shlex
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from tqdm.auto import tqdm

from fer_hub.errors import UserError
from fer_hub.hub.errors import explain


def fetch(
    name: str,
    patterns: Sequence[str],
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Path:
    """Fetch the files of one commit, as far as they are not in the cache, and compare each with its hash.

    A damaged one is fetched once more; other processes that have it open keep the old one. The cache names files by
    their hashes; mirrors name them otherwise, and Windows keeps copies without such names: these are not compared.

    Args:
        name: `user/name` of a model.
        patterns: of the files, as glob patterns.
        revision: branch, tag or commit.
        token: default: the stored login.
        cache_dir: default: huggingface_hub's.
        local_files_only: do not ask the network.

    Returns:
        The folder, which is named by its commit.

    Raises:
        UserError: a file is damaged, also after it was fetched again; the message has the line that clears it.
        Exception: the client's own; `explain` has words for them.
    """
    folder = Path(
        snapshot_download(  # of one commit: config and weights of two would not fit
            name,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            allow_patterns=list(patterns),
            tqdm_class=_NoBar,
        )
    )
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    for path, file in files.items():
        if not any(fnmatch(path, pattern) for pattern in patterns) or _is_whole(file):
            continue
        again = ""
        if not (local_files_only or constants.HF_HUB_OFFLINE):
            try:
                hf_hub_download(name, path, revision=folder.name, token=token, cache_dir=cache_dir,
                                force_download=True, tqdm_class=_NoBar)  # fmt: skip
            except Exception as error:
                trouble = explain(error, name, HfApi(token=token))
                if trouble is None:
                    raise
                again = f" It was asked for once more: {trouble.reason}"
        if not _is_whole(file):
            raise UserError(f"{name}: {path} was damaged on its way here.{again} Fetch it again: rm {_stored(file)}")
    return folder


def _is_whole(file: Path) -> bool:
    """Whether a file has the hash that it is stored by: SHA-256 of a large one, git's SHA-1 of a small one."""
    stored = os.path.basename(os.readlink(file)) if file.is_symlink() else file.name
    if re.fullmatch("[0-9a-f]{64}", stored):
        digest = hashlib.sha256()
    elif re.fullmatch("[0-9a-f]{40}", stored):
        digest = hashlib.sha1(b"blob %d\0" % os.path.getsize(file), usedforsecurity=False)
    else:
        return True
    with file.open("rb") as opened:
        while part := opened.read(2**20):
            digest.update(part)
    return digest.hexdigest() == stored


def _stored(file: Path) -> str:
    """Where the cache keeps a file: with Xet the place that is named by its hash may be a link itself."""
    blob = os.path.normpath(os.path.join(file.parent, os.readlink(file)))
    return shlex.join(dict.fromkeys([blob, os.path.realpath(blob)]))


class _NoBar(tqdm):
    """Loading a model prints nothing."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{**kwargs, "disable": True})
