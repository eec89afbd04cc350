"""Makes a model's probabilities mean what they say: one temperature, fitted on validation and folded into the weights.

Guo et al. 2017, "On Calibration of Modern Neural Networks": logits divided by a number do not change their order, so
the first choices stay. Folded into the last layer, every loader gives calibrated probabilities, ONNX Runtime included.
"""

import logging
import os
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import safe_open
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn import functional as F

from fer_hub.atomic_files import write_json, write_text
from fer_hub.data import duplicates
from fer_hub.data.label_sets import FER2013, LabelSet
from fer_hub.data.pixels import Pixels
from fer_hub.data.reading import AS_FOUND, Reading
from fer_hub.errors import UserError
from fer_hub.evaluation import measure, plots
from fer_hub.hub import card, model_folder
from fer_hub.hub.locate import shipped_names
from fer_hub.metrics import abstention, calibration_error
from fer_hub.models import trained_on
from fer_hub.models.model import FERModel

logger = logging.getLogger(__name__)

BOUNDS = (-3.0, 3.0)  # of the temperature's logarithm: a twentieth to twenty


def fit(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The temperature with the lowest mean negative log-likelihood.

    Args:
        logits: float (N, C), N > 0.
        labels: int64 (N,).
    """
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits / np.exp(log_temperature), labels).item()

    return float(np.exp(minimize_scalar(loss, bounds=BOUNDS, method="bounded", options={"xatol": 1e-6}).x))


def fold(model: FERModel, temperature: float) -> None:
    """Divides the last layer by the temperature.

    Raises:
        UserError: the model is calibrated already, or its logits do not come straight from its last layer.
    """
    if model.temperature is not None:
        raise UserError(f"the model is calibrated already, with temperature {model.temperature:.4f}: once is enough.")
    head = model.network.get_classifier()
    if not isinstance(head, nn.Linear | nn.Conv2d):
        raise UserError(f"{model.architecture} has no last layer that a temperature could be folded into.")
    probe = torch.arange(48 * 48, dtype=torch.int64).remainder(251).to(torch.uint8).view(1, 48, 48)
    with torch.no_grad():
        before = model(probe)
        for parameter in head.parameters():
            parameter.div_(temperature)
        if not torch.allclose(model(probe) * temperature, before, rtol=1e-4, atol=1e-4):
            for parameter in head.parameters():
                parameter.mul_(temperature)
            raise UserError(
                f"{model.architecture} changes its logits after its last layer: it cannot be calibrated so."
            )
    model.temperature = temperature


def calibrate(
    name: str | Path,
    dataset_name: str,
    labels: LabelSet = FER2013,
    reading: Reading = AS_FOUND,
    output_dir: str | Path | None = None,
) -> dict:
    """Calibrates a model, and measures its recorded splits again.

    The temperature and the abstention threshold (`abstention.recommended_threshold`) come from one split alone:
    validation, or where the data set has none, what it has. Weights, config.json, results.json, figures and card are
    written anew; ONNX files, which would give the old probabilities, are removed.

    Args:
        name: a model folder; with `output_dir` also a shipped name or a Hub id.
        dataset_name: the data set that the model was trained on, as for `dataset.load`; with `output_dir`, or where
            the model has no record of its training, any other.
        labels: what its labels mean.
        reading: as for `dataset.load`.
        output_dir: a new folder for a calibrated copy with a bare card; the model stays as it is. A model that is
            calibrated already is calibrated anew there.

    Returns:
        `temperature`, `abstention_threshold`, `split`, `n`, and `before` and `after`: `ece`, `ece_equal_mass`, `loss`,
        `accuracy` on the split.

    Raises:
        UserError: the model is calibrated already, or the data are not those of its recorded results.
    """
    if output_dir is not None:
        return _calibrated_copy(name, dataset_name, labels, reading, Path(os.path.expanduser(output_dir)))
    # A relative folder may have the name of a shipped model.
    folder = Path(os.path.expanduser(name)).absolute()
    if not folder.is_dir() and (str(name) in shipped_names() or str(name).count("/") == 1):
        raise UserError(
            f"{name} is not a folder to write to. Name one for a calibrated copy: --output_dir "
            f"{Path(name).name}-calibrated"
        )
    model_folder.require_model(folder, str(folder))
    model = FERModel.from_pretrained(folder)
    with safe_open(folder / model_folder.WEIGHTS, "pt") as weights:
        header = weights.metadata() or {}
    if "temperature" in header or model.temperature is not None:
        known = header.get("temperature") or model.temperature
        raise UserError(f"{folder} is calibrated already, with temperature {float(known):.4f}: once is enough.")
    results, record = (model_folder.read_record(folder / name) for name in ("results.json", "train_config.json"))
    if record:
        try:
            pixels = trained_on.load(model, dataset_name, labels, reading)
            _require_same_data(record, pixels, dataset_name)
        except UserError as error:
            raise UserError(
                f"{error}\nA copy without these results can be calibrated on any data: --output_dir {name}-calibrated"
            ) from error
        split = "validation"
    else:
        split, pixels = trained_on.load_other(model, dataset_name, labels, reading)
    accelerator = Accelerator()
    changed = _fitted(model, pixels[split], accelerator) | {"dataset_name": dataset_name, "split": split}

    # All is measured before anything is written.
    recorded = [split for split in ("validation", "test") if split in results]
    for split in set(recorded) - pixels.keys():
        recorded.remove(split)
        del results[split]
        logger.warning("%s: the results of the old weights are left out: fer-hub evaluate", split)
    for split in recorded:
        has_leaks = split == "test" and "train" in pixels
        leaked = duplicates.also_in(pixels[split], [pixels["train"]]) if has_leaks else None
        again = measure.evaluate_model(model, pixels[split], accelerator, leaked)
        stale = [key for key in results[split] if key not in again]
        if stale:
            logger.warning("%s: %s of the old weights are left out: fer-hub evaluate", split, ", ".join(stale))
        results[split] = again

    # The header of the weights is the lasting sign: it is replaced with them in one step.
    header.pop("format", None)
    model.save_weights(folder, {**header, "temperature": repr(model.temperature)})
    model.save_config(folder)
    for file in folder.glob("onnx/*.onnx"):
        file.unlink()
        logger.warning("%s gave the old probabilities and was removed: fer-hub export %s", file, folder)
    for split in recorded:
        (folder / "figures" / f"robustness_{split}.png").unlink(missing_ok=True)
        plots.draw({"model": model.architecture, **results}, split, folder / "figures")
    if recorded:
        results |= {"schema_version": measure.SCHEMA_VERSION, "calibration": changed}
        write_json(folder / "results.json", results)
        write_text(folder / model_folder.CARD, card.render(results, record))
    return changed


def _calibrated_copy(name: str | Path, dataset_name: str, labels: LabelSet, reading: Reading, output: Path) -> dict:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} exists already: name a new folder, --output_dir {output}-2")
    model = FERModel.from_pretrained(name)
    split, pixels = trained_on.load_other(model, dataset_name, labels, reading)
    earlier, model.temperature = model.temperature or 1.0, None
    found = _fitted(model, pixels[split], Accelerator()) | {"dataset_name": dataset_name, "split": split}
    model.temperature *= earlier
    model.save_pretrained(output)
    model.save_weights(output, {"temperature": repr(model.temperature)})
    return found | {"temperature": model.temperature}


def _fitted(model: FERModel, pixels: Pixels, accelerator: Accelerator) -> dict:
    """Fits temperature and threshold on a split and folds them into the model."""
    logits = measure.compute_logits(model, pixels.images, accelerator)
    if not logits.isfinite().all():
        raise UserError(f"{model.folder} gives probabilities that are not finite: its weights are damaged.")
    temperature = fit(logits, pixels.labels)
    if abs(np.log(temperature)) > BOUNDS[1] - 0.01:
        logger.warning("The temperature %.4g ends at the bound of the search: is the model trained?", temperature)
    truth, before = pixels.labels.numpy(), logits.double().softmax(1).numpy()
    fold(model, temperature)
    after = measure.compute_logits(model, pixels.images, accelerator).double().softmax(1).numpy()
    model.abstention_threshold = abstention.recommended_threshold(after, truth)
    return {
        "temperature": temperature,
        "abstention_threshold": model.abstention_threshold,
        "n": len(truth),
        "before": _scores(before, truth),
        "after": _scores(after, truth),
    }


def _scores(probabilities: np.ndarray, labels: np.ndarray) -> dict:
    found = calibration_error.measure(probabilities, labels)
    picked = probabilities[np.arange(len(labels)), labels]
    return {
        "ece": found["ece"],
        "ece_equal_mass": found["ece_equal_mass"],
        "loss": float(-np.log(np.maximum(picked, np.finfo(float).eps)).mean()),
        "accuracy": float((probabilities.argmax(1) == labels).mean()),
    }


def _require_same_data(record: dict, pixels: dict, dataset_name: str) -> None:
    """A temperature of other pictures would be recorded beside results of these."""
    known = record.get("data", {}).get("fingerprints", {})
    for split in ("validation", "test"):
        if split in known and split not in pixels:
            raise UserError(f"{dataset_name} has no {split} split, and the model has results on one.")
        if split in known and known[split] != pixels[split].fingerprint:
            raise UserError(
                f"the {split} images of {dataset_name} are not those of the model's results (fingerprint "
                f"{pixels[split].fingerprint}, recorded {known[split]}). Name the data set that it was trained on: "
                f"{record['data']['dataset_name']}"
            )
