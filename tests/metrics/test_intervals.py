"""Intervals and tests against published examples, scipy and scikit-learn, and against data whose truth is known."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score

from fer_hub.metrics import calibration_error
from fer_hub.metrics import intervals as st


def answers(both, only_a, only_b, neither):
    """Two models' right answers with these counts, in a shuffled order."""
    pairs = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [both, only_a, only_b, neither], axis=0).astype(bool)
    return np.random.default_rng(0).permutation(pairs).T


def test_wilson_of_the_literature():
    # Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, method 3
    assert st.wilson(81, 263) == pytest.approx([0.2553, 0.3662], abs=5e-5)
    assert st.wilson(15, 148) == pytest.approx([0.0624, 0.1605], abs=5e-5)
    assert st.wilson(0, 20) == pytest.approx([0.0, 0.1611], abs=5e-5)
    assert st.wilson(1, 29) == pytest.approx([0.0061, 0.1718], abs=5e-5)
    assert st.wilson(1, 1) == pytest.approx([0.2065, 1.0], abs=5e-5)  # 1 / (1 + 1.96 squared)


# --- bootstrap ---


def test_bootstrap_equals_scipys():
    values = np.random.default_rng(0).exponential(size=400)
    found = st.bootstrap(np.mean, values, n=4000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=0).confidence_interval
    assert found == pytest.approx([theirs.low, theirs.high], abs=0.006)  # the interval is .2 wide


def test_bootstrap_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(150):
        correct = rng.random(250) < 0.6
        low, high = st.bootstrap(np.mean, correct, n=150, seed=seed)
        held += low <= 0.6 <= high
    assert 0.89 <= held / 150 <= 0.985


def test_bootstrap_keeps_the_arrays_of_an_image_together():
    labels = np.random.default_rng(0).integers(7, size=300)
    assert st.bootstrap(lambda a, b: (a == b).mean(), labels, labels.copy(), n=50) == [1.0, 1.0]


def test_bootstrap_of_several_numbers_is_that_of_each():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(7), 200)
    labels = rng.integers(7, size=200)

    def both(p, y):
        found = calibration_error.measure(p, y)
        return found["ece"], found["brier"]

    found = st.bootstrap(both, probabilities, labels, n=60, seed=3)
    assert found == [
        st.bootstrap(lambda p, y, at=at: both(p, y)[at], probabilities, labels, n=60, seed=3) for at in (0, 1)
    ]
    assert st.bootstrap(both, probabilities, labels, n=60, seed=4) != found
    squares = ((probabilities - np.eye(7)[labels]) ** 2).sum(1)
    brier_of_means = st.bootstrap(np.mean, squares, n=60, seed=3)
    assert found[1] == pytest.approx(brier_of_means)


def test_bootstrap_of_one_image():
    assert st.bootstrap(np.mean, np.array([True])) == [1.0, 1.0]


