"""A cohort is a fair draw, and a function of the seed and the round alone."""

import numpy as np
import pytest

from fedlab.data import sampling

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


def test_fixed_names_the_same_clients_in_every_round():
    sample_fn = sampling.fixed(POPULATION[:5])
    sample_fn(1).clear()  # the caller's copy
    assert sample_fn(1) == sample_fn(99) == POPULATION[:5]


# Stragglers


def test_each_client_drops_out_as_often_as_asked():
    sample_fn = sampling.drop_out(sampling.fixed(POPULATION[:10]), 0.3, seed=2)
    stayed = [client_id for round_num in range(1, 2001) for client_id in sample_fn(round_num)]
    counts = np.unique(stayed, return_counts=True)[1]
    # Binomial(2000, 0.7): mean 1400, standard deviation 20.5.
    assert len(counts) == 10
    assert np.abs(counts - 1400).max() < 5 * 20.5


def test_who_drops_out_is_a_function_of_seed_and_round():
    whole = sampling.uniform(POPULATION, 20, seed=1)
    first = sampling.drop_out(whole, 0.5, seed=1)(3)
    sample_fn = sampling.drop_out(whole, 0.5, seed=1)
    sample_fn(7)
    assert sample_fn(3) == first != sampling.drop_out(whole, 0.5, seed=2)(3)
    assert first == [client_id for client_id in whole(3) if client_id in first]


def test_rate_0_leaves_nobody_out():
    whole = sampling.uniform(POPULATION, 20, seed=1)
    assert sampling.drop_out(whole, 0.0, seed=1)(3) == whole(3)


def test_at_least_one_stays():
    sample_fn = sampling.drop_out(sampling.fixed(POPULATION[:3]), 0.999)
    rounds = [sample_fn(round_num) for round_num in range(50)]
    assert all(rounds)
    assert len({cohort[0] for cohort in rounds}) == 3  # not always the same
    assert sampling.drop_out(lambda round_num: [], 0.5)(1) == []


def test_whether_a_client_drops_out_depends_on_its_id_and_not_on_the_others():
    def staying(client_ids):
        return sampling.drop_out(sampling.fixed(client_ids), 0.5, seed=1)(3)

    everyone = staying(POPULATION[:10])
    assert 2 < len(everyone) < 9
    for client_id in POPULATION[1:10]:
        stays = client_id in staying([client_id, POPULATION[50], POPULATION[60]])
        assert stays == (client_id in everyone)


# Poisson sampling


def test_poisson_is_a_function_of_seed_and_round():
    first = sampling.poisson(POPULATION, 64, seed=1)(3)
    sample_fn = sampling.poisson(POPULATION, 64, seed=1)
    sample_fn(7)
    assert first == sample_fn(3)
    assert first != sample_fn(4)
    assert first != sampling.poisson(POPULATION, 64, seed=2)(3)


def test_poisson_throws_a_coin_for_every_client_alone():
    sample_fn, num_rounds = sampling.poisson(POPULATION[:20], 5, seed=0), 2000
    cohorts = [set(sample_fn(round_num)) for round_num in range(1, num_rounds + 1)]
    drawn = np.array([[client in cohort for client in POPULATION[:20]] for cohort in cohorts])
    # Binomial(2000, 1/4): standard deviation 19.4. Five of them hold for any seed.
    assert np.abs(drawn.sum(axis=0) - num_rounds / 4).max() < 5 * 19.4
    # Independent: no two come together more often than chance has it, and the sizes vary as those
    # of Binomial(20, 1/4), whose variance is 3.75.
    together = np.corrcoef(drawn.T) - np.eye(20)
    assert np.abs(together).max() < 5 / np.sqrt(num_rounds)
    sizes = drawn.sum(axis=1)
    assert abs(sizes.mean() - 5) < 5 * np.sqrt(3.75 / num_rounds)
    assert abs(sizes.var() - 3.75) < 5 * 3.75 * np.sqrt(2 / num_rounds)


def test_poisson_may_name_nobody_and_with_certainty_names_all():
    sizes = [len(sampling.poisson(POPULATION[:3], 0.5, seed=0)(one)) for one in range(1, 21)]
    assert min(sizes) == 0
    assert sampling.poisson(POPULATION, 640, seed=0)(1) == POPULATION


# Once per epoch


def test_nobody_comes_twice_in_an_epoch_and_the_order_changes():
    sample_fn = sampling.once_per_epoch(POPULATION[:11], 3, seed=0)  # three rounds; two sit it out
    epochs = [[sample_fn(3 * epoch + one) for one in (1, 2, 3)] for epoch in range(20)]
    for epoch in epochs:
        named = [client_id for cohort in epoch for client_id in cohort]
        assert [len(cohort) for cohort in epoch] == [3, 3, 3]
        assert len(set(named)) == 9
    assert len({tuple(map(tuple, epoch)) for epoch in epochs}) == 20
    assert {one for epoch in epochs for cohort in epoch for one in cohort} == set(POPULATION[:11])
    assert sample_fn(5) == sampling.once_per_epoch(POPULATION[:11], 3, seed=0)(5)


# Bad input

DOES_NOT_FIT = r"num_clients must be at most 640\. Found 641\."


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: sampling.uniform(POPULATION, 641), DOES_NOT_FIT),
        (lambda: sampling.uniform(POPULATION, 0), "num_clients must be at least 1. Found 0"),
        (lambda: sampling.uniform(POPULATION, 5, seed=-3), "seed must be at least 0. Found -3."),
        (
            lambda: sampling.sample_cohort(POPULATION, 641, seed=0, round_num=1),
            DOES_NOT_FIT,
        ),
        (lambda: sampling.fixed([]), "Found none"),
        (lambda: sampling.fixed(["a", "b", "a"]), "client_ids must be different. Found 'a' twice"),
        (
            lambda: sampling.drop_out(sampling.fixed(["a"]), 1.0),
            r"rate must be a number in \[0, 1\). Found 1.0",
        ),
        (lambda: sampling.drop_out(sampling.fixed(["a"]), 0.5, seed=-1), "seed .* Found -1"),
        (lambda: sampling.poisson(POPULATION, 0), r"in \(0, 640\]. Found 0."),
        (lambda: sampling.poisson(POPULATION, float("nan")), r"in \(0, 640\]. Found nan."),
        (lambda: sampling.poisson(POPULATION, 641), r"in \(0, 640\]. Found 641."),
        (lambda: sampling.poisson(["a", "b", "a"], 1), "client_ids must be different"),
        (lambda: sampling.poisson(["a", "b"], 1, seed=-3), "seed .* Found -3"),
        (lambda: sampling.once_per_epoch(POPULATION, 641), DOES_NOT_FIT),
        (lambda: sampling.once_per_epoch(["a", "b", "a"], 1), "client_ids must be different"),
        (lambda: sampling.once_per_epoch(["a", "b"], 1, seed=-3), "seed .* Found -3"),
    ],
)
def test_bad_input_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


@pytest.mark.parametrize("draw", [sampling.fixed, lambda ids: sampling.uniform(ids, 1)])
@pytest.mark.parametrize("client_ids", [{"a", "b"}, "writer_001", ["a", None], ["a", float("nan")]])
def test_ids_without_an_order_and_what_is_no_id_are_refused(draw, client_ids):
    with pytest.raises(TypeError, match="client_ids must be"):
        draw(client_ids)
