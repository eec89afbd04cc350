"""What a run says of its classes: how many images they have, how many are recognized, which are never named."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fer_hub.metrics.accuracy import EmotionMetrics
from fer_hub.training import console


def closing(labels, predictions, names, weighted=False):
    found = EmotionMetrics().compute(predictions=predictions, references=labels, label_names=names)
    summary = {f"eval_{key}": value for key, value in found.items()}
    summary |= {"dataset_name": "mine", "synthetic": False, "best_epoch": 1, "metric_for_best_model": "loss",
                "eval_interval": (0.8, 0.9), "eval_loss": 0.5, "eval_n": len(labels), "train_seconds": 1.0,
                "train_images_per_second": 1.0, "peak_memory_bytes": 1}  # fmt: skip
    return console.closing_lines(summary, "runs/mine", weighted)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_class_that_is_never_predicted_is_said(weighted):
    names = ("calm", "loud", "rare", "absent")
    labels = np.repeat([0, 1, 2], [90, 30, 6])
    told = closing(labels, np.minimum(labels, 1), names, weighted)
    assert "    recall: calm 1.000, loud 1.000, rare 0.000\n" in told
    assert "class rare is never predicted on validation." in told
    assert ("--class_weights balanced" in told) is not weighted
    told = closing(labels, labels * 0, names)
    assert "classes loud, rare are never predicted" in told and "absent" not in told
    assert "never predicted" not in closing(labels, labels, names)


def test_many_classes_are_not_a_flood():
    names = tuple(f"class number {index}" for index in range(500))
    labels = np.arange(500).repeat(2)
    told = closing(labels, labels * 0, names)
    assert len(told.splitlines()) < 20 and "(the worst; 480 more classes)" in told
    splits = SimpleNamespace(label_names=names, train=SimpleNamespace(labels=torch.from_numpy(labels)))
    lines = console._class_counts(splits)
    assert len(lines) < 10 and max(map(len, lines)) <= 120
    assert "(the rarest; 480 more classes)" in " ".join(lines)


def test_class_counts_are_in_the_order_of_the_classes():
    labels = torch.arange(3).repeat_interleave(torch.tensor([1200, 300, 60]))
    splits = SimpleNamespace(label_names=("b", "a", "c", "d"), train=SimpleNamespace(labels=labels))
    assert console._class_counts(splits) == [" " * 10 + "train: b 1,200, a 300, c 60, d 0"]
