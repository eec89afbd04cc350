"""A model and a split -> the numbers that are selected on, printed and published. Always float32, as loaders serve."""

import numpy as np
import torch
from accelerate import Accelerator
from torch.nn import functional as F

from fer_hub.data.pixels import Pixels
from fer_hub.metrics import abstention, calibration_error, intervals
from fer_hub.metrics.accuracy import EmotionMetrics
from fer_hub.models.model import FERModel

BATCH = 64  # bounds memory
SCHEMA_VERSION = 2  # of results.json: docs/evaluation.md
# The numbers that also stand in `dedup`.
HEADLINES = (
    "n", "loss", "accuracy", "interval", "macro_f1", "balanced_accuracy", "top2_accuracy", "intervals", "ece",
    "ece_equal_mass", "brier",
)  # fmt: skip


@torch.inference_mode()
def compute_logits(model: FERModel, images: torch.Tensor, accelerator: Accelerator) -> torch.Tensor:
    """Logits of a split; several processes share the work.

    Args:
        model: on any device, not wrapped for distributed training; left in the mode it came in.
        images: uint8 (N, 48, 48), on any device.
        accelerator: tells this process's share, and gathers.

    Returns:
        float32 (N, C) on the CPU, the same on each process: exactly N rows in order.
    """
    count, processes = len(images), accelerator.num_processes
    share = -(-count // processes)
    # The last process repeats the last image until all shares are equal; the copies are cut off below.
    rows = torch.arange(share * accelerator.process_index, share * (accelerator.process_index + 1)).clamp_(
        max=count - 1
    )
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    logits = [model(images[part.to(images.device)].to(device)) for part in rows.split(BATCH)]
    model.train(was_training)
    return accelerator.gather(torch.cat(logits))[:count].float().cpu()


def summarize(logits: torch.Tensor, labels: torch.Tensor, label_names: tuple[str, ...]) -> dict:
    """The numbers of a split that cost next to nothing.

    Args:
        logits: float (N, C).
        labels: int64 (N,).
        label_names: the C classes.

    Returns:
        `n`, `loss` (mean negative log-likelihood, nats), `interval` (95 % Wilson interval of the accuracy), and what
        `EmotionMetrics` gives.
    """
    predictions = logits.argmax(1)
    metrics = EmotionMetrics().compute(
        predictions=predictions.tolist(), references=labels.tolist(), label_names=label_names
    )
    return {
        "n": len(labels),
        "loss": F.cross_entropy(logits.double(), labels).item(),
        "interval": intervals.wilson(int((predictions == labels).sum()), len(labels)),
        **metrics,
    }


def measure(
    probabilities: np.ndarray, labels: np.ndarray, label_names: tuple[str, ...], leaked: np.ndarray | None = None
) -> dict:
    """Every number of a split that needs no more than the model's probabilities.

    Args:
        probabilities: float (N, C), in 0..1, rows sum to 1; N > 0.
        labels: int (N,).
        label_names: the C classes.
        leaked: bool (N,), the images that are also in train; adds `dedup`, the headline numbers without them.

    Returns:
        What `summarize` and `calibration_error.measure` give (a probability of 0 counts as 2.2e-16 in the loss), and
        `top2_accuracy`: share of images whose label is among the two likeliest classes;
        `intervals`: `macro_f1` and `balanced_accuracy`, 95 % bootstrap intervals over images (1,000 resamples, seed 0);
        `coverage`: what `abstention.measure` gives;
        `dedup`: `HEADLINES` without the leaked images.
    """
    logs = torch.from_numpy(np.log(np.maximum(probabilities, np.finfo(np.float64).eps)))
    results = summarize(logs, torch.from_numpy(np.asarray(labels)), label_names)
    predictions, classes = probabilities.argmax(1), len(label_names)
    two_likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    results["top2_accuracy"] = float((two_likeliest == labels[:, None]).any(1).mean())
    results["intervals"] = {
        score.__name__: intervals.bootstrap(lambda p, y, score=score: score(p, y, classes), predictions, labels)
        for score in (intervals.macro_f1, intervals.balanced_accuracy)
    }
    results |= calibration_error.measure(probabilities, labels)
    results["coverage"] = abstention.measure(probabilities, labels)
    if leaked is not None and not leaked.all():
        rest = measure(probabilities[~leaked], labels[~leaked], label_names)
        results["dedup"] = {key: rest[key] for key in HEADLINES}
    return results


def evaluate_model(
    model: FERModel, pixels: Pixels, accelerator: Accelerator, leaked: torch.Tensor | None = None
) -> dict:
    """Every number of a model on a split, as `measure` gives them.

    Args:
        model: as for `compute_logits`.
        pixels: the split.
        accelerator: as for `compute_logits`.
        leaked: bool (N,), the images that are also in train.
    """
    probabilities = compute_logits(model, pixels.images, accelerator).double().softmax(1).numpy()
    return measure(probabilities, pixels.labels.numpy(), model.label_names, None if leaked is None else leaked.numpy())
