"""Epsilon agrees with closed forms and with other accountants, and is never below a real pair's."""

import math

import dp_accounting
import numpy as np
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from scipy.optimize import brentq
from scipy.stats import norm

from fedlab.dp import accounting
from fedlab.dp.accounting import NEIGHBOURS, epsilon, noise_for_epsilon, tree_epsilon
from fedlab.dp.fixed_size_sampling import FixedSizeAccountant

# 836 writers, 100 a round, 100 rounds.
WRITERS = {"num_clients": 100, "population": 836, "num_rounds": 100}
EVERYBODY = {"num_clients": 50, "population": 50}


def gaussian_epsilon(shift, delta):
    """Balle and Wang 2018, theorem 8: two Gaussians `shift` standard deviations apart."""

    def excess(eps):
        left = norm.cdf(shift / 2 - eps / shift)
        return left - math.exp(eps + norm.logcdf(-shift / 2 - eps / shift)) - delta

    return brentq(excess, 0, 1000) if excess(0) > 0 else 0.0


def create_pld(grid=1e-3):
    return PLDAccountant(value_discretization_interval=grid)


def compose(accountant, event, num_rounds, delta):
    return accountant.compose(event, num_rounds).get_epsilon(delta)


def poisson_event(noise, share):
    return dp_accounting.PoissonSampledDpEvent(share, dp_accounting.GaussianDpEvent(noise))


# Against closed forms


@pytest.mark.parametrize("noise, num_rounds", [(0.7, 1), (1.0, 10), (5.0, 100), (300.0, 3)])
@pytest.mark.parametrize("sampling, clips_moved", [("poisson", 1), ("fixed_size", 2)])
def test_without_sampling_it_is_the_gaussian_mechanism(noise, num_rounds, sampling, clips_moved):
    found = epsilon(noise, **EVERYBODY, num_rounds=num_rounds, delta=1e-5, sampling=sampling)
    expected = gaussian_epsilon(clips_moved * math.sqrt(num_rounds) / noise, 1e-5)
    assert expected <= found + 1e-9
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_one_round_of_a_fixed_size_is_the_amplified_gaussian():
    share, noise = 100 / 836, 1.0
    found = epsilon(noise, **WRITERS | {"num_rounds": 1}, delta=1e-3, sampling="fixed_size")
    # Balle, Barthe and Gaboardi 2018, theorem 9.
    whole = gaussian_epsilon(2 / noise, 1e-3 / share)
    assert found == pytest.approx(math.log1p(share * math.expm1(whole)), rel=1e-3)


def test_a_tree_is_a_gaussian_that_counts_a_client_once_a_level():
    depth, num_epochs, noise = 4, 3, 5.0  # 8 to 15 rounds: a leaf and three above it
    for rounds in (8, 15):
        found = tree_epsilon(noise, rounds_per_epoch=rounds, num_epochs=num_epochs, delta=1e-3)
        expected = gaussian_epsilon(math.sqrt(depth * num_epochs) / noise, 1e-3)
        assert expected <= found <= 1.2 * expected  # Renyi accounting is a little looser
    swapped = tree_epsilon(15, rounds_per_epoch=5, num_epochs=num_epochs, delta=1e-3)
    assert swapped != pytest.approx(found, rel=0.1)


# Against other accountants


@pytest.mark.parametrize("delta, expected", [(1e-3, 5.863), (1e-4, 7.229)])
def test_the_figures_of_836_writers(delta, expected):
    assert epsilon(1.0, **WRITERS, delta=delta) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("noise, share, num_rounds", [(1.0, 0.12, 100), (0.5, 0.5, 5), (4, 0.1, 9)])
def test_poisson_is_below_renyi_and_at_the_finest_grid(noise, share, num_rounds):
    run = {"num_clients": 1000 * share, "population": 1000, "num_rounds": num_rounds}
    found = epsilon(noise, **run, delta=1e-4)
    event = poisson_event(noise, share)
    assert found < compose(RdpAccountant(), event, num_rounds, 1e-4)
    assert found == pytest.approx(compose(create_pld(1e-4), event, num_rounds, 1e-4), rel=1e-3)


@pytest.mark.parametrize("noise, num_rounds", [(1.0, 100), (2.0, 1), (4.0, 100), (20.0, 10)])
def test_a_fixed_size_lies_between_a_real_pair_and_renyi(noise, num_rounds):
    run = WRITERS | {"num_rounds": num_rounds}
    found = epsilon(noise, **run, delta=1e-3, sampling="fixed_size")
    # Everybody sends -1, one client +1 or -1: its presence moves the sum by two clips.
    pair = compose(create_pld(), poisson_event(noise / 2, 100 / 836), num_rounds, 1e-3)
    renyi = RdpAccountant(neighboring_relation=NEIGHBOURS["fixed_size"])
    event = dp_accounting.SampledWithoutReplacementDpEvent(
        836, 100, dp_accounting.GaussianDpEvent(noise / 2)
    )
    assert pair <= found * 1.001
    assert found <= compose(renyi, event, num_rounds, 1e-3)


def test_the_library_s_own_number_for_a_fixed_size_is_below_a_real_pair_s():
    """Why the noise is halved above: its event wants it in units of the sensitivity."""
    renyi = RdpAccountant(neighboring_relation=NEIGHBOURS["fixed_size"])
    event = dp_accounting.SampledWithoutReplacementDpEvent(
        836, 100, dp_accounting.GaussianDpEvent(1.0)
    )
    pair = compose(create_pld(), poisson_event(0.5, 100 / 836), 100, 1e-3)
    assert compose(renyi, event, 100, 1e-3) < 14 < 26 < pair


