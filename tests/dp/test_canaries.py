"""Canaries are in as their coins say, and leave the trace that they should."""

import functools

import numpy as np
import pytest
from helpers import tiny

from fedlab import runtime
from fedlab.dp import audit, canaries
from fedlab.training import Checkpoint, run_rounds


def test_coins_are_fair_and_their_seeds():
    coins = canaries.flip_coins(10_000, seed=1)
    assert abs(coins.sum() - 5000) < 5 * 50  # five standard deviations
    assert tiny.same_bits(coins, canaries.flip_coins(10_000, seed=1))
    assert not tiny.same_bits(coins, canaries.flip_coins(10_000, seed=2))


def test_coins_are_no_other_choice_of_the_same_seed():
    """NumPy gives `[seed, 0]` the stream of `seed`; a cohort is drawn from `[seed, round_num]`."""
    coins = canaries.flip_coins(1000, seed=1)
    for stream in (1, [1], *([1, number] for number in range(5))):
        shared = coins == (np.random.default_rng(stream).random(1000) < 0.5)
        assert 400 < shared.sum() < 600


# Directions


@functools.cache
def build_process(rate):
    return tiny.build_process(client_learning_rate=rate)


def run(included, *, num_rounds=4, norm=3.0, probability=1.0, rate=0.0):
    """A few rounds of a model that learns at this rate; returns its change."""
    with runtime.compile(build_process(rate)) as inner:
        options = {"norm": norm, "sampling_probability": probability, "seed": 7}
        runner = canaries.CanaryRunner(inner, included, **options)
        state = first = runner.initialize()
        for round_num in range(1, num_rounds + 1):
            state = runner.next(state, tiny.create_cohort(round_num=round_num)).state
        before, after = (runner.get_model_weights(one).trainable for one in (first, state))
    return [np.asarray(b) - np.asarray(a) for a, b in zip(before, after, strict=True)]


def test_a_canary_moves_the_model_in_its_direction_and_no_other():
    change = run(np.array([True, False, True, False]))
    found = canaries.direction_scores(change, 4, seed=7)
    # 4 rounds of 3.0; directions of 7,850 numbers meet at 1 / sqrt(7850).
    np.testing.assert_allclose(found, [12, 0, 12, 0], atol=12 * 5 / np.sqrt(7850))
    assert np.abs(canaries.direction_scores(change, 4, seed=8)).max() < 12 * 5 / np.sqrt(7850)


def test_without_canaries_the_run_is_the_run():
    with runtime.compile(build_process(0.1)) as runner:
        state = first = runner.initialize()
        for round_num in range(1, 5):
            state = runner.next(state, tiny.create_cohort(round_num=round_num)).state
        before, after = (runner.get_model_weights(one).trainable for one in (first, state))
    plain = [np.asarray(b) - np.asarray(a) for a, b in zip(before, after, strict=True)]
    assert tiny.same_bits(run(np.zeros(3, bool), rate=0.1), plain)


def test_canaries_are_sampled_like_everybody():
    change = run(np.ones(200, bool), num_rounds=10, norm=1.0, probability=0.3)
    times = canaries.direction_scores(change, 200, seed=7)
    # Binomial(10, 0.3) each: mean 3, and 200 of them.
    assert abs(times.mean() - 3) < 5 * np.sqrt(10 * 0.3 * 0.7 / 200) + 0.1


def test_a_resumed_run_is_the_run_that_was_never_interrupted(tmp_path):
    options = {"norm": 3.0, "sampling_probability": 0.5, "seed": 7}

    def train(num_rounds, *callbacks):
        with runtime.compile(build_process(0.1)) as inner:
            runner = canaries.CanaryRunner(inner, np.ones(9, bool), **options)
            return run_rounds(runner, tiny.COHORT_FN, num_rounds, callbacks=callbacks)

    train(2, Checkpoint(tmp_path))
    assert tiny.same_bits(train(4, Checkpoint(tmp_path)).weights, train(4).weights)


def test_a_run_without_noise_is_caught():
    included = canaries.flip_coins(60, seed=7)
    scores = canaries.direction_scores(run(included), 60, seed=7)
    assert audit.epsilon_lower_bound(scores, included, delta=0.0, num_guesses=40) > 2


def test_the_mechanism_alone_by_its_moments():
    included = np.repeat([True, False], 20_000)
    scores = canaries.simulate_gaussian(
        included, noise_multiplier=2.0, num_rounds=9, sampling_probability=0.5, seed=1
    )
    # Out: noise of 2 * sqrt(9). In: binomial(9, 0.5) more.
    assert scores[~included].std() == pytest.approx(6.0, rel=0.03)
    assert scores[included].mean() - scores[~included].mean() == pytest.approx(4.5, abs=0.3)
    assert scores[included].std() == pytest.approx(np.sqrt(36 + 2.25), rel=0.03)


# Bad input


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: canaries.flip_coins(0, seed=0), "num_canaries must be at least 1. Found 0."),
        (lambda: run(np.ones(2, bool), probability=0.0), "sampling_probability .* Found 0.0."),
        (lambda: run(np.ones(2, bool), norm=0.0), "norm .* Found 0.0."),
        (
            lambda: canaries.direction_scores([np.array([np.nan])], 2, seed=0),
            "change must be finite",
        ),
        (
            lambda: canaries.simulate_gaussian(np.ones(2), noise_multiplier=-1.0),
            "noise_multiplier .* Found -1.0.",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
