"""A client takes part only in rounds in which its consent holds, whatever draws the cohorts."""

import numpy as np
import pytest

from fedlab.data import sampling
from fedlab.data.consent import with_consent
from fedlab.data.description import describe
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.random_streams import random_stream

CLIENTS = [f"c{number:02d}" for number in range(30)]
NUM_ROUNDS = 40
ALWAYS = {client_id: range(1, NUM_ROUNDS + 1) for client_id in CLIENTS}
SAMPLERS = {
    "fixed": lambda seed: sampling.fixed(CLIENTS),
    "uniform": lambda seed: sampling.uniform(CLIENTS, 10, seed=seed),
    "poisson": lambda seed: sampling.poisson(CLIENTS, 10.0, seed=seed),
    "once_per_epoch": lambda seed: sampling.once_per_epoch(CLIENTS, 10, seed=seed),
    "drop_out": lambda seed: sampling.drop_out(sampling.fixed(CLIENTS), 0.5, seed=seed),
    "plan": lambda seed: PrivacyPlan(30, 10, NUM_ROUNDS, 1.0, 0.5).sample_fn(
        CLIENTS, insecure_seed=seed
    ),
}


def withdrawals(seed):
    """A third never consents; the others begin and withdraw in rounds drawn at random."""
    rng = random_stream("test of consent", seed)
    starts, lengths = rng.integers(1, 6, 20), rng.integers(0, NUM_ROUNDS, 20)
    return {
        client_id: range(int(start), int(start + length))
        for client_id, start, length in zip(CLIENTS, starts, lengths, strict=False)
    }


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("seed", range(5))
def test_no_client_takes_part_without_consent_and_nobody_else_is_left_out(sampler, seed):
    draw, consent = SAMPLERS[sampler](seed), withdrawals(seed)
    sample_fn = with_consent(draw, CLIENTS, consent)
    num_drawn = 0
    for round_num in range(1, NUM_ROUNDS + 1):
        cohort = sample_fn(round_num)
        expected = [c for c in draw(round_num) if c in consent and round_num in consent[c]]
        assert cohort == expected
        num_drawn += len(cohort)
    assert num_drawn > 0


def test_after_its_withdrawal_a_client_never_comes_back():
    consent = ALWAYS | {"c03": range(1, 8)}
    sample_fn = with_consent(sampling.fixed(CLIENTS), CLIENTS, consent)
    assert [n for n in range(1, NUM_ROUNDS + 1) if "c03" in sample_fn(n)] == list(range(1, 8))
    assert all(len(sample_fn(n)) == 29 for n in range(8, NUM_ROUNDS + 1))


def test_with_everybody_s_consent_it_is_the_sampler_itself():
    for create in SAMPLERS.values():
        draw = create(3)
        sample_fn = with_consent(draw, CLIENTS, ALWAYS)
        assert [sample_fn(n) for n in range(1, 9)] == [draw(n) for n in range(1, 9)]


def test_a_poisson_rate_does_not_rise_when_others_withdraw():
    consent = {client_id: ALWAYS[client_id] for client_id in CLIENTS[:3]}
    cohorts = [
        with_consent(sampling.poisson(CLIENTS, 10.0, seed=seed), CLIENTS, consent)(n)
        for seed in range(50)
        for n in range(1, NUM_ROUNDS + 1)
    ]
    counts = np.array([sum(c in cohort for cohort in cohorts) for c in CLIENTS[:3]])
    # Binomial(2000, 1/3): standard deviation 21.1. Five of them hold for any seed.
    assert np.abs(counts - 2000 / 3).max() < 5 * 21.1


def test_a_cohort_may_be_empty():
    sample_fn = with_consent(sampling.fixed(["a"]), ["a"], {"a": range(0)})
    assert sample_fn(1) == []


def test_the_caller_s_dictionary_is_copied():
    consent = {"c00": range(1, 9)}
    sample_fn = with_consent(sampling.fixed(CLIENTS), CLIENTS, consent)
    consent["c01"] = range(1, 9)
    assert sample_fn(1) == ["c00"]


def test_a_sampler_of_another_population_is_refused():
    few = sampling.poisson(CLIENTS[:5], 4.0)
    with pytest.raises(ValueError, match="would raise their rate"):
        with_consent(few, CLIENTS, ALWAYS)
    with pytest.raises(ValueError, match="would raise their rate"):
        with_consent(sampling.drop_out(few, 0.5), CLIENTS, ALWAYS)
    unknown = with_consent(lambda round_num: ["eve"], CLIENTS, ALWAYS)  # it does not say of whom
    with pytest.raises(ValueError, match="no client 'eve'"):
        unknown(1)


@pytest.mark.parametrize(
    "consent, error, text",
    [
        ({"eve": range(3)}, ValueError, "'eve'"),
        ({"c00": True}, TypeError, "c00.*range.*True"),
        ({"c00": [1, 2]}, TypeError, "c00.*range"),
        ({"c00": range(1, 9, 2)}, ValueError, "step 1"),
        ({"c00": range(-2, 9)}, ValueError, r"range\(-2, 9\)"),
        ({3: range(3)}, ValueError, "3"),
        ({}, ValueError, "consent"),
        (["c00"], TypeError, "consent"),
    ],
)
def test_bad_consent_is_refused(consent, error, text):
    with pytest.raises(error, match=text):
        with_consent(sampling.fixed(CLIENTS), CLIENTS, consent)


def test_a_run_that_goes_on_can_tell_another_consent():
    draw = sampling.fixed(CLIENTS)
    first = describe(with_consent(draw, CLIENTS, ALWAYS))
    assert first == describe(with_consent(draw, CLIENTS, dict(reversed(ALWAYS.items()))))
    assert first != describe(with_consent(draw, CLIENTS, ALWAYS | {"c00": range(1, 8)}))
