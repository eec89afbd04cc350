"""A model folder -> the Hub: strict loading first, then the push."""

import os
import shlex
from pathlib import Path

from fer_hub.hub import model_folder
from fer_hub.hub.push import Push, push_model_files
from fer_hub.models.model import FERModel


def push_model(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
    token: str | None = None,
) -> Push:
    """Push a complete model folder after loading its weights strictly.

    Args:
        folder: as `save_pretrained` and trainings write it; only read.
        repo_id: `user/name`, like all that follows as for `push.push_model_files`.
        private: of a new repository.
        revision: a branch.
        dry_run: write nothing.
        token: default: the stored login.

    Raises:
        UserError: the folder is not complete, its weights do not load, or the Hub refuses this user or name.
        HubError: the Hub could not take it now; the message says what is there.
    """
    files = model_folder.read_complete(folder)
    FERModel.from_pretrained(Path(os.path.expanduser(folder)).resolve())  # resolved, no shipped model has its name
    options = ["--private"] * private + (["--revision", revision] if revision else []) + ["--dry_run"] * dry_run
    return push_model_files(
        files,
        repo_id,
        retry=shlex.join(["fer-hub", "push", str(folder), "--repo_id", repo_id, *options]),
        private=private,
        revision=revision,
        dry_run=dry_run,
        token=token,
    )
