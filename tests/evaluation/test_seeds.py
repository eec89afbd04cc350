"""Runs of several seeds, by hand and against scipy; and what is no set of such runs."""

import json
from copy import deepcopy
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from fer_hub import UserError
from fer_hub.evaluation.seeds import NUMBERS, aggregate, as_summary, as_table, by_recipe, spread
from fer_hub.recipes import TrainConfig
from fer_hub.training.results import summarize_run

RECORD = {
    "config": asdict(TrainConfig()),
    "command": "train.py --seed 0 --output_dir runs/0",
    "architecture": "fer_paper_cnn",
    "num_parameters": 619015,
    "global_batch_size": 64,
    "environment": {"mixed_precision": "bf16", "num_threads": 2},
    "data": {"dataset_name": "data/fer2013", "synthetic": False, "label_set": "fer2013",
             "fingerprints": {"train": "a1", "validation": "b2", "test": "c3"}},
}  # fmt: skip
ACCURACIES, LOSSES = (0.50, 0.56, 0.53), (1.2, 1.3, 1.1)


def results_of(accuracy, loss):
    """results.json, as a training writes it."""
    numbers = {"accuracy": accuracy, "macro_f1": accuracy - 0.05, "ece": 0.02, "brier": 0.5, "per_class": {}}
    return {
        "schema_version": 1,
        "train_seconds": 100 * loss,
        "validation": {**numbers, "n": 10, "loss": loss},
        "test": {**numbers, "n": 9, "loss": loss - 0.1, "dedup": {"n": 8, "accuracy": accuracy - 0.02}},
    }


def flat(results):
    """all_results.json, by the code that writes it."""
    return summarize_run(
        {"data": RECORD["data"], "config": RECORD["config"], "num_parameters": 619015},
        {split: results[split] for split in ("validation", "test") if split in results},
        {"best": {"epoch": 1}, "step": 9, "seconds": results["train_seconds"], "images": 9},
    )


@pytest.fixture
def make(tmp_path):
    """Writes a run folder with its model folder best/."""

    def write(seed, change=lambda record, results: None):
        record, results = deepcopy(RECORD), results_of(ACCURACIES[seed % 3], LOSSES[seed % 3])
        record["config"] |= {"seed": seed, "output_dir": f"runs/{seed}"}
        change(record, results)
        folder = tmp_path / f"seed{seed}"
        (folder / "best").mkdir(parents=True)
        for place in (folder, folder / "best"):
            (place / "train_config.json").write_text(json.dumps(record))
        (folder / "all_results.json").write_text(json.dumps(flat(results)))
        (folder / "best" / "results.json").write_text(json.dumps(results))
        return folder

    return write


def test_mean_and_spread_by_hand(make):
    found = aggregate([make(2), make(0), make(1)])
    number = found["numbers"]["test_accuracy"]
    assert number["values"] == [0.50, 0.56, 0.53]  # by seed, not as given
    assert (number["mean"], number["std"]) == (pytest.approx(0.53), pytest.approx(0.03))
    half = 4.3027 * 0.03 / 3**0.5  # t of 2 degrees of freedom, from a printed table
    assert number["interval"] == pytest.approx([0.53 - half, 0.53 + half], abs=1e-5)
    assert found["numbers"]["test_dedup_accuracy"]["mean"] == pytest.approx(0.51)
    assert found["numbers"]["eval_loss"]["mean"] == pytest.approx(1.2)
    assert found["numbers"]["test_macro_f1"]["mean"] == pytest.approx(0.48)
    assert found["numbers"]["train_seconds"]["mean"] == pytest.approx(120)
    assert (found["recipe"], found["dataset_name"], found["left_out"]) == ("paper", "data/fer2013", {})


def test_spread_equals_scipys():
    values = [0.578, 0.568, 0.562, 0.571]
    found = spread(values)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found["interval"] == pytest.approx([theirs.low, theirs.high])
    assert found["std"] == pytest.approx(stats.tstd(values))
    assert spread([0.5, 0.5]) == {"values": [0.5, 0.5], "mean": 0.5, "std": 0.0, "interval": [0.5, 0.5]}


