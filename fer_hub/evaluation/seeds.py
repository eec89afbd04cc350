"""Finished runs that differ in their seed -> mean and spread of each number, and the run that is released.

The spread is that of training: initialization, order, dropout. What other test images would change is in the intervals
of the single runs (`statistics`).
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from scipy.stats import t as student_t

from fer_hub.errors import UserError
from fer_hub.evaluation import markdown_tables
from fer_hub.hub.model_folder import read_record
from fer_hub.recipes import WORKING_FLAGS, TrainConfig

# The numbers that are aggregated, named as in all_results.json, and what a table calls them.
NUMBERS = {
    "test_accuracy": "test accuracy",
    "test_macro_f1": "test macro-F1",
    "test_loss": "test loss",
    "test_ece": "test ECE",
    "test_brier": "test Brier",
    "test_dedup_accuracy": "test accuracy, without images also in train",
    "test_dedup_macro_f1": "test macro-F1, without images also in train",
    "eval_accuracy": "validation accuracy",
    "eval_macro_f1": "validation macro-F1",
    "eval_loss": "validation loss",
    "eval_ece": "validation ECE",
    "eval_brier": "validation Brier",
    "train_seconds": "training seconds",
}

# In which the runs may differ. Their images are compared, the weights of their teachers, and the precision that a run
# took, asked for or found.
FREE = WORKING_FLAGS | {"seed", "teacher"}


def aggregate(folders: Sequence[str | Path]) -> dict:
    """Mean and spread over runs of one recipe.

    Args:
        folders: of finished runs (all_results.json, train_config.json) or their models (results.json,
            train_config.json), one for each seed.

    Returns:
        `recipe`, `architecture`, `num_parameters`, `dataset_name` and `synthetic`, as in the first run's record;
        `runs`: `folder`, `seed`, `eval_loss` and `eval_accuracy` of each, by seed; `metric`, by which the recipe
        chooses checkpoints, and `best`, the run that it chooses on validation; `numbers`: key of `NUMBERS` -> `values`
        (in the order of `runs`), `mean`, `std` (sample standard deviation, ddof 1) and `interval` (95 %, Student's t,
        of the mean; of few seeds it is wide and may leave 0..1), both None of a single run; `left_out`: keys that some
        runs lack -> the folders that lack them.

    Raises:
        UserError: a folder holds no finished run, a seed stands there twice, or the runs differ in more than the seed.
    """
    runs = sorted((_read(Path(folder)) for folder in folders), key=lambda run: run["seed"])
    if not runs:
        raise UserError("no runs are given. Name the folders of finished runs: runs/seed0 runs/seed1 runs/seed2")
    for run in runs[1:]:
        _require_same(runs[0], run)
    for before, after in zip(runs, runs[1:], strict=False):
        if before["seed"] == after["seed"]:
            raise UserError(
                f"{before['folder']} and {after['folder']} both have the seed {after['seed']}. The same seed again "
                "says nothing about the spread: leave one out."
            )
    having = {key: [run["folder"] for run in runs if key in run["results"]] for key in NUMBERS}
    summary = [{key: run[key] for key in ("folder", "seed", "eval_loss", "eval_accuracy")} for run in runs]
    record = runs[0]["record"]
    metric = record["config"].get("metric_for_best_model", TrainConfig.metric_for_best_model)
    return {
        "recipe": runs[0]["recipe"],
        "architecture": record["architecture"],
        "num_parameters": record["num_parameters"],
        **runs[0]["of_data"],
        "runs": summary,
        "metric": metric,
        "best": min(summary, key=lambda run: run["eval_loss"] if metric == "loss" else -run["eval_accuracy"]),
        "numbers": {
            key: spread([run["results"][key] for run in runs])
            for key, found in having.items()
            if len(found) == len(runs)
        },
        "left_out": {
            key: [run["folder"] for run in runs if run["folder"] not in found]
            for key, found in having.items()
            if 0 < len(found) < len(runs)
        },
    }


def by_recipe(folders: Sequence[str | Path]) -> list[dict]:
    """What `aggregate` gives for the runs of each recipe, in the order in which the recipes are named first.

    Raises:
        UserError: as `aggregate`.
    """
    recipes: dict[str, list] = {}
    for folder in folders:
        recipes.setdefault(_read(Path(folder))["recipe"], []).append(folder)
    return [aggregate(runs) for runs in recipes.values()]


def as_summary(recipes: Sequence[dict]) -> str:
    """A Markdown table of what `by_recipe` found: a row for each recipe, its main numbers as mean ± std."""
    shown = ("test_accuracy", "test_macro_f1", "test_dedup_accuracy", "eval_accuracy")
    rows = []
    for found in recipes:
        cells = [_row(key, found["numbers"][key])[1] if key in found["numbers"] else "" for key in shown]
        seeds = ", ".join(str(run["seed"]) for run in found["runs"])
        rows.append((found["recipe"], found["architecture"], f"{found['num_parameters']:,}", seeds, *cells))
    header = ("recipe", "architecture", "parameters", "seeds", *(NUMBERS[key] for key in shown))
    table = markdown_tables.markdown(header, rows)
    sources = dict.fromkeys(f"{found['dataset_name']}{_drawn(found)}" for found in recipes)
    return f"{table}\n\nData: {', '.join(sources)}."


def spread(values: Sequence[float]) -> dict:
    """`values`, `mean`, `std` and `interval` as in `aggregate`."""
    count, mean = len(values), float(np.mean(values))
    if count == 1:
        return {"values": list(values), "mean": mean, "std": None, "interval": None}
    std = float(np.std(values, ddof=1))
    half = float(student_t.ppf(0.975, count - 1)) * std / count**0.5
    return {"values": list(values), "mean": mean, "std": std, "interval": [mean - half, mean + half]}


def as_table(found: dict) -> str:
    """What `aggregate` found, as a Markdown table that can be read in a terminal, and the best run."""
    rows = [_row(key, number) for key, number in found["numbers"].items()]
    seeds = ", ".join(str(run["seed"]) for run in found["runs"])
    table = markdown_tables.markdown(("", "mean ± std", "95 % of the mean", f"seeds {seeds}"), rows)
    best, count = found["best"], len(found["runs"])
    rule = "Lowest validation loss" if found["metric"] == "loss" else "Highest validation accuracy"
    lines = [
        f"{found['architecture']}, recipe {found['recipe']}, {found['dataset_name']}{_drawn(found)}, "
        f"{count} run{'s' * (count > 1)}. {rule}: seed {best['seed']}, {best['folder']}."
    ]
    lines += [f"Left out: {NUMBERS[key]}, not in {', '.join(lack)}." for key, lack in found["left_out"].items()]
    return f"{table}\n\n" + "\n".join(lines)


def _drawn(found: dict) -> str:
    return " (drawn faces: nothing about FER2013)" if found["synthetic"] else ""


def _row(key: str, number: dict) -> tuple[str, str, str, str]:
    digits, scale, unit = 3, 1, ""
    if key.endswith("accuracy"):
        digits, scale, unit = 1, 100, " %"
    elif key == "train_seconds":
        digits = 0

    def show(value: float) -> str:
        return f"{scale * value:.{digits}f}"

    values = ", ".join(map(show, number["values"]))
    if number["std"] is None:
        return NUMBERS[key], f"{show(number['mean'])}{unit}", "", values
    low, high = number["interval"]
    return NUMBERS[key], f"{show(number['mean'])} ± {show(number['std'])}{unit}", f"{show(low)} to {show(high)}", values


def _read(folder: Path) -> dict:
    """A run: `folder` as given, its numbers, `results` (as in all_results.json), `record`, and `facts` to compare."""
    files = [folder / name for name in ("all_results.json", "results.json") if (folder / name).is_file()]
    record_file = folder / "train_config.json"
    if not record_file.is_file():
        raise UserError(f"{folder} holds no run: train_config.json is missing. Name the --output_dir of a training.")
    record = read_record(record_file)
    if not files:
        raise UserError(
            f"{folder} holds no finished run: all_results.json is missing. Finish it: "
            f"python {record.get('command', 'train.py ...')} --resume_from_checkpoint last"
        )
    results = read_record(files[0])
    if files[0].name == "results.json":
        results = _flat(results)
    try:
        return {
            "folder": str(folder),
            "seed": record["config"]["seed"],
            "recipe": record["config"]["recipe"],
            "of_data": {key: record["data"][key] for key in ("dataset_name", "synthetic")},
            "eval_loss": results["eval_loss"],
            "eval_accuracy": results["eval_accuracy"],
            "results": results,
            "record": record,
            "facts": _facts(record, results),
        }
    except KeyError as error:
        raise UserError(
            f"{folder} lacks {error} in {files[0].name} or train_config.json. Restore them, or leave the folder out: "
            "only trainings of train.py can be aggregated."
        ) from error


def _flat(published: dict) -> dict:
    """results.json with the keys of all_results.json, as far as they are in `NUMBERS`, and what a calibration left."""
    flat = {key: value for key, value in published.items() if key in NUMBERS or key == "calibration"}
    for prefix, split in (("eval", "validation"), ("test", "test")):
        numbers = published.get(split, {})
        flat |= {f"{prefix}_{key}": value for key, value in numbers.items()}
        flat |= {f"{prefix}_dedup_{key}": value for key, value in numbers.get("dedup", {}).items()}
    return flat


def _facts(record: dict, results: dict) -> dict:
    """All that must be equal, by a name that the user knows."""
    # A flag that is younger than a run had its default in it.
    config = json.loads(json.dumps(asdict(TrainConfig()))) | record["config"]
    return {
        **{f"--{key}": value for key, value in config.items() if key not in FREE},
        "architecture": record["architecture"],
        "parameters": record["num_parameters"],
        "global batch": record["global_batch_size"],
        "precision": record["environment"]["mixed_precision"],
        "weights of --teacher": " ".join(record.get("teachers", [])) or None,
        "calibrated": "calibration" in results,
        **{f"images of {split}": value for split, value in record["data"]["fingerprints"].items()},
    }


def _require_same(first: dict, other: dict) -> None:
    one, two = first["facts"], other["facts"]
    differences = [
        f"{key} is {_show(one.get(key))} and {_show(two.get(key))}"
        for key in dict.fromkeys((*one, *two))
        if one.get(key) != two.get(key)
    ]
    if not differences:
        return
    advice = "Aggregate only runs of the same command with another --seed; --summary takes several recipes."
    if all(difference.startswith("images of") for difference in differences):
        advice = (
            "The data sets differ; or the source has no validation split, or --max_train_samples or --max_eval_samples "
            "is used, and --seed drew other images. Store the splits once and train on these."
        )
    raise UserError(
        f"{first['folder']} and {other['folder']} differ in more than the seed: {'; '.join(differences)}. {advice}"
    )


def _show(value: object) -> str:
    return "none" if value is None else shlex.quote(str(value))
