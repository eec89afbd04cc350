"""Any model -> probabilities of a split, so that all of them are measured by the same code."""

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
from huggingface_hub import snapshot_download
from PIL import Image
from tqdm import tqdm

from fer_hub.errors import UserError
from fer_hub.labels import EMOTIONS, canonical_name
from fer_hub.model import FERModel

BATCH = 256  # images in one call; bounds memory


@dataclass(frozen=True)
class Predictor:
    """A model that gives probabilities.

    Attributes:
        name: as the user gave it.
        label_names: its classes, by our names where we have one.
        predict: uint8 (N, 48, 48), 0-255 -> float (N, C) in the order of `label_names`.
        model: where it is a FER Hub model.
    """

    name: str
    label_names: tuple[str, ...]
    predict: Callable[[np.ndarray], np.ndarray]
    model: FERModel | None = None

    def __call__(self, images: np.ndarray | torch.Tensor, progress: bool = False) -> np.ndarray:
        """Probabilities of a split, batch by batch.

        Args:
            images: uint8 (N, 48, 48), 0-255.
            progress: show a bar on standard error.

        Returns:
            float64 (N, C), rows sum to 1.

        Raises:
            UserError: the model gave something else than probabilities.
        """
        images = np.asarray(images)
        starts = range(0, len(images), BATCH)
        bar = tqdm(starts, desc=self.name, unit="batch", leave=False, disable=None if progress else True)
        parts = (images[start : start + BATCH] for start in bar)
        return np.concatenate([self._checked(self.predict(part), len(part)) for part in parts])

    def _checked(self, found, count: int) -> np.ndarray:
        found = np.asarray(found, dtype=np.float64)
        if found.shape != (count, len(self.label_names)):
            raise UserError(
                f"{self.name} gave an array of shape {found.shape} for {count} images and {len(self.label_names)} "
                f"classes ({', '.join(self.label_names)}): ({count}, {len(self.label_names)}) is expected."
            )
        if not (np.isfinite(found).all() and (found >= 0).all() and np.allclose(found.sum(1), 1, atol=1e-3)):
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
    if name.endswith(".onnx"):
        return _onnx(name)
    module, colon, function = name.partition(":")
    if colon and function.isidentifier():
        return _callable(name, module, function)
    try:
        model = FERModel.from_pretrained(name, revision=revision)
    except UserError:
        foreign = _foreign(name, revision)
        if foreign is None:
            raise
        return foreign
    return of_model(model, name)


def of_model(model: FERModel, name: str) -> Predictor:
    """A FER Hub model in memory."""

    @torch.inference_mode()
    def predict(images: np.ndarray) -> np.ndarray:
        faces = torch.from_numpy(np.ascontiguousarray(images)).to(next(model.parameters()).device)
        return model(faces).double().softmax(1).cpu().numpy()

    return Predictor(name, tuple(model.label_names), predict, model.eval())


def with_flip(predictor: Predictor) -> Predictor:
    """The same, averaged with the mirrored picture: two looks at each face."""

    def predict(images: np.ndarray) -> np.ndarray:
        return (np.asarray(predictor.predict(images)) + np.asarray(predictor.predict(images[:, :, ::-1]))) / 2

    return Predictor(predictor.name, predictor.label_names, predict, predictor.model)


def ensemble(predictors: Sequence[Predictor]) -> Predictor:
    """The mean of the probabilities of several models.

    Raises:
        UserError: their classes differ.
    """
    first = predictors[0]
    for other in predictors[1:]:
        if set(other.label_names) != set(first.label_names):
            raise UserError(f"{first.name} and {other.name} have different classes: they cannot be averaged.")
    orders = [[other.label_names.index(label) for label in first.label_names] for other in predictors]

    def predict(images: np.ndarray) -> np.ndarray:
        found = [np.asarray(p.predict(images))[:, order] for p, order in zip(predictors, orders, strict=True)]
        return np.mean(found, axis=0)

    return Predictor(" + ".join(p.name for p in predictors), first.label_names, predict)


def _onnx(name: str) -> Predictor:
    from fer_hub import export  # whose packages are an extra

    labels = export.label_names(Path(name))
    return Predictor(name, _ours(labels), lambda images: export.probabilities(Path(name), images))


def _callable(name: str, module: str, function: str) -> Predictor:
    """A function of a module that lies in the working directory or is installed."""
    sys.path.insert(0, os.getcwd())
    try:
        predict = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"{name}: {error}. The form is module:function; the module lies here or is installed."
        ) from error
    finally:
        sys.path.pop(0)
    return Predictor(name, _ours(getattr(predict, "label_names", EMOTIONS)), predict)


def _foreign(name: str, revision: str | None) -> Predictor | None:
    """A model in the form of transformers or timm; None where it is neither. Pickles are never fetched or opened."""
    folder = Path(os.path.expanduser(name))
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=["*.json", "*.safetensors"]))
        except Exception:  # what is wrong with the name has been said in FER Hub's own words
            return None
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if "id2label" in config:
        return _transformers(name, folder)
    if "architecture" in config and "label_names" in config:
        return _timm(name, folder, config)
    return None


def _transformers(name: str, folder: Path) -> Predictor:
    try:
        from transformers import pipeline
    except ImportError as error:
        raise UserError(f"{name} is a model of transformers: pip install 'transformers>=5.0'") from error
    try:
        classify = pipeline("image-classification", str(folder), model_kwargs={"use_safetensors": True})
    except (OSError, ValueError) as error:
        raise UserError(f"{name} cannot be opened by transformers: {str(error).splitlines()[0]}") from error
    labels = [classify.model.config.id2label[number] for number in range(classify.model.config.num_labels)]

    def predict(images: np.ndarray) -> list[list[float]]:
        faces = [Image.fromarray(image).convert("RGB") for image in images]
        answers = classify(faces, top_k=len(labels), batch_size=BATCH)
        return [
            [next(entry["score"] for entry in answer if entry["label"] == label) for label in labels]
            for answer in answers
        ]

    return Predictor(name, _ours(labels), predict)


def _timm(name: str, folder: Path, config: dict) -> Predictor:
    try:
        network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise UserError(f"{name} cannot be opened by timm: {str(error).splitlines()[0]}") from error
    data = timm.data.resolve_model_data_config(network)
    transform = timm.data.create_transform(**data)
    mode = "L" if data["input_size"][0] == 1 else "RGB"

    @torch.inference_mode()
    def predict(images: np.ndarray) -> np.ndarray:
        faces = torch.stack([transform(Image.fromarray(image).convert(mode)) for image in images])
        return network(faces).double().softmax(1).numpy()

    return Predictor(name, _ours(config["label_names"]), predict)


def _ours(labels: Sequence[str]) -> tuple[str, ...]:
    """Our names where we have one: other models say `anger`, `Happiness`, ..."""
    named = []
    for label in labels:
        try:
            named.append(canonical_name(label))
        except UserError:
            named.append(label.strip().lower())
    return tuple(named)