def test_the_best_run_is_chosen_by_validation_loss_alone(make):
    folders = [make(seed) for seed in range(3)]
    best = aggregate(folders)["best"]
    assert (best["folder"], best["seed"], best["eval_loss"]) == (str(folders[2]), 2, 1.1)  # not best in test


def test_the_best_run_is_chosen_by_the_metric_that_the_recipe_names(make):
    def by_accuracy(record, results):
        record["config"]["metric_for_best_model"] = "accuracy"

    found = aggregate([make(seed, by_accuracy) for seed in range(3)])
    assert (found["metric"], found["best"]["seed"]) == ("accuracy", 1)
    assert "3 runs. Highest validation accuracy: seed 1" in as_table(found).splitlines()[-1]


def test_model_folders_give_the_same(make):
    runs = [make(seed) for seed in range(3)]
    of_runs, of_models = aggregate(runs), aggregate([run / "best" for run in runs])
    assert of_models["numbers"] == of_runs["numbers"]
    assert aggregate([runs[0], runs[1] / "best", runs[2]])["numbers"] == of_runs["numbers"]


def test_one_run_has_no_spread(make):
    found = aggregate([make(0)])
    assert found["numbers"]["test_accuracy"] == {"values": [0.5], "mean": 0.5, "std": None, "interval": None}
    assert "| test accuracy" in as_table(found) and "±" not in as_table(found).splitlines()[2]


def test_runs_without_test_numbers(make):
    def no_test(record, results):
        record["config"]["no_test"] = True
        del results["test"], record["data"]["fingerprints"]["test"]

    found = aggregate([make(0, no_test), make(1, no_test)])
    assert set(found["numbers"]) == {"eval_accuracy", "eval_macro_f1", "eval_loss", "eval_ece", "eval_brier",
                                     "train_seconds"}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r, _: r["config"].update(learning_rate=0.1), "--learning_rate is 0.03 and 0.1. Aggregate only runs"),
        (lambda r, _: r["config"].update(recipe="other", drop_leaked_train=True),
         "--recipe is paper and other; --drop_leaked_train is False and True"),
        (lambda r, _: r["config"].update(max_train_steps=9), "--max_train_steps is none and 9"),
        (lambda r, _: r.update(architecture="resnet18"), "architecture is fer_paper_cnn and resnet18"),
        (lambda r, _: r.update(global_batch_size=128), "global batch is 64 and 128"),
        (lambda r, _: r["environment"].update(mixed_precision="no"), "precision is bf16 and no"),
        (lambda r, _: r["data"]["fingerprints"].update(train="zz"), "images of train is a1 and zz. The data"),
        (lambda r, _: r["data"]["fingerprints"].pop("test"), "images of test is c3 and none"),
        (lambda r, _: r["config"].update(new_flag=3), "--new_flag is none and 3"),
        (lambda r, _: r.update(teachers=["0123", "4567"]), "weights of --teacher is none and '0123 4567'"),
    ],
)  # fmt: skip
def test_runs_that_differ_in_more_than_the_seed_are_refused(make, change, words):
    folders = [make(0), make(1, change)]
    with pytest.raises(UserError, match=words) as caught:
        aggregate(folders)
    assert str(folders[0]) in str(caught.value) and str(folders[1]) in str(caught.value)


def test_calibrated_models_are_not_averaged_with_others(make):
    def calibrated(record, results):
        results["calibration"] = {"temperature": 1.1}

    with pytest.raises(UserError, match="calibrated is False and True"):
        aggregate([make(0) / "best", make(1, calibrated) / "best"])
    assert aggregate([make(2, calibrated) / "best", make(4, calibrated) / "best"])["numbers"]["test_ece"]


