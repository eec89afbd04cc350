"""What a training step minimizes: the labels' cross-entropy, and the teachers' opinion where there are teachers."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from fer_hub.model import FERModel


def training_loss(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """The sum of the images' cross-entropies.

    Args:
        logits: float (B, C).
        targets: int64 (B,), or float (B, C): distributions.
        label_smoothing: share of the targets that is spread evenly over the classes.
    """
    return F.cross_entropy(logits.float(), targets, reduction="sum", label_smoothing=label_smoothing)


def distillation_loss(logits: torch.Tensor, teachers: torch.Tensor, temperature: float) -> torch.Tensor:
    """T^2 times the sum of the images' Kullback-Leibler divergences from the teachers (Hinton et al. 2015).

    Args:
        logits: float (B, C), the student's.
        teachers: float (B, C), the probabilities that `ensemble` gives at the same temperature.
        temperature: divides the logits of both.
    """
    student = F.log_softmax(logits.float() / temperature, 1)
    return F.kl_div(student, teachers, reduction="sum") * temperature**2


@torch.inference_mode()
def ensemble(teachers: Sequence[FERModel], images: torch.Tensor, temperature: float) -> torch.Tensor:
    """The mean of the teachers' probabilities, float32 (B, C), at this temperature."""
    return torch.stack([(teacher(images).float() / temperature).softmax(1) for teacher in teachers]).mean(0)
