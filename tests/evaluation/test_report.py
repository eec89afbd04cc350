"""The report of models that answer what stands in the pixels: leaks, missing classes and gaps are planted."""

import json
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from fer_hub import EMOTIONS, FERModel, UserError
from fer_hub.data import dataset, ferplus
from fer_hub.data.pixels import Pixels, decode
from fer_hub.evaluation import measure, plots
from fer_hub.evaluation.measure import SCHEMA_VERSION
from fer_hub.evaluation.predictors import Predictor, of_model
from fer_hub.evaluation.report import MAX_GROUPS, evaluate
from fer_hub.evaluation.report_text import as_text
from fer_hub.metrics import abstention, calibration_error, crowd

USAGES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
COUNTS = {"train": 70, "validation": 14, "test": 280}
LEAKED = 40


def says(images):
    """Answers with the class that the pixel (0, 1) names, more or less sure, by two others."""
    said = images[:, 0, 1] % 7
    sure = 0.6 + 0.3 * images[:, 1, :2].astype(float) @ [1 / 256, 1 / 65536]  # hardly ever the same for two images
    return (1 - sure)[:, None] / 7 + sure[:, None] * np.eye(7)[said]


PLANTED = Predictor("planted", EMOTIONS, says)


@pytest.fixture(scope="module")
def planted():
    """By split: images, labels and columns. Pixel (0, 1) is what the model says, (0, 46) what of the mirror image.

    At the site "near" 90 % of the answers are right, at "far" 50 %; "coin" means nothing. The first 40 test images are
    also in train, and the model has all of them right.
    """
    rng = np.random.default_rng(0)
    splits = {}
    for name, count in COUNTS.items():
        images = rng.integers(0, 256, (count, 48, 48), dtype=np.uint8)
        labels = rng.permutation(np.arange(count) % 7)
        far = rng.permutation(np.arange(count) % 2).astype(bool)
        for at, right in ((1, rng.random(count) < np.where(far, 0.5, 0.9)), (46, rng.random(count) < 0.7)):
            images[:, 0, at] = np.where(right, labels, (labels + rng.integers(1, 7, count)) % 7)
        columns = {
            "site": np.where(far, "far", "near"),
            "coin": rng.permutation(np.arange(count) % 2),
            "file": np.arange(count),
        }
        splits[name] = images, labels, columns
    test = splits["test"][0]
    test[:LEAKED, 0, 1] = splits["test"][1][:LEAKED]
    splits["train"][0][:LEAKED] = test[:LEAKED]
    return splits


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """Writes splits as fer2013.csv, with their further columns; gives the path."""

    def write(splits):
        path = tmp_path_factory.mktemp("data") / "fer2013.csv"
        further = list(splits["train"][2])
        lines = [",".join(["emotion", "pixels", "Usage", *further])]
        for name, (images, labels, columns) in splits.items():
            for row, (image, label) in enumerate(zip(images, labels, strict=True)):
                pixels = " ".join(map(str, image.flatten().tolist()))
                lines.append(",".join(map(str, [label, pixels, USAGES[name], *(columns[key][row] for key in further)])))
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    return write


@pytest.fixture(scope="module")
def source(write, planted):
    return write(planted)


@pytest.fixture(scope="module")
def full(source):
    """Everything but votes, which need FER2013 itself."""
    return evaluate(PLANTED, source, flip=True, robust=True, group_by="site", progress=False)


def answers(planted, rows=slice(None)):
    images, labels, _ = planted["test"]
    return says(images[rows]), labels[rows]


def test_results(full, planted, source):
    results, probabilities, labels = full
    expected, truth = answers(planted)
    assert probabilities == pytest.approx(expected) and (labels == truth).all()
    images = torch.from_numpy(planted["test"][0])
    assert {key: value for key, value in results.items() if key != "test"} == {
        "schema_version": SCHEMA_VERSION,
        "model": "planted",
        "dataset_name": source,
        "synthetic": False,
        "label_set": "fer2013",
        "fingerprint": Pixels(images, torch.from_numpy(truth)).fingerprint,
        "classes_left_out": {"images_by_class": {}, "of_model": []},
        "labels_left_out": {},
    }
    found = results["test"]
    assert found["n"] == 280 and found["accuracy"] == (expected.argmax(1) == truth).mean()
    assert found["ece"] == pytest.approx(calibration_error.measure(expected, truth)["ece"])
    assert found["coverage"]["aurc"] == pytest.approx(abstention.measure(expected, truth)["aurc"])
    assert list(found["per_class"]) == list(EMOTIONS)
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_without_what_is_also_in_train(full, planted):
    found, rest = full[0]["test"], answers(planted, rows=slice(LEAKED, None))
    assert found["dedup"]["n"] == 280 - LEAKED
    assert found["dedup"]["accuracy"] == pytest.approx((rest[0].argmax(1) == rest[1]).mean())
    assert found["dedup"]["accuracy"] < found["accuracy"] - 0.02
    assert set(found["dedup"]) == set(measure.HEADLINES)


