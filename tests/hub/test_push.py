"""Pushing: one commit or none, whatever the Hub does. The real client talks to a real server (hub_server)."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from fer_hub import FERModel, UserError, __version__
from fer_hub.cli.arguments import main
from fer_hub.errors import HubError
from fer_hub.hub import card
from fer_hub.hub.push import check_write_access
from fer_hub.models.publish import push_model

REPO = "user/model"
PUSH = ["push", "FOLDER", "--repo_id", REPO]


@pytest.fixture
def folder(tmp_path):
    """A small model folder with everything that one may hold."""
    folder = tmp_path / "best"
    FERModel("test_resnet").save_pretrained(folder)
    (folder / "results.json").write_text("{}")
    (folder / "train_config.json").write_text("{}")
    for path in ("figures/curves.png", "onnx/model.onnx"):
        (folder / path).parent.mkdir()
        (folder / path).write_bytes(path.encode())
    return folder


def contents(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def expected(folder, repo_id=REPO):
    files = contents(folder)
    return {**files, "README.md": card.for_repository(files["README.md"], repo_id)}


def held(hub, **where):
    return {path: data for path, data in hub.files(REPO, **where).items() if path != ".gitattributes"}


def environment(hub, token="hf_write"):
    return {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_TOKEN": token}


# --- what a push does ---


def test_a_push_is_one_commit_with_exactly_the_folder(hub, online, folder):
    before = contents(folder)
    pushed = push_model(folder, REPO)
    assert held(hub) == expected(folder)
    assert [commit.title for commit in hub.commits(REPO)] == ["initial commit", f"test_resnet, FER Hub {__version__}"]
    assert pushed.created and pushed.parent == hub.commits(REPO)[0].sha and pushed.commit == hub.commits(REPO)[-1].sha
    assert set(pushed.uploaded) == set(before)
    assert contents(folder) == before
    assert REPO.encode() in held(hub)["README.md"] and card.REPOSITORY.encode() not in held(hub)["README.md"]


def test_the_same_push_again_is_nothing_to_do(hub, online, folder, capsys):
    push_model(folder, REPO)
    assert main([str(folder) if part == "FOLDER" else part for part in PUSH]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert len(hub.commits(REPO)) == 2


def test_a_later_push_replaces_what_is_ours_and_keeps_the_rest(hub, online, folder):
    push_model(folder, REPO)
    hub.commit(REPO, {"notes.txt": b"by hand"})
    (folder / "onnx/model.onnx").unlink()
    (folder / "results.json").write_text('{"schema_version": 1}')
    pushed = push_model(folder, REPO)
    assert (pushed.uploaded, pushed.deleted, pushed.kept) == (("results.json",), ("onnx/model.onnx",), ("notes.txt",))
    assert held(hub) == {**expected(folder), "notes.txt": b"by hand"}
    assert len(hub.commits(REPO)) == 4


def test_json_of_a_push(hub, online, folder, capsys):
    assert main(["push", str(folder), "--repo_id", REPO, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["commit"] == hub.commits(REPO)[-1].sha and found["url"] == f"{hub.endpoint}/{REPO}"


@pytest.mark.parametrize("exists", [False, True])
def test_a_dry_run_writes_nothing(exists, hub, online, folder, capsys):
    if exists:
        hub.add_repo(REPO, {"results.json": b"old"})
    assert main(["push", str(folder), "--repo_id", REPO, "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "would be uploaded model.safetensors" in said and "nothing was written" in said
    assert {method for method, _ in hub.requests} == {"GET"}
    assert not exists or len(hub.commits(REPO)) == 2


def test_private_and_public(hub, online, folder):
    push_model(folder, REPO, private=True)
    assert hub.repo(REPO).private
    push_model(folder, REPO, private=True)
    hub.add_repo("user/public")
    with pytest.raises(UserError, match="user/public exists and is public"):
        push_model(folder, "user/public", private=True)
    assert len(hub.commits("user/public")) == 1


def test_a_revision_is_a_branch(hub, online, folder):
    hub.add_repo(REPO, {"notes.txt": b"main"})
    push_model(folder, REPO, revision="v2")
    assert held(hub) == {"notes.txt": b"main"}
    assert held(hub, revision="v2") == {**expected(folder), "notes.txt": b"main"}
    push_model(folder, REPO, revision="v2")
    assert len(hub.commits(REPO, revision="v2")) == 3


def test_a_server_without_xet_is_pushed_to_by_a_client_that_has_it(hub, online, folder):
    assert find_spec("hf_xet") and not constants.HF_HUB_DISABLE_XET
    push_model(folder, REPO)
    assert any("objects/batch" in path for _, path in hub.requests)
    assert not any("xet" in path for _, path in hub.requests)


# --- what is not fit to be published ---


def spoil(folder, how):
    weights = folder / "model.safetensors"
    if how == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "extra key":
        save_file({**load_file(weights), "more": torch.zeros(1)}, weights, {"format": "pt"})
    else:
        path, text = how
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("cut", "model.safetensors is not readable"),
        ("extra key", "more is unknown"),
        (("optimizer.pt", ""), "Pickles can run any code"),
        (("notes.txt", ""), "no part of a model: notes.txt"),
        ((".DS_Store", ""), "no part of a model: .DS_Store"),
        (("figures/deep/a.png", ""), "no part of a model: figures/deep/a.png"),
        (("model.safetensors.tmp", ""), "no part of a model: model.safetensors.tmp"),
        (("README.md", "no metadata"), "does not begin with metadata"),
        (("README.md", "---\na: !!python/object:os.system {}\n---\n"), "not safe YAML"),
        (("README.md", "---\na: b: c\n---\n"), "not safe YAML"),
        (("results.json", "{"), "results.json is not JSON"),
        (("config.json", "{}"), "config.json is not that of a FER Hub model"),
    ],
    ids=str,
)
def test_a_folder_that_is_not_whole_is_refused_before_any_request(how, words, hub, online, folder):
    spoil(folder, how)
    with pytest.raises(UserError, match=words):
        push_model(folder, REPO)
    assert hub.requests == []


def test_a_folder_without_card_is_refused_with_the_line_that_mends_it(hub, online, folder):
    (folder / "README.md").unlink()
    with pytest.raises(UserError, match="README.md is missing") as error:
        push_model(folder, REPO)
    line = str(error.value)[str(error.value).index("python -c") :]
    subprocess.run(line.replace("python", sys.executable, 1), shell=True, check=True)
    push_model(f"{folder}-complete", REPO)
    assert held(hub).keys() == contents(folder).keys() | {"README.md"}


# --- who may ---


def test_login(hub, online, folder, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match="not logged in: hf auth login") as error:
        push_model(folder, REPO)
    assert not isinstance(error.value, HubError) and hub.requests == []
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    with pytest.raises(UserError, match="does not accept this login \\(401\\): hf auth login"):
        push_model(folder, REPO)


@pytest.mark.parametrize("exists", [False, True])
def test_a_login_that_may_only_read(exists, hub, online, folder, monkeypatch):
    if exists:
        hub.add_repo(REPO)
    monkeypatch.setenv("HF_TOKEN", "hf_read")
    with pytest.raises(UserError, match="may not write there \\(403\\)"):
        push_model(folder, REPO)
    assert ("model", REPO) in hub.repos if exists else ("model", REPO) not in hub.repos
    assert not any("preupload" in path or "lfs" in path for _, path in hub.requests)
    with pytest.raises(UserError, match="may not write there \\(403\\)") if exists else pytest.raises(UserError):
        check_write_access(REPO, "x") if exists else check_write_access("other/model", "x")


def test_somebody_elses_name(hub, online, folder):
    with pytest.raises(UserError, match="user may not write to other, which is somebody else's \\(403\\).*user/model"):
        push_model(folder, "other/model")
    hub.add_repo("team/theirs")
    hub.fault(None, "auth-check", status=403, times=None)
    with pytest.raises(UserError, match="user may not write to team"):
        push_model(folder, "team/theirs")
    with pytest.raises(UserError, match="other/model cannot be created by user"):
        push_model(folder, "other/model", dry_run=True)
    with pytest.raises(UserError, match="other/model cannot be created by user: name a repository of user"):
        check_write_access("other/model", "x")
    assert check_write_access(None, "my paper") == "user/my-paper"
    with pytest.raises(UserError, match="'my paper' is no repository of the Hub"):
        check_write_access("my paper", "x")


def test_the_login_appears_nowhere(hub, online, folder, monkeypatch, capfd, caplog):
    monkeypatch.setenv("HF_TOKEN", "hf_read")
    hub.fault(None, "auth-check", status=400, headers={"X-Error-Message": "bad token hf_read given"})
    with caplog.at_level(logging.DEBUG):
        assert main(["push", str(folder), "--repo_id", REPO]) == 2
        hub.add_repo(REPO)
        assert main(["push", str(folder), "--repo_id", REPO]) == 2
    said = "".join(capfd.readouterr())
    assert "bad token *** given" in said
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("fer_hub")]
    assert "hf_read" not in said + "".join(ours)


# --- what a Hub can do to a push ---

SORRY = b'{"error": "sorry"}'
ONCE = {
    "500": {"status": 500, "body": SORRY},
    "503": {"status": 503, "body": b"<html>"},
    "429": {"status": 429, "body": SORRY, "headers": {"Retry-After": "7"}},
    "409": {"status": 409, "body": SORRY},
    "412": {"status": 412, "body": SORRY},
    "cut before": {"cut": "before"},
    "cut after": {"cut": "after"},
}


def requests_of_a_push(hub, folder, repo_id="user/first"):
    push_model(folder, repo_id)
    count = len(hub.requests)
    hub.requests.clear()
    return count


@pytest.mark.parametrize("name", ONCE)
def test_one_fault_at_any_request_is_overcome(name, hub, online, folder):
    """The k-th request of the push fails once, for every k."""
    count = requests_of_a_push(hub, folder)
    assert count >= 8
    waited = []
    for k in range(count):
        repo_id = f"user/{name.replace(' ', '-')}-{k}"
        hub.requests.clear()
        online.clear()
        fault = hub.fault(None, "", **ONCE[name])
        fault.times = 0
        hub.on_request = lambda index, method, path, k=k, fault=fault: setattr(fault, "times", int(index == k))
        try:
            push_model(folder, repo_id)
        except UserError as error:
            pytest.fail(f"request {k}, {hub.requests[k]}: {error}")
        finally:
            hub.on_request = lambda *_: None
            hub.faults.clear()
        files = hub.files(repo_id)
        files.pop(".gitattributes")
        assert files == expected(folder, repo_id), k
        assert len(hub.commits(repo_id)) == 2, (k, hub.requests)
        if name == "429":  # some requests the client repeats by itself
            waited += online
    assert name != "429" or set(waited) == {7}


FOR_EVER = {
    "401": ({"status": 401, "body": SORRY}, UserError, "login"),
    "403": ({"status": 403, "body": SORRY}, UserError, "may not write"),
    "404": ({"status": 404, "body": SORRY, "headers": {"X-Error-Code": "RepoNotFound"}}, UserError, "404"),
    "422": ({"status": 422, "body": SORRY}, UserError, "refuses it \\(422\\): sorry"),
    "409": ({"status": 409, "body": SORRY}, HubError, "under way there|not answer as a Hub"),
    "412": ({"status": 412, "body": SORRY}, HubError, "under way there"),
    "429": ({"status": 429, "body": SORRY}, HubError, "takes no more requests now"),
    "503": ({"status": 503, "body": SORRY}, HubError, "out of order"),
    "html": ({"status": 502, "body": b"<html>bad gateway</html>"}, HubError, "out of order|not answer as a Hub"),
    "nothing": ({"status": 200, "body": b""}, HubError, "not answer as a Hub"),
    "cut": ({"cut": "before"}, HubError, "no connection to"),
}
STEPS = ("repos/create", "auth-check/write", "validate-yaml", "preupload", "objects/batch", "upload", "commit/main")


@pytest.mark.parametrize("name", FOR_EVER)
@pytest.mark.parametrize("exists", [False, True])
def test_a_fault_that_stays_ends_in_one_clear_line(name, exists, hub, online, folder, capsys):
    """Each step of the push fails for ever: the old state stays, the folder stays, the line that retries is said."""
    what, kind, words = FOR_EVER[name]
    before = contents(folder)
    for number, step in enumerate(STEPS):
        repo_id = f"user/{name}-{number}"
        if exists:
            hub.add_repo(repo_id, {"README.md": b"old", "notes.txt": b"old"})
        hub.faults.clear()
        fault = hub.fault(None, step, times=None, **what)
        status = main(["push", str(folder), "--repo_id", repo_id])
        said = capsys.readouterr().err
        if not fault.hits:
            assert step == ("repos/create" if exists else "auth-check/write")
            assert status == 0
            continue
        if status == 0:
            # A server that lacks the question whether one may write still refuses the commit of who may not, and an
            # upload's answer says nothing but its status.
            assert (name, step) in {("404", "auth-check/write"), ("nothing", "auth-check/write")}, (step, said)
            continue
        assert status == (1 if kind is HubError else 2), (step, said)
        line = [line for line in said.splitlines() if line.startswith("error: ")]
        assert len(line) == 1, said
        line = line[0]
        assert f"{repo_id} was not pushed: " in line
        assert re.search(words, line), (step, line)
        assert f"The files here are untouched. Again: fer-hub push {folder} --repo_id {repo_id}" in line
        unknown = step == "commit/main" and "Whether the commit arrived is not known" in line
        if exists:
            assert "The repository is as it was." in line or unknown, (step, line)
            assert hub.files(repo_id)["README.md"] == b"old" and len(hub.commits(repo_id)) == 2
        else:
            assert "new and empty" in line or unknown, (step, line)
            assert ("model", repo_id) not in hub.repos or len(hub.commits(repo_id)) == 1
    assert contents(folder) == before


def test_a_hub_that_asks_for_long_patience_is_not_waited_for(hub, online, folder):
    hub.fault("POST", "preupload", times=None, status=429, headers={"Retry-After": "3600"})
    with pytest.raises(HubError, match="asks to wait 3600 s"):
        push_model(folder, REPO)
    assert 3600 not in online


def test_a_commit_of_somebody_else_in_between_is_not_overwritten(hub, online, folder):
    hub.add_repo(REPO, {"results.json": b"old"})
    hub.fault("POST", "commit/main", call=lambda: hub.commit(REPO, {"results.json": b"theirs"}))
    with pytest.raises(HubError, match="somebody else's commit is there now: look at .*/user/model/commits/main"):
        push_model(folder, REPO)
    assert held(hub) == {"results.json": b"theirs"}
    push_model(folder, REPO)  # whoever has looked may say it again
    assert held(hub) == expected(folder)


def test_a_lost_answer_and_then_no_hub_at_all(hub, online, folder):
    def gone():
        hub.fault(None, "", times=None, cut="before")

    hub.fault("POST", "commit/main", cut="after", call=gone)
    with pytest.raises(HubError, match="Whether the commit arrived is not known; all of it is there, or nothing"):
        push_model(folder, REPO)
    hub.faults.clear()
    assert push_model(folder, REPO).uploaded == ()
    assert len(hub.commits(REPO)) == 2


def test_no_server_at_all(hub, online, folder, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="no connection to http://127.0.0.1:9"):
        push_model(folder, REPO)


KILLED = """
import os, sys
import fer_hub.models.model  # imported once; each push is a child that the server kills
from fer_hub.models.publish import push_model
for line in sys.stdin:
    repo_id = line.strip()
    child = os.fork()
    if child == 0:
        push_model(sys.argv[1], repo_id)
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("over", flush=True)
"""


@pytest.mark.parametrize("exists", [False, True])
def test_killing_a_push_at_any_request_leaves_old_or_new(exists, hub, folder, monkeypatch):
    old = {"README.md": b"old", "model.safetensors": b"old"}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**environment(hub), "OMP_NUM_THREADS": "1"}, cwd=Path(__file__).parents[2],
    )  # fmt: skip

    def push_and_kill(repo_id, k, cut):
        """Kills the push when its k-th request has come, before or after the work for it; the requests it made."""
        hub.requests.clear()
        child = []

        def kill(index, method, path):
            if index != k:
                return None
            os.kill(child[0], signal.SIGKILL)
            return cut

        hub.on_request = kill
        with hub.lock:  # no request is answered before the child's number is known
            process.stdin.write(repo_id + "\n")
            process.stdin.flush()
            child.append(int(process.stdout.readline()))
        assert process.stdout.readline() == "over\n"
        return len(hub.requests)

    try:
        count, k, seen = None, 0, set()
        while count is None or k < count:
            for cut in ("before", "after"):
                repo_id = f"user/{cut}-{k}"
                if exists:
                    hub.add_repo(repo_id, old)
                made = push_and_kill(repo_id, k, cut)
                if made <= k:  # the push was over before its k-th request
                    count = made
                    break
                if ("model", repo_id) not in hub.repos:
                    seen.add("absent")
                    continue
                files = hub.files(repo_id)
                files.pop(".gitattributes", None)
                if files == expected(folder, repo_id):
                    seen.add("new")
                else:
                    assert files == (old if exists else {}), (k, cut, files.keys())
                    seen.add("old")
            k += 1
        assert count >= 7
        assert seen == ({"old", "new"} if exists else {"absent", "old", "new"})
    finally:
        process.kill()
        process.wait()


# --- models that come from the Hub and go back ---


def test_a_model_pushes_itself_and_comes_back(hub, online, folder, tmp_path, capfd):
    model = FERModel.from_pretrained(folder)
    assert model.push_to_hub(REPO) == f"{hub.endpoint}/{REPO}"
    capfd.readouterr()
    loaded = FERModel.from_pretrained(REPO, cache_dir=tmp_path / "cache")
    assert capfd.readouterr() == ("", "")
    face = torch.arange(48 * 48, dtype=torch.uint8).view(1, 1, 48, 48)
    assert loaded.predict(face) == model.predict(face)
    loaded.save_pretrained(tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(folder)
    loaded.push_to_hub("user/other")
    assert {path: data for path, data in hub.files("user/other").items() if path != ".gitattributes"} == expected(
        folder, "user/other"
    )
    assert loaded.push_to_hub(REPO) and len(hub.commits(REPO)) == 2
    offline = FERModel.from_pretrained(REPO, cache_dir=tmp_path / "cache", local_files_only=True)
    assert offline.predict(face) == model.predict(face)


def test_a_model_does_not_overwrite_what_came_after_it(hub, online, folder, tmp_path):
    push_model(folder, REPO)
    model = FERModel.from_pretrained(REPO, cache_dir=tmp_path)
    hub.commit(REPO, {"notes.txt": b"theirs"})
    with torch.no_grad():
        model.network.fc.bias += 1
    with pytest.raises(HubError, match='somebody else.*Again: model.push_to_hub\\("user/model"\\)'):
        model.push_to_hub(REPO)
    again = FERModel.from_pretrained(REPO, cache_dir=tmp_path)
    with torch.no_grad():
        again.network.fc.bias += 1
    again.push_to_hub(REPO)
    again.push_to_hub(REPO)
    assert len(hub.commits(REPO)) == 4
    with torch.no_grad():
        model.network.fc.bias += 1
    model.push_to_hub(REPO, revision="mine")  # another branch is no matter of what came after it on main
    assert len(hub.commits(REPO, revision="mine")) == 5 and len(hub.commits(REPO)) == 4


def test_a_model_whose_records_are_gone_is_not_pushed_without_them(hub, online, folder, tmp_path):
    model = FERModel.from_pretrained(folder)
    folder.rename(tmp_path / "moved")
    with pytest.raises(UserError, match="is gone: load the model again"):
        model.push_to_hub(REPO)
    assert hub.requests == []


def test_a_folder_is_checked_by_its_place_and_not_by_its_name(online, folder, tmp_path, monkeypatch):
    folder.rename(tmp_path / "paper-cnn")
    monkeypatch.chdir(tmp_path)
    Path("paper-cnn/model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="model.safetensors is not readable"):
        push_model("paper-cnn", REPO)


def test_linked_folders_are_refused(hub, online, folder, tmp_path):
    (folder / "figures").rename(tmp_path / "figures")
    (folder / "figures").symlink_to(tmp_path / "figures")
    with pytest.raises(UserError, match="no part of a model: figures"):
        push_model(folder, REPO)


def test_revisions_load(hub, online, folder, tmp_path):
    push_model(folder, REPO)
    first = hub.commits(REPO)[-1].sha
    FERModel("test_resnet").save_pretrained(folder)
    push_model(folder, REPO)
    old, new = (FERModel.from_pretrained(REPO, revision=name, cache_dir=tmp_path) for name in (first, "main"))
    assert not torch.equal(old.network.fc.weight, new.network.fc.weight)
    with pytest.raises(UserError, match="cannot load user/model from the Hub"):
        FERModel.from_pretrained(REPO, revision="nowhere", cache_dir=tmp_path)


def test_repositories_that_are_no_models_are_refused(hub, online, folder, tmp_path):
    config = (folder / "config.json").read_bytes()
    hub.add_repo("user/pickle", {"config.json": config, "pytorch_model.bin": b"\x80\x04."})
    with pytest.raises(UserError, match="user/pickle has its weights as pytorch_model.bin only"):
        FERModel.from_pretrained("user/pickle", cache_dir=tmp_path)
    hub.add_repo("user/empty")
    with pytest.raises(UserError, match="user/empty is not a model folder: config.json is missing"):
        FERModel.from_pretrained("user/empty", cache_dir=tmp_path)


# --- trainings that push ---

TRAIN = ["train.py", "--max_train_steps", "4", "--num_threads", "1", "--push_to_hub"]
DRAWN = ["--dataset_name", "synthetic", "--max_train_samples", "200", "--max_eval_samples", "70"]


@pytest.fixture
def data(faces, write_csv):
    """Of few pictures: to draw the synthetic ones takes longer than to train."""
    return ["--dataset_name", write_csv(faces)]


def run(hub, *command, token="hf_write"):
    root = Path(__file__).parents[2]
    return subprocess.run(
        list(map(str, command)), cwd=root, env=environment(hub, token), capture_output=True, text=True
    )


def test_train_push_load_gives_the_same_probabilities(hub, online, drawn_faces, tmp_path):
    output = tmp_path / "run"
    done = run(hub, sys.executable, *TRAIN, *DRAWN, "--output_dir", output, "--hub_model_id", REPO)
    assert done.returncode == 0, done.stderr
    assert f"Pushed: {hub.endpoint}/{REPO}, commit {hub.commits(REPO)[-1].sha}" in done.stdout
    assert held(hub) == expected(output / "best")
    assert len(hub.commits(REPO)) == 2
    command = json.loads(held(hub)["train_config.json"])["command"]
    assert command == f"train.py {' '.join(TRAIN[1:-1])} {' '.join(DRAWN)} --output_dir {output}"
    here, there = FERModel.from_pretrained(output / "best"), FERModel.from_pretrained(REPO, cache_dir=tmp_path / "hf")
    assert here.predict(drawn_faces[0][:20]) == there.predict(drawn_faces[0][:20])
    assert not any("hf_write" in file.read_text(errors="ignore") for file in output.rglob("*") if file.is_file())


def test_two_processes_make_one_commit(hub, data, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    done = run(hub, *torchrun, *TRAIN, *data, "--output_dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert len(hub.commits("user/run")) == 2 and "model.safetensors" in hub.files("user/run")
    assert sum(path.endswith("/commit/main") for _, path in hub.requests) == 1


def test_a_training_whose_push_fails_has_lost_nothing(hub, online, data, tmp_path):
    output = tmp_path / "run"
    hub.fault("POST", "preupload", times=None, status=403)
    done = run(hub, sys.executable, *TRAIN, *data, "--output_dir", output)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"Again: fer-hub push {output}/best --repo_id user/run" in done.stderr
    assert (output / "all_results.json").exists()
    hub.faults.clear()
    assert main(["push", f"{output}/best", "--repo_id", "user/run"]) == 0
    assert "model.safetensors" in hub.files("user/run")


def test_a_training_that_could_not_push_does_not_begin(hub, data, tmp_path):
    output = tmp_path / "run"
    done = run(hub, sys.executable, *TRAIN, *data, "--output_dir", output, token="hf_unknown")
    assert done.returncode == 2 and "does not accept this login" in done.stderr
    assert not output.exists()
