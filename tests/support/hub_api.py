"""What the Hub answers: one function for each kind of request, over the repositories in memory."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from hub_state import Blob, Commit, Repo, is_lfs

API = r"/api/(?P<type>model|dataset|space)s/(?P<id>[^/]+/[^/]+)"
PAGE = r"/(?:(?P<type>dataset|space)s/)?(?P<id>[^/]+/[^/]+?)"
REVISION = r"/(?P<revision>[^/]+)"
WRONG_TOKEN = "Invalid credentials in Authorization header"  # the client tells it from a missing one by these words
NO_TOKEN = "Invalid username or password."

routes = []


def route(method: str, pattern: str):
    def register(function):
        routes.append((method, re.compile(pattern), function))
        return function

    return register


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str | None = None, commit: Commit | None = None, **more):
        words = " ".join(message.split()).encode("ascii", "replace").decode()
        headers = {"X-Error-Message": words} | ({"X-Error-Code": code} if code else {}) | at(commit)
        self.answer = as_json({"error": message, **more}, status, headers)


def as_json(data, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    body = json.dumps(data, default=str).encode()  # a card's metadata may hold a date
    return Answer(status, body, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


def at(commit: Commit | None) -> dict[str, str]:
    return {"X-Repo-Commit": commit.sha} if commit else {}


def respond(hub, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """The answer to one request; the whole work is one step to every other request."""
    address = urlsplit(path)
    with hub.lock:
        try:
            role = role_of(hub, headers)
            for accepted, pattern, function in routes:
                match = pattern.fullmatch(address.path)
                if match and accepted == ("GET" if method == "HEAD" else method):
                    return function(Request(hub, method, match, parse_qs(address.query), headers, body, role))
            raise Refused(404, "Sorry, we can't find the page you are looking for.")
        except Refused as refused:
            return refused.answer


def role_of(hub, headers: Mapping[str, str]) -> str | None:
    header = headers.get("Authorization")
    if header is None or hub.tokens is None:
        return None
    role = hub.tokens.get(header.removeprefix("Bearer "))
    if role is None:
        raise Refused(401, WRONG_TOKEN)
    return role


class Request:
    """A request, and what it may see and do."""

    def __init__(self, hub, method, match, query, headers, body, role):
        self.hub, self.method, self.headers, self.body, self.role = hub, method, headers, body, role
        self.parts = {key: unquote(value) for key, value in match.groupdict().items() if value is not None}
        self.flags = {key for key, values in query.items() if values[-1].lower() in ("true", "1")}
        self.on_repo = match.re.pattern.startswith(API) or "/resolve/" in match.re.pattern

    def json(self) -> dict:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Refused(400, f"not JSON: {error}") from error

    def require_token(self) -> None:
        # The Hub need not say this code: the client itself takes a bare 401 under these addresses for a missing
        # repository, but only over https.
        if self.role is None:
            raise Refused(401, NO_TOKEN, "RepoNotFound" if self.on_repo else None)

    def require_write(self, namespace: str) -> None:
        self.require_token()
        if self.role != "write":
            raise Refused(403, "Forbidden: you must use a write token to upload to a repository.")
        if namespace not in self.hub.namespaces:
            raise Refused(403, f"You don't have the rights to write under the namespace {namespace!r}.")

    def repo(self) -> Repo:
        repo = self.hub.repos.get((self.parts.get("type", "model"), self.parts["id"]))
        if repo is None or (repo.private and (self.role is None or repo.namespace not in self.hub.namespaces)):
            self.require_token()
            raise Refused(404, "Repository not found", "RepoNotFound")
        return repo

    def repo_to_write(self) -> Repo:
        repo = self.repo()
        self.require_write(repo.namespace)
        return repo

    def commit(self) -> Commit:
        repo = self.repo()
        return find(repo, self.parts.get("revision", repo.default))


def find(repo: Repo, revision: str) -> Commit:
    commit = repo.find(revision)
    if commit is None:
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


# --- users and repositories ----------------------------------------------------------------------------------------


@route("GET", "/api/whoami-v2")
def whoami(request: Request) -> Answer:
    request.require_token()
    user, *organizations = request.hub.namespaces
    access = {"displayName": "token", "role": request.role}
    return as_json({"type": "user", "id": user, "name": user, "fullname": user, "isPro": False,
                    "orgs": [{"type": "org", "id": name, "name": name} for name in organizations],
                    "auth": {"type": "access_token", "accessToken": access}})  # fmt: skip


@route("POST", "/api/repos/create")
def create_repo(request: Request) -> Answer:
    asked = request.json()
    request.require_token()
    repo_type, owner = asked.get("type") or "model", asked.get("organization") or request.hub.namespaces[0]
    request.require_write(owner)
    key = repo_type, f"{owner}/{asked['name']}"
    if repo_type == "space" and not asked.get("sdk"):
        raise Refused(400, '"sdk" is required')
    exists = key in request.hub.repos
    if not exists:  # `private` is the word of clients before `visibility`
        private = asked.get("private") or asked.get("visibility") in ("private", "protected")
        request.hub.add_repo(key[1], repo_type=repo_type, private=bool(private), sdk=asked.get("sdk"))
    url = request.hub.endpoint + request.hub.repos[key].page
    if exists:
        raise Refused(409, f"You already created this {repo_type} repo: {key[1]}", url=url)
    return as_json({"url": url, "name": key[1]})


@route("GET", f"{API}/auth-check")
def auth_check(request: Request) -> Answer:
    request.repo()
    return as_json({})


@route("GET", f"{API}/auth-check/write")
def auth_check_write(request: Request) -> Answer:
    request.repo_to_write()
    return as_json({})


@route("GET", f"{API}(?:/revision{REVISION})?")
def repo_info(request: Request) -> Answer:
    repo, commit = request.repo(), request.commit()
    siblings = [{"rfilename": path} for path in commit.blobs]
    if "blobs" in request.flags:
        siblings = [{"rfilename": path, "size": len(blob.data), "blobId": blob.oid, **lfs(blob, "sha256")}
                    for path, blob in commit.blobs.items()]  # fmt: skip
    card, _ = front_matter(commit.files.get("README.md", b"").decode(errors="replace"))
    info = {"_id": repo.id, "id": repo.id, "author": repo.namespace, "sha": commit.sha, "private": repo.private,
            "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": [], "siblings": siblings,
            "createdAt": next(iter(repo.history.values())).date, "lastModified": commit.date}  # fmt: skip
    info |= {"sdk": repo.sdk} if repo.sdk else {}
    return as_json(info | ({"cardData": card} if card else {}), headers=at(commit))


@route("POST", "/api/validate-yaml")
def validate_yaml(request: Request) -> Answer:
    card, problem = front_matter(request.json()["content"])
    if problem:
        raise Refused(400, "Invalid metadata", errors=[{"message": problem}], warnings=[])
    warnings = [] if card else [{"message": "empty or missing yaml metadata in repo card"}]
    return as_json({"errors": [], "warnings": warnings})


def front_matter(text: str) -> tuple[dict | None, str | None]:
    """A card's metadata; what is wrong with it."""
    block = re.match(r"---[ \t]*\r?\n(.*?\n|)---[ \t]*(?:\r?\n|\Z)", text, re.DOTALL)
    try:
        metadata = yaml.safe_load(block[1]) if block else None
    except yaml.YAMLError as error:
        return None, str(error)
    if metadata is not None and not isinstance(metadata, dict):
        return None, '"yaml metadata" must be a mapping'
    return metadata, None


