"""Ambiguity and the shares of votes: by hand, and a temperature that is found again."""

import numpy as np
import pytest

from fer_hub.metrics.ambiguity import ambiguity, fit_vote_temperature, people_of_ten, rank_correlation, vote_shares


def test_ambiguity_by_hand():
    rows = np.array([[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0]])
    assert ambiguity(rows) == pytest.approx([0, 1, 0.5])
    assert ambiguity(np.array([[0.5, 0.5]])) == pytest.approx([1])


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_of_votes_is_found_again(temperature):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(8, 0.5), 2000)
    shares = vote_shares(probabilities, temperature)
    assert shares.sum(1) == pytest.approx(np.ones(2000))
    assert fit_vote_temperature(probabilities, shares) == pytest.approx(temperature, rel=1e-3)
    votes = rng.multinomial(10, shares) / 10  # ten people instead of infinitely many
    assert fit_vote_temperature(probabilities, votes) == pytest.approx(temperature, rel=0.05)


def test_a_temperature_keeps_the_order_and_certain_answers_stay_finite():
    probabilities = np.array([[1.0, 0.0, 0.0], [0.6, 0.3, 0.1]])
    shares = vote_shares(probabilities, 3.0)
    assert np.isfinite(shares).all() and (shares.argmax(1) == 0).all()
    assert (np.argsort(shares[1]) == np.argsort(probabilities[1])).all() and shares[1, 0] < 0.6


@pytest.mark.parametrize(("share", "people"), [(0.0, 0), (0.04, 0), (0.72, 7), (0.96, 10), (1.0, 10)])
def test_people_of_ten(share, people):
    assert people_of_ten(share) == people


def test_rank_correlation_by_hand():
    shares = np.array([[1, 0], [0.9, 0.1], [0.7, 0.3], [0.5, 0.5]])
    assert rank_correlation(shares**2 / (shares**2).sum(1, keepdims=True), shares) == pytest.approx(1)
    assert rank_correlation(shares[::-1], shares) == pytest.approx(-1)
    assert rank_correlation(np.full((4, 3), 1 / 3), shares) == 0
