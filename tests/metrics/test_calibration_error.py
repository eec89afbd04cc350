"""Calibration error by hand, at its ends, and of a model that is calibrated."""

import numpy as np
import pytest

from fer_hub.metrics import calibration_error


def test_calibration_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    found = calibration_error.measure(probabilities, np.array([0, 1, 0, 1]))
    # two bins: .9, half of it right, and .6, all of it right
    assert found["reliability"] == [
        {"confidence": pytest.approx(0.6), "accuracy": 1.0, "n": 2},
        {"confidence": pytest.approx(0.9), "accuracy": 0.5, "n": 2},
    ]
    assert found["ece"] == pytest.approx(0.4)
    assert found["brier"] == pytest.approx((2 * 0.01 + 2 * 0.81 + 4 * 0.16) / 4)
    # a bin for each image
    assert found["ece_equal_mass"] == pytest.approx((0.1 + 0.9 + 0.4 + 0.4) / 4)


def test_calibration_at_its_ends():
    certain = np.eye(3)[[0, 1, 2]]
    right, wrong = (calibration_error.measure(certain, np.array(labels)) for labels in ([0, 1, 2], [1, 2, 0]))
    assert (right["ece"], right["ece_equal_mass"], right["brier"]) == (0, 0, 0)
    assert (wrong["ece"], wrong["ece_equal_mass"], wrong["brier"]) == (1, 1, 2)


def test_a_calibrated_model_has_little_error():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.5] * 7, 200_000)
    labels = (probabilities.cumsum(1) > rng.random((len(probabilities), 1))).argmax(1)
    found = calibration_error.measure(probabilities, labels)
    assert found["ece"] < 0.005 and found["ece_equal_mass"] < 0.005
    assert (
        calibration_error.measure(probabilities**0.5 / (probabilities**0.5).sum(1, keepdims=True), labels)["ece"] > 0.1
    )
