"""What is published is the clipped sum, over the expected number, and a plan accounts for it."""

import math

import dp_accounting
import numpy as np
import pytest
import tensorflow_federated as tff
from dp_accounting.pld import PLDAccountant
from helpers import tiny
from helpers.noisy import (
    ALL,
    CLIP,
    DENOMINATORS,
    HUGE,
    LOCAL,
    NOISE,
    SHORT,
    adaptive,
    build,
    create,
    create_update,
    fixed,
    run,
)

from fedlab import runtime
from fedlab.data import sampling
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.dp import accounting, mechanisms
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.training import Checkpoint, CsvLog, run_rounds

PLAN = PrivacyPlan(
    population=6, expected_num_clients=2, num_rounds=5, noise_multiplier=NOISE, clip=CLIP
)

# Without noise


@ALL
def test_without_noise_and_clip_it_is_the_sum_over_the_expected_number(build_fn):
    (found,), *_ = run(create(build_fn, 0.0, HUGE), 1, SHORT)
    np.testing.assert_allclose(found, np.sum(SHORT, axis=0) / DENOMINATORS[build_fn], atol=1e-7)


@ALL
def test_one_client_moves_the_result_by_the_clip_at_most(build_fn):
    process = create(build_fn, 0.0)
    (without,), *_ = run(process, 1, SHORT)
    (with_it,), *_ = run(process, 1, [*SHORT, create_update(1e9, seed=9)])
    moved = (with_it - without) * DENOMINATORS[build_fn]
    np.testing.assert_allclose(moved, create_update(CLIP, seed=9), atol=1e-6)


def test_the_clip_follows_the_updates():
    *_, measurements = run(create(adaptive, 0.0, 100.0), 3, SHORT)  # all of them are shorter
    clip = measurements["dp_query_metrics"]["clip"]
    # 3 of the expected 40 are whole, counted from the middle: a share of 1/2 + (3/2) / 40.
    assert clip == pytest.approx(100 * math.exp(-0.2 * 1.5 / 40) ** 3, rel=1e-5)


# The plan


def test_what_tff_says_it_did_is_what_was_accounted_for():
    _, state, _ = run(build(PLAN.build_aggregator()), 1, SHORT)
    event = dp_accounting.DpEvent.from_named_tuple(state.dp_event)
    assert event.noise_multiplier == PLAN.noise_multiplier
    round_event = dp_accounting.PoissonSampledDpEvent(2 / 6, event)
    found = PLDAccountant().compose(round_event, PLAN.num_rounds).get_epsilon(PLAN.delta)
    assert found == pytest.approx(PLAN.epsilon, rel=1e-3)


def test_a_plan_s_numbers_are_the_accountant_s():
    run_of = {"num_clients": 2, "population": 6, "delta": 1 / 60}
    assert PLAN.delta == 1 / 60
    assert PLAN.epsilon == accounting.epsilon(NOISE, num_rounds=5, **run_of)
    assert PLAN.epsilon_after(2) == accounting.epsilon(NOISE, num_rounds=2, **run_of)


def test_a_plan_for_an_epsilon_has_it():
    plan = PrivacyPlan.for_epsilon(
        8.0, population=640, expected_num_clients=100, num_rounds=100, clip=1.0
    )
    assert 7.99 < plan.epsilon <= 8.0


def test_a_plan_samples_by_poisson_and_no_further_than_accounted():
    sample_fn = PLAN.sample_fn(tiny.DATA.client_ids, insecure_seed=3)
    expected = sampling.poisson(tiny.DATA.client_ids, 2, seed=3)
    assert [sample_fn(one) for one in range(1, 6)] == [expected(one) for one in range(1, 6)]
    for round_num in (0, 6):
        with pytest.raises(ValueError, match=f"rounds 1 to 5. Found {round_num}"):
            sample_fn(round_num)
    with pytest.raises(
        ValueError, match="must be the 6 clients that the plan accounts for. Found 5"
    ):
        PLAN.sample_fn(tiny.DATA.client_ids[:5])


def test_two_plans_draw_different_cohorts_unless_told():
    plan = PrivacyPlan(1000, 500, 1, NOISE, CLIP)
    names = [str(number) for number in range(1000)]
    assert plan.sample_fn(names)(1) != plan.sample_fn(names)(1)


# Runs


