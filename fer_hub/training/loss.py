"""What a training step minimizes: the labels' cross-entropy, and the teachers' opinion where there are teachers."""

import torch
from torch.nn import functional as F

from fer_hub.recipes import TrainConfig


def training_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    opinion: torch.Tensor | None,
    config: TrainConfig,
    class_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The sum of the images' losses.

    Args:
        logits: float (B, C).
        targets: int64 (B,), or float (B, C): distributions.
        opinion: the teachers' probabilities, float (B, C), as `teachers.ask` gives them; None without teachers.
        config: `label_smoothing` is the share of the targets that is spread evenly over the classes,
            `distillation_weight` the share of the loss that is the teachers'.
        class_weights: float (C,), multiply each class's part of the cross-entropy: of a mixed image or a soft target
            each class counts by its own weight. The teachers' part is not weighted.
    """
    loss = F.cross_entropy(
        logits.float(), targets, class_weights, reduction="sum", label_smoothing=config.label_smoothing
    )
    if opinion is None:
        return loss
    theirs = distillation_loss(logits, opinion, config.distillation_temperature)
    return torch.lerp(loss, theirs, config.distillation_weight)


def balanced_weights(targets: torch.Tensor, classes: int) -> torch.Tensor:
    """Weights of `--class_weights balanced`: n / (k * count), so that each class has the same share of the loss.

    The mean weight of an image is 1, which keeps the learning rate what it was.

    Args:
        targets: int64 (N,), or float (N, C): distributions, whose sums are the counts.
        classes: C.

    Returns:
        float32 (C,). n is the number of images, k that of the classes that have some; the others have weight 0.
    """
    counts = targets.double().sum(0) if targets.ndim == 2 else targets.bincount(minlength=classes).double()
    present = counts > 0
    weights = torch.where(present, counts.sum() / (present.sum() * counts), 0.0)
    return weights.float()


def distillation_loss(logits: torch.Tensor, opinion: torch.Tensor, temperature: float) -> torch.Tensor:
    """T^2 times the sum of the images' Kullback-Leibler divergences from the teachers (Hinton et al. 2015).

    Args:
        logits: float (B, C), the student's.
        opinion: float (B, C), the teachers' probabilities at the same temperature.
        temperature: T, divides the logits of both.
    """
    student = F.log_softmax(logits.float() / temperature, 1)
    return F.kl_div(student, opinion, reduction="sum") * temperature**2
