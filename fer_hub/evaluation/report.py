"""Any model and any data set -> the complete report: accuracy, leaks, calibration, robustness, the crowd, groups.

`measure.measure` has the numbers that need no more than probabilities and labels; here is what needs the images, the
other splits, votes or columns beside them.
"""

import logging

import numpy as np
import torch
from datasets import ClassLabel

from fer_hub.data import dataset, duplicates, ferplus, label_order
from fer_hub.data.dataset import LabelledSplits
from fer_hub.data.label_sets import FER2013, LabelSet
from fer_hub.data.pixels import Pixels, decode_splits
from fer_hub.data.reading import AS_FOUND, Reading
from fer_hub.data.split_names import ALL
from fer_hub.errors import UserError
from fer_hub.evaluation import measure
from fer_hub.evaluation.predictors import Predictor, among, with_flip
from fer_hub.labels import match
from fer_hub.metrics import crowd, intervals, label_permutation, robustness
from fer_hub.models import trained_on

logger = logging.getLogger(__name__)

MAX_GROUPS = 100  # more are rather names than groups, and each costs a tenth of a second


def evaluate(
    predictor: Predictor,
    source: str,
    split: str | None = "test",
    *,
    revision: str | None = None,
    labels: LabelSet = FER2013,
    reading: Reading = AS_FOUND,
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
        split: train, validation, test or all; None: as `dataset.chosen_split` chooses.
        revision: of a data set on the Hub.
        labels: what the data set's labels mean.
        reading: as for `dataset.load`.
        flip: adds `flip`, the headline numbers of the mean over each picture and its mirror image.
        robust: adds `robustness`, as `robustness.measure`; 76 passes over the split.
        votes: FER+'s fer2013new.csv; adds `ferplus`, as `crowd.measure`.
        group_by: a column of the data set; adds `groups`: `by` the column, `values`: value -> `measure.HEADLINES`,
            and `largest_gap` of the accuracies, as `intervals.permutation_test`, None where there is but one group.
        progress: bars on standard error.

    Returns:
        The results as JSON takes them (`schema_version`, `model`, `dataset_name`, `synthetic`, `label_set`,
        `fingerprint` of the split, `classes_left_out`, `labels_left_out`, and under the split's name
        `measure.measure` with the additions above); the probabilities, float64 (N, C), and the labels, int (N,), in
        the order of `per_class`.
        Where the answers look like labels in another order, a warning gives the label map that mends it.
        Classes that the model does not know, or of which the split has no image, are left out on both sides:
        `classes_left_out` has `images_by_class`, the images that are left out, and `of_model`, the model's classes
        that are. The probabilities of the rest are divided by their sum. `labels_left_out` has the images that the
        label set has no class for: why -> how many.

    Raises:
        UserError: no such split or column, votes that are not of these images, more than 100 groups, or fewer than two
            classes that model and split have in common.
    """
    if group_by in ("image", "label"):
        raise UserError(f"--group_by {group_by}: per_class has the numbers of the labels; name a further column.")
    if votes and not labels.is_fer2013:
        raise UserError("--ferplus compares FER2013's own labels with the crowd: leave out --label_set, --label_map.")
    loaded, split, pixels, train = _opened(predictor, source, split, revision, labels, reading, group_by)
    data_names = tuple(loaded[split].features["label"].names)
    trained_on.warn_of_other_images(predictor.models, source, labels, split, pixels.fingerprint)
    matched, left_out = _common_classes(predictor, data_names, np.bincount(pixels.labels, minlength=len(data_names)))
    label_names = tuple(matched)
    kept = np.isin(pixels.labels.numpy(), [data_names.index(name) for name in label_names])
    renumbered = np.array([label_names.index(name) if name in label_names else -1 for name in data_names])
    shown = pixels[torch.from_numpy(kept)]
    images, truth = shown.images, renumbered[shown.labels.numpy()]
    # All that can be refused is, before the model is run.
    if votes:
        if not kept.all():
            missing = ", ".join(left_out["images_by_class"])
            raise UserError(f"--ferplus needs all of FER2013's images, and {predictor.name} does not know {missing}.")
        ballots = ferplus.read(votes, split, truth)
    if group_by:
        feature = loaded[split].features[group_by]
        words = dict(enumerate(feature.names)) if isinstance(feature, ClassLabel) else {}
        values = np.array([str(words.get(value, value)) for value in loaded[split][group_by]])[kept]
        if (count := len(set(values))) > MAX_GROUPS:
            raise UserError(f"--group_by {group_by}: {count:,} different values, {MAX_GROUPS} at most make groups.")

    chosen = tuple(matched.values())
    found = among(predictor, chosen, images, progress)
    leaked = None
    if train is not None:
        leaked = duplicates.also_in(shown, [train]).numpy()
        if leaked.all():
            logger.warning("All images of %s, split %s, are also in train: none are left without leaks.", source, split)
    numbers = measure.measure(found, truth, label_names, leaked)
    _warn_of_other_order(predictor, source, numbers["accuracy"], found, truth, label_names, loaded)
    if flip:
        both = among(with_flip(predictor), chosen, images, progress)
        again = measure.measure(both, truth, label_names, leaked)
        numbers["flip"] = {key: again[key] for key in (*measure.HEADLINES, "dedup") if key in again}
    if robust:
        numbers["robustness"] = robustness.measure(
            lambda changed: among(predictor, chosen, changed), images, truth, progress=progress
        )
    if votes:
        numbers["ferplus"] = crowd.measure(found, truth, ballots, label_names)
    if group_by:
        numbers["groups"] = {"by": group_by, **_groups(found, truth, values, label_names)}
    results = {
        "schema_version": measure.SCHEMA_VERSION,
        "model": predictor.name,
        "dataset_name": source,
        "synthetic": source == "synthetic",
        "label_set": labels.told,
        "fingerprint": pixels.fingerprint,
        "classes_left_out": left_out,
        "labels_left_out": loaded.left_out[split],
        split: numbers,
    }
    return results, found, truth


def _opened(
    predictor: Predictor,
    source: str,
    split: str | None,
    revision: str | None,
    labels: LabelSet,
    reading: Reading,
    group_by: str | None,
) -> tuple[LabelledSplits, str, Pixels, Pixels | None]:
    """The data set; the split to measure, its images, and those of train where these may leak into it."""
    seed, reading = trained_on.cut_of(predictor.models, source, reading)
    loaded = dataset.load(source, revision, seed, keep=group_by, labels=labels, reading=reading)
    split = dataset.chosen_split(loaded, split, source)
    if split == ALL:
        trained_on.warn_of_all(predictor.models, source)
    may_leak = "train" in loaded and split not in ("train", ALL)
    names = [split, "train"] if may_leak else [split]
    pixels = decode_splits(loaded, names, source, reading.skip_unreadable)
    dataset.say_left_out(loaded, [split])
    return loaded, split, pixels[split], pixels["train"] if may_leak else None


def _warn_of_other_order(
    predictor: Predictor,
    source: str,
    accuracy: float,
    probabilities: np.ndarray,
    truth: np.ndarray,
    names: tuple[str, ...],
    loaded: LabelledSplits,
) -> None:
    """Says where the answers fit the labels much better once these are renamed, and the label map that does it."""
    predictions = probabilities.argmax(1)
    order = label_permutation.find(predictions, truth, len(names))
    if order is None:
        return
    renamed = float((predictions == np.array(order)[truth]).mean())
    meant = {name: names[place] for name, place in zip(names, order, strict=True)}
    logger.warning(
        "The answers of %s to %s look like labels in another order: %s. Renamed so, the accuracy is %.1f %% instead of "
        "%.1f %%. If the data set numbers its classes otherwise than FER2013:\n%s", predictor.name, source,
        label_order.told(tuple(meant), tuple(meant.values())), 100 * renamed, 100 * accuracy,
        label_order.mending(loaded.spellings, {name: name for name in loaded.spellings} | meant),
    )  # fmt: skip


def _common_classes(predictor: Predictor, data_names: tuple, counts: np.ndarray) -> tuple[dict[str, str], dict]:
    """The classes that model and split share: name in the data -> in the model; and the others, said aloud."""
    images = {name: int(count) for name, count in zip(data_names, counts, strict=True) if count}
    common = match(tuple(images), predictor.label_names)
    if len(common) < 2:
        raise UserError(
            f"{predictor.name} knows {', '.join(predictor.label_names)}, the split has images of {', '.join(images)}: "
            "fewer than two classes in common. Where the labels are these classes under other names or numbers, a file "
            'says so: --label_map FILE, with for example {"1": "surprise"}.'
        )
    of_data = {name: count for name, count in images.items() if name not in common}
    of_model = [name for name in predictor.label_names if name not in common.values()]
    if of_data:
        told = ", ".join(f"{name} ({count:,} images)" for name, count in of_data.items())
        logger.warning("%s does not know %s: left out.", predictor.name, told)
    if of_model:
        logger.warning("The split has no images of %s: left out of the model's answers.", ", ".join(of_model))
    return common, {"images_by_class": of_data, "of_model": of_model}


def _groups(probabilities: np.ndarray, labels: np.ndarray, values: np.ndarray, label_names: tuple[str, ...]) -> dict:
    found = {}
    for value in np.unique(values):
        part = measure.measure(probabilities[values == value], labels[values == value], label_names)
        found[str(value)] = {key: part[key] for key in measure.HEADLINES}
    correct = probabilities.argmax(1) == labels
    gap = intervals.permutation_test(correct, values) if len(found) > 1 else None
    return {"values": found, "largest_gap": gap}
