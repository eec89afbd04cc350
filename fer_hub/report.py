"""Any model and any data set -> the complete report: accuracy, leaks, calibration, robustness, the crowd, groups.

`evaluation.measure` has the numbers that need no more than probabilities and labels; here is what needs the images, the
other splits, votes or columns beside them.
"""

import logging
from pathlib import Path

import numpy as np

from fer_hub import dataset, duplicates, evaluation, ferplus, plots, robustness, statistics
from fer_hub.errors import UserError
from fer_hub.pixels import Pixels, decode
from fer_hub.predictors import Predictor, with_flip

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 2


def evaluate(
    predictor: Predictor,
    source: str,
    split: str = "test",
    *,
    revision: str | None = None,
    flip: bool = False,
    robust: bool = False,
    votes: str | None = None,
    group_by: str | None = None,
    progress: bool = True,
) -> tuple[dict, np.ndarray, np.ndarray]:
    """Measures a model on a split.

    Args:
        predictor: the model.
        source: as for `dataset.load`.
        split: train, validation or test.
        revision: of a data set on the Hub.
        flip: adds `flip`, the headline numbers of the mean over each picture and its mirror image.
        robust: adds `robustness`, as `robustness.measure`; 76 passes over the split.
        votes: FER+'s fer2013new.csv; adds `ferplus`, as `ferplus.measure`.
        group_by: a column of the data set; adds `groups`: `by` the column, `values`: value -> n, accuracy, interval,
            macro_f1, balanced_accuracy, intervals, ece, brier, and `largest_gap` of the accuracies, as
            `statistics.permutation_test`, None where there is but one group.
        progress: bars on standard error.

    Returns:
        The results as JSON takes them (`schema_version`, `model`, `dataset_name`, `synthetic`, `fingerprint` of the
        split, `classes_left_out`, and under the split's name `evaluation.measure` with the additions above); the
        probabilities, float64 (N, C), and the labels, int (N,), in the order of `per_class`. Classes that only the
        model or only the data have are left out on both sides and named in `classes_left_out`; the probabilities of
        the rest sum to 1.

    Raises:
        UserError: no such split or column, or model and data have fewer than two classes in common.
    """
    loaded = dataset.load(source, revision, keep=group_by)
    if split not in loaded:
        raise UserError(f"{source} has no {split} split; it has {', '.join(loaded)}.")
    pixels = decode(loaded[split], f"{source}, split {split}")
    data_names = tuple(loaded[split].features["label"].names)
    label_names, left_out = _common_classes(
        predictor, data_names, np.bincount(pixels.labels, minlength=len(data_names))
    )
    kept = np.isin(pixels.labels.numpy(), [data_names.index(name) for name in label_names])
    renumbered = np.array([label_names.index(name) if name in label_names else -1 for name in data_names])
    labels, images = renumbered[pixels.labels.numpy()[kept]], pixels.images[kept]

    chosen = [predictor.label_names.index(name) for name in label_names]

    def probabilities(model: Predictor, images, progress: bool = False) -> np.ndarray:
        shown = model(images, progress)[:, chosen]
        return shown / np.maximum(shown.sum(1, keepdims=True), np.finfo(float).tiny)

    found = probabilities(predictor, images, progress)
    leaked = None
    if split != "train":
        train = decode(loaded["train"], f"{source}, split train")
        leaked = duplicates.also_in(Pixels(images, pixels.labels[kept]), [train]).numpy()
    numbers = evaluation.measure(found, labels, label_names, leaked)
    if flip:
        both = probabilities(with_flip(predictor), images, progress)
        again = evaluation.measure(both, labels, label_names, leaked)
        numbers["flip"] = {key: again[key] for key in (*evaluation.HEADLINES, *(["dedup"] if "dedup" in again else []))}
    if robust:
        numbers["robustness"] = robustness.measure(
            lambda changed: probabilities(predictor, changed), images, labels, progress=progress
        )
    if votes:
        if not kept.all() or not set(label_names) <= set(ferplus.LABELS):
            raise UserError("--ferplus needs all of FER2013's images and no classes but FER+'s.")
        numbers["ferplus"] = ferplus.measure(found, labels, ferplus.read(votes, split, labels), label_names)
    if group_by:
        values = np.array([str(value) for value in loaded[split][group_by]])[kept]
        numbers["groups"] = _groups(found, labels, values, label_names) | {"by": group_by}
    results = {
        "schema_version": SCHEMA_VERSION,
        "model": predictor.name,
        "dataset_name": source,
        "synthetic": source == "synthetic",
        "fingerprint": pixels.fingerprint,
        "classes_left_out": left_out,
        split: numbers,
    }
    return results, found, labels


def _common_classes(predictor: Predictor, data_names: tuple, counts: np.ndarray) -> tuple[tuple[str, ...], dict]:
    """The classes that model and data share, in the data's order, and the others, which are said aloud."""
    common = tuple(name for name in data_names if name in predictor.label_names)
    if len(common) < 2:
        raise UserError(
            f"{predictor.name} knows {', '.join(predictor.label_names)}, the data set has {', '.join(data_names)}: "
            "fewer than two classes in common."
        )
    only_data = {
        name: int(count) for name, count in zip(data_names, counts, strict=True) if name not in predictor.label_names
    }
    only_model = [name for name in predictor.label_names if name not in data_names]
    if any(only_data.values()):
        told = ", ".join(f"{name} ({count:,} images)" for name, count in only_data.items() if count)
        logger.warning("%s does not know %s: left out.", predictor.name, told)
    if only_model:
        logger.warning("The data set has no class %s: left out of the model's answers.", ", ".join(only_model))
    return common, {"images_by_class": only_data, "of_model": only_model}


