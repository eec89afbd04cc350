"""The splits that a training uses, as tensors: loaded, checked aloud, cleaned and sampled as the run asks."""

import logging
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from fer_hub.data import dataset, duplicates, label_sets
from fer_hub.data.label_sets import LabelSet
from fer_hub.data.pixels import Pixels, decode_splits, stratified_sample
from fer_hub.data.reading import Reading
from fer_hub.recipes import TrainConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Splits:
    """What a run trains on, selects on and reports on.

    Attributes:
        train: after `--drop_leaked_train` and `--max_train_samples`.
        validation: after `--max_eval_samples`.
        test: likewise; None where the source has none or the run must not see it.
        test_leaked: bool (N,), the test images that are also in the source's train split.
        label_names: the classes, in the order of the labels.
        counts: of copies and blank images in the splits above, before any was removed (`duplicates.report`).
        left_out: by split, images that the label set has no class for: why -> how many.
        labels: the label set.
    """

    train: Pixels
    validation: Pixels
    test: Pixels | None
    test_leaked: torch.Tensor | None
    label_names: tuple[str, ...]
    counts: dict[str, int]
    left_out: dict[str, dict[str, int]]
    labels: LabelSet

    def train_targets(self, as_distributions: bool) -> torch.Tensor:
        """What training learns: float32 (N, C), the soft labels or, where asked for, the labels; else int64 (N,)."""
        if self.train.targets is not None:
            return self.train.targets
        labels = self.train.labels
        return F.one_hot(labels, len(self.label_names)).float() if as_distributions else labels

    def present(self) -> dict[str, Pixels]:
        """The splits that are there, by name."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: pixels for name, pixels in found.items() if pixels is not None}


def load_splits(config: TrainConfig) -> Splits:
    """Loads the run's data set. With `no_test`, nothing that is said or returned depends on the test split, but for the
    training images that `drop_leaked_train` removes.

    Raises:
        UserError: as `label_sets.from_flags`, `dataset.load` and `pixels.decode`.
    """
    source = config.dataset_name
    labels = label_sets.from_flags(config.label_set, config.label_map, config.ferplus, config.soft_labels)
    reading = Reading(config.image_column_name, config.label_column_name, config.group_column, config.skip_unreadable)
    loaded = dataset.load(source, config.dataset_revision, config.seed, labels=labels, reading=reading)
    loaded = dataset.of_train(loaded, labels)
    pixels = decode_splits(loaded, list(loaded), source, config.skip_unreadable)
    everything = dict(pixels)
    if config.no_test:
        pixels.pop("test", None)
    elif "test" not in pixels:
        logger.warning("%s has no test split: there will be no test results.", source)

    dataset.say_left_out(loaded, pixels)
    shown = {name: loaded[name] for name in pixels}
    table = dataset.deviation_from_official(shown) if source != "synthetic" and labels.is_fer2013 else None
    if table:
        logger.warning("%s does not have FER2013's official class counts:\n%s", source, table)

    counts = duplicates.report(pixels)
    train, validation = pixels["train"], pixels["validation"]
    if config.drop_leaked_train:
        others = [everything[name] for name in everything if name != "train"]
        copies = duplicates.also_in(train, others)
        train = train[~copies]
        logger.warning(
            "--drop_leaked_train removed %d training images that also stand in another split.", int(copies.sum())
        )

    test = pixels.get("test")
    if config.max_train_samples:
        train = stratified_sample(train, config.max_train_samples, config.seed)
    if config.max_eval_samples:
        validation = stratified_sample(validation, config.max_eval_samples, config.seed)
        if test is not None:
            test = stratified_sample(test, config.max_eval_samples, config.seed)
    leaked = None if test is None else duplicates.also_in(test, [pixels["train"]])
    label_names = tuple(loaded["train"].features["label"].names)
    left_out = {name: loaded.left_out[name] for name in pixels}
    return Splits(train, validation, test, leaked, label_names, counts, left_out, labels)
