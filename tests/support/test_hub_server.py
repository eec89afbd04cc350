"""The small Hub of the tests, as the real client sees it: what passes there should pass on the Hub."""

import http.client
import json
import os
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256

import hub_server
import pytest

WEIGHTS = bytes(range(256)) * 40
CARD = b"---\nlicense: mit\n---\n# Card\n"

CLIENT = """
import io, json, sys, warnings
from pathlib import Path
from huggingface_hub import CommitOperationAdd as Add, CommitOperationDelete as Delete, HfApi
from huggingface_hub import HfFileSystem, hf_hub_download, snapshot_download

weights, card = bytes(range(256)) * 40, b"---\\nlicense: mit\\n---\\n# Card\\n"
seen = {}

def refused(name, call):
    try:
        seen[name] = ["passed", repr(call())]
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        seen[name] = [type(error).__name__, status, str(error)]

api = HfApi()
me = {"repo_id": "user/model"}
seen["whoami"] = api.whoami()["name"]
url = api.create_repo(**me, private=True)
seen["url"] = [str(url), url.repo_id]
refused("again", lambda: api.create_repo(**me))
seen["exist_ok"] = api.create_repo(**me, exist_ok=True).repo_id
born = api.model_info("user/model")
seen["born"] = [born.private, [sibling.rfilename for sibling in born.siblings]]

files = [Add("README.md", card), Add("onnx/model.onnx", io.BytesIO(weights[1:])), Add("model.safetensors", weights)]
first = api.create_commit(**me, operations=files, commit_message="first", parent_commit=born.sha)
seen["first"] = first.oid
seen["tree"] = {entry.path: entry.lfs.sha256 if getattr(entry, "lfs", None) else "folder" if hasattr(entry, "tree_id")
                else entry.blob_id for entry in api.list_repo_tree(**me, recursive=True)}
seen["top"] = sorted(entry.path for entry in api.list_repo_tree(**me))
seen["folder"] = [entry.path for entry in api.list_repo_tree(**me, path_in_repo="onnx")]
seen["info"] = [entry.path for entry in api.get_paths_info(**me, paths=["onnx", "README.md", "none"])]
seen["sizes"] = {sibling.rfilename: sibling.size for sibling in api.model_info(**me, files_metadata=True).siblings}
seen["card"] = api.model_info("user/model").card_data.to_dict()
seen["same"] = api.create_commit(**me, operations=[Add("model.safetensors", weights)], commit_message="same").oid

seen["downloads"] = [Path(hf_hub_download(**me, filename=path)).read_bytes() == content
                     for path, content in (("README.md", card), ("model.safetensors", weights))]
folder = Path(snapshot_download(**me))
seen["snapshot"] = [folder.name, sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())]

seen["range"] = HfFileSystem().cat_file("user/model/model.safetensors", start=300, end=310).hex()

refused("stale", lambda: api.create_commit(**me, operations=[Add("a", b"a")], commit_message="stale",
                                           parent_commit=born.sha))
refused("bad card", lambda: api.create_commit(**me, operations=[Add("README.md", b"---\\na: [\\n---\\n")],
                                              commit_message="card"))
refused("delete none", lambda: api.create_commit(**me, operations=[Delete("none")], commit_message="none"))
second = api.create_commit(**me, operations=[Delete("onnx/", is_folder=True), Add("new", b"")], commit_message="second",
                           parent_commit=first.oid)
api.delete_file("README.md", "user/model", commit_message="third")
api.create_branch(**me, branch="a/b", revision=first.oid)
api.create_tag(**me, tag="v1", revision=second.oid)
refs = api.list_repo_refs(**me)
seen["refs"] = {ref.name: ref.target_commit for ref in refs.branches + refs.tags}
seen["titles"] = [commit.title for commit in api.list_repo_commits(**me)]
seen["revisions"] = [hf_hub_download(**me, filename="README.md", revision="a/b").count("README"),
                     api.model_info("user/model", revision="v1").sha == second.oid]

other = Add("model.safetensors", io.BytesIO(weights))
api.create_repo("user/demo", repo_type="space", space_sdk="gradio")
api.upload_file(path_or_fileobj=b"x", path_in_repo="app.py", repo_id="user/demo", repo_type="space")
api.create_repo("user/data", repo_type="dataset")
api.create_commit("user/data", repo_type="dataset", operations=[other], commit_message="data")
seen["others"] = [api.space_info("user/demo").sdk, api.dataset_info("user/data").private]

api.auth_check("user/model", write=True)
wrong, read, none = HfApi(token="hf_wrong"), HfApi(token="hf_read"), HfApi(token=False)
for name, some in (("wrong", wrong), ("none", none)):
    refused(f"{name} reads", lambda some=some: some.model_info("user/model"))
    refused(f"{name} reads public", lambda some=some: some.file_exists("user/data", "none", repo_type="dataset"))
    refused(f"{name} creates", lambda some=some: some.create_repo("user/other"))
refused("none downloads", lambda: hf_hub_download(**me, filename="new", token=False, cache_dir="none"))
seen["read reads"] = read.model_info("user/model").sha
read.auth_check("user/model")
refused("read checks", lambda: read.auth_check("user/model", write=True))
refused("read creates", lambda: read.create_repo("user/other"))
refused("read commits", lambda: read.create_commit(**me, operations=[Add("a", b"a")], commit_message="read"))
refused("foreign", lambda: api.create_repo("somebody/model"))
refused("hidden", lambda: api.model_info("somebody/hidden"))
refused("no repo", lambda: api.model_info("user/none"))
refused("no revision", lambda: api.model_info("user/model", revision="none"))
refused("no file", lambda: hf_hub_download(**me, filename="none"))
refused("no folder", lambda: list(api.list_repo_tree(**me, path_in_repo="none")))
json.dump(seen, sys.stdout)
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """One run of the client, for its start takes longer than all it does: what it saw, and the Hub afterwards."""
    home = tmp_path_factory.mktemp("client")
    with hub_server.run() as hub:
        hub.add_repo("somebody/hidden", {"a": b"a"}, private=True)
        environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
                       "HF_TOKEN": "hf_write", "HF_HOME": str(home), "HF_HUB_CACHE": str(home / "hub"),
                       "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # fmt: skip
        process = subprocess.run([sys.executable, "-c", CLIENT], env=environment, cwd=home, capture_output=True,
                                 text=True, timeout=120)  # fmt: skip
        assert process.returncode == 0, process.stderr
        yield json.loads(process.stdout), hub


def test_client_creates_and_commits(client):
    seen, hub = client
    initial, first, second, third = hub.commits("user/model")
    assert seen["whoami"] == "user"
    assert seen["url"] == [f"{hub.endpoint}/user/model", "user/model"]
    assert seen["exist_ok"] == "user/model"
    assert seen["born"] == [True, [".gitattributes"]]
    sent = {"README.md": CARD, "model.safetensors": WEIGHTS, "onnx/model.onnx": WEIGHTS[1:]}
    assert first.files == {**initial.files, **sent}
    assert first.lfs == {"model.safetensors", "onnx/model.onnx"} and first.sha == seen["first"] == seen["same"]
    assert second.files.keys() == {".gitattributes", "README.md", "model.safetensors", "new"}
    assert third.files.keys() == {".gitattributes", "model.safetensors", "new"} and third.parent == second.sha
    assert hub.files("user/model") == third.files and hub.files("user/model", "a/b") == first.files
    assert hub.files("user/demo", repo_type="space")["app.py"] == b"x"
    assert hub.files("user/data", repo_type="dataset")["model.safetensors"] == WEIGHTS
    uploads = [path.rpartition("/")[2] for method, path in hub.requests if method == "PUT"]
    large, small = (sha256(data).hexdigest() for data in (WEIGHTS, WEIGHTS[1:]))
    assert sorted(uploads) == sorted([large, small, large])  # the last for another repository; "same" sent nothing


def test_client_reads(client):
    seen, hub = client
    initial, first, second, third = hub.commits("user/model")
    expected = {path: blob.etag for path, blob in first.blobs.items()} | {"onnx": "folder"}
    assert seen["tree"] == expected
    assert seen["top"] == sorted({path.split("/")[0] for path in expected})
    assert seen["folder"] == ["onnx/model.onnx"] and seen["info"] == ["onnx", "README.md"]
    assert seen["sizes"] == {path: len(data) for path, data in first.files.items()}
    assert seen["card"] == {"license": "mit"}
    assert seen["downloads"] == [True, True]
    assert bytes.fromhex(seen["range"]) == WEIGHTS[300:310]
    assert seen["snapshot"] == [first.sha, sorted(first.files)]
    assert seen["refs"] == {"main": third.sha, "a/b": first.sha, "v1": second.sha}
    assert len(seen["titles"]) == 4 and seen["titles"][1:] == ["second", "first", "initial commit"]
    assert seen["revisions"] == [1, True]
    assert seen["others"] == ["gradio", False]
    assert seen["read reads"] == third.sha


@pytest.mark.parametrize(
    ("what", "error", "status"),
    [
        ("again", "HfHubHTTPError", 409),
        ("stale", "HfHubHTTPError", 412),
        ("bad card", "ValueError", None),
        ("delete none", "RemoteEntryNotFoundError", 404),
        ("wrong reads", "HfHubHTTPError", 401),
        ("wrong reads public", "HfHubHTTPError", 401),
        ("wrong creates", "HfHubHTTPError", 401),
        ("none reads", "RepositoryNotFoundError", 401),
        ("none creates", "HfHubHTTPError", 401),
        ("none downloads", "RepositoryNotFoundError", 401),
        ("read checks", "HfHubHTTPError", 403),
        ("read creates", "HfHubHTTPError", 403),
        ("read commits", "HfHubHTTPError", 403),
        ("foreign", "HfHubHTTPError", 403),
        ("hidden", "RepositoryNotFoundError", 404),
        ("no repo", "RepositoryNotFoundError", 404),
        ("no revision", "RevisionNotFoundError", 404),
        ("no file", "RemoteEntryNotFoundError", 404),
        ("no folder", "RemoteEntryNotFoundError", 404),
    ],
)
def test_client_is_refused(client, what, error, status):
    assert client[0][what][:2] == [error, status]


# --- below the client ----------------------------------------------------------------------------------------------


class Connection(http.client.HTTPConnection):
    """One connection that is kept, unless the server closes it."""

    def ask(self, method, path, body=None, headers=None, **options):
        headers = {"Authorization": "Bearer hf_write", **(headers or {})}
        self.request(method, path, body, headers, **options)
        response = self.getresponse()
        return response.status, response.read(), response.headers


@pytest.fixture
def hub():
    with hub_server.run() as hub:
        hub.add_repo("user/model", {"model.onnx": WEIGHTS, "a.txt": b"text"})
        yield hub


@pytest.fixture
def connection(hub):
    connection = Connection(hub.endpoint.removeprefix("http://"), timeout=10)
    yield connection
    connection.close()


def commit_lines(*operations, **header):
    lines = [{"key": "header", "value": {"summary": "title", **header}}, *operations]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def test_files_over_one_connection(hub, connection):
    path, size = "/user/model/resolve/main/model.onnx", len(WEIGHTS)
    connection.connect()
    socket = connection.sock
    for asked, first, stop in (("5-9", 5, 10), ("10230-99999", 10230, size), ("-4", size - 4, size), ("7-", 7, size)):
        status, body, headers = connection.ask("GET", path, headers={"Range": f"bytes={asked}"})
        assert (status, body) == (206, WEIGHTS[first:stop])
        assert headers["Content-Range"] == f"bytes {first}-{stop - 1}/{size}"
    assert connection.ask("GET", path, headers={"Range": f"bytes={size}-"})[0] == 416
    status, body, headers = connection.ask("HEAD", path)
    digest = sha256(WEIGHTS).hexdigest()
    assert (status, body, headers["Content-Length"], headers["X-Linked-Size"]) == (200, b"", str(size), str(size))
    assert headers["ETag"] == headers["X-Linked-Etag"] == f'"{digest}"'
    assert headers["X-Repo-Commit"] == hub.commits("user/model")[-1].sha
    headers = connection.ask("GET", "/user/model/resolve/main/a.txt")[2]
    assert headers["ETag"] == '"f3a34851d44d6b97c90fbb99dd3d18c261b9a237"'  # git's word
    assert headers["X-Linked-Etag"] is None
    assert connection.ask("GET", "/api/models/user/model/xet-write-token/main")[0] == 404
    assert connection.sock is socket


def test_commit_all_or_nothing(hub, connection):
    url, before = "/api/models/user/model/commit/main", hub.commits("user/model")
    text = {"key": "file", "value": {"path": "b.txt", "content": b64encode(b"b").decode(), "encoding": "base64"}}
    gone = {"key": "deletedFile", "value": {"path": "a.txt"}}
    absent = {"key": "lfsFile", "value": {"path": "b.onnx", "algo": "sha256", "oid": "0" * 64, "size": 1}}
    assert connection.ask("POST", url, commit_lines(text, gone, absent))[0] == 400
    assert connection.ask("POST", url, commit_lines(text, parentCommit="0" * 40))[0] == 412
    assert hub.commits("user/model") == before
    assert connection.ask("PUT", f"/user/model.git/info/lfs/objects/{'0' * 64}", b"x")[0] == 403
    body = commit_lines(text, gone, parentCommit=before[-1].sha)
    status, body, _ = connection.ask("POST", url, iter([body[:50], body[50:]]), encode_chunked=True,
                                     headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    assert status == 200 and json.loads(body)["commitOid"] == hub.commits("user/model")[-1].sha
    assert hub.files("user/model").keys() == {".gitattributes", "b.txt", "model.onnx"}


def test_faults(hub, connection):
    url, calls = "/api/models/user/model", []
    hub.on_request = lambda index, method, path: calls.append((index, method, path))
    hub.fault("GET", "/models/user", times=2, status=503, headers={"Retry-After": "1"}, body=b"<html>busy</html>")
    status, body, headers = connection.ask("GET", url)
    assert (status, body, headers["Retry-After"]) == (503, b"<html>busy</html>", "1")
    assert connection.ask("POST", f"{url}/paths-info/main", b"paths=a.txt")[0] == 200
    assert [connection.ask("GET", url)[0] for _ in range(2)] == [503, 200]
    assert calls == list((index, *request) for index, request in enumerate(hub.requests)) and len(calls) == 4

    deletion = commit_lines({"key": "deletedFile", "value": {"path": "a.txt"}})
    for cut, commits in (("before", 2), ("after", 3)):
        hub.fault("POST", "/commit/", cut=cut)
        with pytest.raises(http.client.RemoteDisconnected):
            connection.ask("POST", f"{url}/commit/main", deletion)
        assert len(hub.commits("user/model")) == commits

    hub.fault("POST", "/commit/", call=lambda: hub.commit("user/model", {"model.onnx": None}))
    forever = hub.fault(None, "/refs$", times=None, status=500)
    parent = hub.commits("user/model")[-1].sha
    assert connection.ask("POST", f"{url}/commit/main", commit_lines(parentCommit=parent))[0] == 412
    assert [connection.ask("GET", f"{url}/refs")[0] for _ in range(3)] == [500] * 3 and forever.hits == 3
    forever.times = 0
    assert connection.ask("GET", f"{url}/refs")[0] == 200
