"""What a training step minimizes: the labels' cross-entropy, and the teachers' opinion where there are teachers."""

import torch
from torch.nn import functional as F

from fer_hub.recipes import TrainConfig


def training_loss(
    logits: torch.Tensor, targets: torch.Tensor, opinion: torch.Tensor | None, config: TrainConfig
) -> torch.Tensor:
    """The sum of the images' losses.

    Args:
        logits: float (B, C).
        targets: int64 (B,), or float (B, C): distributions.
        opinion: the teachers' probabilities, float (B, C), as `teachers.ask` gives them; None without teachers.
        config: `label_smoothing` is the share of the targets that is spread evenly over the classes,
            `distillation_weight` the share of the loss that is the teachers'.
    """
    loss = F.cross_entropy(logits.float(), targets, reduction="sum", label_smoothing=config.label_smoothing)
    if opinion is None:
        return loss
    theirs = distillation_loss(logits, opinion, config.distillation_temperature)
    return torch.lerp(loss, theirs, config.distillation_weight)


def distillation_loss(logits: torch.Tensor, opinion: torch.Tensor, temperature: float) -> torch.Tensor:
    """T^2 times the sum of the images' Kullback-Leibler divergences from the teachers (Hinton et al. 2015).

    Args:
        logits: float (B, C), the student's.
        opinion: float (B, C), the teachers' probabilities at the same temperature.
        temperature: T, divides the logits of both.
    """
    student = F.log_softmax(logits.float() / temperature, 1)
    return F.kl_div(student, opinion, reduction="sum") * temperature**2
