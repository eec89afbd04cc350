"""fer-hub evaluate, calibrate, compare, duplicates and aggregate, from the command's arguments to its files."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from fer_hub import EMOTIONS, FERModel
from fer_hub.cli.arguments import main
from fer_hub.data import synthetic
from fer_hub.evaluation.calibrate import fit
from fer_hub.hub.locate import SHIPPED
from fer_hub.hub.model_folder import read_complete
from fer_hub.metrics import abstention


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Drawn faces as a fer2013.csv: 60 to train, 140 each to validate and test, with copies and a contradiction."""
    file = tmp_path_factory.mktemp("data") / "fer2013.csv"
    drawn, labels = synthetic.draw_split("test")
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["emotion", "pixels", "Usage"])
        for row in range(340):
            usage = "Training" if row < 60 else "PublicTest" if row < 200 else "PrivateTest"
            source = {339: 0, 338: 1}.get(row, row)  # two test images that are also in train
            label = (labels[1] + 1) % 7 if row == 338 else labels[source]
            writer.writerow([label, " ".join(map(str, drawn[source].ravel())), usage])
    return str(file)


@pytest.fixture
def label_map(tmp_path):
    """The data's numbers as labels of another set: no neutral, and disgust is called scorn."""
    path = tmp_path / "map.json"
    path.write_text(
        json.dumps({"0": "Anger", "1": "scorn", "2": "fear", "3": "joy", "4": "sad", "5": "surprise", "6": None})
    )
    return path


@pytest.fixture
def folder(tmp_path):
    """A model whose folder also holds ONNX files, but no results on these data."""
    shutil.copytree(SHIPPED / "paper-cnn", tmp_path / "model")
    for name in ("results.json", "train_config.json"):
        (tmp_path / "model" / name).unlink()
    return tmp_path / "model"


def run(capsys, *arguments):
    status = main([*map(str, arguments), "--json"])
    said = capsys.readouterr()
    return status, json.loads(said.out) if status == 0 else said.err


def test_evaluate_prints_and_writes_the_same(capsys, data, tmp_path):
    output = tmp_path / "report"
    status, found = run(capsys, "evaluate", "paper-cnn", "--dataset_name", data, "--tta", "flip", "--output", output)
    assert status == 0 and found == json.loads((output / "results.json").read_text())
    numbers = found["test"]
    assert numbers["n"] == 140 and numbers["dedup"]["n"] == 138 and numbers["flip"]["n"] == 140
    assert {"figures/coverage_test.png", "predictions_test.csv"} <= {
        str(file.relative_to(output)) for file in output.rglob("*") if file.is_file()
    }
    again = run(capsys, "compare", output / "predictions_test.csv", "paper-cnn", "--dataset_name", data)[1]
    assert len({model["accuracy"] for model in again["models"].values()}) == 1
    assert again["pairs"][0]["only_a"] == again["pairs"][0]["only_b"] == 0
    for model in again["models"].values():  # predictions from a file know of leaks, too
        assert model["dedup"] == {key: numbers["dedup"][key] for key in ("n", "accuracy", "interval")}


def test_evaluate_brings_the_models_own_folder_up_to_date(capsys, data, folder):
    assert run(capsys, "evaluate", folder, "--dataset_name", data, "--output", folder)[0] == 0
    assert run(capsys, "evaluate", folder, "--dataset_name", data, "--split", "validation", "--output", folder)[0] == 0
    held = json.loads((folder / "results.json").read_text())
    assert held["test"]["n"] == held["validation"]["n"] == 140 and held["schema_version"] == 2
    card = read_complete(folder)["README.md"].decode()  # still fit to be pushed
    assert f"{100 * held['test']['accuracy']:.1f} %" in card and 'Saying "uncertain"' in card
    again = ["evaluate", "paper-cnn", "--dataset_name", data, "--output", str(folder)]
    assert main(again) == 0  # the same weights
    model = FERModel.from_pretrained(folder)
    with torch.no_grad():
        model.network.classifier.bias += 1
    other = folder.parent / "other"
    model.save_pretrained(other)
    capsys.readouterr()
    status, said = run(capsys, "evaluate", "paper-cnn", "--dataset_name", data, "--output", other)
    assert status == 2 and "another model" in said


def test_evaluate_across_label_sets(capsys, caplog, data, label_map, tmp_path):
    """What either side lacks is left out, listed and said; what is left is measured as a choice among the rest."""
    with open(data, newline="") as file:
        labels = [int(row["emotion"]) for row in csv.DictReader(file) if row["Usage"] == "PrivateTest"]
    counts = np.bincount(labels, minlength=7).tolist()
    output = tmp_path / "report"
    command = ["evaluate", "paper-cnn", "--dataset_name", data, "--label_map", str(label_map), "--output", str(output)]
    assert main(command) == 0
    said, found = capsys.readouterr().out, json.loads((output / "results.json").read_text())
    assert found["label_set"] == "label_map" and found["schema_version"] == 2
    assert found["classes_left_out"] == {"images_by_class": {"scorn": counts[1]}, "of_model": ["disgust", "neutral"]}
    assert found["labels_left_out"] == {"6": counts[6]}
    assert list(found["test"]["per_class"]) == ["angry", "fear", "happy", "sad", "surprise"]
    assert found["test"]["n"] == 140 - counts[1] - counts[6]
    assert not (output / "predictions_test.csv").exists()
    assert f"test: {counts[6]} images are left out: 6 ({counts[6]})." in caplog.messages
    assert f"left out: {counts[1]} images of scorn, the model's class disgust" in said.splitlines()[1]
    assert f"{counts[6]} images: 6" in said.splitlines()[1]


