"""The audit never claims more than is true, and sees what is there."""

import dp_accounting
import numpy as np
import pytest
from scipy import stats

from fedlab.dp import audit, canaries

DELTA = 1e-5


def account(noise_multiplier: float) -> float:
    """The accountant's epsilon of one Gaussian mechanism."""
    accountant = dp_accounting.pld.PLDAccountant()
    accountant.compose(dp_accounting.GaussianDpEvent(noise_multiplier))
    return accountant.get_epsilon(DELTA)


def measure(noise_multiplier: float, seed: int, *, num_canaries=1000, **options) -> float:
    included = canaries.flip_coins(num_canaries, seed=seed)
    scores = canaries.simulate_gaussian(included, noise_multiplier=noise_multiplier, seed=seed)
    options = {"delta": DELTA, "num_guesses": 200} | options
    return audit.epsilon_lower_bound(scores, included, **options)


@pytest.mark.parametrize("noise_multiplier", [0.3, 0.5, 1.0, 2.0, 4.0])
def test_never_exceeds_the_accountants_epsilon(noise_multiplier):
    bounds = [measure(noise_multiplier, seed) for seed in range(40)]
    # At 95% two of forty may; the Gaussian mechanism is not the worst case, so none does.
    assert max(bounds) <= account(noise_multiplier)


def test_weak_noise_is_seen_and_strong_noise_is_not_called_none():
    bounds = {
        noise: np.median([measure(noise, s) for s in range(10)]) for noise in (0.3, 1.0, 10.0)
    }
    assert bounds[0.3] > 2.5  # 200 guesses, all right, show 4.2
    assert 0.3 < bounds[1.0] < bounds[0.3]
    assert bounds[10.0] < 0.1


def test_holds_as_often_as_it_says_where_it_is_tight():
    """Randomized response is the worst mechanism of its epsilon."""
    epsilon, failures = 1.0, 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        included = canaries.flip_coins(200, seed=seed)
        answers = included ^ (rng.random(200) > 1 / (1 + np.exp(-epsilon)))
        scores = answers + 1e-3 * rng.random(200)
        bound = audit.epsilon_lower_bound(
            scores, included, delta=0.0, num_guesses=100, confidence=0.9
        )
        failures += bound > epsilon
    # At most binomial(400, 0.1): 40, and three standard deviations.
    assert 5 < failures < 40 + 18


def test_without_noise_all_is_seen():
    assert measure(0.0, seed=1, num_guesses=1000, delta=0.0, num_canaries=1200) > 5


def test_the_most_that_can_be_shown_by_hand():
    # n right guesses of n have probability q^n, q = e^eps / (1 + e^eps); that is 5% at the bound.
    q = 0.05 ** (1 / 100)
    expected = np.log(q / (1 - q))
    assert audit.bound_from_guesses(100, 100, 100, delta=0.0) == pytest.approx(expected, abs=1e-4)


def test_is_the_binomial_interval_for_delta_0():
    # Clopper and Pearson's lower limit of the success rate, as an epsilon.
    low = stats.binomtest(80, 100, alternative="greater").proportion_ci(0.95).low
    found = audit.bound_from_guesses(80, 100, 500, delta=0.0)
    assert found == pytest.approx(np.log(low / (1 - low)), abs=1e-4)


def test_a_larger_delta_a_higher_confidence_or_fewer_right_show_less():
    bound = audit.bound_from_guesses
    base = bound(90, 100, 500, delta=1e-5)
    assert bound(90, 100, 500, delta=1e-3) < base < bound(90, 100, 500, delta=0.0)
    assert bound(90, 100, 500, delta=1e-5, confidence=0.99) < base
    assert bound(89, 100, 500, delta=1e-5) < base
    assert bound(90, 100, 5000, delta=1e-4) < bound(90, 100, 500, delta=1e-4)
    assert bound(50, 100, 500, delta=0.0) == 0.0


def test_shuffled_coins_show_nothing():
    included = canaries.flip_coins(1000, seed=0)
    scores = canaries.simulate_gaussian(included, noise_multiplier=0.1)
    found = [
        audit.epsilon_lower_bound(
            scores, np.random.default_rng(seed).permutation(included), delta=0.0, num_guesses=200
        )
        for seed in range(20)
    ]
    assert np.median(found) == 0.0 and max(found) < 0.3


def test_several_numbers_of_guesses_pay_for_the_choice():
    one = measure(0.5, seed=0, num_guesses=200)
    assert measure(0.5, seed=0, num_guesses=[200, 200]) < one
    assert measure(0.5, seed=0, num_guesses=[20, 100, 200, 400]) > 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"scores": np.zeros(3)}, r"included must have shape \(3,\). Found \(4,\)"),
        ({"scores": np.array([0, np.nan, 0, 0])}, "scores must be numbers. Found nan"),
        ({"num_guesses": 3}, "even numbers. Found 3."),
        ({"num_guesses": [2, 6]}, "num_guesses must be at most 4. Found 6."),
        ({"num_guesses": []}, r"even numbers. Found \[\]."),
        ({"delta": 1.0}, r"delta must be a number in \[0, 1\). Found 1.0."),
        ({"confidence": 0.0}, r"confidence must be a number in \(0, 1\). Found 0.0."),
    ],
)
def test_an_audit_that_is_none_is_refused(options, message):
    given = {"delta": 0.0, "num_guesses": 2, "scores": np.zeros(4)} | options
    with pytest.raises(ValueError, match=message):
        audit.epsilon_lower_bound(included=np.arange(4) < 2, **given)
