"""Models that a student learns from: loaded before the data, asked about what it sees."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator

from fer_hub.errors import UserError
from fer_hub.evaluation.measure import compute_logits
from fer_hub.models.model import FERModel
from fer_hub.models.network import require_crops
from fer_hub.recipes import RECIPES, TrainConfig


def load_teachers(config: TrainConfig, device: torch.device) -> list[FERModel]:
    """Opens them, in eval mode.

    Raises:
        UserError: as `FERModel.from_pretrained`, a teacher's training is still to be done or to be finished, or a
            teacher does not take pieces of `crop_size`.
    """
    _require_trained(config)
    teachers = [FERModel.from_pretrained(name, in_chans=1) for name in config.teacher]
    for name, teacher in zip(config.teacher, teachers, strict=True):
        if config.crop_size and not config.cache_teachers:
            require_crops(teacher.network, teacher.in_chans, config.crop_size, f"--teacher {name}")
        teacher.to(device)
    return teachers


def fingerprints(teachers: Sequence[FERModel]) -> list[str]:
    """A name for the weights of each (16 hexadecimal digits): a stopped run must go on with the same teachers."""
    digests = []
    for teacher in teachers:
        digest = hashlib.sha256()
        for key, tensor in teacher.saved_state_dict().items():
            digest.update(key.encode() + tensor.numpy().tobytes())
        digests.append(digest.hexdigest()[:16])
    return digests


def require_classes(config: TrainConfig, teachers: Sequence[FERModel], label_names: tuple[str, ...]) -> None:
    """Compares the classes and their order.

    Raises:
        UserError: a teacher has others; the message names it.
    """
    for name, teacher in zip(config.teacher, teachers, strict=True):
        if teacher.label_names != label_names:
            raise UserError(
                f"--teacher {name} knows {', '.join(teacher.label_names)}, the data has {', '.join(label_names)}: "
                "name a teacher of the same classes."
            )


def _require_trained(config: TrainConfig) -> None:
    """Raises UserError where a teacher is what another recipe trains, and that has not been done, or not to its end."""
    for recipe in RECIPES:
        run = f"runs/{recipe}"
        if f"{run}/best" in config.teacher and not Path(run, "best").exists():
            raise UserError(
                f"--teacher {run}/best is not there: the recipe {recipe} trains it. First: accelerate launch --quiet "
                f"train.py --recipe {recipe} --dataset_name {config.dataset_name} --output_dir {run}"
            )
    for name in config.teacher:
        run = Path(name).expanduser().parent
        if (run / "checkpoints").exists() and not (run / "all_results.json").exists():
            raise UserError(
                f"--teacher {name} is of a training that has not ended. End it: the command in {run}/train_config.json "
                "with --resume_from_checkpoint last."
            )


@torch.no_grad()  # not inference mode, whose tensors a student's backward pass may not keep
def ask(teachers: Sequence[FERModel], images: torch.Tensor, temperature: float) -> torch.Tensor:
    """Probabilities by one of the teachers for each image, who share the batch evenly, in random order.

    What a student of many such batches learns is the mean of the teachers, as from all of them together: the gradient
    of `distillation_loss` is linear in the opinion. But it costs no more than a single teacher.

    Args:
        teachers: at least one.
        images: uint8 (B, S, S), 0-255, in an order that has no meaning.
        temperature: divides the logits.

    Returns:
        float32 (B, C).
    """
    parts = images.chunk(len(teachers))
    order = torch.randperm(len(teachers))[: len(parts)].tolist()
    answers = [teachers[index](part) for index, part in zip(order, parts, strict=True)]
    return (torch.cat(answers).float() / temperature).softmax(1)


def ensemble_of_all(
    teachers: Sequence[FERModel], images: torch.Tensor, temperature: float, accelerator: Accelerator
) -> torch.Tensor:
    """The mean of all teachers, for a whole split and its mirror images: asked once, before the training.

    Args:
        teachers: at least one.
        images: uint8 (N, S, S), 0-255.
        temperature: divides the logits.
        accelerator: several processes share the work.

    Returns:
        float32 (N, C) on the CPU, the same on each process.
    """
    logits = [compute_logits(teacher, view, accelerator) for teacher in teachers for view in (images, images.flip(2))]
    return torch.stack([(each / temperature).softmax(1) for each in logits]).mean(0)
