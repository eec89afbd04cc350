"""train_config.json: everything that repeats a run."""

import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from fer_hub import __version__
from fer_hub.models.model import FERModel
from fer_hub.recipes import TrainConfig
from fer_hub.training import hardware
from fer_hub.training.splits import Splits
from fer_hub.training.teachers import fingerprints

PACKAGES = ("torch", "timm", "accelerate", "datasets", "numpy")


def create_record(
    config: TrainConfig,
    command: str,
    model: FERModel,
    teachers: Sequence[FERModel],
    splits: Splits,
    device: torch.device,
    processes: int,
    batch_size: int,
    threads: int,
    precision: str,
) -> dict:
    """Everything that repeats the run, as train_config.json holds it; paths stand as typed, no host or user name."""
    present = splits.present()
    return {
        "config": asdict(config),
        "command": command,
        "architecture": model.architecture,
        "num_parameters": model.num_parameters,
        "base_model": _base_model(config, model),
        "teachers": fingerprints(teachers),
        "global_batch_size": batch_size,
        "environment": {
            "device": device.type,
            "hardware": hardware.describe(device),
            "processes": processes,
            "num_threads": threads,
            "mixed_precision": precision,
            "python": platform.python_version(),
            "versions": {"fer_hub": __version__, **{name: version(name) for name in PACKAGES}},
        },
        "data": {
            "dataset_name": config.dataset_name,
            "hub_id": _hub_id(config.dataset_name),
            "synthetic": config.dataset_name == "synthetic",
            "images": {name: len(pixels) for name, pixels in present.items()},
            "fingerprints": {name: pixels.fingerprint for name, pixels in present.items()},
            "duplicates": splits.counts,
            "label_set": splits.labels.told,
            "label_map": splits.labels.mapping,
            "labels_left_out": splits.left_out,
        },
    }


def _base_model(config: TrainConfig, model: FERModel) -> str | None:
    """The Hub repository whose weights the run starts from; None for fresh weights and those that lie elsewhere."""
    if config.pretrained:
        return (model.network.pretrained_cfg.get("hf_hub_id") or "").split("@")[0] or None
    return _hub_id(config.init_from)


def _hub_id(name: str | None) -> str | None:
    """The name, where it is that of a repository on the Hub: data/fer2013 may be one, or a folder."""
    return name if name and "/" in name and not Path(name).expanduser().exists() else None
