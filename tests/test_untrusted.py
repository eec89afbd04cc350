"""Files, JSON and YAML of strangers: read with limits, or refused at once in words."""

import os
import socket

import pytest

from fer_hub.errors import UserError
from fer_hub.shapes import require_shape
from fer_hub.untrusted import MAX_YAML, open_file, parse_json, parse_yaml, read_file


def pipe(path):
    os.mkfifo(path)


def unix_socket(path):
    place = os.getcwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(place)


NO_FILES = {
    "pipe": (pipe, "it is a pipe, a socket or a device"),
    "socket": (unix_socket, "it is a pipe, a socket or a device"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is a pipe, a socket or a device"),
    "folder": (lambda path: path.mkdir(), "Is a directory"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "No such file"),
    "loop": (lambda path: path.symlink_to(path), "symbolic links"),
    "link to a pipe": (lambda path: (pipe(path.with_name("p")), path.symlink_to("p")), "it is a pipe"),
    "too large": (lambda path: path.write_bytes(b"x" * 101), "larger than"),
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_only_regular_files_are_read(kind, tmp_path):
    make, words = NO_FILES[kind]
    make(tmp_path / "x.json")
    with pytest.raises(UserError, match=f"cannot open .*x.json: .*{words}"):
        read_file(tmp_path / "x.json", 100)


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "\ud800", "", "~nobody-here/x"])
def test_names_that_no_file_has_are_told(name):
    with pytest.raises(UserError, match="cannot open "):
        read_file(name, 100)


def test_files_are_read_through_links_and_up_to_the_limit(tmp_path, monkeypatch):
    (tmp_path / "\udcff.json").write_bytes(b"x" * 100)
    (tmp_path / "link").symlink_to("\udcff.json")
    assert read_file(tmp_path / "link", 100) == b"x" * 100
    monkeypatch.setenv("HOME", str(tmp_path))
    with open_file("~/link", 100) as file:
        assert file.read() == b"x" * 100


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")
def test_the_limit_holds_for_files_that_do_not_tell_their_size():
    assert os.stat("/proc/self/status").st_size == 0
    with pytest.raises(UserError, match="larger than"):
        read_file("/proc/self/status", 100)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[" * 200_000, "nested"),
        (b'{"a":' * 50_000, "nested"),
        (b"[" * 40 + b"]" * 40, "nested more than 32 deep"),
        (b"[1e999]", "1e999 is too large"),
        (b"[-1e999]", "is too large"),
        (b"[" + b"9" * 400 + b"]", "400 digits"),
        (b"[" + b"9" * 5000 + b"]", "5,000 digits"),
        (b"[NaN]", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b'["\\ud800"]', "character"),
        (b'{"\\u0000": 1}', "character"),
        (b'{"a": 1, "b": 2, "a": 3}', "'a' stands there twice"),
        (b"\x80", "decode"),
        (b"", "Expecting value"),
    ],
    ids=lambda value: str(value[:12]),
)
def test_json_is_strict(text, words):
    with pytest.raises(ValueError, match=words):
        parse_json(text)


def test_json_that_is_right_is_what_it_says():
    assert parse_json('\ufeff{"a": [1, -2.5e3, true, null, "é \\ud83d\\ude00"]}'.encode()) == {
        "a": [1, -2500.0, True, None, "é 😀"]
    }


@pytest.mark.parametrize(
    "text",
    [
        "date: 2024-13-45", "x: !!bool maybe", 'x: !!int ""', "x: !!timestamp x", "a: &a [1]\nb: *a", "a: &a [*a]",
        "[" * 60_000, "x: " + "9" * 400, "x: .inf", "x: 0x" + "f" * 400, "? [a]\n: b", "x: =", "\t", "x: \0",
        "x: !!python/object/apply:os.system [ls]", "x: " + "y" * MAX_YAML,
    ],
    ids=lambda value: value[:20],
)  # fmt: skip
def test_yaml_is_strict_and_told_in_one_line(text):
    with pytest.raises(ValueError, match=".") as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


SHAPE = {"n": int, "rate": float, "name?": str | None, "pair?": (float, float), "all?": {str: [int]}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"rate": 1, "name": None, "pair": [1, 2.5], "all": {"a": [], "b": [1]}, "further": [[]]}, None),
        ({"n": True}, "it.n is True, expected a whole number"),
        ({"n": 1.0}, "it.n is 1.0, expected a whole number"),
        ({"rate": False}, "it.rate is False, expected a number"),
        ({"name": 5}, "it.name is 5, expected text or null"),
        ({"pair": [1]}, "it.pair has 1 values, expected 2"),
        ({"pair": {"a": 1}}, "it.pair is .*, expected a list"),
        ({"all": {"a": [1, "x"]}}, r"it.all.a\[1\] is 'x', expected a whole number"),
        ({"all": []}, r"it.all is \[\], expected an object"),
    ],
)
def test_shapes(change, words):
    value = {"n": 3, "rate": 0.5} | change
    if words is None:
        require_shape(value, SHAPE, "it")
        return
    with pytest.raises(ValueError, match=words):
        require_shape(value, SHAPE, "it")


@pytest.mark.parametrize("key", ["n", "rate"])
def test_a_key_that_is_needed(key):
    with pytest.raises(ValueError, match=f"it.{key} is missing"):
        require_shape({name: 1 for name in ("n", "rate") if name != key}, SHAPE, "it")
