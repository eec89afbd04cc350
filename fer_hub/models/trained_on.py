"""The data that a model was trained on, opened as its training did: with its cut of a validation split, its samples."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from fer_hub.data import dataset
from fer_hub.data.label_sets import LabelSet
from fer_hub.data.pixels import Pixels, decode_splits, stratified_sample
from fer_hub.data.reading import AS_FOUND, Reading
from fer_hub.data.split_names import ALL
from fer_hub.errors import UserError
from fer_hub.hub import model_folder
from fer_hub.labels import match
from fer_hub.models.model import FERModel

logger = logging.getLogger(__name__)


def load(model: FERModel, dataset_name: str, labels: LabelSet, reading: Reading = AS_FOUND) -> dict[str, Pixels]:
    """Opens the splits.

    Args:
        model: its record tells the seed and the groups, by which a missing validation split is cut from train, and the
            size of validation and test where they were sampled.
        dataset_name: as for `dataset.load`.
        labels: what the data set's labels mean.
        reading: as for `dataset.load`; what it leaves open is read as the training did.

    Raises:
        UserError: as `dataset.load`, or the classes are not the model's.
    """
    config = _record(model).get("config", {})
    seed, most = config.get("seed", 0), config.get("max_eval_samples")
    reading = as_trained(model, reading)
    loaded = dataset.of_train(dataset.load(dataset_name, seed=seed, labels=labels, reading=reading), labels)
    names = tuple(loaded["train"].features["label"].names)
    if names != model.label_names:
        raise UserError(
            f"{dataset_name} has the classes {', '.join(names)}, the model {', '.join(model.label_names)}. Name the "
            "data set that it was trained on, with the same --label_set or --label_map."
        )
    pixels = decode_splits(loaded, list(loaded), dataset_name, reading.skip_unreadable)
    dataset.say_left_out(loaded, loaded)
    return {
        name: stratified_sample(part, most, seed) if most and name != "train" else part for name, part in pixels.items()
    }


def load_other(
    model: FERModel, dataset_name: str, labels: LabelSet, reading: Reading = AS_FOUND
) -> tuple[str, dict[str, Pixels]]:
    """Opens a data set that the model need not have been trained on, without a cut.

    Returns:
        The split to fit on: validation, or else all of a data set without splits, test or train; and the splits, with
        the labels numbered as the model's classes.

    Raises:
        UserError: as `load`; the data set may lack some of the model's classes, not the other way round.
    """
    seed, reading = cut_of([model], dataset_name, reading)
    loaded = dataset.load(dataset_name, seed=seed, labels=labels, reading=reading)
    fitted = next(name for name in ("validation", ALL, "test", "train") if name in loaded)
    names = tuple(loaded[fitted].features["label"].names)
    matched = match(names, model.label_names)
    pixels = decode_splits(loaded, list(loaded), dataset_name, reading.skip_unreadable)
    dataset.say_left_out(loaded, loaded)
    used = {names[label] for part in pixels.values() for label in part.labels.unique().tolist()}
    if used - matched.keys():
        unknown = ", ".join(sorted(used - matched.keys()))
        raise UserError(
            f"{dataset_name} has images of {unknown}, which the model does not know "
            f"({', '.join(model.label_names)}). Open it with the same --label_set or --label_map as the training, or "
            "leave these labels out: null in a label map."
        )
    places = torch.tensor([model.label_names.index(matched[name]) if name in matched else -1 for name in names])
    if fitted != "validation":
        logger.warning("%s has no validation split: its %s images are fitted on.", dataset_name, fitted)
    return fitted, {name: Pixels(part.images, places[part.labels]) for name, part in pixels.items()}


def as_trained(model: FERModel, reading: Reading) -> Reading:
    """The reading, and where it leaves something open, that of the model's training."""
    config = _record(model).get("config", {})
    return Reading(
        image_column=reading.image_column or config.get("image_column_name"),
        label_column=reading.label_column or config.get("label_column_name"),
        group_column=reading.group_column or config.get("group_column"),
        skip_unreadable=reading.skip_unreadable or config.get("skip_unreadable", False),
    )


def cut_of(models: Sequence[FERModel], dataset_name: str, reading: Reading) -> tuple[int | None, Reading]:
    """How the models' training cut a missing validation split from train: the seed, and the reading with the groups.

    The seed is None for data that none of them was trained on: nothing is to be cut from these. Where the seeds differ
    it is that of the first: no cut is one that all of them held out.
    """
    for model in models:
        record = _record(model)
        if _is_of(record, dataset_name):
            config = record.get("config", {})
            return config.get("seed", 0), replace(reading, group_column=config.get("group_column"))
    return None, reading


def warn_of_all(models: Sequence[FERModel], dataset_name: str) -> None:
    """Says that all pictures of a data set are measured where a model was trained on some of them."""
    for model in models:
        if _is_of(_record(model), dataset_name):
            logger.warning("%s was trained on some of all images of %s.", model.folder, dataset_name)


def warn_of_other_images(
    models: Sequence[FERModel], dataset_name: str, labels: LabelSet, split: str, fingerprint: str
) -> None:
    """Says where a split of the data set that a model was trained on is not the one that its training held out."""
    for model in models:
        record = _record(model)
        data = record.get("data", {})
        known = data.get("fingerprints", {}).get(split, fingerprint)
        # A fingerprint has the labels in it: with other ones it would differ for the same images.
        as_then = (data.get("label_set", "fer2013"), data.get("label_map")) == (labels.told, labels.mapping)
        if _is_of(record, dataset_name) and as_then and known != fingerprint:
            logger.warning(
                "The %s images of %s are not those that the training of %s held out: another sample, or a split cut "
                "with another seed, so that it may have been trained on some of them.", split, dataset_name,
                model.folder,
            )  # fmt: skip


def _is_of(record: dict, dataset_name: str) -> bool:
    """Whether a model was trained on this data set; "faces", "faces/" and "./faces" are one."""
    known = record.get("data", {}).get("dataset_name")
    return known is not None and (known == dataset_name or Path(known).resolve() == Path(dataset_name).resolve())


def _record(model: FERModel) -> dict:
    return model_folder.read_record(model.folder / "train_config.json") if model.folder else {}