def _groups(probabilities: np.ndarray, labels: np.ndarray, values: np.ndarray, label_names: tuple[str, ...]) -> dict:
    keys = ("n", "accuracy", "interval", "macro_f1", "balanced_accuracy", "intervals", "ece", "brier")
    found = {}
    for value in np.unique(values):
        part = evaluation.measure(probabilities[values == value], labels[values == value], label_names)
        found[str(value)] = {key: part[key] for key in keys}
    correct = probabilities.argmax(1) == labels
    gap = statistics.permutation_test(correct, values) if len(found) > 1 else None
    return {"values": found, "largest_gap": gap}


def draw(results: dict, split: str, folder: Path) -> list[Path]:
    """Writes the figures of a split's results; returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers, title = results[split], f"{results['model']} on {results['dataset_name']}, {split}"
    figures = {
        f"confusion_matrix_{split}.png": plots.plot_confusion_matrix,
        f"reliability_{split}.png": plots.plot_reliability,
        f"coverage_{split}.png": plots.plot_coverage,
    }
    for name, plot in figures.items():
        plot(numbers, title, folder / name)
    if "robustness" in numbers:
        name = f"robustness_{split}.png"
        plots.plot_robustness(numbers["robustness"], numbers["accuracy"], folder / name, title)
        figures[name] = None
    return [folder / name for name in figures]


def as_text(results: dict, split: str) -> str:
    """The numbers of a split for people, a line each."""
    numbers = results[split]
    lines = [f"{results['model']} on {results['dataset_name']}, {split}" + ", drawn faces" * results["synthetic"]]
    lines += _headlines("all images", numbers)
    if "dedup" in numbers:
        lines += _headlines("without images also in train", numbers["dedup"])
    if "flip" in numbers:
        lines += _headlines("mean with the mirror image", numbers["flip"])
    at = ", ".join(
        f"{100 * accuracy:.1f} % at {share} %" for share, accuracy in numbers["coverage"]["accuracy_at"].items()
    )
    lines.append(f"  accuracy of the surest images: {at}")
    for name, scores in numbers["per_class"].items():
        lines.append(
            f"  {name:10} precision {scores['precision']:.3f}  recall {scores['recall']:.3f}  F1 {scores['f1']:.3f}  "
            f"n {scores['support']:,}"
        )
    if "robustness" in numbers:
        robust = numbers["robustness"]
        lines.append(
            f"  corrupted images: accuracy {100 * robust['mean_corruption_accuracy']:.1f} % on average; same first "
            f"choice mirrored {100 * robust['consistency']['flip']:.1f} %, moved by 2 pixels "
            f"{100 * robust['consistency']['shift']:.1f} %"
        )
        for name, found in robust["corruptions"].items():
            lines.append(f"    {name:16}" + "".join(f"{100 * accuracy:6.1f}" for accuracy in found["accuracy"]))
    if "ferplus" in numbers:
        crowd = numbers["ferplus"]
        lines.append(
            f"  FER+ majority: accuracy {100 * crowd['accuracy']:.1f} % (FER2013's own labels: "
            f"{100 * crowd['label_accuracy']:.1f} %), n {crowd['n']:,}; of {crowd['errors']['n']:,} errors the crowd "
            f"sides with the model in {100 * crowd['errors']['with_model']:.1f} %"
        )
    if "groups" in numbers:
        lines += [f"  {numbers['groups']['by']} {value}: accuracy {100 * part['accuracy']:.1f} % "
                  f"({100 * part['interval'][0]:.1f}-{100 * part['interval'][1]:.1f}), n {part['n']:,}"
                  for value, part in numbers["groups"]["values"].items()]  # fmt: skip
        gap = numbers["groups"]["largest_gap"]
        if gap:
            lines.append(
                f"  largest gap {100 * gap['gap']:.1f} points ({gap['highest']} over {gap['lowest']}), "
                f"p {gap['p']:.4f} ({gap['n']:,} shuffles)"
            )
    return "\n".join(lines)


def _headlines(what: str, numbers: dict) -> list[str]:
    low, high = numbers["interval"]
    f1_low, f1_high = numbers["intervals"]["macro_f1"]
    return [
        f"  {what}, n {numbers['n']:,}",
        f"    accuracy {100 * numbers['accuracy']:.2f} % (95 % {100 * low:.2f}-{100 * high:.2f}), balanced "
        f"{100 * numbers['balanced_accuracy']:.2f} %, top-2 {100 * numbers['top2_accuracy']:.2f} %",
        f"    macro-F1 {numbers['macro_f1']:.3f} (95 % {f1_low:.3f}-{f1_high:.3f}), loss {numbers['loss']:.4f}, "
        f"ECE {numbers['ece']:.3f}, Brier {numbers['brier']:.3f}",
    ]