def test_flip_is_the_mean_of_both_looks(full, planted):
    found = full[0]["test"]["flip"]
    assert set(found) == {*measure.HEADLINES, "dedup"}
    images, labels, _ = planted["test"]
    mirrored = says(images[:, :, ::-1])
    expected = (says(images) + mirrored) / 2
    assert found["accuracy"] == pytest.approx((expected.argmax(1) == labels).mean())
    assert found["brier"] == pytest.approx(calibration_error.measure(expected, labels)["brier"])
    assert found["accuracy"] != full[0]["test"]["accuracy"]
    right = (expected.argmax(1) == labels)[LEAKED:]
    assert found["dedup"]["accuracy"] == pytest.approx(right.mean()) and found["dedup"]["n"] == len(right)


def test_robustness_is_of_the_same_answers(full):
    found = full[0]["test"]["robustness"]
    # Two pixels cannot survive a corruption of the picture, and the mirror image says something else.
    assert found["mean_corruption_accuracy"] < full[0]["test"]["accuracy"] - 0.2
    assert found["consistency"]["flip"] < 0.8 and found["seed"] == 0


def test_a_planted_gap_between_groups_is_found(full, planted):
    found = full[0]["test"]["groups"]
    assert found["by"] == "site" and list(found["values"]) == ["far", "near"]
    images, labels, columns = planted["test"]
    for value, numbers in found["values"].items():
        rows = columns["site"] == value
        assert set(numbers) == set(measure.HEADLINES) and numbers["n"] == 140
        assert numbers["accuracy"] == pytest.approx((says(images).argmax(1) == labels)[rows].mean())
        assert numbers["interval"][0] < numbers["accuracy"] < numbers["interval"][1]
        assert numbers["intervals"]["macro_f1"][0] < numbers["macro_f1"] < numbers["intervals"]["macro_f1"][1]
    gap = found["largest_gap"]
    assert (gap["highest"], gap["lowest"]) == ("near", "far") and gap["p"] < 0.001
    assert gap["gap"] == pytest.approx(found["values"]["near"]["accuracy"] - found["values"]["far"]["accuracy"])


def test_groups_without_a_gap(source):
    found = evaluate(PLANTED, source, group_by="coin", progress=False)[0]["test"]["groups"]
    assert list(found["values"]) == ["0", "1"]
    assert found["largest_gap"]["p"] > 0.05


def test_a_single_group_has_no_gap(source):
    found = evaluate(PLANTED, source, group_by="Usage", progress=False)[0]["test"]["groups"]
    assert list(found["values"]) == ["PrivateTest"] and found["largest_gap"] is None


def test_groups_are_called_by_the_names_of_their_classes(planted, tmp_path):
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets import Image as Picture

    kinds = {"image": Picture(), "label": ClassLabel(names=list(EMOTIONS)), "age": ClassLabel(names=["young", "old"])}
    for name, (images, labels, columns) in planted.items():
        Dataset.from_dict(
            {"image": [Image.fromarray(image) for image in images[:14]], "label": labels[:14],
             "age": [None if row == 0 else int(age) for row, age in enumerate(columns["coin"][:14])],
             "note": ["x"] * 14},
            features=Features({**kinds, "note": Value("string")}),
        ).to_parquet(tmp_path / f"{name}-0.parquet")  # fmt: skip
    found = evaluate(PLANTED, str(tmp_path), group_by="age", progress=False)[0]["test"]["groups"]
    assert set(found["values"]) == {"young", "old", "None"} and found["values"]["None"]["n"] == 1


def test_other_splits(source, caplog):
    train = evaluate(PLANTED, source, "train", progress=False)[0]
    assert "dedup" not in train["train"] and "test" not in train and train["train"]["n"] == 70
    assert not caplog.records
    assert evaluate(PLANTED, source, "validation", progress=False)[0]["validation"]["dedup"]["n"] == 14


def test_a_split_that_is_all_in_train_says_so(planted, write, caplog):
    known = {**planted, "test": tuple(part[:14] for part in planted["train"][:2]) + (planted["test"][2],)}
    found = evaluate(PLANTED, write(known), progress=False)[0]
    assert "dedup" not in found["test"]
    assert "split test, are also in train: none are left" in caplog.text


def test_the_same_again_gives_the_same(full, source):
    again = evaluate(PLANTED, source, flip=True, robust=True, group_by="site", progress=False)
    assert again[0] == full[0] and (again[1] == full[1]).all()


