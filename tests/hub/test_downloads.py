"""Downloads that go wrong: damaged, cut short, without a disk. The real client talks to a real server (hub_server)."""

import errno
import os
import shlex
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from fer_hub.errors import HubError, UserError
from fer_hub.hub import downloads
from fer_hub.hub.errors import explain
from fer_hub.hub.locate import locate

REPO = "user/model"
FILES = {
    "config.json": b'{"label_names": ["happy"]}',
    "model.safetensors": bytes(range(256)) * 8,
    "results.json": b"{}",
    "train_config.json": b"{ }",
    "README.md": b"---\ntags: []\n---\n",
    "figures/curves.png": b"PNG" * 50,
    "onnx/model.onnx": b"ONNX" * 50,
}


@pytest.fixture
def published(hub, online):
    hub.add_repo(REPO, FILES)
    return hub


def flipped(path):
    data = bytearray(FILES[path])
    data[len(data) // 2] ^= 1
    return bytes(data)


def arrives_damaged(hub, path, times=1, data=None):
    """The size is right, and so are the headers."""
    data = flipped(path) if data is None else data
    return hub.fault("GET", f"resolve/.*/{path}", status=200, body=data, times=times)


@pytest.mark.parametrize("path", FILES)
def test_a_file_that_was_damaged_on_the_way_is_fetched_once_more(path, published, tmp_path):
    fault = arrives_damaged(published, path)
    folder, _ = locate(REPO, cache_dir=tmp_path)
    assert fault.hits == 1 and {name: (folder / name).read_bytes() for name in FILES} == FILES


@pytest.mark.parametrize("path", ["config.json", "model.safetensors", "figures/curves.png"])
def test_one_that_stays_damaged_is_named_with_the_line_that_clears_it(path, published, tmp_path):
    fault = arrives_damaged(published, path, times=2)
    with pytest.raises(UserError, match=f"{REPO}: {path} was damaged on its way here. Fetch it again: rm ") as caught:
        locate(REPO, cache_dir=tmp_path)
    assert fault.hits == 2
    for blob in shlex.split(str(caught.value).split(": rm ")[1]):
        os.remove(blob)
    folder, _ = locate(REPO, cache_dir=tmp_path)
    assert (folder / path).read_bytes() == FILES[path]


def test_a_file_that_rotted_in_the_cache_is_replaced_and_open_ones_stay(published, tmp_path):
    folder, _ = locate(REPO, cache_dir=tmp_path)
    blob = (folder / "config.json").resolve()
    blob.write_bytes(flipped("config.json"))
    with blob.open("rb") as reader:
        assert (locate(REPO, cache_dir=tmp_path)[0] / "config.json").read_bytes() == FILES["config.json"]
        assert reader.read() == flipped("config.json")


def test_without_the_hub_a_rotten_file_is_not_used(published, tmp_path, monkeypatch):
    folder, commit = locate(REPO, cache_dir=tmp_path)
    (folder / "results.json").resolve().write_bytes(b"[]")
    with pytest.raises(UserError, match="results.json was damaged .* rm "):
        locate(REPO, cache_dir=tmp_path, local_files_only=True)
    published.fault(None, "resolve", status=503, times=None)
    published.fault(None, "api/models", status=503, times=None)
    with pytest.raises(UserError, match="results.json was damaged .*once more: .* rm "):
        locate(REPO, cache_dir=tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="results.json was damaged"):
        locate(REPO, revision=commit, cache_dir=tmp_path)


def test_files_that_are_not_named_by_their_hash_are_not_compared(published, tmp_path):
    folder, _ = locate(REPO, cache_dir=tmp_path)
    (folder / "config.json").unlink()
    (folder / "config.json").write_bytes(b"{}")  # a copy, as Windows keeps them
    blob = (folder / "results.json").resolve()
    (folder / "results.json").unlink()
    (folder / "results.json").symlink_to(blob.rename(blob.with_name("W-etag-of-a-mirror")))
    (folder / "results.json").write_bytes(b"[]")
    assert locate(REPO, cache_dir=tmp_path, local_files_only=True)[0] == folder


@pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
def test_a_file_that_is_cut_short_is_not_called_a_missing_connection(path, published, tmp_path):
    published.fault("GET", f"resolve/.*/{path}", status=200, body=FILES[path][:-5], times=None)
    with pytest.raises(HubError, match="sent a file that is not complete") as caught:
        locate(REPO, cache_dir=tmp_path)
    assert "no connection" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), UserError, "No space left on device"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), UserError, "Disk quota exceeded"),
        (PermissionError(errno.EACCES, "Permission denied", "cache/blobs"), UserError, r"\(cache/blobs\)"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "cache"), UserError, "Not a directory"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), HubError, "no connection"),
        (TimeoutError("slow"), HubError, "no connection"),
    ],
)
def test_a_disk_is_not_a_connection(error, kind, words):
    trouble = explain(error, REPO, HfApi())
    assert trouble.kind is kind
    with pytest.raises(UserError, match=words):
        raise trouble.kind(trouble.reason)


def test_other_files_of_a_cached_repository_are_left_alone(published, tmp_path):
    folder = downloads.fetch(REPO, ["*"], cache_dir=tmp_path)
    (folder / "onnx/model.onnx").resolve().write_bytes(b"rotten")
    assert downloads.fetch(REPO, ["*.json"], cache_dir=tmp_path) == folder
    assert Path(folder, "onnx/model.onnx").read_bytes() == b"rotten"
