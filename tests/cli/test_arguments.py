"""The command `fer-hub`: what it prints where, and how it ends. Pushes have their own tests."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from fer_hub import FERModel
from fer_hub.cli.arguments import main

COMMANDS = (
    "info", "predict", "live", "evaluate", "calibrate", "compare", "duplicates", "aggregate", "export", "push",
    "push-space", "push-dataset",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    FERModel().save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert f"example:\n  fer-hub {command} " in said and "--json" in said


def test_help_does_not_load_torch():
    code = (
        "import sys; from fer_hub.cli.arguments import main\n"
        "try: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in COMMANDS)


def test_info_of_the_shipped_model(capsys):
    assert main(["info", "paper-cnn"]) == 0
    assert "619,015 parameters" in capsys.readouterr().out
    assert main(["info", "paper-cnn", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    recorded = json.loads((FERModel.from_pretrained("paper-cnn").folder / "results.json").read_text())
    assert found["test"]["accuracy"] == recorded["test"]["accuracy"]
    assert found["label_names"][0] == "angry" and found["seed"] == recorded["seed"]


@pytest.mark.parametrize("record", ["[]", "null", "{"])
def test_info_of_a_broken_record(record, folder, capsys):
    Path(folder, "results.json").write_text(record)
    assert main(["info", folder]) == 2
    assert "results.json is not" in capsys.readouterr().err


def test_an_export_goes_to_the_model_that_was_named(folder, tmp_path, monkeypatch, capsys):
    Path(folder).rename(tmp_path / "paper-cnn")
    monkeypatch.chdir(tmp_path)
    assert main(["export", "paper-cnn"]) == 2  # the shipped one; its folder is not this one
    assert not Path("paper-cnn/onnx").exists()


def test_info_of_a_model_without_records(folder, capsys):
    assert main(["info", folder]) == 0
    told = capsys.readouterr().out
    assert "no results are recorded" in told and "certainty" not in told


def test_info_of_a_calibrated_model(folder, capsys):
    model = FERModel.from_pretrained(folder)
    model.temperature, model.abstention_threshold = 1.25, 0.5
    model.save_config(Path(folder))
    assert main(["info", folder]) == 0
    assert "certainty calibrated, temperature 1.25, uncertain below 0.50\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "nowhere"], "no model at nowhere"),
        (["export", "paper-cnn"], "--output_dir exported"),
        (["export", "FOLDER", "--int8"], "--dataset_name"),
        (["push", "nowhere", "--repo_id", "user/name"], "nowhere is not a folder"),
        (["push", "FOLDER", "--repo_id", "name"], "'name' is no repository of the Hub, user/name"),
        (["push", "FOLDER", "--repo_id", "user/name", "--revision", "a" * 40], "is a commit"),
        (["push-dataset", "nowhere", "--repo_id", "name"], "'name' is no repository of the Hub"),
        (["push-dataset", "nowhere", "--repo_id", "user/name"], "not logged in: hf auth login"),
    ],
)
def test_mistakes_end_with_2_and_one_message(arguments, words, folder, capsys):
    assert main([folder if argument == "FOLDER" else argument for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and words in said.err and "Traceback" not in said.err


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["push", "folder"], ["info"], ["push", "--repo", "a/b", "f"]])
def test_mistyped_commands_end_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: fer-hub" in capsys.readouterr().err


def test_a_checkout_that_is_not_installed_runs_it_too(folder):
    done = subprocess.run([sys.executable, "-m", "fer_hub", "info", folder, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["architecture"] == "fer_paper_cnn"


def test_without_a_hub_commands_end_with_1(folder, capsys, monkeypatch):
    assert main(["info", "user/name"]) == 1
    assert "cannot load user/name from the Hub" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert main(["push", folder, "--repo_id", "user/name", "--private"]) == 1
    said = capsys.readouterr().err
    assert "HF_HUB_OFFLINE=1 forbids it" in said
    assert f"Again: fer-hub push {folder} --repo_id user/name --private" in said
    assert "hf_secret" not in said


def test_a_reader_that_has_enough_is_no_error():
    line = f"{sys.executable} -m fer_hub info paper-cnn --json | true"
    root = Path(__file__).parents[2]
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=root, timeout=120, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [["info", "paper-cnn"], ["info", "paper-cnn", "--json"], ["duplicates", "DATA"], ["predict", "FACE"], ["--help"],
     ["--version"], ["info", "--help"]],
    ids=" ".join,
)  # fmt: skip
def test_an_output_that_cannot_be_written_ends_with_2_and_one_line(arguments, faces, write_csv, monkeypatch, capsys):
    source = write_csv({"train": faces["train"], "validation": faces["validation"]})
    Image.fromarray(faces["train"].images[0].numpy()).save(source.with_name("face.png"))
    typed = {"DATA": str(source), "FACE": str(source.with_name("face.png"))}
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([typed.get(argument, argument) for argument in arguments]) == 2
    said = capsys.readouterr().err  # behind the bars of `datasets`, which come first
    assert said.endswith("error: cannot write to standard output: No space left on device.\n")
    assert said.count("rror") == 1 and "Traceback" not in said


def test_a_process_of_its_own_with_a_full_disk_behind_it():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "fer_hub", "info", "--help"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: cannot write to standard output: No space left on device.\n")


def test_a_terminal_that_is_not_utf8_gets_escapes(monkeypatch):
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    monkeypatch.setattr("fer_hub.cli.commands.info", lambda given: ({}, "\x1b[2Jclasses é\udcff\nnext"))
    assert main(["info", "x"]) == 0
    assert buffer.getvalue() == rb"\x1b[2Jclasses \xe9\udcff" + b"\nnext\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_is_json(value, monkeypatch, capsys):
    monkeypatch.setattr("fer_hub.cli.commands.info", lambda given: ({"accuracy": value}, ""))
    assert main(["info", "x", "--json"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "a value that JSON cannot hold" in said.err


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), OSError(36, "File name too long", "a" * 5000)], ids=str
)
def test_what_the_disk_says_is_one_line(error, monkeypatch, capsys):
    def fail(given):
        raise error

    monkeypatch.setattr("fer_hub.cli.commands.info", fail)
    assert main(["info", "x"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and error.strerror in said and said.count("\n") == 1 and len(said) < 2000