# --- classes that are missing on one side ---


def test_classes_that_the_model_does_not_know(source, planted, caplog):
    known = [name for name in EMOTIONS if name not in ("disgust", "fear")]
    order = [*reversed(known)]

    def predict(images):
        found = says(images)[:, [EMOTIONS.index(name) for name in order]]
        found = np.hstack([found, np.full((len(found), 1), 0.2)])  # and knows one that the data have not
        return found / found.sum(1, keepdims=True)

    with caplog.at_level(logging.WARNING):
        five = Predictor("five", (*order, "contempt"), predict)
        results, probabilities, labels = evaluate(five, source, group_by="site")
    assert results["classes_left_out"] == {"images_by_class": {"disgust": 40, "fear": 40}, "of_model": ["contempt"]}
    assert "five does not know disgust (40 images), fear (40 images): left out" in caplog.text
    assert "no images of contempt: left out" in caplog.text
    assert "left out: 40 images of disgust, 40 images of fear, the model's class contempt" in as_text(results, "test")

    images, truth, columns = planted["test"]
    kept = ~np.isin(truth, [1, 2])
    names = np.array(EMOTIONS)[truth[kept]]
    assert results["test"]["n"] == 200 == len(labels) and list(results["test"]["per_class"]) == known
    assert (np.array(known)[labels] == names).all()
    expected = says(images)[kept][:, [EMOTIONS.index(name) for name in known]]
    assert probabilities == pytest.approx(expected / expected.sum(1, keepdims=True))
    assert results["test"]["dedup"]["n"] == (kept & (np.arange(280) >= LEAKED)).sum()
    assert results["test"]["macro_f1"] > 0.5
    far = results["test"]["groups"]["values"]["far"]
    right = (probabilities.argmax(1) == labels)[columns["site"][kept] == "far"]
    assert (far["n"], far["accuracy"]) == (len(right), right.mean())


def test_classes_of_which_the_split_has_no_images(planted, write, caplog):
    images, labels, columns = planted["test"]
    kept = labels != 1
    held = {key: values[kept] for key, values in columns.items()}
    results, probabilities, _ = evaluate(PLANTED, write({**planted, "test": (images[kept], labels[kept], held)}),
                                         group_by="site")  # fmt: skip
    assert results["classes_left_out"] == {"images_by_class": {}, "of_model": ["disgust"]}
    assert "The split has no images of disgust: left out of the model's answers" in caplog.text
    assert probabilities.shape == (240, 6) and "disgust" not in results["test"]["per_class"]
    assert probabilities.sum(1) == pytest.approx(1)
    # Where it said disgust, what is left of its answer counts, and the mean is one of six classes.
    per_class = results["test"]["per_class"]
    assert results["test"]["macro_f1"] == pytest.approx(np.mean([one["f1"] for one in per_class.values()]))
    assert sum(part["n"] for part in results["test"]["groups"]["values"].values()) == 240


def test_an_answer_of_which_nothing_is_left_says_nothing(source):
    sure = Predictor("sure", (*EMOTIONS, "contempt"), lambda images: np.tile(np.eye(8)[7], (len(images), 1)))
    results, probabilities, _ = evaluate(sure, source)
    assert probabilities == pytest.approx(1 / 7) and results["test"]["loss"] == pytest.approx(np.log(7))


def test_models_and_data_without_a_common_question_are_refused(source):
    stranger = Predictor("stranger", ("happy", "cat"), lambda images: pytest.fail("was run"))
    with pytest.raises(UserError, match="stranger knows happy, cat, the split has images of angry.* fewer than two"):
        evaluate(stranger, source)


