"""Canaries are in as their coins say, and leave the trace that they should."""

import functools

import numpy as np
import pytest
from helpers import tiny

from fedlab import runtime
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.dp import audit, canaries
from fedlab.training import Checkpoint, run_rounds

DATA = tiny.create_data(6, 4, 5)


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


# Writers


def test_exactly_the_canaries_with_heads_join():
    population, found = canaries.add_canary_clients(DATA, 40, num_examples=3, seed=5)
    names = np.array(found.client_data.client_ids)
    assert len(names) == 40
    assert set(population.client_ids) == {*DATA.client_ids, *names[found.included]}
    assert tiny.same_bits(found.included, canaries.flip_coins(40, seed=5))
    for client_id in DATA.client_ids:
        assert tiny.same_bits(population.examples(client_id), DATA.examples(client_id))
    for name in names[found.included]:
        assert tiny.same_bits(population.examples(name), found.client_data.examples(name))


def test_a_canary_has_one_picture_and_no_two_have_the_same():
    held = canaries.add_canary_clients(DATA, 30, num_examples=3)[1].client_data
    pictures = [held.examples(client_id) for client_id in held.client_ids]
    assert all(len(one.labels) == 3 for one in pictures)
    assert all((one.pixels == one.pixels[0]).all() and np.ptp(one.labels) == 0 for one in pictures)
    assert len({one.pixels[0].tobytes() for one in pictures}) == 30


def test_who_is_in_says_nothing_about_the_pictures():
    """Otherwise the score could read the coin without the model."""
    every = [canaries.add_canary_clients(DATA, 20, seed=seed)[1] for seed in range(50)]
    ink = [
        one.client_data.examples(client_id).pixels.mean()
        for one in every
        for client_id in one.client_data.client_ids
    ]
    correlation = np.corrcoef(ink, np.concatenate([one.included for one in every]))[0, 1]
    assert abs(correlation) < 5 / np.sqrt(1000)


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


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="num_canaries must be at least 1. Found 0."):
        canaries.flip_coins(0, seed=0)
    with pytest.raises(ValueError, match="seed must be at least 0. Found -1."):
        canaries.flip_coins(3, seed=-1)
    with pytest.raises(ValueError, match="num_examples must be at least 1. Found 0."):
        canaries.add_canary_clients(DATA, 3, num_examples=0)
    with pytest.raises(ValueError, match=r"sampling_probability must lie in \(0, 1\]. Found 0.0."):
        run(np.ones(2, bool), probability=0.0)
    with pytest.raises(ValueError, match="norm must be above 0: .* Found 0.0."):
        run(np.ones(2, bool), norm=0.0)
    with pytest.raises(ValueError, match="The change is not finite"):
        canaries.direction_scores([np.array([np.nan])], 2, seed=0)
    for options in ({"noise_multiplier": -1.0}, {"noise_multiplier": 1.0, "num_rounds": 0}):
        with pytest.raises(ValueError, match="noise_multiplier must be at least 0 and num_rounds"):
            canaries.simulate_gaussian(np.ones(2), **options)


def test_canaries_are_added_once():
    one = Examples(np.ones((1, 28, 28), np.float32), np.zeros(1, np.int32))
    data = MemoryClientData(["canary_00001"], lambda client_id: one)
    with pytest.raises(ValueError, match="already has a client 'canary_00001'"):
        canaries.add_canary_clients(data, 2)