def test_other_spellings_of_a_model_are_the_same_classes(capsys, data, tmp_path):
    spelled = ("Anger", "disgust", "fear", "Happiness", "sad", "surprise", "contempt", "neutral")
    torch.manual_seed(0)
    FERModel(label_names=spelled).save_pretrained(tmp_path / "model")
    found = run(capsys, "evaluate", tmp_path / "model", "--dataset_name", data)[1]
    assert found["classes_left_out"] == {"images_by_class": {}, "of_model": ["contempt"]}
    assert tuple(found["test"]["per_class"]) == EMOTIONS
    own = run(capsys, "evaluate", tmp_path / "model", "--dataset_name", data, "--label_set", "auto")
    assert own[0] == 2 and "fewer than two classes in common" in own[1]  # the data's own classes are numbers
    compared = run(capsys, "compare", tmp_path / "model", "paper-cnn", "--dataset_name", data)[1]
    assert compared["classes_left_out"] == {str(tmp_path / "model"): ["contempt"]}
    assert compared["models"][str(tmp_path / "model")]["accuracy"] == found["test"]["accuracy"]


def test_flags_of_label_sets_that_do_not_fit(capsys, data, label_map):
    for flags, said in (
        (["--label_set", "auto", "--ferplus", "votes.csv"], "--ferplus has the votes of --label_set ferplus"),
        (["--label_map", str(label_map), "--ferplus", "votes.csv"], "--ferplus does not go with --label_map"),
        (["--label_set", "ferplus"], "needs the votes"),
        (["--label_set", "ferplus", "--ferplus", "votes.csv"], "are not FER2013's in the order"),
        (["--label_map", "nowhere.json"], "cannot open nowhere.json"),
    ):
        status, told = run(capsys, "evaluate", "paper-cnn", "--dataset_name", data, *flags)
        assert status == 2 and said in told and "Traceback" not in told


def test_calibrate_needs_the_models_classes(capsys, data, folder, label_map):
    status, said = run(capsys, "calibrate", folder, "--dataset_name", data, "--label_map", label_map)
    assert status == 2 and "with the same --label_set or --label_map" in said


def test_several_models_need_a_word(capsys, data):
    status, said = run(capsys, "evaluate", "paper-cnn", "paper-cnn", "--dataset_name", data)
    assert status == 2 and "--ensemble" in said
    status, found = run(capsys, "evaluate", "paper-cnn", "paper-cnn", "--ensemble", "--dataset_name", data)
    alone = run(capsys, "evaluate", "paper-cnn", "--dataset_name", data)[1]
    assert status == 0 and found["test"]["accuracy"] == alone["test"]["accuracy"]


def test_the_temperature_is_found_again():
    torch.manual_seed(0)
    logits = torch.randn(20_000, 7) * 2
    labels = torch.distributions.Categorical(logits=logits).sample()
    assert fit(logits, labels) == pytest.approx(1, abs=0.03)
    assert fit(logits * 2.5, labels) == pytest.approx(2.5, abs=0.08)
    assert fit(logits / 4, labels) == pytest.approx(0.25, abs=0.01)


def test_calibrate_beside_a_device_that_the_model_is_not_on(data, folder):
    command = [sys.executable, "-m", "fer_hub", "calibrate", folder, "--dataset_name", data]
    done = subprocess.run(command, env=os.environ | {"ACCELERATE_TORCH_DEVICE": "meta"}, capture_output=True, text=True)
    assert done.returncode == 0 and "folded into the weights" in done.stdout, done.stderr


def test_calibrate_folds_once_and_keeps_the_first_choices(capsys, data, folder):
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"old")
    faces = synthetic.draw_split("validation")[0][:50]
    before = FERModel.from_pretrained(folder)
    status, found = run(capsys, "calibrate", folder, "--dataset_name", data)
    after = FERModel.from_pretrained(folder)
    assert status == 0 and found["n"] == 140
    assert found["after"]["loss"] < found["before"]["loss"]
    assert found["after"]["accuracy"] == found["before"]["accuracy"]
    assert after.temperature == pytest.approx(found["temperature"])
    with torch.inference_mode():
        old, new = (model(torch.from_numpy(faces)) for model in (before, after))
    torch.testing.assert_close(new * found["temperature"], old, rtol=1e-5, atol=1e-5)
    assert not list(folder.glob("onnx/*.onnx"))  # they gave the old probabilities

    status, split = run(capsys, "evaluate", folder, "--dataset_name", data, "--split", "validation", "--output", folder)
    assert status == 0 and split["validation"]["ece"] == pytest.approx(found["after"]["ece"], abs=1e-6)
    weights = (folder / "model.safetensors").read_bytes()
    status, said = run(capsys, "calibrate", folder, "--dataset_name", data)
    assert status == 2 and "calibrated already" in said
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"temperature": None}))  # the weights know it, too
    status, said = run(capsys, "calibrate", folder, "--dataset_name", data)
    assert status == 2 and "calibrated already" in said and (folder / "model.safetensors").read_bytes() == weights