@pytest.mark.parametrize("classes", [7, 9])  # of which two have neither images nor predictions
def test_fast_scores_equal_scikit_learns(classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(6, size=500)  # class 6 is only predicted
    predictions = np.where(rng.random(500) < 0.5, labels, rng.integers(7, size=500))
    expected = f1_score(labels, predictions, labels=range(classes), average="macro", zero_division=0)
    assert st.macro_f1(predictions, labels, classes) == pytest.approx(expected, abs=1e-12)
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        expected = balanced_accuracy_score(labels, predictions)
    assert st.balanced_accuracy(predictions, labels, classes) == pytest.approx(expected, abs=1e-12)


def test_scores_by_hand():
    predictions, labels = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert st.macro_f1(predictions, labels, 3) == pytest.approx((2 / 3 + 0.8 + 0) / 3)
    assert st.balanced_accuracy(predictions, labels, 3) == pytest.approx((1 + 2 / 3) / 2)


# --- two models on the same images ---


@pytest.mark.parametrize(
    ("counts", "p"),
    [
        ((21, 9, 2, 12), 0.06543),  # Fay 2010, vignette of the R package exact2x2
        ((59, 6, 16, 80), 0.052479),  # Cavo 2012, in Fagerland, Lydersen and Laake 2017, chapter 8, and its R package
        ((1, 1, 7, 12), 2 * 9 / 2**8),  # Bentur 2009, likewise; by hand: two tails of 1 + 8 of 256
        ((10, 0, 0, 5), 1.0),
        ((3, 4, 4, 0), 1.0),
        ((0, 1, 0, 0), 1.0),
    ],
)
def test_mcnemar(counts, p):
    a, b = answers(*counts)
    found = st.mcnemar(a, b)
    assert found == {"only_a": counts[1], "only_b": counts[2], "p": pytest.approx(p, abs=5e-6)}
    assert st.mcnemar(b, a)["p"] == found["p"]


@pytest.mark.parametrize(
    ("counts", "interval", "printed"),
    [
        ((14, 5, 0, 22), [0.011, 0.226], 1e-3),  # Altman et al. 2000, "Statistics with Confidence", table 6.2
        ((59, 6, 16, 80), [-0.1186, -0.0046], 1e-4),  # Cavo 2012, as above
        (
            (7, 0, 0, 0),
            [-0.3543, 0.3543],
            1e-4,
        ),  # both always right: 1 - lowest of Wilson's limits, 7 / (7 + 1.96 squared)
    ],
)
def test_paired_difference_of_the_literature(counts, interval, printed):
    a, b = answers(*counts)
    assert st.paired_difference(a, b) == pytest.approx(interval, abs=0.6 * printed)
    low, high = st.paired_difference(a, b)
    assert st.paired_difference(b, a) == pytest.approx([-high, -low])


def test_paired_difference_of_models_that_are_right_where_the_other_is_not():
    # p 11 and 9 of 20, phi = (2 * 2 - 9 * 7) / (11 * 9), which gets no continuity correction
    (low_a, high_a), (low_b, high_b) = st.wilson(11, 20), st.wilson(9, 20)
    down, up, phi = (0.55 - low_a, high_b - 0.45), (high_a - 0.55, 0.45 - low_b), -59 / 99
    expected = [
        0.1 - (down[0] ** 2 - 2 * phi * down[0] * down[1] + down[1] ** 2) ** 0.5,
        0.1 + (up[0] ** 2 - 2 * phi * up[0] * up[1] + up[1] ** 2) ** 0.5,
    ]
    assert st.paired_difference(*answers(2, 9, 7, 2)) == pytest.approx(expected)


def test_paired_difference_of_many_images_is_the_normal_one():
    a, b = answers(18000, 2500, 2000, 7500)
    difference = a.astype(float) - b
    half = 1.96 * difference.std() / len(a) ** 0.5
    assert st.paired_difference(a, b) == pytest.approx(
        [difference.mean() - half, difference.mean() + half], abs=half / 50
    )


def test_paired_difference_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        cells = rng.choice(4, 120, p=[0.5, 0.2, 0.1, 0.2])
        low, high = st.paired_difference((cells == 0) | (cells == 1), (cells == 0) | (cells == 2))
        held += low <= 0.1 <= high
    assert 0.92 <= held / 300 <= 0.985


def test_paired_difference_stays_in_its_range():
    right, wrong = np.ones(3, bool), np.zeros(3, bool)
    low, high = st.paired_difference(right, wrong)
    assert 0 < low < high <= 1
    assert st.paired_difference(right[:1], right[:1])[1] == pytest.approx(1.96**2 / (1 + 1.96**2), abs=1e-4)


# --- groups ---


def test_permutation_test_of_the_lady_tasting_tea():
    # Fisher 1935: two groups of four cups, three and one of them right. In groups of equal size the largest gaps are
    # the least probable tables, so the test is Fisher's exact one: p = 34 / 70.
    correct, groups = np.array([1, 1, 1, 0, 1, 0, 0, 0], bool), np.repeat(["first", "second"], 4)
    found = st.permutation_test(correct, groups, n=40_000)
    assert found["p"] == pytest.approx(34 / 70, abs=0.01)
    assert stats.fisher_exact([[3, 1], [1, 3]]).pvalue == pytest.approx(34 / 70)
    assert (found["gap"], found["highest"], found["lowest"], found["n"]) == (0.5, "first", "second", 40_000)


def test_permutation_test_equals_shuffling():
    rng = np.random.default_rng(0)
    correct, groups = rng.random(60) < 0.5, np.repeat([4, 7, 9], [10, 20, 30])
    found = st.permutation_test(correct, groups, n=20_000)
    gaps = []
    for _ in range(4000):
        shuffled = rng.permutation(correct)
        gaps.append(np.ptp([shuffled[groups == group].mean() for group in (4, 7, 9)]))
    assert found["p"] == pytest.approx(np.mean(np.array(gaps) >= found["gap"] - 1e-12), abs=0.03)


def test_permutation_test_is_right_about_chance_and_about_a_planted_gap():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(300):
        correct, groups = rng.random(200) < 0.6, rng.integers(4, size=200)
        p_values.append(st.permutation_test(correct, groups, n=199)["p"])
    assert np.mean(np.array(p_values) <= 0.05) < 0.085
    assert 0.4 < np.mean(p_values) < 0.62
    planted = rng.random(2000) < np.where(np.arange(2000) % 4 == 2, 0.5, 0.65)
    found = st.permutation_test(planted, np.arange(2000) % 4, n=999)
    assert (found["p"], found["lowest"]) == (1 / 1000, 2)  # never 0
    assert found["gap"] == pytest.approx(0.15, abs=0.08)


def test_permutation_test_at_its_ends():
    one = st.permutation_test(np.array([True]), np.array(["all"]))
    assert (one["gap"], one["p"]) == (0, 1)
    assert st.permutation_test(np.ones(6, bool), np.repeat([0, 1], 3))["p"] == 1
    correct, groups = np.arange(50) % 3 == 0, np.arange(50) % 2
    assert st.permutation_test(correct, groups, seed=1) == st.permutation_test(correct, groups, seed=1)


def test_holm_by_hand():
    assert st.holm([0.04, 0.01, 0.05, 0.03, 0.02]) == pytest.approx([0.09, 0.05, 0.09, 0.09, 0.08])
    assert st.holm([0.9, 0.4, 0.6]) == [1.0, 1.0, 1.0]
    assert (st.holm([0.03]), st.holm([])) == ([0.03], [])
