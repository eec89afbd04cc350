"""Selective prediction by hand, with ties, and against isotonic regression."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from fer_hub.metrics.abstention import at_threshold, measure, recommended_threshold


def split(confidences, correct):
    """Probabilities of two classes with these confidences (.5 and more), and labels that make them right or wrong."""
    confidences = np.array(confidences, float)
    return np.stack([confidences, 1 - confidences], 1), np.where(correct, 0, 1)


def test_curve_by_hand():
    found = measure(*split([0.6, 0.9, 0.7, 0.8], [True, True, False, True]))
    # surest first: right, right, wrong, right
    assert found["curve"]["coverage"] == [0.25, 0.5, 0.75, 1.0]
    assert found["curve"]["error"] == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert found["aurc"] == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)
    assert found["accuracy_at"] == {"90": 0.75, "80": 0.75, "70": pytest.approx(2 / 3)}


def test_ties_count_as_the_mean_over_all_orders():
    confidences, correct = [0.9, 0.9, 0.9, 0.7, 0.7, 0.6], [True, False, False, True, False, True]
    found = measure(*split(confidences, correct))
    curves = []
    for first in permutations(correct[:3]):
        for second in permutations(correct[3:5]):
            errors = ~np.array([*first, *second, correct[5]])
            curves.append(errors.cumsum() / np.arange(1, 7))
    assert found["curve"]["error"] == pytest.approx(np.mean(curves, axis=0))
    assert found["aurc"] == pytest.approx(np.mean(curves))


def test_no_number_depends_on_the_order_of_the_images():
    rng = np.random.default_rng(0)
    probabilities, labels = split(rng.integers(50, 100, 400) / 100, rng.random(400) < 0.7)
    order = rng.permutation(400)
    shuffled = measure(probabilities[order], labels[order])
    expected = measure(probabilities, labels)
    assert shuffled["aurc"] == pytest.approx(expected["aurc"])
    assert shuffled["curve"]["error"] == pytest.approx(expected["curve"]["error"])
    threshold = recommended_threshold(probabilities, labels)
    assert recommended_threshold(probabilities[order], labels[order]) == threshold


@pytest.mark.parametrize("count", [1, 2, 100, 101, 250, 3589])
def test_curves_are_short_and_reach_the_whole_split(count):
    rng = np.random.default_rng(0)
    confidences, correct = rng.uniform(0.5, 1, count), rng.random(count) < 0.7
    found = measure(*split(confidences, correct))
    coverage, error = (np.array(found["curve"][key]) for key in ("coverage", "error"))
    assert len(coverage) == len(error) == min(count, 101)
    assert (np.diff(coverage) > 0).all() and coverage[0] == 1 / count and coverage[-1] == 1
    assert error[-1] == pytest.approx(1 - correct.mean())
    surest = ~correct[np.argsort(-confidences)]
    kept = np.round(coverage * count).astype(int)
    assert error == pytest.approx([surest[:k].mean() for k in kept])
    assert found["aurc"] == pytest.approx(np.mean(surest.cumsum() / np.arange(1, count + 1)))
    assert found["accuracy_at"]["80"] == pytest.approx(1 - surest[: int(np.ceil(0.8 * count))].mean())


def test_curve_at_its_ends():
    confidences = [0.9, 0.8, 0.7]
    assert measure(*split(confidences, [True] * 3))["aurc"] == 0
    assert measure(*split(confidences, [False] * 3))["aurc"] == 1
    equal = measure(*split([0.75] * 4, [True, True, True, False]))  # no order at all: the error of the split
    assert equal["aurc"] == pytest.approx(0.25) and equal["curve"]["error"] == pytest.approx([0.25] * 4)


# --- the threshold ---


def test_threshold_by_hand():
    # right minus wrong of the surest 1, 2, ... images: 1, 2, 1, 2, 1, 0
    probabilities, labels = split([0.99, 0.95, 0.9, 0.8, 0.7, 0.6], [True, True, False, True, False, False])
    threshold = recommended_threshold(probabilities, labels)
    assert threshold == pytest.approx(0.75)  # of the two best, the one that keeps more
    assert at_threshold(probabilities, labels, threshold) == {
        "coverage": pytest.approx(4 / 6),
        "accuracy": 0.75,
        "accuracy_uncertain": 0.0,
    }


def test_threshold_never_cuts_through_a_tie():
    probabilities, labels = split([0.9, 0.7, 0.7, 0.7, 0.6, 0.6], [True, True, False, False, False, True])
    # 1, then 0 after all of .7, then 0 after all of .6
    assert recommended_threshold(probabilities, labels) == pytest.approx(0.8)


def test_threshold_is_where_isotonic_regression_crosses_one_half():
    rng = np.random.default_rng(0)
    for bend in (0.5, 1, 2):  # also of a model that is far from calibrated
        confidences = rng.uniform(0.5, 1, 800)
        correct = rng.random(800) < ((confidences - 0.5) * 2) ** bend
        fitted = IsotonicRegression().fit_transform(confidences, correct)
        threshold = recommended_threshold(*split(confidences, correct))
        assert np.array_equal(confidences >= threshold, fitted >= 0.5 - 1e-12)


def test_threshold_of_a_calibrated_model_is_one_half():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.5] * 7, 100_000)
    labels = (probabilities.cumsum(1) > rng.random((len(probabilities), 1))).argmax(1)
    assert recommended_threshold(probabilities, labels) == pytest.approx(0.5, abs=0.02)


def test_threshold_at_its_ends():
    confidences = [0.9, 0.8, 0.7]
    assert recommended_threshold(*split(confidences, [True] * 3)) is None  # nothing to gain
    assert recommended_threshold(*split(confidences, [True, True, False])) == pytest.approx(0.75)
    assert recommended_threshold(*split(confidences, [False] * 3)) == 1.0  # nothing to trust
    assert recommended_threshold(*split([0.9], [True])) is None
    assert recommended_threshold(*split([0.9, 0.8], [False, True])) is None  # as good as keeping none
    assert recommended_threshold(*split([0.9, 0.9, 0.8], [True, False, False])) == pytest.approx(0.85)
    assert recommended_threshold(*split([0.9], [False])) == 1.0


def test_what_a_threshold_costs_at_its_ends():
    probabilities, labels = split([0.9, 0.6], [True, False])
    whole = {"coverage": 1.0, "accuracy": 0.5, "accuracy_uncertain": None}
    assert at_threshold(probabilities, labels, None) == at_threshold(probabilities, labels, 0.6) == whole
    assert at_threshold(probabilities, labels, 0.95) == {"coverage": 0.0, "accuracy": None, "accuracy_uncertain": 0.5}
