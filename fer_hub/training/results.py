"""What a run leaves beside its weights: its history, its numbers, figures and card."""

import csv
import io
import shutil
from pathlib import Path

from fer_hub.atomic_files import write_json, write_text
from fer_hub.evaluation import plots
from fer_hub.evaluation.measure import SCHEMA_VERSION
from fer_hub.hub import card
from fer_hub.training import hardware


def csv_text(history: list[dict]) -> str:
    """history.csv: a row an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, history[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def summarize_run(record: dict, results: dict, progress: dict) -> dict:
    """What all_results.json holds, flat: `eval_*` is validation, `test_*` test, both of the best checkpoint."""
    summary = {
        "dataset_name": record["data"]["dataset_name"],
        "synthetic": record["data"]["synthetic"],
        "label_set": record["data"]["label_set"],
        "recipe": record["config"]["recipe"],
        "seed": record["config"]["seed"],
        "num_parameters": record["num_parameters"],
        "best_epoch": progress["best"]["epoch"],
        "metric_for_best_model": record["config"]["metric_for_best_model"],
        "total_steps": progress["step"],
    }
    for prefix, split in (("eval", "validation"), ("test", "test")):
        if split not in results:
            continue
        for key, value in results[split].items():
            if key == "dedup":
                summary |= {f"{prefix}_dedup_{inner}": number for inner, number in value.items()}
            else:
                summary[f"{prefix}_{key}"] = value
    summary["train_seconds"] = progress["seconds"]
    summary["train_images_per_second"] = progress["images"] / progress["seconds"]
    summary["peak_memory_bytes"] = hardware.peak_memory_bytes()
    return summary


def write_results(output: Path, record: dict, results: dict, summary: dict, history: list[dict]) -> None:
    """Writes figures, best/results.json and the card; all_results.json comes last, as the sign of a finished run."""
    figures = output / "figures"
    figures.mkdir(exist_ok=True)
    title = f"{record['architecture']} on {record['data']['dataset_name']}"
    plots.plot_curves(history, summary["best_epoch"], title, figures / "curves.png")
    named = {"model": record["architecture"], "dataset_name": record["data"]["dataset_name"], **results}
    for split in results:
        plots.draw(named, split, figures)
    shutil.copytree(figures, output / "best" / "figures", dirs_exist_ok=True)
    published = {"schema_version": SCHEMA_VERSION, **_as_published(summary), **results}
    write_json(output / "best" / "results.json", published)
    write_text(output / "best" / "README.md", card.render(published, record))
    write_json(output / "all_results.json", summary)


def remove_results(output: Path) -> None:
    """Takes away what a finished run left beside its weights, and exports of them, before it is made longer."""
    for path in ("all_results.json", "best/results.json", "best/README.md"):
        (output / path).unlink(missing_ok=True)
    for folder in ("figures", "best/figures", "best/onnx"):
        shutil.rmtree(output / folder, ignore_errors=True)


def _as_published(summary: dict) -> dict:
    keys = ("dataset_name", "synthetic", "label_set", "recipe", "seed", "best_epoch", "train_seconds",
            "train_images_per_second")  # fmt: skip
    return {key: summary[key] for key in keys}
