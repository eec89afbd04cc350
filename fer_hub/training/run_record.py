"""What a run says and leaves: its record, its lines on the screen, its results and figures."""

import csv
import io
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from fer_hub import __version__, card, hardware, plots
from fer_hub.evaluation import SCHEMA_VERSION
from fer_hub.files import write_json, write_text
from fer_hub.model import FERModel
from fer_hub.recipes import TrainConfig, told
from fer_hub.splits import Splits
from fer_hub.teachers import fingerprints

PACKAGES = ("torch", "timm", "accelerate", "datasets", "numpy")


def create(
    config: TrainConfig,
    command: str,
    model: FERModel,
    teachers: Sequence[FERModel],
    splits: Splits,
    device: torch.device,
    processes: int,
    batch_size: int,
    threads: int,
    precision: str,
) -> dict:
    """Everything that repeats the run, as train_config.json holds it; paths stand as typed, no host or user name."""
    present = splits.present()
    return {
        "config": asdict(config),
        "command": command,
        "architecture": model.architecture,
        "num_parameters": model.num_parameters,
        "base_model": _base_model(config, model),
        "teachers": fingerprints(teachers),
        "global_batch_size": batch_size,
        "environment": {
            "device": device.type,
            "hardware": hardware.describe(device),
            "processes": processes,
            "num_threads": threads,
            "mixed_precision": precision,
            "python": platform.python_version(),
            "versions": {"fer_hub": __version__, **{name: version(name) for name in PACKAGES}},
        },
        "data": {
            "dataset_name": config.dataset_name,
            "hub_id": _hub_id(config.dataset_name),
            "synthetic": config.dataset_name == "synthetic",
            "images": {name: len(pixels) for name, pixels in present.items()},
            "fingerprints": {name: pixels.fingerprint for name, pixels in present.items()},
            "duplicates": splits.counts,
            "label_set": splits.labels.told,
            "label_map": splits.labels.mapping,
            "labels_left_out": splits.left_out,
        },
    }


def _base_model(config: TrainConfig, model: FERModel) -> str | None:
    """The Hub repository whose weights the run starts from; None for fresh weights and those that lie elsewhere."""
    if config.pretrained:
        return (model.network.pretrained_cfg.get("hf_hub_id") or "").split("@")[0] or None
    return _hub_id(config.init_from)


def _hub_id(name: str | None) -> str | None:
    """The name, where it is that of a repository on the Hub: data/fer2013 may be one, or a folder."""
    return name if name and "/" in name and not Path(name).expanduser().exists() else None


def banner(record: dict, splits: Splits, per_device: int, steps_per_epoch: int, total_steps: int) -> str:
    """The lines before the first epoch."""
    config, where, data = record["config"], record["environment"], record["data"]
    images = ", ".join(f"{count:,} {name}" for name, count in data["images"].items())
    counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in data["duplicates"].items())
    accumulation = config["gradient_accumulation_steps"]
    note = " (drawn faces: the results say nothing about FER2013)" if data["synthetic"] else ""
    start = f", from {config['init_from']}" if config["init_from"] else ", pretrained" if config["pretrained"] else ""
    return "\n".join(
        (
            f"FER Hub {__version__}, recipe {config['recipe']}, seed {config['seed']} -> {config['output_dir']}",
            f"  data    {data['dataset_name']}{note}: {images}",
            f"          {counts}",
            *_classes(config, splits),
            f"  model   {record['architecture']}, {record['num_parameters']:,} parameters{start}",
            f"  steps   {total_steps:,} ({steps_per_epoch:,} an epoch), batch {record['global_batch_size']} = "
            f"{per_device} x {where['processes']} processes x {accumulation} accumulation",
            "  learns  " + "\n          ".join(told(config)),
            f"  device  {where['device']} ({where['hardware']}), {where['num_threads']} threads, "
            f"precision {'fp32' if where['mixed_precision'] == 'no' else where['mixed_precision']}",
        )
    )


def _classes(config: dict, splits: Splits) -> list[str]:
    """A line of what the labels are, where they are not FER2013's."""
    if splits.labels.is_fer2013:
        return []
    origin = f"label map {config['label_map']}" if config["label_map"] else f"label set {config['label_set']}"
    soft = ", shares of the votes as targets" if config["soft_labels"] else ""
    return [f"  classes {', '.join(splits.label_names)} ({origin}{soft})"]


def epoch_line(row: dict, epochs: int, is_best: bool) -> str:
    """The line of an epoch, from its row of history.csv; `epochs` has the run in all, the last one perhaps cut off."""
    return (
        f"epoch {row['epoch']:>3}/{epochs}  "
        f"train loss {row['train_loss']:.4f} acc {row['train_accuracy']:.4f}  "
        f"validation loss {row['eval_loss']:.4f} acc {row['eval_accuracy']:.4f}{'  best' if is_best else ''}"
    )


def csv_text(history: list[dict]) -> str:
    """history.csv: a row an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, history[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def summarize(record: dict, results: dict, progress: dict) -> dict:
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


def closing_lines(summary: dict, output: Path) -> str:
    """What is printed at the end."""
    lines = [f"Best epoch {summary['best_epoch']}, by validation {summary['metric_for_best_model']}."]
    note = " (drawn faces, not FER2013)" if summary["synthetic"] else ""
    for prefix, name in (("eval", "validation"), ("test", "test")):
        if f"{prefix}_accuracy" in summary:
            low, high = summary[f"{prefix}_interval"]
            lines.append(
                f"  {summary['dataset_name']} {name}{note}: accuracy {summary[f'{prefix}_accuracy']:.4f} "
                f"(95 % {low:.4f}-{high:.4f}), macro-F1 {summary[f'{prefix}_macro_f1']:.4f}, "
                f"loss {summary[f'{prefix}_loss']:.4f}, n {summary[f'{prefix}_n']:,}"
            )
    if "test_dedup_accuracy" in summary:
        low, high = summary["test_dedup_interval"]
        lines.append(
            f"  test without images that are also in train: accuracy {summary['test_dedup_accuracy']:.4f} "
            f"(95 % {low:.4f}-{high:.4f}), n {summary['test_dedup_n']:,}"
        )
    lines.append(
        f"  trained in {summary['train_seconds']:.0f} s, {summary['train_images_per_second']:,.0f} images/s; "
        f"peak memory {summary['peak_memory_bytes'] / 1e9:.2f} GB"
    )
    lines.append(f"Saved: {output}/best (the model), {output}/all_results.json, {output}/figures")
    return "\n".join(lines)


def _as_published(summary: dict) -> dict:
    keys = ("dataset_name", "synthetic", "label_set", "recipe", "seed", "best_epoch", "train_seconds",
            "train_images_per_second")  # fmt: skip
    return {key: summary[key] for key in keys}
