"""The metric by hand, and as those of `evaluate` are used."""

import pytest

from fer_hub.metrics.accuracy import EmotionMetrics

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
