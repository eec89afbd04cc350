"""A second project uses the built wheel: another folder, no checkout on the path."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import hub_server
import pytest
import yaml

from fer_hub.hub.locate import DEFAULT_MODEL, shipped_names

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with nothing but the installed wheel."""
    source, wheels, site = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "site"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "fer_hub", source / "fer_hub", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, source], check=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", site, wheel], check=True)
    return site


def run(site, folder, *command, **more):
    environment = {**os.environ, "PYTHONPATH": str(site), **more}
    return subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)


PROJECT = """
import fer_hub, json, pathlib, sys
from fer_hub import FERModel
from fer_hub.hub import card
folder = pathlib.Path(fer_hub.__file__).parent
assert folder == pathlib.Path(sys.argv[1]) / "fer_hub", folder
model = FERModel.from_pretrained("paper-cnn")
results, record = (json.loads((model.folder / name).read_text()) for name in ("results.json", "train_config.json"))
model.save_pretrained("mine")
print(json.dumps({"card": card.render(results, record), "same": FERModel.from_pretrained("mine").predict("face.png")
                  == model.predict("face.png"), "saved": sorted(map(str, pathlib.Path("mine").rglob("*.*")))}))
"""


def test_the_wheel_loads_the_shipped_model_and_renders_its_card(site, drawn_faces, tmp_path):
    from fer_hub.data.sources import png

    (tmp_path / "face.png").write_bytes(png(drawn_faces[0][0]))
    (tmp_path / "project.py").write_text(PROJECT)
    done = run(site, tmp_path, sys.executable, "project.py", site)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["same"]
    assert found["card"] == (ROOT / "fer_hub/weights/paper-cnn/README.md").read_text()
    assert "mine/results.json" in found["saved"] and "mine/figures/curves.png" in found["saved"]


def test_the_wheel_loads_from_the_hub(site, tmp_path):
    from fer_hub.hub.locate import SHIPPED

    names = ("config.json", "model.safetensors")
    code = (
        "import numpy as np; from fer_hub import FERModel; face = np.arange(2304, dtype=np.uint8).reshape(48, 48)\n"
        "print(*(FERModel.from_pretrained(name).predict(face) for name in ('user/model', 'paper-cnn')), sep='\\n')"
    )
    with hub_server.serve("user/model", {name: SHIPPED / "paper-cnn" / name for name in names}) as endpoint:
        done = run(site, tmp_path, sys.executable, "-c", code, HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0")
    assert done.returncode == 0, done.stderr
    fetched, shipped = done.stdout.splitlines()
    assert fetched == shipped


def test_the_wheel_brings_the_command(site, tmp_path):
    done = run(site, tmp_path, sys.executable, site / "bin/fer-hub", "info", "paper-cnn", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_parameters"] == 619_015


def test_the_wheel_holds_every_file_of_the_package(site):
    def files(folder):
        return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}

    assert files(site / "fer_hub") == files(ROOT / "fer_hub")


def test_the_shipped_cards_are_the_rendered_ones_and_that_of_the_default_stands_at_the_top():
    from fer_hub.hub import card

    again = "; regenerate: python docs/render_cards.py"
    for name in shipped_names():
        folder = ROOT / "fer_hub/weights" / name
        results, record = (json.loads((folder / file).read_text()) for file in ("results.json", "train_config.json"))
        assert (folder / "README.md").read_text() == card.render(results, record), again
        if name == DEFAULT_MODEL:
            top = (ROOT / "model_card.md").read_text()
            assert top == card.render(results, record, f"fer_hub/weights/{name}/figures"), again
    assert yaml.safe_load(top.split("---\n")[1])["pipeline_tag"] == "image-classification"
