"""config.json of a model folder, read and checked: a stranger's may say anything."""

import json
from dataclasses import dataclass
from pathlib import Path

from fer_hub.errors import UserError
from fer_hub.models import network


@dataclass(frozen=True)
class ModelConfig:
    """What `FERModel` is built from.

    Attributes:
        architecture: `fer_paper_cnn` or any timm name.
        label_names: the classes, in the order of the logits.
        model_args: further arguments of the architecture.
        in_chans: channels of the saved weights, 1 or 3.
        mean: of the pixels in 0..1.
        std: of the pixels in 0..1, above 0.
        temperature: that a calibration folded into the weights; None without one.
        abstention_threshold: a probability, below which the best one is uncertain; None without one.
    """

    architecture: str
    label_names: list[str]
    model_args: dict
    in_chans: int
    mean: float
    std: float
    temperature: float | None
    abstention_threshold: float | None


def read(folder: Path, name: str) -> ModelConfig:
    """Reads config.json of a folder, which the user knows as `name`.

    Raises:
        UserError: it is not that of a FER Hub model; the message says what of it.
    """
    try:
        return _parse(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(f"{name}: config.json is not that of a FER Hub model ({error!r}).") from error


def _parse(config: dict) -> ModelConfig:
    architecture, label_names, model_args = config["architecture"], config["label_names"], config["model_args"]
    if not isinstance(architecture, str):
        raise ValueError(f"architecture {architecture!r}")
    if not (isinstance(label_names, list) and all(isinstance(label, str) for label in label_names)):
        raise ValueError(f"label_names {label_names!r}")
    if len(set(label_names)) != len(label_names) or len(label_names) != config["num_classes"]:
        raise ValueError(f"num_classes {config['num_classes']!r}, label_names {label_names}")
    if not isinstance(model_args, dict) or network.RESERVED & model_args.keys():
        raise ValueError(f"model_args {model_args!r}")
    cfg = config["pretrained_cfg"]
    in_chans, mean, std = int(cfg["input_size"][0]), float(cfg["mean"][0]), float(cfg["std"][0])
    if in_chans not in (1, 3) or not std > 0:
        raise ValueError(f"input_size {cfg['input_size']}, std {cfg['std']}")
    temperature, threshold = config.get("temperature"), config.get("abstention_threshold")
    if not (threshold is None or (isinstance(threshold, int | float) and 0 <= threshold <= 1)):
        raise ValueError(f"abstention_threshold {threshold!r}")
    if not (temperature is None or (isinstance(temperature, int | float) and temperature > 0)):
        raise ValueError(f"temperature {temperature!r}")
    return ModelConfig(architecture, label_names, model_args, in_chans, mean, std, temperature, threshold)