# --- commits and files ---------------------------------------------------------------------------------------------


@route("GET", f"{API}/refs")
def refs(request: Request) -> Answer:
    repo = request.repo()

    def listed(names, kind):
        return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": sha} for name, sha in names.items()]

    return as_json({"branches": listed(repo.branches, "heads"), "tags": listed(repo.tags, "tags"),
                    "converts": [], "pullRequests": []})  # fmt: skip


@route("POST", f"{API}/branch/(?P<name>[^/]+)")
def create_branch(request: Request) -> Answer:
    return name_commit(request, request.repo_to_write().branches, request.parts["name"], "startingPoint")


@route("POST", f"{API}/tag{REVISION}")
def create_tag(request: Request) -> Answer:
    return name_commit(request, request.repo_to_write().tags, request.json()["tag"])


def name_commit(request: Request, names: dict[str, str], name: str, start: str = "") -> Answer:
    revision = request.json().get(start)
    commit = find(request.repo(), revision) if revision else request.commit()
    if name.startswith("refs/"):
        raise Refused(400, f"Invalid reference: {name}")
    if name in names:
        raise Refused(409, f"Reference already exists: {name}")
    names[name] = commit.sha
    return as_json({})


@route("GET", f"{API}/commits{REVISION}")
def commits(request: Request) -> Answer:
    log = request.repo().log(request.commit().sha)
    return as_json([{"id": commit.sha, "title": commit.title, "message": commit.description, "date": commit.date,
                     "authors": [{"user": request.hub.namespaces[0]}]} for commit in reversed(log)])  # fmt: skip


