"""A measured lower bound on epsilon from one run with canaries (Steinke et al. 2023).

Made-up clients, the canaries, each take part in the run or not, as a fair coin says. Whoever sees
the result and guesses the coins too well has shown that epsilon is not small. The accountant's
epsilon bounds the same number from above; a lower bound above it means that one of them is wrong,
and one far below it only that this auditor is not the worst that there is.

Valid for add-or-remove differential privacy of whole clients, as Poisson sampling is accounted. The
canaries' coins must stay out of all else, and scores must not be made with the coins.
"""

from collections.abc import Sequence

import numpy as np
from scipy import optimize, stats

_LARGEST_EPSILON = 100.0


def epsilon_lower_bound(
    scores: np.ndarray,
    included: np.ndarray,
    *,
    delta: float,
    num_guesses: int | Sequence[int],
    confidence: float = 0.95,
) -> float:
    """Returns an epsilon that the true one is at least, with the stated confidence.

    The canaries with the highest scores are guessed to have been in, as many with the lowest to
    have been out; on the rest the auditor says nothing.

    Args:
        scores: float (num_canaries,): higher if it looks as if the canary took part.
        included: bool (num_canaries,): the coins, from `canaries.flip_coins`.
        delta: Of (epsilon, delta)-DP, in [0, 1).
        num_guesses: How many canaries to guess, even, chosen BEFORE the scores are seen. For
            several numbers the best is taken, and each pays its share of the confidence (Bonferroni).
        confidence: Probability, over coins and noise, that the bound holds, in (0, 1).

    Returns:
        At least 0, in nats; 0 shows nothing.

    Raises:
        ValueError: The shapes do not fit, a score is NaN, or a number is out of range.
    """
    scores, included = np.asarray(scores, np.float64), np.asarray(included, bool)
    if scores.ndim != 1 or scores.shape != included.shape:
        raise ValueError(
            "scores and included must be vectors of one length. "
            f"Found shapes {scores.shape} and {included.shape}."
        )
    if np.isnan(scores).any():
        raise ValueError("scores must be numbers. Found NaN: did the run diverge?")
    tried = np.atleast_1d(num_guesses).tolist()
    bad = next((one for one in tried if one % 2 or not 2 <= one <= len(scores)), None)
    if bad is not None or not tried:
        raise ValueError(
            f"num_guesses must be even and between 2 and {len(scores)} (the canaries). Found {bad}."
        )
    order = included[np.argsort(scores, kind="stable")]
    bounds = []
    for count in tried:
        num_right = int(order[-(count // 2) :].sum() + (~order[: count // 2]).sum())
        shared = 1 - (1 - confidence) / len(tried)
        found = bound_from_guesses(num_right, count, len(scores), delta=delta, confidence=shared)
        bounds.append(found)
    return max(bounds)


def bound_from_guesses(
    num_right: int, num_guesses: int, num_canaries: int, *, delta: float, confidence: float = 0.95
) -> float:
    """Returns the largest epsilon that so many right guesses rule out (Steinke et al., theorem 5.2).

    With all guesses right it is the most that an audit of this size can ever show.

    Args:
        num_right: Right guesses, at most `num_guesses`.
        num_guesses: Guesses, at most `num_canaries`.
        num_canaries: Coins that were flipped, guessed or not.
        delta: In [0, 1).
        confidence: In (0, 1).

    Returns:
        At least 0, at most 100.

    Raises:
        ValueError: A number is out of range.
    """
    if not 0 <= num_right <= num_guesses <= num_canaries:
        raise ValueError(
            "It must hold that 0 <= num_right <= num_guesses <= num_canaries. "
            f"Found {num_right}, {num_guesses} and {num_canaries}."
        )
    if not 0 <= delta < 1:
        raise ValueError(f"delta must lie in [0, 1). Found {delta}.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1). Found {confidence}.")

    def excess(epsilon: float) -> float:
        chance = _chance(num_right, num_guesses, num_canaries, epsilon, delta)
        return chance - (1 - confidence)

    if excess(0.0) > 0:
        return 0.0
    if excess(_LARGEST_EPSILON) < 0:
        return _LARGEST_EPSILON
    root = optimize.brentq(excess, 0.0, _LARGEST_EPSILON, xtol=1e-6)
    return max(0.0, float(root) - 1e-6)  # on the safe side of the root


def _chance(
    num_right: int, num_guesses: int, num_canaries: int, epsilon: float, delta: float
) -> float:
    """Bounds the probability of so many right guesses under (epsilon, delta)-DP.

    For delta = 0 a guess is right at best as often as randomized response is. A delta above 0 may
    add at most i right guesses with probability 2 * num_canaries * delta / i, for the worst i.
    """
    coin = stats.binom(num_guesses, 1 / (1 + np.exp(-epsilon)))
    chance = coin.sf(num_right - 1)
    if num_right and delta:
        near = np.cumsum(
            coin.pmf(np.arange(num_right - 1, -1, -1))
        )  # num_right - i <= right guesses
        chance += 2 * num_canaries * delta * np.max(near / np.arange(1, num_right + 1))
    return float(min(chance, 1.0))
