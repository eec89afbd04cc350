"""Results -> figures (PNG)."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from fer_hub import fonts


def draw(results: dict, split: str, folder: Path) -> list[Path]:
    """Writes the figures of a split's results.

    Args:
        results: `model`, `dataset_name`, and under the split's name what `evaluation.measure` gives, and `robustness`
            where it was measured.
        split: whose numbers.
        folder: gets the PNG files, and is made where it is missing.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers, title = results[split], f"{results['model']} on {results['dataset_name']}, {split}"
    figures = {
        f"confusion_matrix_{split}.png": plot_confusion_matrix,
        f"reliability_{split}.png": plot_reliability,
        f"coverage_{split}.png": plot_coverage,
    }
    for name, plot in figures.items():
        plot(numbers, title, folder / name)
    if "robustness" in numbers:
        name = f"robustness_{split}.png"
        plot_robustness(numbers["robustness"], numbers["accuracy"], folder / name, title)
        figures[name] = None
    return [folder / name for name in figures]


def plot_curves(history: list[dict], best_epoch: int, title: str, path: Path) -> None:
    """Loss and accuracy by epoch, with the best epoch marked.

    Args:
        history: rows of history.csv.
        best_epoch: that of the checkpoint that was kept.
        title: names the run and its data set.
        path: the PNG file.
    """
    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    figure.suptitle(title)
    for axes, quantity, unit in zip(figure.subplots(1, 2), ("loss", "accuracy"), ("nats", "share"), strict=True):
        axes.plot(epochs, [row[f"train_{quantity}"] for row in history], "o-", ms=3, color="#0072B2", label="train")
        axes.plot(epochs, [row[f"eval_{quantity}"] for row in history], "s-", ms=3, color="#D55E00", label="validation")
        axes.axvline(best_epoch, color="0.6", ls=":", label="best checkpoint")
        axes.set(xlabel="epoch", ylabel=f"{quantity} ({unit})")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
    _save(figure, path)


def plot_confusion_matrix(results: dict, title: str, path: Path) -> None:
    """The confusion matrix, coloured by row share, with counts written in.

    Args:
        results: `confusion_matrix` and `per_class`, as from `evaluation.summarize`.
        title: names the run, its data set and the split.
        path: the PNG file.
    """
    counts, names = np.array(results["confusion_matrix"]), fonts.for_figures(list(results["per_class"]))
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
    _save(figure, path)


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
    _save(figure, path)


def plot_coverage(results: dict, title: str, path: Path) -> None:
    """The error of the images that the model is surest of, against their share.

    Args:
        results: as from `evaluation.measure`.
        title: names the model, its data set and the split.
        path: the PNG file.
    """
    curve, accuracy_at = results["coverage"]["curve"], results["coverage"]["accuracy_at"]
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve["coverage"], curve["error"], color="#0072B2")
    for share, accuracy in accuracy_at.items():
        axes.plot(int(share) / 100, 1 - accuracy, "o", color="#D55E00")
        axes.annotate(f"{share} %: {1 - accuracy:.3f}", (int(share) / 100, 1 - accuracy), (6, -12),
                      textcoords="offset points")  # fmt: skip
    axes.set(xlabel="share of the images that get an answer (surest first)", ylabel="error among them", title=title,
             xlim=(0, 1), ylim=(0, None))  # fmt: skip
    axes.grid(color="0.9")
    _save(figure, path)


def plot_comparison(found: dict, title: str, path: Path) -> None:
    """The accuracy of each model with its 95 % interval, the highest on top.

    Args:
        found: as from `compare.compare`.
        title: names the data set and the split.
        path: the PNG file.
    """
    ranked = sorted(found["models"].items(), key=lambda item: item[1]["accuracy"])
    accuracy = np.array([one["accuracy"] for _, one in ranked])
    low, high = np.array([one["interval"] for _, one in ranked]).T
    figure = Figure(figsize=(7, 1.4 + 0.4 * len(ranked)), layout="constrained")
    axes = figure.subplots()
    axes.errorbar(accuracy, range(len(ranked)), xerr=(accuracy - low, high - accuracy), fmt="o", ms=5, capsize=3,
                  color="#0072B2")  # fmt: skip
    axes.set_yticks(range(len(ranked)), fonts.for_figures([name for name, _ in ranked], "model"))
    axes.set(xlabel=f"accuracy (95 % interval, n {found['n']:,})", title=title, ylim=(-0.6, len(ranked) - 0.4))
    axes.grid(axis="x", color="0.9")
    _save(figure, path)


def plot_robustness(
    robustness: dict, clean_accuracy: float, path: Path, title: str = "Accuracy under corruptions"
) -> None:
    """Accuracy under each corruption: a bar for the mean, a numbered dot for each severity, a line for clean images.

    Args:
        robustness: `corruptions` and `mean_corruption_accuracy`, as from `robustness.measure`.
        clean_accuracy: on the same images without corruption, 0..1.
        path: the PNG file.
        title: names the model, its data set and the split.
    """
    found, mean = robustness["corruptions"], robustness["mean_corruption_accuracy"]
    accuracy = np.array([one["accuracy"] for one in found.values()])
    rows = np.arange(len(found))
    figure = Figure(figsize=(8, 1.4 + 0.36 * len(found)), layout="constrained")
    axes = figure.subplots()
    axes.barh(rows, accuracy.mean(1), color="0.88", label="mean of the five severities")
    axes.axvline(clean_accuracy, color="#D55E00", label=f"clean images: {clean_accuracy:.1%}")
    axes.axvline(mean, color="black", ls=":", label=f"mean over all corruptions: {mean:.1%}")
    # Shades of one blue, light to dark: in order for every eye and in print. The digit says it again.
    for severity, shares in enumerate(accuracy.T, 1):
        label = "severity 1 (mild) to 5 (hard)" if severity == 5 else None
        on_top = {"zorder": 2 + severity}
        axes.plot(shares, rows, "o", ms=10, color=colormaps["Blues"](0.2 * severity), mec="0.35", label=label, **on_top)
        for share, row in zip(shares, rows, strict=True):
            ink = "white" if severity > 2 else "black"
            axes.text(share, row, severity, ha="center", va="center_baseline", color=ink, fontsize=7, **on_top)
    axes.set_yticks(rows, [name.replace("_", " ") for name in found])
    axes.set(xlabel="accuracy (share)", title=title, ylim=(len(found) - 0.4, -0.6))
    axes.set_xlim(0, 1.05 * max(clean_accuracy, accuracy.max()))
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    fonts.finish(figure)
    figure.savefig(path, dpi=150, format="png")  # whatever the name of a temporary file is
