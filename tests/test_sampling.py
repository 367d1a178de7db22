"""A cohort is a fair draw, and a function of the seed and the round alone."""

import numpy as np
import pytest

from fedlab import sampling

POPULATION = [f"w{number:04d}" for number in range(640)]


def test_is_a_function_of_seed_and_round():
    first = sampling.sample_cohort(POPULATION, 10, seed=1, round_num=3)
    sample_fn = sampling.uniform(POPULATION, 10, seed=1)
    sample_fn(7)  # what was drawn before does not matter
    assert first == sample_fn(3) == sampling.sample_cohort(POPULATION, 10, seed=1, round_num=3)


def test_other_rounds_and_other_seeds_draw_others():
    draws = [
        frozenset(sampling.sample_cohort(POPULATION, 10, seed=seed, round_num=round_num))
        for seed in range(10)
        for round_num in range(10)
    ]
    assert len(set(draws)) == 100


@pytest.mark.parametrize("num_clients", [1, 20, 640])
def test_names_different_clients_of_the_population(num_clients):
    cohort = sampling.uniform(POPULATION, num_clients, seed=0)(1)
    assert len(cohort) == len(set(cohort)) == num_clients
    assert set(cohort) <= set(POPULATION)


def test_every_client_is_drawn_about_equally_often():
    sample_fn = sampling.uniform(POPULATION[:20], 5, seed=0)
    drawn = [client_id for round_num in range(1, 2001) for client_id in sample_fn(round_num)]
    counts = np.unique(drawn, return_counts=True)[1]
    # Binomial(2000, 1/4): mean 500, standard deviation 19.4. Five of them hold for any seed.
    assert len(counts) == 20
    assert np.abs(counts - 500).max() < 5 * 19.4


@pytest.mark.parametrize("num_clients", [700, 641, 0, -1])
@pytest.mark.parametrize(
    "draw",
    [
        lambda num_clients: sampling.sample_cohort(POPULATION, num_clients, seed=0, round_num=1),
        lambda num_clients: sampling.uniform(POPULATION, num_clients),
    ],
    ids=["sample_cohort", "uniform"],
)
def test_a_cohort_that_does_not_fit_the_population_is_refused(draw, num_clients):
    with pytest.raises(ValueError) as caught:
        draw(num_clients)
    expected = f"num_clients must be between 1 and 640 (the population). Found {num_clients}."
    assert str(caught.value) == expected


def test_a_negative_seed_is_named():
    with pytest.raises(ValueError, match="seed must be at least 0. Found -3."):
        sampling.uniform(POPULATION, 5, seed=-3)


def test_fixed_names_the_same_clients_in_every_round():
    sample_fn = sampling.fixed(POPULATION[:5])
    sample_fn(1).clear()  # the caller's copy
    assert sample_fn(1) == sample_fn(99) == POPULATION[:5]


@pytest.mark.parametrize("client_ids, message", [([], "Found none"), (["a", "b", "a"], "'a', 'b'")])
def test_fixed_refuses_no_client_and_the_same_twice(client_ids, message):
    with pytest.raises(ValueError, match=message):
        sampling.fixed(client_ids)
