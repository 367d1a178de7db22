"""A lower bound on epsilon, measured in a single run with canaries (Steinke et al. 2023).

Artificial clients, the canaries, each take part in the run or not, decided by a fair coin. Whoever sees
the result of the run and guesses too many coins correctly has shown that epsilon is not small. The
accountant's epsilon bounds the same number from above. If the lower bound exceeds it, one of the two is
wrong; if the lower bound is far below it, this audit is only weaker than the worst possible one.

The bound is valid for add-or-remove differential privacy of whole clients, as for Poisson sampling. The
coins of the canaries must not influence anything else, and the scores must not be computed from them.
"""

from collections.abc import Sequence

import numpy as np
from scipy import optimize, stats

from fedlab.checks import check_array, check_bools, check_count, check_list, check_number, describe

_LARGEST_EPSILON = 100.0


def epsilon_lower_bound(
    scores: np.ndarray,
    included: np.ndarray,
    *,
    delta: float,
    num_guesses: int | Sequence[int],
    confidence: float = 0.95,
) -> float:
    """Returns a lower bound on the true epsilon, which holds with the stated confidence.

    The audit guesses that the canaries with the highest scores took part, and that as many with the
    lowest scores did not. It makes no guess about the others.

    Args:
        scores: float (num_canaries,), higher for canaries that seem to have taken part.
        included: bool (num_canaries,), the coins, from `canaries.flip_coins`.
        delta: Delta of the guarantee, in [0, 1).
        num_guesses: Number of canaries to guess, even, chosen BEFORE the scores are seen. With several
            numbers the best bound is taken, and the allowed error probability is divided among them
            (Bonferroni).
        confidence: Probability, over coins and noise, that the bound holds, in (0, 1).

    Returns:
        The bound, at least 0. A bound of 0 shows nothing.

    Raises:
        ValueError: The shapes do not fit, a score is NaN, or a number is out of range.
        TypeError: The scores are no numbers, the coins no truth values, or a number of guesses is
            not a whole number.
    """
    scores = check_array("scores", scores, (None,), is_finite=False).astype(np.float64)
    included = check_bools("included", included, scores.shape)
    confidence = check_number("confidence", confidence, above=0, below=1)
    several = isinstance(num_guesses, list | tuple | np.ndarray) and np.ndim(num_guesses) == 1
    counts = [
        check_count("num_guesses", count, at_most=len(scores))
        for count in (check_list("num_guesses", num_guesses) if several else [num_guesses])
    ]
    if not counts or any(count % 2 for count in counts):
        raise ValueError(
            f"num_guesses must be one or more even numbers. Found {describe(num_guesses)}."
        )
    order = included[np.argsort(scores, kind="stable")]
    each_confidence = 1 - (1 - confidence) / len(counts)
    bounds = []
    for count in counts:
        num_right = int(order[-(count // 2) :].sum() + (~order[: count // 2]).sum())
        bounds.append(
            bound_from_guesses(
                num_right, count, len(scores), delta=delta, confidence=each_confidence
            )
        )
    return max(bounds)


def bound_from_guesses(
    num_right: int, num_guesses: int, num_canaries: int, *, delta: float, confidence: float = 0.95
) -> float:
    """Returns the largest epsilon that a number of right guesses rules out.

    It is theorem 5.2 of Steinke et al. With `num_right` equal to `num_guesses` it is the largest bound
    that an audit with this number of guesses can show.

    Args:
        num_right: Number of right guesses, at most `num_guesses`.
        num_guesses: Number of guesses, at most `num_canaries`.
        num_canaries: Number of coins that were flipped.
        delta: Delta of the guarantee, in [0, 1).
        confidence: Probability that the bound holds, in (0, 1).

    Returns:
        The epsilon, between 0 and 100.

    Raises:
        ValueError: A number is out of range.
    """
    num_right = check_count("num_right", num_right, at_least=0)
    num_guesses = check_count("num_guesses", num_guesses, at_least=0)
    num_canaries = check_count("num_canaries", num_canaries, at_least=0)
    if not num_right <= num_guesses <= num_canaries:
        raise ValueError(
            "It must hold that num_right <= num_guesses <= num_canaries. "
            f"Found {num_right}, {num_guesses} and {num_canaries}."
        )
    delta = check_number("delta", delta, at_least=0, below=1)
    confidence = check_number("confidence", confidence, above=0, below=1)

    def excess(epsilon: float) -> float:
        chance = _chance(num_right, num_guesses, num_canaries, epsilon, delta)
        return chance - (1 - confidence)

    if excess(0.0) > 0:
        return 0.0
    if excess(_LARGEST_EPSILON) < 0:
        return _LARGEST_EPSILON
    root = optimize.brentq(excess, 0.0, _LARGEST_EPSILON, xtol=1e-6)
    return max(0.0, float(root) - 1e-6)  # slightly below the root, so that the bound is valid


def _chance(
    num_right: int, num_guesses: int, num_canaries: int, epsilon: float, delta: float
) -> float:
    """Returns an upper bound on the probability of at least `num_right` right guesses under DP.

    For delta = 0 a guess is right at most as often as in randomized response. A delta above 0 adds at
    most i right guesses with probability 2 * num_canaries * delta / i, for the worst i.
    """
    coin = stats.binom(num_guesses, 1 / (1 + np.exp(-epsilon)))
    chance = coin.sf(num_right - 1)
    if num_right and delta:
        # Entry i - 1 is the probability of num_right - i to num_right - 1 right guesses.
        near = np.cumsum(coin.pmf(np.arange(num_right - 1, -1, -1)))
        chance += 2 * num_canaries * delta * np.max(near / np.arange(1, num_right + 1))
    return float(min(chance, 1.0))
