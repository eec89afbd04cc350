"""A model and a split -> the numbers that are selected on, printed and published. Always float32, as loaders serve."""

import torch
from accelerate import Accelerator
from scipy.stats import binomtest
from torch.nn import functional as F

from fer_hub import calibration
from fer_hub.metrics import EmotionMetrics
from fer_hub.model import FERModel
from fer_hub.pixels import Pixels

BATCH = 64  # bounds memory


@torch.inference_mode()
def compute_logits(model: FERModel, images: torch.Tensor, accelerator: Accelerator) -> torch.Tensor:
    """Logits of a split; several processes share the work.

    Args:
        model: not wrapped for distributed training; left in the mode it came in.
        images: uint8 (N, 48, 48), on any device.
        accelerator: tells the device and gathers.

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
    logits = [model(images[part.to(images.device)].to(accelerator.device)) for part in rows.split(BATCH)]
    model.train(was_training)
    return accelerator.gather(torch.cat(logits))[:count].float().cpu()


def summarize(logits: torch.Tensor, labels: torch.Tensor, label_names: tuple[str, ...]) -> dict:
    """The numbers of a split.

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
        "interval": accuracy_interval(int((predictions == labels).sum()), len(labels)),
        **metrics,
    }


def accuracy_interval(correct: int, count: int) -> list[float]:
    """95 % Wilson score interval of a proportion (Wilson 1927): [low, high] in 0..1."""
    interval = binomtest(correct, count).proportion_ci(confidence_level=0.95, method="wilson")
    return [float(interval.low), float(interval.high)]


def evaluate_model(
    model: FERModel, pixels: Pixels, accelerator: Accelerator, leaked: torch.Tensor | None = None
) -> dict:
    """Every number of a model on a split.

    Args:
        model: as for `compute_logits`.
        pixels: the split.
        accelerator: as for `compute_logits`.
        leaked: bool (N,), the images that are also in train; adds `dedup`, the numbers without them.

    Returns:
        What `summarize` and `calibration.measure` give, and `dedup` likewise (`n`, `loss`, `accuracy`, `macro_f1`,
        `interval`).
    """
    logits = compute_logits(model, pixels.images, accelerator)
    results = summarize(logits, pixels.labels, model.label_names)
    results |= calibration.measure(logits.double().softmax(1).numpy(), pixels.labels.numpy())
    if leaked is not None and not leaked.all():
        rest = summarize(logits[~leaked], pixels.labels[~leaked], model.label_names)
        results["dedup"] = {key: rest[key] for key in ("n", "loss", "accuracy", "interval", "macro_f1")}
    return results