@route("GET", f"{API}/tree{REVISION}(?:/(?P<path>.+))?")
def tree(request: Request) -> Answer:
    commit, folder = request.commit(), request.parts.get("path", "").strip("/")
    if folder and folder not in commit.folders():
        raise Refused(404, f"{folder} does not exist on this revision", "EntryNotFound", commit)
    start = f"{folder}/" if folder else ""
    paths = sorted(path for path in {*commit.blobs, *commit.folders()} if path.startswith(start))
    if "recursive" not in request.flags:
        paths = [path for path in paths if "/" not in path.removeprefix(start)]
    return as_json([entry(commit, path) for path in paths], headers=at(commit))


@route("POST", f"{API}/paths-info{REVISION}")
def paths_info(request: Request) -> Answer:
    commit, asked = request.commit(), parse_qs(request.body.decode()).get("paths", [])
    known = {*commit.blobs, *commit.folders()}
    paths = [path.strip("/") for path in asked]
    return as_json([entry(commit, path) for path in paths if path in known], headers=at(commit))


def entry(commit: Commit, path: str) -> dict:
    blob = commit.blobs.get(path)
    if blob is None:
        inside = "".join(commit.blobs[name].oid for name in commit.below(path))
        return {"type": "directory", "oid": hashlib.sha1(inside.encode()).hexdigest(), "size": 0, "path": path}
    return {"type": "file", "oid": blob.oid, "size": len(blob.data), "path": path, **lfs(blob, "oid")}


def lfs(blob: Blob, key: str) -> dict:
    # The Hub names the hash otherwise in each of its two lists of files.
    return {"lfs": {key: blob.sha256, "size": len(blob.data), "pointerSize": len(blob.pointer)}} if blob.lfs else {}


@route("GET", f"{PAGE}/resolve{REVISION}/(?P<path>.+)")
def resolve(request: Request) -> Answer:
    commit, path = request.commit(), request.parts["path"]
    blob = commit.blobs.get(path)
    if blob is None:
        raise Refused(404, "Entry not found", "EntryNotFound", commit)
    size = len(blob.data)
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": f'"{blob.etag}"'}
    headers |= at(commit)
    if blob.lfs:
        headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(size)}
    part = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
    if not part or part[0] == "bytes=-" or request.method == "HEAD":
        return Answer(200, blob.data, headers)
    first, last = part.groups()
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        return Answer(416, b"", headers | {"Content-Range": f"bytes */{size}"})
    return Answer(206, blob.data[start:stop], headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"})


# --- uploads -------------------------------------------------------------------------------------------------------


@route("POST", f"{API}/preupload{REVISION}")
def preupload(request: Request) -> Answer:
    request.repo_to_write()
    commit, files = request.commit(), []
    for path in (file["path"] for file in request.json()["files"]):
        known = {"oid": commit.blobs[path].etag} if path in commit.blobs else {}
        mode = "lfs" if is_lfs(path) else "regular"
        files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **known})
    return as_json({"files": files, "commitOid": commit.sha})


