"""What a run leaves beside its weights: its history, its numbers, figures and card."""

import csv
import io
import shutil
from pathlib import Path

from accelerate import Accelerator

from fer_hub.atomic_files import write_atomically, write_json, write_text
from fer_hub.evaluation import plots
from fer_hub.evaluation.measure import SCHEMA_VERSION, evaluate_model
from fer_hub.hub import card
from fer_hub.models.model import FERModel
from fer_hub.training import hardware
from fer_hub.training.splits import Splits


def history_row(epoch: int, rate: float, progress: dict, now: dict) -> dict:
    """A row of history.csv: the epoch that ends, from 1, its last learning rate, its sums, and its validation."""
    loss, correct, images = progress["totals"]
    return {
        "epoch": epoch,
        "step": progress["step"],
        "learning_rate": rate,
        "train_loss": loss / images,
        "train_accuracy": correct / images,
        "eval_loss": now["loss"],
        "eval_accuracy": now["accuracy"],
        "eval_macro_f1": now["macro_f1"],
    }


def write_history(output: Path, history: list[dict]) -> None:
    """Writes history.csv: a row an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, history[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(output / "history.csv", text.getvalue())


def is_better(now: dict, best: dict, metric: str) -> bool:
    """Whether the epoch that ends is the best so far: by the `loss` or the `accuracy` on validation."""
    return now["loss"] < best["loss"] if metric == "loss" else now["accuracy"] > best["accuracy"]


def save_best(model: FERModel, output: Path, best: dict) -> None:
    """Writes best/model.safetensors, with the epoch and its validation loss in it."""
    model.save_weights(output / "best", {"epoch": str(best["epoch"]), "eval_loss": repr(best["loss"])})


def measure_best(output: Path, splits: Splits, accelerator: Accelerator) -> dict:
    """The numbers of the best checkpoint on validation and, where there is one, test, as everybody will load it."""
    best = FERModel.from_pretrained(output / "best").to(accelerator.device)
    results = {"validation": evaluate_model(best, splits.validation, accelerator)}
    if splits.test is not None:
        results["test"] = evaluate_model(best, splits.test, accelerator, splits.test_leaked)
    return results


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
    draw_curves(output, record, history, summary["best_epoch"])
    named = {"model": record["architecture"], "dataset_name": record["data"]["dataset_name"], **results}
    for split in results:
        plots.draw(named, split, figures)
    shutil.copytree(figures, output / "best" / "figures", dirs_exist_ok=True)
    published = {"schema_version": SCHEMA_VERSION, **_as_published(summary), **results}
    write_json(output / "best" / "results.json", published)
    write_text(output / "best" / "README.md", card.render(published, record))
    write_json(output / "all_results.json", summary)


def draw_curves(output: Path, record: dict, history: list[dict], best_epoch: int) -> None:
    """Draws figures/curves.png, of the epochs so far."""
    (output / "figures").mkdir(exist_ok=True)
    title = f"{record['architecture']} on {record['data']['dataset_name']}"
    path = output / "figures" / "curves.png"
    write_atomically(path, lambda temporary: plots.plot_curves(history, best_epoch, title, temporary))


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
