"""config.json of a model folder, read and checked: a stranger's may say anything."""

from dataclasses import dataclass
from pathlib import Path

from fer_hub.errors import UserError
from fer_hub.labels import require_names
from fer_hub.models import network
from fer_hub.shapes import require_shape
from fer_hub.untrusted import MAX_RECORD, parse_json, read_file

_SHAPE = {
    "architecture": str,
    "label_names": [str],
    "num_classes": int,
    "model_args": dict,
    "pretrained_cfg": {"input_size": [int], "mean": [float], "std": [float]},
    "temperature?": float | None,
    "abstention_threshold?": float | None,
}
# Far beyond any use; what is further out makes infinite pixels, and then probabilities that are not numbers.
MAX_MEAN = 1000
STDS = (0.001, 1000)
TEMPERATURES = (0.001, 1000)


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
        return _parse(parse_json(read_file(folder / "config.json", MAX_RECORD)))
    except ValueError as error:
        raise UserError(f"{name}: config.json is not that of a FER Hub model ({error}).") from error


def _parse(config: dict) -> ModelConfig:
    require_shape(config, _SHAPE, "config")
    label_names, model_args, cfg = config["label_names"], config["model_args"], config["pretrained_cfg"]
    require_names(label_names, "label_names")
    if len(set(label_names)) != len(label_names) or len(label_names) != config["num_classes"]:
        raise ValueError(f"num_classes {config['num_classes']!r}, label_names {label_names}")
    if taken := network.RESERVED & model_args.keys():
        raise ValueError(f"model_args has {', '.join(sorted(taken))}")
    if empty := [key for key in ("input_size", "mean", "std") if not cfg[key]]:
        raise ValueError(f"{empty[0]} is empty")
    in_chans, mean, std = cfg["input_size"][0], float(cfg["mean"][0]), float(cfg["std"][0])
    if in_chans not in (1, 3):
        raise ValueError(f"input_size {cfg['input_size']}")
    if abs(mean) > MAX_MEAN:
        raise ValueError(f"mean {mean:g}")
    _require_within(std, STDS, "std")
    temperature, threshold = config.get("temperature"), config.get("abstention_threshold")
    if temperature is not None:
        _require_within(temperature, TEMPERATURES, "temperature")
    if threshold is not None:
        _require_within(threshold, (0, 1), "abstention_threshold")
    return ModelConfig(config["architecture"], label_names, model_args, in_chans, mean, std, temperature, threshold)


def _require_within(value: float, bounds: tuple[float, float], name: str) -> None:
    low, high = bounds
    if not low <= value <= high:
        raise ValueError(f"{name} {value:g} is not in {low:g}..{high:g}")
