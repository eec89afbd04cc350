"""The data that a model was trained on, opened as its training did: with its cut of a validation split, its samples."""

import logging

from fer_hub import dataset, model_folder
from fer_hub.errors import UserError
from fer_hub.label_sets import LabelSet
from fer_hub.model import FERModel
from fer_hub.pixels import Pixels, decode, stratified_sample

logger = logging.getLogger(__name__)


def load(model: FERModel, dataset_name: str, labels: LabelSet) -> dict[str, Pixels]:
    """Opens the splits.

    Args:
        model: its record tells the seed, by which a missing validation split is cut from train, and the size of
            validation and test where they were sampled.
        dataset_name: as for `dataset.load`.
        labels: what the data set's labels mean.

    Raises:
        UserError: as `dataset.load`, or the classes are not the model's.
    """
    config = _record(model).get("config", {})
    seed, most = config.get("seed", 0), config.get("max_eval_samples")
    loaded = dataset.of_train(dataset.load(dataset_name, seed=seed, labels=labels), labels)
    names = tuple(loaded["train"].features["label"].names)
    if names != model.label_names:
        raise UserError(
            f"{dataset_name} has the classes {', '.join(names)}, the model {', '.join(model.label_names)}. Name the "
            "data set that it was trained on, with the same --label_set or --label_map."
        )
    dataset.say_left_out(loaded, loaded)
    pixels = {name: decode(split, f"{dataset_name}, split {name}") for name, split in loaded.items()}
    return {
        name: stratified_sample(part, most, seed) if most and name != "train" else part for name, part in pixels.items()
    }


def seed_of_cut(model: FERModel | None, dataset_name: str) -> int:
    """The seed by which the model's training cut a missing validation split from train; 0 for other data."""
    record = _record(model)
    return record["config"]["seed"] if record.get("data", {}).get("dataset_name") == dataset_name else 0


def warn_of_other_images(model: FERModel | None, dataset_name: str, split: str, fingerprint: str) -> None:
    """Says where a split of the data set that a model was trained on is not the one that its training held out."""
    data = _record(model).get("data", {})
    known = data.get("fingerprints", {}).get(split, fingerprint)
    if data.get("dataset_name") == dataset_name and known != fingerprint:
        logger.warning(
            "The %s images of %s are not those that the training of %s held out: another sample, or a split cut with "
            "another seed, so that it may have been trained on some of them.", split, dataset_name, model.folder,
        )  # fmt: skip


def _record(model: FERModel | None) -> dict:
    folder = model and model.folder
    return model_folder.read_record(folder / "train_config.json") if folder else {}
