"""Whose repositories a login may write: its own and those of its organizations."""

from huggingface_hub import HfApi

from fer_hub.errors import UserError


def require_own(repo_id: str, me: dict) -> None:
    """Raises UserError where a new repository would be somebody else's."""
    names = _namespaces(me)
    if repo_id.split("/")[0] not in names:
        raise UserError(f"{repo_id} cannot be created by {me['name']}: name a repository of {' or '.join(names)}.")


def of_refusal(error: Exception, repo_id: str, api: HfApi) -> str | None:
    """What a refusal means where the repository is somebody else's: a login with more rights would not help."""
    if getattr(getattr(error, "response", None), "status_code", None) != 403:
        return None
    try:
        me = api.whoami()
    except Exception:  # the refusal itself is said in any case
        return None
    namespace, name = repo_id.split("/")
    if namespace in _namespaces(me):
        return None
    return (
        f"{me['name']} may not write to {namespace}, which is somebody else's (403). Name a repository of "
        f"{' or '.join(_namespaces(me))}, such as {me['name']}/{name}."
    )


def _namespaces(me: dict) -> list[str]:
    return [me["name"], *(organization["name"] for organization in me.get("orgs", []))]
