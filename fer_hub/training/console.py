"""What a run prints: the lines before the first epoch, one for each epoch, and those at the end."""

import textwrap
from pathlib import Path

from fer_hub import __version__
from fer_hub.recipes import told
from fer_hub.training.splits import Splits

MOST_CLASSES = 20  # that are listed


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
            *_class_counts(splits),
            *_classes(config, splits),
            f"  model   {record['architecture']}, {record['num_parameters']:,} parameters{start}",
            f"  steps   {total_steps:,} ({steps_per_epoch:,} an epoch), batch {record['global_batch_size']} = "
            f"{per_device} x {where['processes']} processes x {accumulation} accumulation",
            "  learns  " + "\n          ".join(told(config)),
            f"  device  {where['device']} ({where['hardware']}), {where['num_threads']} threads, "
            f"precision {'fp32' if where['mixed_precision'] == 'no' else where['mixed_precision']}",
        )
    )


def _class_counts(splits: Splits) -> list[str]:
    """How many training images each class has; of many classes the rarest ones, which may never be learned."""
    labels = splits.train.labels.bincount(minlength=len(splits.label_names)).tolist()
    counts = dict(zip(splits.label_names, labels, strict=True))
    rest = len(counts) - MOST_CLASSES
    if rest > 0:
        counts = dict(sorted(counts.items(), key=lambda pair: pair[1])[:MOST_CLASSES])
    told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    told += f" (the rarest; {rest} more classes)" if rest > 0 else ""
    return textwrap.wrap(f"train: {told}", 110, initial_indent=" " * 10, subsequent_indent=" " * 17)


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


def closing_lines(summary: dict, output: Path, weighted: bool) -> str:
    """What is printed at the end; `weighted` tells whether the loss was weighted by class."""
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
            lines += _recalls(summary[f"{prefix}_per_class"])
    if "test_dedup_accuracy" in summary:
        low, high = summary["test_dedup_interval"]
        lines.append(
            f"  test without images that are also in train: accuracy {summary['test_dedup_accuracy']:.4f} "
            f"(95 % {low:.4f}-{high:.4f}), n {summary['test_dedup_n']:,}"
        )
    lines += _never_predicted(summary, weighted)
    lines.append(
        f"  trained in {summary['train_seconds']:.0f} s, {summary['train_images_per_second']:,.0f} images/s; "
        f"peak memory {summary['peak_memory_bytes'] / 1e9:.2f} GB"
    )
    lines.append(f"Saved: {output}/best (the model), {output}/all_results.json, {output}/figures")
    return "\n".join(lines)


def _recalls(per_class: dict) -> list[str]:
    """The share of each class's images that was recognized; of many classes the worst."""
    recalls = {name: numbers["recall"] for name, numbers in per_class.items() if numbers["support"]}
    rest = len(recalls) - MOST_CLASSES
    if rest > 0:
        recalls = dict(sorted(recalls.items(), key=lambda pair: pair[1])[:MOST_CLASSES])
    told = ", ".join(f"{name} {recall:.3f}" for name, recall in recalls.items())
    told += f" (the worst; {rest} more classes)" if rest > 0 else ""
    return textwrap.wrap(f"recall: {told}", 110, initial_indent=" " * 4, subsequent_indent=" " * 12)


def _never_predicted(summary: dict, weighted: bool) -> list[str]:
    """A line where a class has validation images and no prediction: its accuracy may hide that."""
    matrix, per_class = summary["eval_confusion_matrix"], summary["eval_per_class"]
    predicted = map(sum, zip(*matrix, strict=True))
    names = [
        name
        for (name, numbers), count in zip(per_class.items(), predicted, strict=True)
        if numbers["support"] and not count
    ]
    if not names:
        return []
    told = ", ".join(names[:MOST_CLASSES]) + (" ..." if len(names) > MOST_CLASSES else "")
    subject = f"class {told} is" if len(names) == 1 else f"classes {told} are"
    advice = "" if weighted else " Where training images are few, --class_weights balanced may help."
    return [f"  Warning: {subject} never predicted on validation.{advice}"]