def test_the_stored_threshold_is_validations(capsys, data, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder.rename("paper-cnn")  # a folder that has the name of a shipped model is meant all the same
    found = run(capsys, "calibrate", "paper-cnn", "--dataset_name", data)[1]
    model = FERModel.from_pretrained(tmp_path / "paper-cnn")
    assert model.abstention_threshold == found["abstention_threshold"]
    drawn, labels = synthetic.draw_split("test")
    shown = np.array([list(row.values()) for row in model.predict(drawn[60:200])])
    assert abstention.recommended_threshold(shown, labels[60:200]) == pytest.approx(
        model.abstention_threshold, abs=1e-5
    )


def test_calibrate_refuses_other_data_than_the_results(capsys, data, tmp_path):
    shutil.copytree(SHIPPED / "paper-cnn", tmp_path / "model")
    before = {file: file.read_bytes() for file in (tmp_path / "model").rglob("*") if file.is_file()}
    status, said = run(capsys, "calibrate", tmp_path / "model", "--dataset_name", data)
    assert status == 2 and "not those of the model's results" in said
    status, said = run(capsys, "evaluate", tmp_path / "model", "--dataset_name", data, "--output", tmp_path / "model")
    assert status == 2 and "results on other images" in said
    assert before == {file: file.read_bytes() for file in (tmp_path / "model").rglob("*") if file.is_file()}


def test_duplicates_are_listed_with_their_labels(capsys, data):
    status, found = run(capsys, "duplicates", data)
    assert status == 0 and found["extra_copies"] == 2 and found["test_also_in_train"] == 2
    assert [group["contradictory"] for group in found["groups"]] == [False, True]
    assert found["groups"][0]["images"] == [
        {"split": "train", "row": 0, "label": found["groups"][0]["images"][0]["label"]},
        {"split": "test", "row": 139, "label": found["groups"][0]["images"][0]["label"]},
    ]
    main(["duplicates", data])
    assert capsys.readouterr().out.startswith("contradictory: train 1 ")


def test_duplicates_in_folders_are_told_by_file(capsys, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 48, 48), dtype=np.uint8)
    noise[5] = noise[2]
    for number, image in enumerate(noise):
        file = tmp_path / "train" / ("happy", "sad")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    shutil.copytree(tmp_path / "train", tmp_path / "validation")
    _, found = run(capsys, "duplicates", tmp_path)
    (group,) = [group for group in found["groups"] if group["contradictory"]]
    assert {image["file"] for image in group["images"]} == {
        str(tmp_path / split / name) for split in ("train", "validation") for name in ("happy/2.png", "sad/5.png")
    }
    main(["duplicates", str(tmp_path)])
    assert f"train {tmp_path / 'train' / 'happy' / '2.png'} happy, " in capsys.readouterr().out


def test_a_comparison_without_a_place_for_its_table_asks_no_model(capsys, data, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no markers")
    asked = ("compare", "nowhere", "paper-cnn", "--dataset_name", data, "--write", page)
    status, said = run(capsys, *asked)
    assert status == 2 and "<!-- results:comparison --> 0 times" in said
    page.write_text("<!-- results:comparison -->\n<!-- /results:comparison -->")
    assert "no model at nowhere" in run(capsys, *asked)[1]


def test_comparisons_need_two_models_of_the_same_classes(capsys, data, tmp_path):
    assert "two different models" in run(capsys, "compare", "paper-cnn", "--dataset_name", data)[1]
    FERModel(label_names=(*EMOTIONS[:6], "contempt")).save_pretrained(tmp_path / "other")
    status, said = run(capsys, "compare", "paper-cnn", tmp_path / "other", "--dataset_name", data)
    assert status == 2 and "contempt" in said
    output = tmp_path / "comparison"
    FERModel().save_pretrained(tmp_path / "random")
    page = tmp_path / "page.md"
    page.write_text("<!-- results:comparison -->\n<!-- /results:comparison -->\n")
    flags = ("--dataset_name", data, "--output", output, "--write", page)
    status, _ = run(capsys, "compare", "paper-cnn", tmp_path / "random", *flags)
    assert status == 0 and {file.suffix for file in output.iterdir()} == {".json", ".md", ".png"}
    assert (output / "comparison.md").read_text().strip() in page.read_text()


def test_aggregate_writes_its_table_between_markers(capsys, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results:paper -->\n<!-- /results:paper -->\nafter\n")
    assert main(["aggregate", str(SHIPPED / "paper-cnn"), "--write", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- results:paper -->\n|") and text.endswith("<!-- /results:paper -->\nafter\n")
    assert "57.8" in text