def test_runs_may_differ_in_place_and_machine(make):
    def moved(record, results):
        record["config"] |= {"dataset_name": "elsewhere", "num_threads": 1, "resume_from_checkpoint": "last"}
        record["config"]["teacher"] = ["elsewhere/best"]
        record["environment"]["num_threads"] = 1
        record["command"] = "train.py --seed 1"

    assert len(aggregate([make(0), make(1, moved)])["runs"]) == 2


def test_runs_from_before_a_flag_existed_had_its_default(make):
    def older(record, results):
        del record["config"]["weight_decay"]

    def differs(record, results):
        record["config"]["weight_decay"] = 0.1

    old = make(0, older)
    assert len(aggregate([old, make(1)])["runs"]) == 2
    with pytest.raises(UserError, match="--weight_decay is 0.0 and 0.1"):
        aggregate([old, make(2, differs)])


def test_numbers_that_only_some_runs_have_are_left_out_aloud(make):
    def older(record, results):
        del results["test"]["ece"]

    folders = [make(0), make(1, older)]
    found = aggregate(folders)
    assert found["left_out"] == {"test_ece": [str(folders[1])]}
    assert "test_ece" not in found["numbers"] and "test_brier" in found["numbers"]
    assert f"Left out: test ECE, not in {folders[1]}." in as_table(found)


def test_what_is_no_set_of_finished_runs_is_refused(make, tmp_path):
    run = make(0)
    with pytest.raises(UserError, match="no runs are given"):
        aggregate([])
    with pytest.raises(UserError, match="both have the seed 0"):
        aggregate([run, run / "best"])
    with pytest.raises(UserError, match="nowhere holds no run: train_config.json is missing"):
        aggregate([run, tmp_path / "nowhere"])
    (run / "all_results.json").unlink()
    with pytest.raises(UserError, match=r"no finished run.*python train.py --seed 0 .*--resume_from_checkpoint last"):
        aggregate([run])
    (run / "all_results.json").write_text("{")
    with pytest.raises(UserError, match="all_results.json is not JSON"):
        aggregate([run])
    (run / "all_results.json").write_text("{}")
    with pytest.raises(UserError, match="lacks 'eval_loss' in all_results.json"):
        aggregate([run])


def test_table_by_hand(make):
    lines = as_table(aggregate([make(seed) for seed in range(3)])).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        "", "mean ± std", "95 % of the mean", "seeds 0, 1, 2"]  # fmt: skip
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        "test accuracy", "53.0 ± 3.0 %", "45.5 to 60.5", "50.0, 56.0, 53.0"]  # fmt: skip
    assert [cell.strip() for cell in lines[4].split("|")[1:-1]][:2] == ["test loss", "1.100 ± 0.100"]
    assert "3 runs. Lowest validation loss: seed 2" in lines[-1]


def test_drawn_faces_are_named_so(make):
    def drawn(record, results):
        record["data"] |= {"dataset_name": "synthetic", "synthetic": True}

    assert "synthetic (drawn faces: nothing about FER2013)" in as_table(aggregate([make(0, drawn)]))


def test_results_are_plain_json(make):
    found = aggregate([make(0), make(1)])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert not any(isinstance(number["mean"], np.floating) for number in found["numbers"].values())


def test_several_recipes_get_a_row_each(make):
    def small(record, results):
        record["config"]["recipe"] = "small"
        record["num_parameters"] = 1_174_439

    recipes = by_recipe([make(0), make(3, small), make(1)])
    assert [(found["recipe"], [run["seed"] for run in found["runs"]]) for found in recipes] == [
        ("paper", [0, 1]),
        ("small", [3]),
    ]
    header, _, paper, one = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in as_summary(recipes).splitlines()[:4]
    )
    assert as_summary(recipes).endswith("\n\nData: data/fer2013.")
    assert header[4:] == [
        NUMBERS[key] for key in ("test_accuracy", "test_macro_f1", "test_dedup_accuracy", "eval_accuracy")
    ]
    assert paper[:5] == ["paper", "fer_paper_cnn", "619,015", "0, 1", "53.0 ± 4.2 %"]  # of .50 and .56, ddof 1
    assert one[2:5] == ["1,174,439", "3", "50.0 %"]
