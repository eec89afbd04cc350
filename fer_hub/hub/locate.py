"""A model's name -> the folder that holds it. Names resolve in one order: shipped, existing folder, Hub id."""

import os
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from fer_hub.errors import UserError
from fer_hub.hub import downloads, model_folder
from fer_hub.hub.errors import explain

SHIPPED = Path(__file__).parents[1] / "weights"
DEFAULT_MODEL = "fer-small"  # of recognizer, page and `fer-hub predict`; a shipped name


def shipped_names() -> list[str]:
    """The models that come with the package; none in a Space, which fetches its own."""
    return sorted(folder.name for folder in SHIPPED.iterdir() if folder.is_dir()) if SHIPPED.is_dir() else []


def locate(
    name: str,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> tuple[Path, str | None]:
    """Finds a model, fetching it where it is on the Hub.

    Args:
        name: as for `FERModel.from_pretrained`, like all others.
        revision: of a Hub id.
        token: of a Hub id.
        cache_dir: of a Hub id.
        local_files_only: of a Hub id.

    Returns:
        The folder, which has the files that a model needs, and the commit where it is a Hub id's.

    Raises:
        UserError: nothing is there, or it is no model.
        HubError: the Hub cannot be reached, and the cache does not hold it.
    """
    shipped = shipped_names()
    folder = SHIPPED / name if name in shipped else Path(os.path.expanduser(name))
    if os.path.isdir(folder):
        if revision:
            raise UserError(f"revision {revision!r} is for models on the Hub; {name} is a folder here. Leave it out.")
        model_folder.require_model(folder, name)
        return folder, None
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        known = f" Shipped models: {', '.join(shipped)}." if shipped else ""
        raise UserError(f"no model at {name}: neither an existing folder nor a Hub id (user/name).{known}")
    try:
        folder = downloads.fetch(name, model_folder.PATTERNS, revision, token, cache_dir, local_files_only)
    except UserError:
        raise
    except RepositoryNotFoundError as error:
        raise UserError(
            f"cannot load {name} from the Hub: there is no such model, or this login may not see it. "
            "Check the name; for a private one: hf auth login."
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(
            f"cannot load {name} from the Hub: it has no branch, tag or commit {revision or 'main'}. "
            f"Those that are there: {HfApi().endpoint}/{name}/tree/main"
        ) from error
    except Exception as error:
        trouble = explain(error, name, HfApi(token=token))
        if trouble is None:
            raise
        raise trouble.kind(f"cannot load {name} from the Hub: {trouble.reason} A folder loads without it.") from error
    if not local_files_only:
        _refuse_pickles(folder, name, revision, token)
    model_folder.require_model(folder, name)
    return folder, folder.name  # a snapshot is named by its commit


def _refuse_pickles(folder: Path, name: str, revision: str | None, token: str | None) -> None:
    """Raises UserError where the weights are missing because the repository has them as pickles alone."""
    if (folder / model_folder.WEIGHTS).is_file():
        return
    try:
        held = HfApi(token=token).list_repo_files(name, revision=revision)
    except Exception:  # offline; that the weights are missing is said in any case
        return
    pickles = [path for path in held if path.endswith(model_folder.PICKLES)]
    if pickles:
        raise UserError(model_folder.pickles_only(name, pickles[0]))
