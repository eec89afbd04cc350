"""How divided people are about a face, told by a model that learned the shares of their votes.

One temperature cannot serve both purposes: the calibrated probability of a class says how often the crowd's majority is
that class, the share of the votes says how many people choose it. A second temperature turns the one into the other.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import spearmanr

BOUNDS = (-2.0, 2.0)  # of the temperature's logarithm: about a seventh to seven
VOTERS = 10  # people asked about each picture of FER+


def ambiguity(probabilities: np.ndarray) -> np.ndarray:
    """Return the normalized entropy of distributions over classes.

    Args:
        probabilities: float (N, C), rows sum to 1, C >= 2.

    Returns:
        float64 (N,), entropy / log C, in 0..1: 0 where one class has everything, 1 where all classes have the same.
    """
    probabilities = np.asarray(probabilities, float)
    logs = np.log(np.where(probabilities > 0, probabilities, 1))
    return np.clip(-(probabilities * logs).sum(1) / np.log(probabilities.shape[1]), 0, 1)


def vote_shares(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return the expected shares of people's votes.

    Args:
        probabilities: float (N, C), calibrated, rows sum to 1.
        temperature: as `fit_vote_temperature` finds it.

    Returns:
        float64 (N, C), softmax(log p / temperature); rows sum to 1.
    """
    logits = np.log(np.maximum(np.asarray(probabilities, float), np.finfo(float).tiny)) / temperature
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def fit_vote_temperature(probabilities: np.ndarray, shares: np.ndarray) -> float:
    """Find the temperature with the lowest mean cross-entropy between votes and expected shares.

    Args:
        probabilities: float (N, C), calibrated, rows sum to 1; N > 0.
        shares: float (N, C), of the votes, rows sum to 1.
    """

    def loss(log_temperature: float) -> float:
        expected = vote_shares(probabilities, np.exp(log_temperature))
        return float(-(shares * np.log(np.maximum(expected, np.finfo(float).tiny))).sum(1).mean())

    return float(np.exp(minimize_scalar(loss, bounds=BOUNDS, method="bounded", options={"xatol": 1e-6}).x))


def people_of_ten(share: float) -> int:
    """Return how many of ten people would be expected to choose a class with this share of the votes."""
    return round(VOTERS * share)


def rank_correlation(probabilities: np.ndarray, shares: np.ndarray) -> float:
    """Return Spearman's correlation between the ambiguity of a model's answers and that of the votes.

    Args:
        probabilities: float (N, C).
        shares: float (N, K), of the votes; K may differ from C.

    Returns:
        -1..1; 0.0 where either side is the same for all pictures.
    """
    own, of_people = ambiguity(probabilities), ambiguity(shares)
    if np.ptp(own) == 0 or np.ptp(of_people) == 0:
        return 0.0
    return float(spearmanr(own, of_people).statistic)
