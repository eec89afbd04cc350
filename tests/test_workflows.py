"""The workflows under .github: they parse, and what they name exists."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")


def load(name):
    return yaml.safe_load((ROOT / ".github/workflows" / name).read_text(encoding="utf-8"))


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


def test_there_are_two():
    assert [file.name for file in WORKFLOWS] == ["ci.yml", "release.yml"]


@pytest.mark.parametrize("name", [file.name for file in WORKFLOWS])
def test_actions_are_pinned_by_major_version_and_may_read_alone(name):
    workflow = load(name)
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@(release/)?v\d+", action) for action in used), used
    assert workflow["permissions"] == {"contents": "read"}
    for title, job in workflow["jobs"].items():
        assert job.get("permissions") == ({"id-token": "write"} if title == "publish" else None)
        assert "timeout-minutes" in job or "uses" in job


@pytest.mark.parametrize("name", [file.name for file in WORKFLOWS])
def test_what_the_commands_name_exists(name):
    workflow = load(name)
    commands = "\n".join(step["run"] for step in steps(workflow) if "run" in step)
    named = re.findall(r"(?:tests/|\.ci/)[\w./]*\w(?:::\w+)?|requirements[\w-]*\.txt", commands)
    named += [job["uses"] for job in workflow["jobs"].values() if "uses" in job]
    assert bool(named)
    for path in named:
        file, _, test = path.partition("::")
        assert (ROOT / file).exists(), path
        assert not test or f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), path


@pytest.mark.skipif(shutil.which("sed") is None, reason="sed is not installed")
def test_the_lowest_versions_are_the_floors_of_all_requirements(tmp_path):
    (command,) = (step["run"] for step in steps(load("ci.yml")) if step.get("run", "").startswith("sed "))
    for file in REQUIREMENTS:
        shutil.copy(ROOT / file, tmp_path)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    lines = "\n".join((tmp_path / file).read_text() for file in REQUIREMENTS).splitlines()
    promised = [re.split(r"[>=<]+|,", line)[:2] for line in lines if line and not line.startswith(("#", "-r"))]
    assert (tmp_path / "lowest.txt").read_text().splitlines() == [f"{name}=={floor}" for name, floor in promised]