@route("POST", rf"{PAGE}\.git/info/lfs/objects/batch")
def lfs_batch(request: Request) -> Answer:
    repo, objects = request.repo_to_write(), []
    url = f"{request.hub.endpoint}{repo.page}.git/info/lfs/objects"
    for asked in request.json()["objects"]:
        oid, actions = asked["oid"], {}
        if oid not in repo.objects:
            repo.awaited.add(oid)
            actions = {"actions": {"upload": {"href": f"{url}/{oid}"}, "verify": {"href": f"{url}/verify"}}}
        objects.append({"oid": oid, "size": asked["size"], **actions})
    return as_json({"transfer": "basic", "objects": objects})


@route("PUT", rf"{PAGE}\.git/info/lfs/objects/(?P<oid>[0-9a-f]{{64}})")
def lfs_upload(request: Request) -> Answer:
    # The client sends no token here: to the Hub's storage, having been given the address is the permission.
    repo = request.hub.repos.get((request.parts.get("type", "model"), request.parts["id"]))
    blob = Blob(request.body, lfs=True)
    if repo is None or request.parts["oid"] not in repo.awaited:
        raise Refused(403, "nobody was asked to upload this")
    if blob.sha256 != request.parts["oid"]:
        raise Refused(400, "the content is not that of its SHA-256")
    repo.objects[blob.sha256] = blob
    return Answer(headers={"ETag": f'"{blob.sha256}"'})


@route("POST", rf"{PAGE}\.git/info/lfs/objects/verify")
def lfs_verify(request: Request) -> Answer:
    repo, asked = request.repo_to_write(), request.json()
    blob = repo.objects.get(asked["oid"])
    if blob is None or len(blob.data) != asked["size"]:
        raise Refused(404, f"{asked['oid']} was not uploaded")
    return as_json({})


@route("POST", f"{API}/commit{REVISION}")
def commit(request: Request) -> Answer:
    repo, branch = request.repo_to_write(), request.parts["revision"]
    if branch not in repo.branches:
        raise Refused(404, f"Invalid rev id: {branch}", "RevisionNotFound")
    if "create_pr" in request.flags:
        raise Refused(400, "this server has no pull requests")
    try:
        header, *operations = [json.loads(line) for line in request.body.split(b"\n") if line]
    except ValueError as error:
        raise Refused(400, f"not NDJSON: {error}") from error
    head, parent = repo.find(branch), header["value"].get("parentCommit")
    if parent and not (len(parent) >= 7 and head.sha.startswith(parent)):
        raise Refused(412, "A commit has happened since. Please refresh and try again.")
    changes = {}
    for operation in operations:
        changes |= changed(repo, head, operation["key"], operation["value"])
    card = changes.get("README.md")
    if card and (problem := front_matter(card.data.decode(errors="replace"))[1]):
        raise Refused(400, "Invalid metadata in README.md", errors=[{"message": problem}])
    new = repo.add(branch, changes, header["value"]["summary"], header["value"].get("description", ""))
    url = f"{request.hub.endpoint}{repo.page}/commit/{new.sha}"
    return as_json({"success": True, "commitOid": new.sha, "commitUrl": url, "hookOutput": ""})


def changed(repo: Repo, head: Commit, key: str, value: dict) -> dict[str, Blob | None]:
    """What one line of a commit changes."""
    path = value["path"].strip("/")
    if key == "file":
        return {path: Blob(base64.b64decode(value["content"], validate=True), lfs=False)}
    if key == "lfsFile":
        if value["oid"] not in repo.objects:
            raise Refused(400, f"LFS pointer pointed to a file that does not exist. Offending file: {path}")
        return {path: repo.objects[value["oid"]]}
    gone = {"deletedFile": [path] if path in head.blobs else [], "deletedFolder": head.below(path)}.get(key)
    if gone is None:
        raise Refused(400, f"unknown operation {key}")
    if not gone:
        raise Refused(404, f"A file with this name doesn't exist: {path}", "EntryNotFound", head)
    return dict.fromkeys(gone)
