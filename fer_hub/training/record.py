"""train_config.json: everything that repeats a run."""

import os
import platform
import subprocess
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

PACKAGE = Path(__file__).parents[1]
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
            "commit": source_commit(),
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


def source_commit(package: Path = PACKAGE) -> str | None:
    """Return the commit of the checkout that the package lies in.

    Args:
        package: the folder `fer_hub`.

    Returns:
        The full hash, with "-dirty" behind it where a tracked file differs from the commit. None where the package
        lies in no checkout of its own, such as an installed one, or git cannot tell.
    """
    # An installed package may lie in somebody else's repository, which does not track it, or not at that place.
    if _git(package, "ls-files", "--full-name", "--error-unmatch", "__init__.py") != "fer_hub/__init__.py":
        return None
    return _git(package, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")


def _git(folder: Path, *arguments: str) -> str | None:
    # A hook's GIT_DIR would name its own repository. Without locks, as another git may be at work in the same one.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        done = subprocess.run(  # nosec B603 B607  # fixed arguments, and git wherever the user has it
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() or None


def _base_model(config: TrainConfig, model: FERModel) -> str | None:
    """The Hub repository whose weights the run starts from; None for fresh weights and those that lie elsewhere."""
    if config.pretrained:
        return (model.network.pretrained_cfg.get("hf_hub_id") or "").split("@")[0] or None
    return _hub_id(config.init_from)


def _hub_id(name: str | None) -> str | None:
    """The name, where it is that of a repository on the Hub: data/fer2013 may be one, or a folder."""
    return name if name and "/" in name and not Path(name).expanduser().exists() else None
