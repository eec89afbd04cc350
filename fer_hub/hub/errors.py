"""What an error of huggingface_hub means to the user: one sentence, and whether it is worth trying again."""

import errno
import json
import re
import traceback
from dataclasses import dataclass

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)

from fer_hub.errors import HubError, UserError

OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
NETWORK_LIBRARIES = {"httpx", "httpx2", "httpcore", "requests", "urllib3"}  # of huggingface_hub, over its releases


@dataclass(frozen=True)
class Trouble:
    """An error in words.

    Attributes:
        kind: UserError where the user can mend it, HubError where the Hub or the way there failed.
        reason: a sentence, without the login.
        passing: worth another attempt.
        wait: seconds that the Hub asks for; 0 where it does not say.
    """

    kind: type[UserError]
    reason: str
    passing: bool = False
    wait: float = 0


def explain(error: Exception, repo_id: str, api: HfApi) -> Trouble | None:
    """An error that a call of `api` for `repo_id` raised; None for what is not of the Hub, and so a mistake of ours."""
    # A failed upload, and a download that the cache cannot replace, are wrapped.
    while error.__cause__ is not None and isinstance(error, RuntimeError | LocalEntryNotFoundError):
        error = error.__cause__
    if isinstance(error, LocalTokenNotFoundError):
        return Trouble(UserError, "not logged in: hf auth login, or set HF_TOKEN.")
    if isinstance(error, OfflineModeIsEnabled):
        return Trouble(HubError, "HF_HUB_OFFLINE=1 forbids it.")
    if isinstance(error, LocalEntryNotFoundError):
        return Trouble(HubError, "it is not in the cache, and the Hub was not asked.")
    if isinstance(error, UserError):
        return Trouble(type(error), _redacted(error, api))
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return _explain_status(error.response.status_code, error, repo_id, api)
    if isinstance(error, json.JSONDecodeError | KeyError | TypeError) and _is_of_the_client(error):
        # a proxy's page in place of an answer, for example
        return Trouble(HubError, f"{api.endpoint} does not answer as a Hub does.", passing=True)
    if "Consistency check failed" in str(error):
        return Trouble(HubError, f"{api.endpoint} sent a file that is not complete.", passing=True)
    if isinstance(error, OSError) and (error.filename or error.errno in OF_THE_DISK):
        place = f" ({error.filename})" if error.filename else ""
        return Trouble(UserError, f"its files cannot be stored or read here{place}: {error.strerror}.")
    if _was_reading(error):
        return Trouble(HubError, f"a download from {api.endpoint} broke off ({type(error).__name__}).", passing=True)
    if isinstance(error, OSError) or type(error).__module__.split(".")[0] in NETWORK_LIBRARIES:
        return Trouble(HubError, f"no connection to {api.endpoint} ({type(error).__name__}).", passing=True)
    if isinstance(error, HFValidationError | ValueError):  # of a name, of the card's metadata, of a file
        return Trouble(UserError, _redacted(error, api))
    return None


def commit_may_have_arrived(error: Exception) -> bool:
    """Whether a commit was asked for and the answer leaves open what became of it."""
    response = getattr(error, "response", None)
    try:
        request = error.request if response is None else response.request
    except (AttributeError, RuntimeError):  # an answer that could not be read
        functions = {frame.f_code.co_name for frame in _frames(error)}
        return "create_commit" in functions and not functions & {"_validate_yaml", "preupload_lfs_files"}
    return "/commit/" in str(request.url) and (response is None or response.status_code >= 500)


def _explain_status(status: int, error: HfHubHTTPError, repo_id: str, api: HfApi) -> Trouble:
    if status == 401:
        return Trouble(UserError, "the Hub does not accept this login (401): hf auth login.")
    if status == 403:
        return Trouble(
            UserError, "this login may not write there (403): hf auth login with a token that has write access."
        )
    if status == 404:
        return Trouble(
            UserError, f"the Hub does not find {repo_id} (404): check the name, and that this login may see it."
        )
    if status in (409, 412):  # somebody is faster, or at work: the next look tells which
        return Trouble(HubError, f"another change is under way there ({status}).", passing=True)
    if status == 429:
        wait = error.response.headers.get("Retry-After", "")
        wait = float(wait) if wait.isdigit() else 0
        after = f", and asks to wait {wait:.0f} s" if wait else ""
        return Trouble(HubError, f"the Hub takes no more requests now (429){after}.", passing=True, wait=wait)
    if status >= 500 or status == 408:
        return Trouble(HubError, f"the Hub is out of order ({status}).", passing=True)
    said = _redacted(error.server_message or "no reason given", api).rstrip(".")
    return Trouble(UserError, f"the Hub refuses it ({status}): {said}.")


def _was_reading(error: Exception) -> bool:
    """Whether a file had begun to arrive."""
    return "iter_bytes" in {frame.f_code.co_name for frame in _frames(error)}


def _is_of_the_client(error: Exception) -> bool:
    """Whether huggingface_hub raised it, reading an answer, and not a mistake of ours."""
    return any(frame.f_globals.get("__name__", "").startswith("huggingface_hub.") for frame in _frames(error))


def _frames(error: Exception) -> list:
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def _redacted(message: object, api: HfApi) -> str:
    """One line without the login."""
    text = " ".join(str(message).split())[:400]
    for token in (api.token, get_token()):
        if isinstance(token, str) and token:
            text = text.replace(token, "***")
    return re.sub(r"hf_\w+", "***", text)