@pytest.fixture(scope="module")
def train():
    def train(num_rounds=5, *callbacks):
        sample_fn = PLAN.sample_fn(tiny.DATA.client_ids, insecure_seed=EMPTY_SEED)
        cohort_fn = build_cohort_fn(tiny.DATA, sample_fn, Preprocessing(batch_size=5))
        return run_rounds(runner, cohort_fn, num_rounds, callbacks=callbacks)

    aggregator = PLAN.build_aggregator(insecure_seed=1)
    process = tiny.build_process(weighted=False, aggregator=aggregator)
    runner = runtime.compile(process, privacy_plan=PLAN, metrics_in_the_clear=True)
    return train


EMPTY_SEED = next(
    seed for seed in range(100) if not sampling.poisson(tiny.DATA.client_ids, 2, seed=seed)(2)
)


def test_a_round_of_nobody_adds_the_noise_and_no_metrics(train):
    records, weights = train().records, [train(one).weights for one in (1, 2)]
    assert records[1]["num_clients"] == records[1]["num_examples"] == records[1]["bytes_up"] == 0
    assert math.isnan(records[1]["loss"]) and math.isnan(records[1]["accuracy"])
    assert all(0 < record["loss"] < math.inf for record in records if record["num_clients"])
    step = np.ravel(weights[1].trainable[0] - weights[0].trainable[0])
    assert step.std() == pytest.approx(NOISE * CLIP / 2, rel=5 * 0.008)


def test_a_resumed_run_is_the_run_that_was_never_interrupted(train, tmp_path):
    train(3, Checkpoint(tmp_path))
    resumed = train(5, Checkpoint(tmp_path), CsvLog(tmp_path / "run.csv"))
    assert tiny.same_bits(resumed.weights, train().weights)


def test_a_mean_of_nobody_is_told():
    with pytest.raises(
        ValueError, match="at least one client, for this process divides by .* Found none"
    ):
        run_rounds(tiny.build_process(), lambda round_num: {}, 1, callbacks=[])


def test_a_secure_sum_of_nobody_is_refused():
    @tff.federated_computation(
        tff.FederatedType(np.int32, tff.SERVER), tff.FederatedType(np.int32, tff.CLIENTS)
    )
    def next_fn(state, values):
        return state, tff.federated_secure_sum_bitwidth(values, 5)

    with tff.framework.get_context_stack().install(LOCAL):
        assert next_fn(0, [3, 4])[1] == 7
        with pytest.raises(ValueError, match="must hold a client whose sum is secure. Found none"):
            next_fn(0, [])


# Bad input


@pytest.mark.parametrize(
    "build_fn, message",
    [
        (lambda: fixed(noise=-1), "noise_multiplier .* Found -1"),
        (lambda: fixed(clip=math.nan), "clip .* Found nan"),
        (lambda: mechanisms.gaussian_fixed(1, 1, 0), "expected_num_clients .* Found 0"),
        (lambda: fixed(insecure_seed=-1), "insecure_seed must be at least 0. Found -1"),
        (lambda: adaptive(quantile=1.5), r"quantile .* \[0, 1\]. Found 1.5"),
        (lambda: adaptive(noise=4.0), "above 10 times the noise_multiplier.* 4.0 and 40 clients"),
        (lambda: mechanisms.tree_aggregation(1, 1, 1, 0), "rounds_per_epoch .* Found 0"),
        (lambda: PrivacyPlan(6, 7, 5, 1.0, 1.0), "num_clients .* Found 7"),
        (lambda: PrivacyPlan(6, 2, 5, 1.0, 0.0), "clip .* Found 0.0"),
        (lambda: PrivacyPlan(6, 2, 5, 1.0, 1.0, quantile=0.5), "above 10 times"),
        (
            lambda: PrivacyPlan(100, 10, 5, 1.0, 1.0, delta=0.002),
            r"delta must be at most 1 / \(10 \* population\), 0.001.* Found 0.002",
        ),
        (
            lambda: PrivacyPlan.for_epsilon(
                8.0, population=100, expected_num_clients=10, num_rounds=5, clip=1.0, delta=0.002
            ),
            r"delta must be at most 1 / \(10 \* population\), 0.001.* Found 0.002",
        ),
    ],
)
def test_bad_numbers_are_refused(build_fn, message):
    with pytest.raises(ValueError, match=message):
        build_fn()
