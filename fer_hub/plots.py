"""Results -> figures (PNG)."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure


def plot_curves(history: list[dict], title: str, path: Path) -> None:
    """Loss and accuracy by epoch, with the best epoch marked.

    Args:
        history: rows of history.csv.
        title: names the run and its data set.
        path: the PNG file.
    """
    epochs = [row["epoch"] for row in history]
    best = min(history, key=lambda row: row["eval_loss"])["epoch"]
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    figure.suptitle(title)
    for axes, quantity, unit in zip(figure.subplots(1, 2), ("loss", "accuracy"), ("nats", "share"), strict=True):
        axes.plot(epochs, [row[f"train_{quantity}"] for row in history], "o-", ms=3, color="#0072B2", label="train")
        axes.plot(epochs, [row[f"eval_{quantity}"] for row in history], "s-", ms=3, color="#D55E00", label="validation")
        axes.axvline(best, color="0.6", ls=":", label="best checkpoint")
        axes.set(xlabel="epoch", ylabel=f"{quantity} ({unit})")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def plot_confusion_matrix(results: dict, title: str, path: Path) -> None:
    """The confusion matrix, coloured by row share, with counts written in.

    Args:
        results: `confusion_matrix` and `per_class`, as from `evaluation.summarize`.
        title: names the run, its data set and the split.
        path: the PNG file.
    """
    counts, names = np.array(results["confusion_matrix"]), list(results["per_class"])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(6, 5.2), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        ink = "white" if share > 0.55 else "black"
        text = f"{share:.0%}\n{counts[row, column]}"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=7)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    figure.colorbar(picture, label="share of the true class", shrink=0.85)
    figure.savefig(path, dpi=150)


def plot_reliability(results: dict, title: str, path: Path) -> None:
    """The share of right predictions against the stated probability, and how many images each bin has.

    Args:
        results: `reliability` and `ece`, as from `calibration.measure`.
        title: names the run, its data set and the split.
        path: the PNG file.
    """
    confidence, accuracy, n = (
        np.array([part[key] for part in results["reliability"]]) for key in ("confidence", "accuracy", "n")
    )
    figure = Figure(figsize=(5, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], ":", color="0.6", label="calibrated")
    upper.plot(confidence, accuracy, "o-", ms=4, color="#0072B2", label=f"model, ECE {results['ece']:.3f}")
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of right predictions", title=title)
    upper.legend(frameon=False, loc="upper left")
    lower.bar(confidence, n, width=0.05, color="0.6")
    lower.set(xlabel="highest probability (mean of the bin)", ylabel="images")
    figure.savefig(path, dpi=150)
