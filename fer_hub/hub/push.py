"""Finished files -> a repository of the Hub, in one commit or not at all.

The one commit names its parent, so it cannot land on top of a commit that was not looked at. Everything before it
leaves no trace but, for a new repository, the empty repository. Each attempt reads anew what the Hub holds: a commit
whose answer was lost is found there, and the same push again is nothing to do.
"""

import hashlib
import io
import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import (
    HFValidationError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import validate_repo_id

from fer_hub import __version__
from fer_hub.errors import HubError, UserError
from fer_hub.hub import card, model_folder
from fer_hub.hub.errors import commit_may_have_arrived, explain
from fer_hub.hub.namespaces import of_refusal, require_own

ATTEMPTS = 4
LONGEST_WAIT = 60  # seconds; a Hub that asks for more gets the user's decision


@dataclass(frozen=True)
class Push:
    """What a push did, or with `dry_run` would do.

    Attributes:
        repo_id: `user/name`.
        url: of the repository.
        parent: the head of the branch before; None where there was none.
        commit: the head afterwards; the same where nothing was to do.
        created: whether the repository is new.
        uploaded: files that are new or changed, by path.
        deleted: files that an earlier push left and that are gone from the folder.
        kept: files of the repository that are not ours; untouched.
        dry_run: nothing was written.
    """

    repo_id: str
    url: str
    parent: str | None
    commit: str | None
    created: bool
    uploaded: tuple[str, ...]
    deleted: tuple[str, ...]
    kept: tuple[str, ...]
    dry_run: bool


def push_model_files(
    files: Mapping[str, bytes],
    repo_id: str,
    *,
    retry: str,
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
    token: str | None = None,
    parent: str | None = None,
) -> Push:
    """Pushes the files of a complete model folder.

    Args:
        files: as `model_folder.read_complete` gives them; that the weights load is the caller's to know.
        repo_id: `user/name`; created where it does not exist.
        retry: the line that tries again, for messages.
        private: whether a new repository is private; an existing public one is then refused.
        revision: a branch, created where it does not exist; default: main.
        dry_run: say what would be done and write nothing.
        token: default: the stored login.
        parent: the commit that the model came from; a newer one there is refused.

    Raises:
        UserError: the Hub refuses this user or name.
        HubError: the Hub could not take it now; the message says what is there.
    """
    return push_files(
        {**files, model_folder.CARD: card.for_repository(files[model_folder.CARD], repo_id)},
        repo_id,
        private=private,
        revision=revision,
        dry_run=dry_run,
        token=token,
        parent=parent,
        message=f"{json.loads(files['config.json'])['architecture']}, FER Hub {__version__}",
        owned=model_folder.belongs,
        retry=retry,
    )


def push_files(
    files: Mapping[str, bytes],
    repo_id: str,
    *,
    message: str,
    owned: Callable[[str], bool],
    retry: str,
    repo_type: str = "model",
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
    token: str | None = None,
    parent: str | None = None,
) -> Push:
    """Makes a repository's own files equal to `files`, in one commit.

    Args:
        files: the bytes by path.
        repo_id: as for `push_model_files`, like all that is not named here.
        message: the commit's.
        owned: whether a path of the repository is ours: such are deleted where `files` lacks them.
        retry: the line that tries again, for messages.
        repo_type: model, dataset or space (of the Gradio SDK).
        private: as for `push_model_files`.
        revision: as for `push_model_files`.
        dry_run: as for `push_model_files`.
        token: as for `push_model_files`.
        parent: as for `push_model_files`.

    Raises:
        UserError: the Hub refuses this user, name or content.
        HubError: as for `push_model_files`.
    """
    _require_name(repo_id)
    if revision and re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UserError(f"--revision {revision} is a commit; files are pushed to a branch. Name one, or leave it out.")
    target = _Target(HfApi(token=token), repo_id, repo_type, revision or "main", private, parent)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _push_once(target, files, message, owned, dry_run)
        except Exception as error:
            trouble = explain(error, repo_id, target.api)
            if trouble is None:
                raise
            reason = of_refusal(error, repo_id, target.api) or trouble.reason
            target.sent = target.sent or commit_may_have_arrived(error)
            if not trouble.passing or attempt == ATTEMPTS or trouble.wait > LONGEST_WAIT:
                raise trouble.kind(
                    f"{repo_id} was not pushed: {reason} {target.state} The files here are untouched. Again: {retry}"
                ) from error
            time.sleep(trouble.wait or 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def require_login(repo_id: str) -> None:
    """Raises UserError where a push to `repo_id` cannot succeed, as far as this machine alone can tell."""
    _require_name(repo_id)
    if not get_token():
        raise UserError(f"{repo_id} was not pushed: not logged in: hf auth login, or set HF_TOKEN.")


def check_write_access(repo_id: str | None, default_name: str, token: str | None = None) -> str:
    """Asks the Hub whether this login may write a model repository, before work is done for it.

    Args:
        repo_id: `user/name`; None: `default_name` of the user who is logged in.
        default_name: the part after the slash.
        token: default: the stored login.

    Returns:
        The full `user/name`.

    Raises:
        UserError: not logged in, no such user or organization, or no right to write.
        HubError: the Hub cannot be asked.
    """
    if repo_id is not None:
        _require_name(repo_id)
    api = HfApi(token=token)
    target = _Target(api, repo_id or default_name, "model", "main", False, None)
    try:
        _require_token(api)
        if repo_id is None or not api.repo_exists(repo_id):
            me = api.whoami()
            target.repo_id = repo_id = repo_id or f"{me['name']}/{re.sub('[^A-Za-z0-9_.-]+', '-', default_name)}"
            require_own(repo_id, me)
            if me.get("auth", {}).get("accessToken", {}).get("role") == "read":
                raise UserError("this login may only read: hf auth login with a token that has write access.")
        else:
            _require_write(target)
    except Exception as error:
        trouble = explain(error, target.repo_id, api)
        if trouble is None:
            raise
        raise trouble.kind(f"{target.repo_id} cannot be pushed to: {trouble.reason}") from error
    return repo_id


# --- one attempt ---------------------------------------------------------------------------------------------------


@dataclass
class _Target:
    """Where a push goes, and what is known of it over the attempts."""

    api: HfApi
    repo_id: str
    repo_type: str
    branch: str
    private: bool
    parent: str | None  # the only head that the commit may follow, once known
    was_missing: bool = False  # at the first look
    created: bool = False  # was missing, and is there
    sent: bool = False  # a commit was asked for, its answer did not come, and nobody has looked since

    @property
    def url(self) -> str:
        kind = "" if self.repo_type == "model" else f"{self.repo_type}s/"
        return f"{self.api.endpoint}/{kind}{self.repo_id}"

    @property
    def name(self) -> dict:
        return {"repo_id": self.repo_id, "repo_type": self.repo_type}

    @property
    def state(self) -> str:
        if self.sent:
            return "Whether the commit arrived is not known; all of it is there, or nothing."
        if self.created:
            return "The repository is new and empty."
        return "The repository is absent, or new and empty." if self.was_missing else "The repository is as it was."


def _push_once(
    target: _Target, files: Mapping[str, bytes], message: str, owned: Callable[[str], bool], dry_run: bool
) -> Push:
    api = target.api
    _require_token(api)
    head = _head(target)
    if head is None and not dry_run:
        head = _create(target)
    elif head is None:
        require_own(target.repo_id, api.whoami())
    elif head is not None and not target.created:
        _require_write(target)
    held = _files_at(target, head) if head else {}
    uploaded = tuple(path for path, data in files.items() if held.get(path) not in _identities(data))
    deleted = tuple(path for path in held if path not in files and owned(path))
    kept = tuple(path for path in held if path not in files and not owned(path) and path != ".gitattributes")

    def done(commit: str | None) -> Push:
        return Push(target.repo_id, target.url, head, commit, target.created, uploaded, deleted, kept, dry_run)

    if dry_run or not (uploaded or deleted):
        return done(head)
    target.sent = False
    if target.parent not in (None, head):
        raise HubError(f"somebody else's commit is there now: look at {target.url}/commits/{target.branch}.")
    target.parent = head
    # Open buffers go up as plain LFS: as paths they would take Xet, which many servers lack and which splits commits.
    operations = [CommitOperationAdd(path, io.BytesIO(files[path])) for path in uploaded]
    operations += [CommitOperationDelete(path) for path in deleted]
    with _quiet():
        commit = api.create_commit(
            **target.name,
            operations=operations,
            commit_message=message,
            revision=target.branch,
            parent_commit=head,
        )
    return done(commit.oid)


def _head(target: _Target) -> str | None:
    """The newest commit of the branch; None where the repository or the branch does not exist."""
    try:
        info = target.api.repo_info(**target.name, revision=target.branch)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        if error.response.status_code == 401:  # the Hub says so of private repositories, and of broken logins
            target.api.whoami()
        target.was_missing = target.was_missing or isinstance(error, RepositoryNotFoundError)
        return None
    target.created = target.was_missing
    if target.private and not info.private and not target.created:
        raise UserError(
            f"{target.repo_id} exists and is public: what is pushed there would not be private. "
            f"Make it private at {target.url}/settings, or choose another name."
        )
    return info.sha


def _create(target: _Target) -> str | None:
    """Creates the repository and the branch, as far as they are missing; the branch's head."""
    api = target.api
    if not api.repo_exists(**target.name):
        api.create_repo(**target.name, private=target.private, exist_ok=True,
                        space_sdk="gradio" if target.repo_type == "space" else None)  # fmt: skip
    else:
        _require_write(target)
    if target.branch != "main":
        api.create_branch(**target.name, branch=target.branch, exist_ok=True)
    return _head(target)


def _files_at(target: _Target, head: str) -> dict[str, str]:
    """What a commit holds: the git hash of each file, or its SHA-256 where it is stored as LFS."""
    entries = target.api.list_repo_tree(**target.name, revision=head, recursive=True)
    return {entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id
            for entry in entries if isinstance(entry, RepoFile)}  # fmt: skip


def _identities(data: bytes) -> tuple[str, str]:
    git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
    return git.hexdigest(), hashlib.sha256(data).hexdigest()


def _require_name(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
        if repo_id.count("/") != 1:
            raise HFValidationError("one slash is needed")
    except HFValidationError as error:
        raise UserError(f"{repo_id!r} is no repository of the Hub, user/name: {error}") from error


def _require_token(api: HfApi) -> None:
    if not (api.token or get_token()):
        raise LocalTokenNotFoundError


def _require_write(target: _Target) -> None:
    """Raises the client's 401 or 403 where this login may only read: creating and reading would still succeed."""
    try:
        target.api.auth_check(**target.name, write=True)
    except RepositoryNotFoundError as error:
        if error.response.status_code != 404:
            raise
        # The repository was seen a moment ago, so this server lacks the question; it can still refuse the commit.


@contextmanager
def _quiet() -> Iterator[None]:
    """Without huggingface_hub's remark that a buffer does not go through Xet."""
    logger = logging.getLogger("huggingface_hub._commit_api")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
