"""Any model -> probabilities of a split, so that all of them are measured by the same code."""

import copy
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import timm
import torch
from huggingface_hub import HfApi
from PIL import Image
from tqdm import tqdm

from fer_hub.errors import UserError
from fer_hub.hub import downloads
from fer_hub.hub.errors import explain
from fer_hub.hub.locate import locate
from fer_hub.images import SIZE
from fer_hub.labels import EMOTIONS, key, match, require_names
from fer_hub.models import onnx_session
from fer_hub.models.model import FERModel
from fer_hub.shapes import require_shape
from fer_hub.untrusted import MAX_RECORD, parse_json, read_file

BATCH = 256  # images in one call; bounds memory
TOLERANCE = 1e-3  # of a row's sum: what a float16 softmax can lose


@dataclass(frozen=True)
class Predictor:
    """A model that gives probabilities.

    Attributes:
        name: as the user gave it.
        label_names: its classes, by our names where we have one.
        predict: uint8 (N, 48, 48), 0-255 -> float (N, C) in the order of `label_names`.
        model: where it is a FER Hub model.
        members: where it is an ensemble.
    """

    name: str
    label_names: tuple[str, ...]
    predict: Callable[[np.ndarray], np.ndarray]
    model: FERModel | None = None
    members: tuple["Predictor", ...] = ()

    @property
    def models(self) -> tuple[FERModel, ...]:
        """The FER Hub models that it consists of."""
        own = () if self.model is None else (self.model,)
        return own + tuple(model for member in self.members for model in member.models)

    def __call__(self, images: np.ndarray | torch.Tensor, progress: bool = False) -> np.ndarray:
        """Probabilities of a split, batch by batch.

        Args:
            images: uint8 (N, 48, 48), 0-255, N > 0.
            progress: show a bar on standard error.

        Returns:
            float64 (N, C), rows sum to 1.

        Raises:
            UserError: the model gave something else than probabilities.
        """
        images = np.ascontiguousarray(images)
        starts = range(0, len(images), BATCH)
        bar = tqdm(starts, desc=self.name, unit="batch", leave=False, disable=None if progress else True)
        parts = (images[start : start + BATCH] for start in bar)
        return np.concatenate([self._checked(self.predict(part), len(part)) for part in parts])

    def _checked(self, found, count: int) -> np.ndarray:
        try:
            found = np.asarray(found, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{self.name} gave no array of numbers: {error}") from error
        if found.shape != (count, len(self.label_names)):
            raise UserError(
                f"{self.name} gave an array of shape {found.shape} for {count} images and {len(self.label_names)} "
                f"classes ({', '.join(self.label_names)}): ({count}, {len(self.label_names)}) is expected."
            )
        if not (np.isfinite(found).all() and (found >= 0).all() and np.allclose(found.sum(1), 1, atol=TOLERANCE)):
            raise UserError(f"{self.name} gave no probabilities: each row must be in 0..1 and sum to 1 (softmax).")
        return found / found.sum(1, keepdims=True)


def load(name: str, revision: str | None = None) -> Predictor:
    """Opens anything that predicts.

    Args:
        name: a shipped name, a folder or a Hub id (`user/name`) of FER Hub, timm or transformers; an ONNX file of
            `fer-hub export`; or `module:function`, a Python function of uint8 images (N, 48, 48) that gives
            probabilities (N, C), in FER2013's order of emotions or that of its attribute `label_names`.
        revision: branch, tag or commit of a Hub id.

    Raises:
        UserError: there is no such model, or it is of none of these kinds.
    """
    module, _, function = name.partition(":")
    is_function = function.isidentifier() and all(part.isidentifier() for part in module.split("."))
    if revision and (is_function or name.endswith(".onnx")):
        raise UserError(f"revision {revision!r} is for models on the Hub; {name} is not one. Leave it out.")
    if name.endswith(".onnx"):
        return _onnx(name)
    if is_function:
        return _callable(name, module, function)
    folder, commit = locate(name, revision)
    config = _config(folder)
    if "model_type" in config:
        return _transformers(name, folder, commit)
    # timm opens FER Hub's folders, too, but checks less. FER Hub's alone have a temperature.
    if {"architecture", "label_names"} <= config.keys() and "temperature" not in config:
        return _timm(name, folder, config["label_names"])
    model = FERModel.from_pretrained(name, revision=revision)
    return _own(name, model, model)


def of_model(model: FERModel, name: str) -> Predictor:
    """A FER Hub model in memory, as it is now: it is copied, and left as it is."""
    return _own(name, copy.deepcopy(model), model)


def with_flip(predictor: Predictor) -> Predictor:
    """The same, averaged with the mirrored picture: two looks at each face."""

    def predict(images: np.ndarray) -> np.ndarray:
        return (predictor(images) + predictor(images[:, :, ::-1])) / 2

    return replace(predictor, predict=predict)


def among(
    predictor: Predictor, label_names: Sequence[str], images: np.ndarray | torch.Tensor, progress: bool = False
) -> np.ndarray:
    """A choice among some of a model's classes: the probabilities of these, divided by their sum.

    Args:
        predictor: the model.
        label_names: classes of it, C of them.
        images: as for the call of a predictor, like `progress`.
        progress: show a bar.

    Returns:
        float64 (N, C), rows sum to 1; all the same where the model gives these classes nothing.
    """
    found = predictor(images, progress)[:, [predictor.label_names.index(name) for name in label_names]]
    total = found.sum(1, keepdims=True)
    return np.where(total > 0, found / np.where(total > 0, total, 1), 1 / len(label_names))


def ensemble(predictors: Sequence[Predictor]) -> Predictor:
    """The mean of the probabilities of several models.

    Raises:
        UserError: their classes differ.
    """
    first, orders = predictors[0], []
    for other in predictors:
        matched = match(first.label_names, other.label_names)
        if not len(matched) == len(first.label_names) == len(other.label_names):
            raise UserError(f"{first.name} and {other.name} have different classes: they cannot be averaged.")
        orders.append([other.label_names.index(label) for label in matched.values()])

    def predict(images: np.ndarray) -> np.ndarray:
        return np.mean([p(images)[:, order] for p, order in zip(predictors, orders, strict=True)], axis=0)

    return Predictor(" + ".join(p.name for p in predictors), first.label_names, predict, members=tuple(predictors))


def _own(name: str, network: FERModel, model: FERModel) -> Predictor:
    network.eval()
    device = next(network.parameters()).device

    @torch.inference_mode()
    def predict(images: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(images).to(device)).cpu().double().softmax(1).numpy()

    return Predictor(name, tuple(model.label_names), predict, model)


def _onnx(name: str) -> Predictor:
    session = onnx_session.open_session(Path(name))
    labels = _ours(onnx_session.label_names(session), name)
    return Predictor(name, labels, lambda images: onnx_session.run(session, images))


def _callable(name: str, module: str, function: str) -> Predictor:
    """A function of a module that lies in the working directory or is installed."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # for good: the function may import more when it is called
    try:
        call = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"{name}: {error}. The form is module:function; the module lies here or is installed."
        ) from error
    if not callable(call):
        raise UserError(f"{name} is no function, but a {type(call).__name__}. The form is module:function.")

    def predict(images: np.ndarray):
        found = call(images.copy())  # it may change them
        return found.detach().cpu() if isinstance(found, torch.Tensor) else found

    return Predictor(name, _ours(getattr(call, "label_names", EMOTIONS), name), predict)


def _config(folder: Path) -> dict:
    """config.json; empty where it is none, of which `FERModel.from_pretrained` tells."""
    try:
        config = parse_json(read_file(folder / "config.json", MAX_RECORD))
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}


def _transformers(name: str, folder: Path, commit: str | None) -> Predictor:
    try:
        from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline
    except ImportError as error:
        raise UserError(f"{name} is a model of transformers: pip install 'transformers>=5.0'") from error
    if commit:  # how it prepares images; the rest is there
        try:
            downloads.fetch(name, ["config.json", "*_config.json"], commit)
        except UserError:
            raise
        except Exception as error:
            trouble = explain(error, name, HfApi())
            if trouble is None:
                raise
            raise trouble.kind(f"cannot load {name} from the Hub: {trouble.reason}") from error
    try:
        model, loading = AutoModelForImageClassification.from_pretrained(  # nosec B615  # a local folder
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
        processor = AutoImageProcessor.from_pretrained(folder)  # nosec B615  # a local folder
    except Exception as error:  # each architecture fails in its own way
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise UserError(f"{name} cannot be opened by transformers: {reason}. Is it an image classifier?") from error
    if loading["missing_keys"]:  # they would be random
        missing = ", ".join(sorted(loading["missing_keys"])[:5])
        raise UserError(f"{name} has no weights for {missing}: it is not a finished classifier. Train it first.")
    classify = pipeline("image-classification", model=model, image_processor=processor)
    labels = [model.config.id2label[number] for number in range(model.config.num_labels)]

    def predict(images: np.ndarray) -> list[list[float]]:
        faces = [Image.fromarray(image).convert("RGB") for image in images]
        answers = classify(faces, top_k=len(labels), batch_size=BATCH)
        scores = [{entry["label"]: entry["score"] for entry in answer} for answer in answers]
        return [[found[label] for label in labels] for found in scores]

    return Predictor(name, _ours(labels, name), predict)


def _timm(name: str, folder: Path, labels: Sequence[str]) -> Predictor:
    try:
        require_shape(labels, [str | int], "label_names")
        require_names(map(str, labels), "label_names")
        network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval().float()
        data = timm.data.resolve_model_data_config(network)
        transform = timm.data.create_transform(**data)
        mode = "L" if data["input_size"][0] == 1 else "RGB"

        @torch.inference_mode()
        def predict(images: np.ndarray) -> np.ndarray:
            faces = torch.stack([transform(Image.fromarray(image).convert(mode)) for image in images])
            return network(faces).double().softmax(1).numpy()

        predict(np.zeros((1, SIZE, SIZE), np.uint8))  # what does not fit its network is told now
    except Exception as error:  # each architecture, and each setting of its config.json, fails in its own way
        reason = str(error).strip().split("\n")[0] or repr(error)
        raise UserError(f"{name} cannot be opened by timm: {reason}") from error

    return Predictor(name, _ours(labels, name), predict)


def _ours(labels: Sequence[str], name: str) -> tuple[str, ...]:
    """Our names where we have one: other models say `anger`, `Happiness`, ..."""
    named = [key(str(label)) for label in labels]
    if len(set(named)) < len(named):
        raise UserError(f"{name}: two of its classes mean the same: {', '.join(map(str, labels))}.")
    return tuple(named)
