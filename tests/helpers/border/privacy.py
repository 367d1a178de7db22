"""Good calls of the rooms dp, secure and runtime."""

import dataclasses

import numpy as np
from helpers import tiny
from helpers.border.calls import call, named, slow
from helpers.border.kinds import (
    BELOW_ONE,
    COUNT,
    FLAG,
    FRACTION,
    NAN,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SHARE,
    TEXT,
    ZERO_TO_ONE,
    array,
    bools,
    choice,
    count,
    ids,
    instance,
    number,
    optional,
)
from helpers.border.samples import WEIGHTS

from fedlab import runtime
from fedlab.dp import accounting, audit, canaries, mechanisms
from fedlab.dp.delta_cost import compare_deltas
from fedlab.dp.ledger import PrivacyLedger
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.secure import interface
from fedlab.secure.ckks import CkksSum
from fedlab.secure.secret_sharing import SecretSharingSum

POPULATION = {"population": (8, count(at_least=2))}
DELTA = {"delta": (0.0625, optional(FRACTION))}
SAMPLING = {"sampling": ("poisson", choice("poisson", "fixed_size"))}
NUM_CLIENTS = {"num_clients": (8, number(above=0, at_most=8))}
NUM_ROUNDS = {"num_rounds": (1, COUNT)}
NOISE = {"noise_multiplier": (1.0, NOT_NEGATIVE)}
INSECURE_SEED = {"insecure_seed": (3, optional(count(at_least=0, at_most=2**63 - 1)))}
EXPECTED = {"expected_num_clients": (64.0, POSITIVE)}
COINS = np.array([True, False, True, False])
SCORES = np.array([2.0, -1.0, 1.0, 0.5])
PLAN = PrivacyPlan(8, 8, 1, 1.0, 0.5)
PLAN_PARAMETERS = {
    **POPULATION,
    "expected_num_clients": (8, number(above=0, at_most=8)),
    **NUM_ROUNDS,
    "clip": (0.5, POSITIVE),
    "quantile": (None, optional(ZERO_TO_ONE)),
    "delta": (0.0078125, optional(number(above=0, at_most=0.0125))),
}
LEDGER = PrivacyLedger(8)
RUNNER = runtime.compile(tiny.build_process())
UPDATE = [np.ones_like(w) for w in WEIGHTS.trainable]
IMAGES, LABELS = np.full((2, 28, 28), 0.5, np.float32), np.array([1, 2])
SPEC = interface.IntegerSpec((2,), np.dtype(np.int32), 7)
SPECS = instance([], [7], {"a": SPEC})

