"""The numbers against hand-computed and published ones."""

import math

import pytest
import torch
from accelerate import Accelerator

from fer_hub import FERModel
from fer_hub.evaluation import accuracy_interval, compute_logits, evaluate_model, summarize
from fer_hub.metrics import EmotionMetrics
from fer_hub.pixels import Pixels

NAMES = ("a", "b", "c")


def test_metric_by_hand():
    found = EmotionMetrics().compute(predictions=[0, 0, 1, 1], references=[0, 1, 1, 1], label_names=NAMES)
    assert found["accuracy"] == 0.75
    assert found["confusion_matrix"] == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert found["per_class"]["a"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1}
    assert found["per_class"]["b"] == {"precision": 1.0, "recall": pytest.approx(2 / 3), "f1": 0.8, "support": 3}
    assert found["per_class"]["c"]["f1"] == 0  # a class without images counts
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0.8 + 0) / 3)


def test_metric_takes_batches_as_evaluate_metrics_do():
    metric = EmotionMetrics()
    metric.add_batch(predictions=[3, 3], references=[3, 4])
    metric.add_batch(predictions=[4], references=[4])
    assert metric.compute()["accuracy"] == pytest.approx(2 / 3)


def test_loss_is_the_mean_negative_log_likelihood():
    logits = torch.tensor([[0.0, math.log(3), 0.0], [0.0, 0.0, 0.0]])
    found = summarize(logits, torch.tensor([1, 2]), NAMES)
    assert found["loss"] == pytest.approx((math.log(5 / 3) + math.log(3)) / 2)
    assert (found["n"], found["accuracy"]) == (2, 0.5)


def test_wilson_interval_of_the_literature():
    # Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, method 3: 81 of 263, and 0 of 20
    assert accuracy_interval(81, 263) == pytest.approx([0.2553, 0.3662], abs=5e-5)
    assert accuracy_interval(0, 20) == pytest.approx([0.0, 0.1611], abs=5e-5)


def test_numbers_without_leaked_images():
    torch.manual_seed(0)
    model = FERModel()
    pixels = Pixels(torch.randint(0, 256, (300, 48, 48), dtype=torch.uint8), torch.arange(300) % 7)
    leaked = torch.arange(300) < 100
    accelerator = Accelerator(cpu=True)
    whole = evaluate_model(model, pixels, accelerator, leaked)
    rest = evaluate_model(model, pixels[~leaked], accelerator)
    assert model.training  # left as it came
    assert whole["n"] == 300 and whole["dedup"]["n"] == 200
    assert whole["dedup"].pop("loss") == pytest.approx(rest["loss"])
    assert whole["dedup"] == {key: rest[key] for key in whole["dedup"]}


def test_logits_do_not_depend_on_batches():
    torch.manual_seed(0)
    model = FERModel().eval()
    images = torch.randint(0, 256, (131, 48, 48), dtype=torch.uint8)
    with torch.inference_mode():
        expected = model(images)
    torch.testing.assert_close(compute_logits(model, images, Accelerator(cpu=True)), expected, rtol=0, atol=1e-5)
