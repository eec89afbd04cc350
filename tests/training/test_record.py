"""The commit that a run records."""

import os
import shutil
import subprocess

import pytest

from fer_hub.training.record import source_commit

if shutil.which("git") is None:
    pytest.skip("git is not installed", allow_module_level=True)

IDENTITY = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com", "-c", "commit.gpgsign=false")


def git(folder, *arguments):
    done = subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with the package at its top, tagged, in one commit."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    package = tmp_path / "checkout" / "fer_hub"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git(package.parent, "init", "--quiet")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "--quiet", "-m", "first")
    git(package.parent, "tag", "-a", "v0", "-m", "a version")
    return package


def test_a_checkout_has_its_commit_and_says_where_tracked_files_differ(checkout):
    head = git(checkout, "rev-parse", "HEAD")
    assert len(head) == 40 and source_commit(checkout) == head
    (checkout / "notes.txt").write_text("not tracked")
    assert source_commit(checkout) == head
    (checkout / "__init__.py").write_text("changed")
    assert source_commit(checkout) == f"{head}-dirty"


def test_a_package_inside_somebody_elses_repository_has_none(checkout):
    for place in (".venv/site-packages/fer_hub", "vendored/fer_hub"):
        shutil.copytree(checkout, checkout.parent / place)
    git(checkout.parent, "add", "vendored")
    git(checkout.parent, "commit", "--quiet", "-m", "a copy")
    assert source_commit(checkout.parent / ".venv/site-packages/fer_hub") is None
    assert source_commit(checkout.parent / "vendored/fer_hub") is None


def test_no_repository_no_commit_and_no_git_are_none_without_a_word(checkout, tmp_path, monkeypatch, capfd):
    (tmp_path / "plain" / "fer_hub").mkdir(parents=True)
    (tmp_path / "plain" / "fer_hub" / "__init__.py").write_text("")
    assert source_commit(tmp_path / "plain" / "fer_hub") is None
    git(tmp_path / "plain", "init", "--quiet")
    git(tmp_path / "plain", "add", ".")
    assert source_commit(tmp_path / "plain" / "fer_hub") is None
    assert source_commit(tmp_path / "nowhere") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert source_commit(checkout) is None
    assert capfd.readouterr() == ("", "")


def test_a_git_hook_of_another_repository_does_not_confuse_it(checkout, tmp_path, monkeypatch):
    head = git(checkout, "rev-parse", "HEAD")
    git(tmp_path, "init", "--quiet", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    assert source_commit(checkout) == head
