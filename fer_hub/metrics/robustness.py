"""What a classifier loses on corrupted images, and how often small changes change its mind."""

import sys
from collections.abc import Callable

import numpy as np
import torch
from tqdm import tqdm

from fer_hub.metrics.corruptions import CORRUPTIONS, SEVERITIES, corrupt, shift

SHIFT = 2  # pixels, 4 % of the side: less than the boxes of face detectors waver by
SELDOM = {"mininterval": 30, "delay": 10}  # seconds; a file or a notebook would keep each state of a bar
SHIFTS = ((-SHIFT, 0), (SHIFT, 0), (0, -SHIFT), (0, SHIFT))  # right, down


def measure(
    predict: Callable[[torch.Tensor], np.ndarray],
    images: torch.Tensor,
    labels: torch.Tensor,
    seed: int = 0,
    progress: bool = True,
) -> dict:
    """Accuracy under corruptions, and consistency under flip and shifts; 76 predictions of the whole split.

    Args:
        predict: images as below -> probabilities, float (N, C); called in this thread.
        images: uint8 (N, 48, 48), 0-255, on the CPU; N > 0.
        labels: int64 (N,).
        seed: of noise, directions and sides.
        progress: a bar on standard error; where that is no terminal, a line each half minute.

    Returns:
        Ready for JSON; all shares in 0..1:
        `corruptions`: for each name of `corruptions.CORRUPTIONS` its `accuracy` at the severities 1 to 5 and their
            `mean`;
        `mean_corruption_accuracy`: the mean over all corruptions and severities, each with the same weight: 1 minus
            the mean corruption error of Hendrycks & Dietterich 2019 without their division by AlexNet's errors;
        `relative`: the former divided by the accuracy on the unchanged images: the "relative performance under
            corruption" of Michaelis et al. 2019, "Benchmarking Robustness in Object Detection: Autonomous Driving when
            Winter is Coming"; None where that accuracy is 0;
        `consistency`: the share of images whose first choice stays what it is on the unchanged image, right or wrong,
            `flip` when mirrored, `shift` when moved by 2 pixels, the mean over left, right, up and down, edge-filled
            (Zhang 2019, "Making Convolutional Networks Shift-Invariant Again", compares two random shifts instead);
        `seed`.
    """
    truth = np.asarray(labels)
    steps = 1 + len(CORRUPTIONS) * len(SEVERITIES) + 1 + len(SHIFTS)
    often = {} if sys.stderr is not None and sys.stderr.isatty() else SELDOM
    with tqdm(total=steps, desc="robustness", unit="pass", leave=False, disable=not progress, **often) as bar:

        def choose(changed: torch.Tensor) -> np.ndarray:
            choices = predict(changed).argmax(1)
            bar.update()
            return choices

        first = choose(images)
        found = {}
        for name in CORRUPTIONS:
            bar.set_description(f"robustness, {name}", refresh=False)
            accuracy = [_share(choose(corrupt(images, name, severity, seed)) == truth) for severity in SEVERITIES]
            found[name] = {"accuracy": accuracy, "mean": float(np.mean(accuracy))}
        flipped = _share(choose(images.flip(2)) == first)
        shifted = [_share(choose(shift(images, right, down)) == first) for right, down in SHIFTS]

    clean, mean = _share(first == truth), float(np.mean([row["mean"] for row in found.values()]))
    return {
        "corruptions": found,
        "mean_corruption_accuracy": mean,
        "relative": mean / clean if clean else None,
        "consistency": {"flip": flipped, "shift": float(np.mean(shifted))},
        "seed": seed,
    }


def _share(marks: np.ndarray) -> float:
    return float(marks.mean())
