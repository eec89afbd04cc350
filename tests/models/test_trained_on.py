"""A model is measured and calibrated on the images that its own training held out."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_hub import EMOTIONS, FERModel, UserError
from fer_hub.data import dataset
from fer_hub.data.label_sets import FER2013, LabelSet
from fer_hub.data.pixels import decode
from fer_hub.data.reading import Reading
from fer_hub.evaluation.predictors import ensemble, of_model, with_flip
from fer_hub.evaluation.report import evaluate
from fer_hub.models import trained_on

SEED = 3


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Image folders without a validation split: 20 pictures a class."""
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    for name in EMOTIONS:
        (folder / name).mkdir()
        for number in range(20):
            Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)).save(folder / name / f"{number}.png")
    return str(folder)


@pytest.fixture
def trained(tmp_path, source):
    """A model and the writer of its record."""

    def write(seed=SEED, source=source, fingerprint=None, **config):
        FERModel().save_pretrained(tmp_path / "model")
        data = {"dataset_name": source, "fingerprints": {"validation": fingerprint} if fingerprint else {}}
        record = {"config": {"seed": seed, **config}, "data": data}
        (tmp_path / "model" / "train_config.json").write_text(json.dumps(record))
        return FERModel.from_pretrained(tmp_path / "model")

    return write


def cut(source, seed):
    return decode(dataset.load(source, seed=seed)["validation"], "cut").fingerprint


def test_the_cut_is_that_of_the_training(trained, source):
    assert cut(source, SEED) != cut(source, 0)
    assert trained_on.load(trained(), source, FER2013)["validation"].fingerprint == cut(source, SEED)
    assert trained_on.load(FERModel(), source, FER2013)["validation"].fingerprint == cut(source, 0)


def test_samples_are_those_of_the_training(trained, source):
    sampled = trained_on.load(trained(max_eval_samples=7), source, FER2013)
    assert len(sampled["validation"]) == 7 and len(sampled["train"]) == 126


def test_the_groups_are_those_of_the_training(trained, source, tmp_path):
    """Persons as folders below the classes: a cut by them is repeated, for validation and for its fingerprint."""
    for file in sorted(Path(source).glob("*/*.png")):
        place = tmp_path / "grouped" / file.parent.name / f"s{int(file.stem) // 2}" / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(file)
    grouped = str(tmp_path / "grouped")
    by_subject = decode(dataset.load(grouped, seed=SEED, reading=Reading(group_column="subject"))["validation"], "cut")
    model = trained(source=grouped, group_column="subject", fingerprint=by_subject.fingerprint)
    assert by_subject.fingerprint != cut(grouped, SEED) and len(by_subject) == 14
    assert trained_on.load(model, grouped, FER2013)["validation"].fingerprint == by_subject.fingerprint
    results, *_ = evaluate(of_model(model, "model"), grouped, "validation", progress=False)
    assert results["fingerprint"] == by_subject.fingerprint


def test_other_classes_are_refused(source):
    with pytest.raises(UserError, match="the model cat, dog"):
        trained_on.load(FERModel(label_names=("cat", "dog")), source, FER2013)


@pytest.mark.parametrize(("theirs", "warned"), [(SEED, False), (0, True)])
def test_evaluate_measures_what_was_held_out(trained, source, caplog, theirs, warned):
    model = trained(fingerprint=cut(source, theirs))
    results, *_ = evaluate(of_model(model, "model"), source, "validation", progress=False)
    assert results["fingerprint"] == cut(source, SEED)
    assert ("another seed" in caplog.text) == warned


@pytest.mark.parametrize("spelling", ["{}/", "{}/../{name}"])
def test_the_same_data_by_another_spelling(trained, source, spelling):
    name = spelling.format(source, name=Path(source).name)
    results, *_ = evaluate(of_model(trained(), "model"), name, "validation", progress=False)
    assert results["fingerprint"] == cut(source, SEED)


def test_an_ensemble_is_measured_on_what_its_members_held_out(trained, source, caplog):
    both = ensemble([of_model(FERModel(), "other"), of_model(trained(fingerprint="another"), "model")])
    for predictor in (both, with_flip(both)):
        results, *_ = evaluate(predictor, source, "validation", progress=False)
        assert results["fingerprint"] == cut(source, SEED)
        assert "another seed" in caplog.text
        caplog.clear()


def test_other_labels_are_not_taken_for_other_images(trained, source, caplog):
    labels = LabelSet(mapping={name: "happy" if name == "surprise" else name for name in EMOTIONS})
    evaluate(of_model(trained(fingerprint=cut(source, SEED)), "model"), source, "validation", labels=labels)
    assert "another seed" not in caplog.text


def test_nothing_is_cut_from_other_data(trained, source):
    predictor = of_model(trained(source="elsewhere"), "model")
    results, *_ = evaluate(predictor, source, None, progress=False)
    assert results["all"]["n"] == 140 and "dedup" not in results["all"]
    with pytest.raises(UserError, match="no validation split; it has all. Measure another: --split all"):
        evaluate(predictor, source, "validation", progress=False)


def test_all_images_of_a_training_are_said_to_be_known(trained, source, caplog):
    results, *_ = evaluate(of_model(trained(), "model"), source, "all", progress=False)
    assert results["all"]["n"] == 140 and "was trained on some of all images" in caplog.text
