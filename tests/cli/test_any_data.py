"""Measuring commands on whatever data people have: nothing is demanded, cut or silently wrong."""

import json
import shutil

import datasets
import pytest
import torch
from PIL import Image

from fer_hub import EMOTIONS, FERModel
from fer_hub.cli.arguments import main
from fer_hub.data import synthetic
from fer_hub.hub.locate import SHIPPED

ALPHABETICAL = sorted(EMOTIONS)


@pytest.fixture(scope="module")
def faces():
    """Drawn faces, and what paper-cnn takes them for: as labels they make an easy data set."""
    drawn = synthetic.draw_split("test")[0][:60]
    answers = [max(row, key=row.get) for row in FERModel.from_pretrained("paper-cnn").predict(drawn)]
    return drawn, answers


@pytest.fixture
def write(tmp_path, faces):
    """Writes the faces in a form that has no train split; gives the path."""

    def write(form):
        place = tmp_path / form
        if form == "folders":
            return pictures(place, faces)
        if form == "test":
            pictures(place / "test", faces)
            return place
        images = [{"bytes": file.read_bytes(), "path": None} for file in files(pictures(tmp_path / "pictures", faces))]
        table = {"image": images, "label": list(faces[1])}
        if form == "test.parquet":
            datasets.Dataset.from_dict(table).cast_column("image", datasets.Image()).to_parquet(place)
        else:
            rows = [f"{label},{' '.join(map(str, face.ravel()))}\n" for face, label in zip(*faces, strict=True)]
            place.write_text("emotion,pixels\n" + "".join(rows))
        return place

    return write


def pictures(root, faces):
    for number, (face, label) in enumerate(zip(*faces, strict=True)):
        file = root / label / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(file)
    return root


def files(root):
    return sorted(root.rglob("*.png"), key=lambda file: file.name)


def run(capsys, *arguments):
    status = main([*map(str, arguments), "--json"])
    said = capsys.readouterr()
    return status, json.loads(said.out) if status == 0 else said.err


@pytest.mark.parametrize(
    ("form", "split"), [("folders", "all"), ("test", "test"), ("test.parquet", "test"), ("faces.csv", "all")]
)
def test_sets_without_a_train_split_are_measured_whole(capsys, caplog, write, form, split):
    source = write(form)
    status, found = run(capsys, "evaluate", "paper-cnn", "--dataset_name", source)
    assert status == 0 and found[split]["n"] == 60 and found[split]["accuracy"] == 1
    assert "dedup" not in found[split] and "validation" not in caplog.text
    status, found = run(capsys, "duplicates", source)
    assert status == 0 and found["extra_copies"] == 0 and not any("also_in_train" in key for key in found)


def test_compare_and_calibrate_without_splits(capsys, write, tmp_path):
    source = write("folders")
    status, found = run(capsys, "compare", "paper-cnn", "fer-small", "--dataset_name", source)
    assert status == 0 and found["split"] == "all" and found["n"] == 60 and "dedup" not in found["models"]["paper-cnn"]
    shutil.copytree(SHIPPED / "paper-cnn", tmp_path / "own", ignore=shutil.ignore_patterns("*.json"))
    shutil.copy(SHIPPED / "paper-cnn" / "config.json", tmp_path / "own")
    status, found = run(capsys, "calibrate", tmp_path / "own", "--dataset_name", source)
    assert status == 0 and found["split"] == "all" and found["n"] == 60 and found["temperature"] < 1


def test_shipped_models_are_calibrated_into_a_copy(capsys, write, tmp_path):
    source, copy = write("test"), tmp_path / "copy"
    status, said = run(capsys, "calibrate", "fer-small", "--dataset_name", source)
    assert status == 2 and "--output_dir fer-small-calibrated" in said
    status, found = run(capsys, "calibrate", "fer-small", "--dataset_name", source, "--output_dir", copy)
    shipped, model = FERModel.from_pretrained("fer-small"), FERModel.from_pretrained(copy)
    assert status == 0 and found["split"] == "test" and model.temperature == pytest.approx(found["temperature"])
    face = torch.full((1, 48, 48), 99, dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(model(face) * model.temperature, shipped(face) * shipped.temperature)
    assert not (copy / "results.json").exists() and (copy / "README.md").is_file()
    status, said = run(capsys, "calibrate", "fer-small", "--dataset_name", source, "--output_dir", copy)
    assert status == 2 and "exists already: name a new folder" in said


def test_a_split_that_is_not_there(capsys, write):
    status, said = run(capsys, "evaluate", "paper-cnn", "--dataset_name", write("test"), "--split", "train")
    assert status == 2 and "has no train split; it has test. Measure another: --split test" in said


def test_labels_in_another_order_are_noticed(capsys, caplog, write, faces, tmp_path):
    """ImageFolder's numbers are read as fer2013.csv's: the warning has the map that mends it."""
    source = write("test.parquet")
    numbers = [ALPHABETICAL.index(label) for label in faces[1]]
    table = datasets.Dataset.from_parquet(str(source)).remove_columns("label").add_column("label", numbers)
    table.to_parquet(source)
    wrong = run(capsys, "evaluate", "paper-cnn", "--dataset_name", source)[1]["test"]
    (message,) = [message for message in caplog.messages if "another order" in message]
    assert wrong["accuracy"] < 0.8 and "what is read as sad is neutral" in message and "100.0 % instead of" in message
    mapping = json.loads(message.splitlines()[-1])
    used = {str(number) for number in numbers}
    assert {label: name for label, name in mapping.items() if label in used} == {
        label: ALPHABETICAL[int(label)] for label in used
    }
    (tmp_path / "labels.json").write_text(message.splitlines()[-1])
    caplog.clear()
    mended = run(capsys, "evaluate", "paper-cnn", "--dataset_name", source, "--label_map", tmp_path / "labels.json")[1]
    assert mended["test"]["accuracy"] == 1 and "another order" not in caplog.text


def test_columns_and_unreadable_pictures(capsys, caplog, write):
    source = write("test.parquet")
    table = datasets.Dataset.from_parquet(str(source)).cast_column("image", datasets.Image(decode=False))
    images = [{"bytes": b"broken" if row in (3, 7) else image["bytes"], "path": None}
              for row, image in enumerate(table["image"])]  # fmt: skip
    rows = {"face": images, "mood": table["label"], "label": ["?"] * len(table)}
    broken = datasets.Dataset.from_dict(rows).cast_column("face", datasets.Image(decode=False))
    broken.cast_column("face", datasets.Image()).to_parquet(source)
    flags = ("--dataset_name", source, "--image_column_name", "face", "--label_column_name", "mood")
    status, said = run(capsys, "evaluate", "paper-cnn", *flags)
    assert status == 2 and "2 of 60 images cannot be read" in said and "row 3:" in said and "row 7:" in said
    assert "--skip_unreadable" in said and "Traceback" not in said
    status, found = run(capsys, "evaluate", "paper-cnn", *flags, "--skip_unreadable")
    assert status == 0 and found["test"]["n"] == 58 and found["test"]["accuracy"] == 1
    assert found["labels_left_out"] == {"not a readable image": 2} and "row 7:" in caplog.text