DP_CALLS = (
    call(accounting.default_delta, **POPULATION),
    slow(
        accounting.epsilon, **NOISE, **NUM_CLIENTS, **POPULATION, **NUM_ROUNDS, **DELTA, **SAMPLING
    ),
    slow(
        accounting.epsilon_curve,
        **NOISE,
        rounds=([1], instance([0], [1.5], [True], ["1"], [NAN], [])),
        **NUM_CLIENTS,
        **POPULATION,
        **DELTA,
        **SAMPLING,
    ),
    slow(
        accounting.noise_for_epsilon,
        target_epsilon=(2.0, POSITIVE),
        **NUM_CLIENTS,
        **POPULATION,
        **NUM_ROUNDS,
        **DELTA,
        **SAMPLING,
    ),
    slow(
        compare_deltas,
        **NOISE,
        populations=([8], instance([1], [8.5], [True], ["8"], [NAN], [])),
        **NUM_ROUNDS,
    ),
    call(
        accounting.tree_epsilon,
        **NOISE,
        rounds_per_epoch=(4, COUNT),
        num_epochs=(2, COUNT),
        delta=(0.0625, FRACTION),
    ),
    call(
        audit.epsilon_lower_bound,
        scores=(SCORES, array(SCORES, is_finite=False)),
        included=(COINS, bools(COINS)),
        delta=(0.0, BELOW_ONE),
        num_guesses=(2, instance([], [2, 3], [2.0], True, 3, 6, "2", 2.5, [True, True], NAN)),
        confidence=(0.75, FRACTION),
    ),
    call(
        audit.bound_from_guesses,
        num_right=(2, count(at_least=0)),
        num_guesses=(2, count(at_least=2)),
        num_canaries=(4, count(at_least=2)),
        delta=(0.0, BELOW_ONE),
        confidence=(0.75, FRACTION),
    ),
    call(canaries.flip_coins, num_canaries=(4, COUNT), seed=(0, SEED)),
    call(
        canaries.CanaryRunner,
        runner=(RUNNER, instance(tiny.build_process())),
        included=(COINS, bools(COINS).without(COINS[1:])),
        norm=(1.0, POSITIVE),
        sampling_probability=(1.0, SHARE),
        seed=(0, SEED),
    ),
    call(
        canaries.direction_scores,
        change=(UPDATE, instance([np.nan * w for w in UPDATE], [w.astype(str) for w in UPDATE])),
        num_canaries=(2, COUNT),
        seed=(0, SEED),
    ),
    call(
        canaries.simulate_gaussian,
        included=(COINS, bools(COINS).without(COINS[1:])),
        **NOISE,
        **NUM_ROUNDS,
        sampling_probability=(1.0, SHARE),
        seed=(0, SEED),
    ),
    call(mechanisms.gaussian_fixed, **NOISE, clip=(1.0, POSITIVE), **EXPECTED, **INSECURE_SEED),
    call(
        mechanisms.gaussian_adaptive,
        **NOISE,
        initial_clip=(1.0, POSITIVE),
        **EXPECTED,
        quantile=(1.0, ZERO_TO_ONE),
        learning_rate=(1.0, NOT_NEGATIVE),
        **INSECURE_SEED,
    ),
    call(
        mechanisms.tree_aggregation,
        **NOISE,
        clip=(1.0, POSITIVE),
        num_clients=(4, COUNT),
        rounds_per_epoch=(2, COUNT),
        **INSECURE_SEED,
    ),
    slow(
        PrivacyPlan,
        **NOISE,
        **PLAN_PARAMETERS,
        metrics_clip=(100.0, optional(POSITIVE)),
        metrics_share=(0.5, FRACTION),
    ),
    call(
        PrivacyLedger,
        **POPULATION,
        delta=(0.0078125, optional(number(above=0, at_most=0.0125))),
        **SAMPLING,
    ),
    named(
        "dp.ledger.PrivacyLedger.add",
        LEDGER.add,
        name=("a run", TEXT),
        **NOISE,
        **NUM_CLIENTS,
        **NUM_ROUNDS,
    ),
    dataclasses.replace(
        slow(PrivacyPlan.for_epsilon, target_epsilon=(2.0, POSITIVE), **PLAN_PARAMETERS),
        name="dp.privacy_plan.PrivacyPlan.for_epsilon",
    ),
    named("dp.privacy_plan.PrivacyPlan.epsilon_after", PLAN.epsilon_after, **NUM_ROUNDS),
    named(
        "dp.privacy_plan.PrivacyPlan.sample_fn",
        PLAN.sample_fn,
        client_ids=(list("abcdefgh"), ids(list("abcdefgh"))),
        insecure_seed=(3, optional(SEED)),
    ),
)

SECURE_CALLS = (
    call(
        interface.IntegerSpec,
        shape=((2,), instance((2.5,), (-1,), (True,)).without([])),
        dtype=(np.dtype(np.int32), instance(np.float32, "words")),
        max_value=(7, count(at_least=0)),
        modulus=(16, optional(count(at_least=8, at_most=2**31))),
    ),
    call(interface.check_cohort, client_ids=(["a", "b"], ids(["a", "b"])), specs=([SPEC], SPECS)),
    *(
        named(
            f"secure.{secure_sum.__name__}.begin_round",
            secure_sum().begin_round,
            client_ids=(["a", "b"], ids(["a", "b"])),
            specs=([SPEC], SPECS),
        )
        for secure_sum in (CkksSum, SecretSharingSum)
    ),
)

RUNTIME_CALLS = (
    slow(
        runtime.compile,
        process=(tiny.build_process(), instance(tiny.build_process)),
        runtime=("local", choice("local", "tff", "ray")),
        num_workers=(1, optional(COUNT)),
        on_client_error=("raise", choice("raise", "drop")),
        secure_sum=("plain", choice("plain", "secagg", "ckks", "shares")),
        privacy_plan=(None, optional(instance())),
        metrics_in_the_clear=(True, FLAG),
    ),
    slow(runtime.install, runtime=("local", choice("local", "tff"))),
)