# --- mistakes are found before the model is run ---


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"group_by": "country"}, "no column 'country'; found .*site"),
        ({"group_by": "label"}, "--group_by label: per_class has the numbers"),
        ({"group_by": "file"}, f"--group_by file: 280 different values, {MAX_GROUPS} at most"),
        ({"votes": "fer2013new.csv"}, "--ferplus: the 280 labels of test are not FER2013's"),
        ({"split": "holdout"}, "has no holdout split; it has train, validation, test"),
        ({"revision": "v1"}, "not one. Leave it out"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_mistakes(given, words, source):
    idle = Predictor("idle", EMOTIONS, lambda images: pytest.fail("was run"))
    with pytest.raises(UserError, match=words):
        evaluate(idle, source, **given)


def test_votes_need_all_classes(source):
    six = Predictor("six", EMOTIONS[:6], lambda images: pytest.fail("was run"))
    with pytest.raises(UserError, match="--ferplus needs all of FER2013's images, and six does not know neutral"):
        evaluate(six, source, votes="fer2013new.csv")


# --- for people ---


def test_text(full, source):
    text = as_text(full[0], "test")
    found = full[0]["test"]
    lines = text.splitlines()
    assert lines[0] == f"planted on {source}, test" and max(map(len, lines[1:])) < 130
    for what, numbers in (("all images, n 280", found), ("also in train, n 240", found["dedup"]),
                          ("mirror image, n 280", found["flip"])):  # fmt: skip
        at = next(row for row, line in enumerate(lines) if line.endswith(what))
        low, high = numbers["interval"]
        assert f"accuracy {100 * numbers['accuracy']:.2f} % (95 % {100 * low:.2f}-{100 * high:.2f})" in lines[at + 1]
        assert f"macro-F1 {numbers['macro_f1']:.3f}" in lines[at + 2]
    assert sum(line.split()[0] in EMOTIONS for line in lines) == 7
    assert f"corrupted images: accuracy {100 * found['robustness']['mean_corruption_accuracy']:.1f} %" in text
    assert "site far: accuracy" in text and "(near over far), p 0.0001 (9,999 shuffles)" in text
    assert "left out" not in text


def test_drawn_faces_are_called_so(full):
    assert as_text(full[0] | {"synthetic": True}, "test").splitlines()[0].endswith(", test, drawn faces")


def test_text_of_votes(full):
    votes = crowd.measure(np.eye(7)[[3, 3, 0]], np.array([3, 0, 3]),
                            np.array([[0, 0, 0, 9, 0, 0, 1, 0, 0, 0], [0, 0, 0, 6, 0, 0, 4, 0, 0, 0],
                                      [0, 0, 0, 5, 0, 0, 5, 0, 0, 0]]), EMOTIONS)  # fmt: skip
    text = as_text(full[0] | {"test": full[0]["test"] | {"ferplus": votes}}, "test")
    assert "FER+ majority, n 2: accuracy 100.0 % (95 % 34.2-100.0), FER2013's own labels 50.0 %" in text
    assert "50 to 70 % of the votes agree, n 1: accuracy 100.0 %" in text
    assert "of 2 errors the crowd sides with the model in 50.0 %, with the label in 0.0 %" in text


def test_figures(full, tmp_path):
    files = plots.draw(full[0], "test", tmp_path / "new" / "figures")
    assert [file.name for file in files] == [
        "confusion_matrix_test.png", "reliability_test.png", "coverage_test.png", "robustness_test.png"
    ]  # fmt: skip
    assert sorted(files) == sorted((tmp_path / "new" / "figures").iterdir())
    for file in files:
        with Image.open(file) as figure:
            assert len(np.unique(np.asarray(figure.convert("L")))) > 20
    plain = {**full[0], "test": {key: value for key, value in full[0]["test"].items() if key != "robustness"}}
    assert len(plots.draw(plain, "test", tmp_path / "plain")) == 3


# --- the real thing ---


def test_a_network_on_image_folders(drawn_faces, tmp_path):
    images, labels = drawn_faces
    for split, rows in (("train", range(28)), ("validation", range(28, 42)), ("test", range(20, 62))):
        for row in rows:
            folder = tmp_path / split / EMOTIONS[labels[row]]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[row]).save(folder / f"{row:04}.png")
    model = FERModel.from_pretrained("paper-cnn")
    results, probabilities, found = evaluate(of_model(model, "mine"), str(tmp_path))
    stored = decode(dataset.load(str(tmp_path))["test"], "test")
    with torch.inference_mode():
        expected = model(stored.images).double().softmax(1).numpy()
    assert probabilities == pytest.approx(expected, abs=1e-5) and (found == stored.labels.numpy()).all()
    assert results["test"]["n"] == 42 and results["test"]["dedup"]["n"] == 42 - 8
    assert results["fingerprint"] == stored.fingerprint


def test_facts_of_fer2013(fer2013_path, ferplus_path):
    happy = Predictor("happy", EMOTIONS, lambda images: np.tile(0.01 + 0.93 * np.eye(7)[3], (len(images), 1)))
    results, _, labels = evaluate(happy, fer2013_path, votes=str(ferplus_path), progress=False)
    found = results["test"]
    assert found["n"] == 3589 and found["accuracy"] == 879 / 3589
    assert found["n"] - found["dedup"]["n"] == 288
    assert found["ferplus"]["n"] == 3137
    assert found["ferplus"]["label_accuracy"] == pytest.approx(0.6739, abs=1e-4)
    majority = ferplus.majority(ferplus.read(ferplus_path, "test", labels))
    assert found["ferplus"]["accuracy"] == pytest.approx((majority == 3).sum() / 3137)
    assert found["ferplus"]["errors"]["n"] == 3589 - 879
    sides = ("with_model", "with_label", "with_neither", "undecided")
    assert sum(found["ferplus"]["errors"][side] for side in sides) == pytest.approx(1)