def test_a_fixed_size_promises_less_than_poisson_for_the_same_noise():
    found = [epsilon(1.0, **WRITERS, delta=1e-3, sampling=one) for one in NEIGHBOURS]
    assert found[1] > 2 * found[0]


# What must hold of any


@pytest.mark.parametrize("sampling", NEIGHBOURS)
def test_no_noise_is_no_privacy_and_much_noise_is_much(sampling):
    assert epsilon(0.0, **WRITERS, sampling=sampling) == math.inf
    found = [epsilon(noise, **WRITERS, sampling=sampling) for noise in (0.5, 1, 2, 8, 10_000)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.01
    assert tree_epsilon(0.0, rounds_per_epoch=8, num_epochs=1, delta=1e-3) == math.inf


@pytest.mark.parametrize("sampling", NEIGHBOURS)
def test_it_grows_with_the_rounds_and_the_cohort_and_falls_with_the_population(sampling):
    curve = accounting.epsilon_curve(
        1.0, [1, 10, 50, 100], num_clients=100, population=836, delta=1e-3, sampling=sampling
    )
    assert list(curve) == ["round_num", "epsilon", "delta"]
    assert curve.delta.unique() == [1e-3]
    assert (np.diff(curve["epsilon"]) > 0).all()
    whole = epsilon(1.0, **WRITERS, delta=1e-3, sampling=sampling)
    assert curve["epsilon"].iloc[-1] == whole
    for change in ({"num_clients": 50}, {"population": 100_000}):
        assert epsilon(1.0, **WRITERS | change, delta=1e-3, sampling=sampling) < whole


def test_millions_pay_less():
    """The noise of the mean is the same: 1 * clip / 100 and 10 * clip / 1000."""
    many = {"num_clients": 1000, "population": 100_000, "num_rounds": 100}
    assert epsilon(10.0, **many) < 0.04
    assert epsilon(1.0, **WRITERS) > 5


def test_the_default_delta_is_a_tenth_of_one_in_the_population():
    assert accounting.default_delta(640) == 1 / 6400
    run = WRITERS | {"num_rounds": 1}
    assert epsilon(1.0, **run) == epsilon(1.0, **run, delta=1 / 8360)


@pytest.mark.parametrize("sampling", NEIGHBOURS)
@pytest.mark.parametrize("target", [0.5, 8.0])
def test_the_noise_for_an_epsilon_is_enough_and_hardly_more(sampling, target):
    run = {"num_clients": 100, "population": 640, "num_rounds": 100, "sampling": sampling}
    noise = noise_for_epsilon(target, **run)
    assert epsilon(noise, **run) <= target < epsilon(noise - 3e-4, **run)


# Never mixed


def test_an_accountant_does_not_take_the_other_s_event():
    gaussian = dp_accounting.GaussianDpEvent(1.0)
    without = dp_accounting.SampledWithoutReplacementDpEvent(836, 100, gaussian)
    assert not FixedSizeAccountant().supports(dp_accounting.PoissonSampledDpEvent(0.1, gaussian))
    assert not FixedSizeAccountant().supports(gaussian)
    assert FixedSizeAccountant().supports(dp_accounting.SelfComposedDpEvent(without, 3))
    assert not PLDAccountant().supports(without)


# Bad input

TREE = {"rounds_per_epoch": 8, "num_epochs": 1, "delta": 1e-3}


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: epsilon(-1.0, **WRITERS), ValueError, "noise_multiplier .* Found -1"),
        (lambda: epsilon(1.0, **WRITERS | {"num_clients": 837}), ValueError, "837"),
        (
            lambda: epsilon(1.0, **WRITERS | {"num_clients": 9.5}, sampling="fixed_size"),
            TypeError,
            "num_clients must be a whole number. Found 9.5",
        ),
        (
            lambda: epsilon(1.0, **WRITERS | {"population": 1}, delta=0.1),
            ValueError,
            "population must be at least 2. Found 1",
        ),
        (lambda: epsilon(1.0, **WRITERS | {"num_rounds": 0}), ValueError, "num_rounds"),
        (lambda: epsilon(1.0, **WRITERS, delta=1.0), ValueError, "delta .* Found 1.0"),
        (lambda: epsilon(1.0, **WRITERS, sampling="uniform"), ValueError, "poisson, fixed_size"),
        (lambda: noise_for_epsilon(0.0, **WRITERS), ValueError, "target_epsilon .* Found 0.0"),
        (
            lambda: noise_for_epsilon(1e-9, **WRITERS, delta=1e-12),
            ValueError,
            "cannot be reached even by a noise_multiplier of 10000.* Found 1e-09",
        ),
        (
            lambda: noise_for_epsilon(1e6, **WRITERS, delta=1e-3),
            ValueError,
            "too large .* a noise_multiplier of 0.05 reaches it.* Found 1000000.0",
        ),
        (lambda: tree_epsilon(-1.0, **TREE), ValueError, "noise_multiplier"),
        (lambda: tree_epsilon(1.0, **TREE | {"num_epochs": 1.5}), TypeError, "num_epochs"),
    ],
)
def test_bad_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
