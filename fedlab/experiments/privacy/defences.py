"""The defences of the privacy ledger: what runs their rounds, and the cost of these."""

import functools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_federated as tff

from fedlab import learning, models, runtime
from fedlab.data import FederatedDataset, sampling
from fedlab.data.client_data import MemoryClientData
from fedlab.data.preprocessing import CohortFn, Preprocessing, build_cohort_fn
from fedlab.dp import mechanisms
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.experiments.central_training import Weights
from fedlab.experiments.privacy.configs import (
    CKKS,
    DISTRIBUTED,
    MASKS,
    NONE,
    SERVERS,
    LedgerConfig,
    build_ledger,
    with_defence,
)
from fedlab.experiments.privacy.start import pretrain
from fedlab.experiments.privacy.writers import split_writers
from fedlab.experiments.store import Records
from fedlab.experiments.timing import time_in_turn
from fedlab.training import run_rounds, weights_bytes

IN_THE_CLEAR = "the secure sums' integers, in the clear"  # no row; the sums are compared with it
_MAX_ROUNDING = 1e-6  # of a weight, in two rounds


def build_plan(config: LedgerConfig, epsilon: float, num_members: int) -> PrivacyPlan:
    """Returns the plan of noise at the server, for all members in every round."""
    return PrivacyPlan.for_epsilon(
        epsilon,
        population=num_members,
        expected_num_clients=float(num_members),
        num_rounds=config.num_rounds,
        clip=config.clip,
    )


def group_noise_multiplier(config: LedgerConfig, num_members: int) -> float:
    """Returns the noise multiplier of the clients' noise.

    Raises:
        ValueError: A group is too small for this noise.
    """
    noise_multiplier = build_plan(config, config.group_epsilon, num_members).noise_multiplier
    if not config.group_size > 10 * noise_multiplier:
        raise ValueError(
            "group_size must be above 10 times the noise multiplier, or TFF's count of the "
            f"clipped takes all the noise. Found {config.group_size} and a noise multiplier of "
            f"{noise_multiplier:.2f}."
        )
    return noise_multiplier


@functools.lru_cache(maxsize=64)  # a ledger has some 25
def compile_rounds(
    config: LedgerConfig,
    num_members: int,
    seed: int,
    *,
    server_learning_rate: float,
    num_trained: int | None = None,
) -> runtime.Runner:
    """Returns what runs the rounds of a defence, compiled once.

    A secure sum runs for a group of clients alone: without one, noise of the clients is dealt out
    to all who train.

    Args:
        config: The defence.
        num_members: Size of the population, which sets the noise.
        seed: Of noise at the server.
        server_learning_rate: What the mean update is multiplied by, above 0.
        num_trained: Number of clients in a round. If it differs from the population's, the noise of
            the MEAN update is still that of the population. Default: the population.
    """
    with runtime.oversize_messages():
        process = learning.build_fed_avg(
            models.build_functional_model(models.create_small_cnn),
            client_learning_rate=config.client_learning_rate,
            server_learning_rate=server_learning_rate,
            weighted=False,
            aggregator=_build_aggregator(config, num_members, seed, num_trained or num_members),
            metrics_aggregator=learning.leave_out_metrics,
        )
    return runtime.compile(process, secure_sum=config.secure_sum or "plain")


def _build_aggregator(config: LedgerConfig, num_members: int, seed: int, num_trained: int) -> Any:
    # Noise on the sum that is divided by `num_trained` and not by `num_members`.
    share = num_trained / num_members
    if config.mechanism == "clipping":
        return mechanisms.gaussian_fixed(0.0, config.clip, float(num_trained))
    if config.mechanism == "noise":
        assert config.target_epsilon is not None  # `LedgerConfig` has checked it
        plan = build_plan(config, config.target_epsilon, num_members)
        return mechanisms.gaussian_fixed(
            share * plan.noise_multiplier, config.clip, float(num_trained), insecure_seed=seed
        )
    if config.mechanism == "integers":
        return tff.learning.secure_aggregator(zeroing=False, clipping=False, weighted=False)
    if config.mechanism == "distributed":
        noise_multiplier = group_noise_multiplier(config, num_members)
        if config.secure_sum:
            return tff.learning.ddp_secure_aggregator(noise_multiplier, config.group_size)
        return tff.learning.ddp_secure_aggregator(share * noise_multiplier, num_trained)
    return None


def build_cohorts(
    config: LedgerConfig, client_data: MemoryClientData, sample_fn: sampling.SampleFn, seed: int
) -> CohortFn:
    """Returns the cohort of each round, with the batches of the ledger."""
    batches = Preprocessing(config.batch_size, shuffle=True, seed=seed)
    return build_cohort_fn(client_data, sample_fn, batches)


def train(
    config: LedgerConfig,
    client_data: MemoryClientData,
    members: Sequence[str],
    start: Weights,
    runner: runtime.Runner,
    seed: int,
) -> Weights:
    """Trains on some writers, all of them in every round, and returns the weights."""
    sample_fn = sampling.poisson(members, float(len(members)), seed=seed)
    cohort_fn = build_cohorts(config, client_data, sample_fn, seed)
    return _run(runner, cohort_fn, config.num_rounds, start)


def _run(runner: runtime.Runner, cohort_fn: CohortFn, num_rounds: int, start: Weights) -> Weights:
    return run_rounds(runner, cohort_fn, num_rounds, initial_weights=start, callbacks=[]).weights


def measure_groups(config: LedgerConfig, dataset: FederatedDataset, seed: int) -> Records:
    """Runs rounds of one group of clients under each defence, and measures their cost.

    Args:
        config: The ledger's settings.
        dataset: The data set.
        seed: Of the members and the order of the examples.

    Returns:
        For each defence that is measured, defence, seconds_per_round (all parties take turns on
        this machine, keys included), bytes_up_per_client and bytes_down_per_client (the model
        included), and rounding: how far the weights of summed integers are at most from FedAvg's.

    Raises:
        RuntimeError: A secure sum changes the model.
    """
    writers, start = split_writers(dataset, seed), pretrain(dataset, seed)
    runners = _compile_groups(config, writers.num_members, seed)
    sample_fn = sampling.fixed(writers.members[: config.group_size])
    cohort_fn = build_cohorts(config, writers.train, sample_fn, seed)
    rounding = _check_same_model(runners, cohort_fn, start)
    seconds = _time_rounds(config, runners, cohort_fn(1), start)
    records = []
    for name, runner in runners.items():
        bytes_up, bytes_down = _count_bytes(runner, start)
        records.append(
            {
                "defence": name,
                "seconds_per_round": seconds[name],
                "bytes_up_per_client": bytes_up,
                "bytes_down_per_client": bytes_down,
                "rounding": rounding,
            }
        )
    return records


def _compile_groups(config: LedgerConfig, num_members: int, seed: int) -> dict[str, runtime.Runner]:
    """Returns what runs the rounds of a group; its sum is as secure as the row says."""
    rows = {row.defence: row for row in build_ledger(config, other_epsilon=config.group_epsilon)}
    in_the_clear = with_defence(config, IN_THE_CLEAR, "integers")
    secure = {name: rows.pop(name) for name in (MASKS, CKKS, SERVERS, DISTRIBUTED)}
    configs = {**rows, IN_THE_CLEAR: in_the_clear, **secure}
    # With the rate written out, what is compiled is that of a reconstruction or a training, too.
    return {
        name: compile_rounds(row, num_members, seed, server_learning_rate=1.0)
        for name, row in configs.items()
    }


def _check_same_model(
    runners: Mapping[str, runtime.Runner], cohort_fn: CohortFn, start: Weights
) -> float:
    """Runs two rounds under each defence: those that only hide a sum must end at the same bits."""
    weights = {name: _run(runner, cohort_fn, 2, start) for name, runner in runners.items()}
    for name in (MASKS, CKKS, SERVERS):
        if _largest_difference(weights[name], weights[IN_THE_CLEAR]) != 0:
            raise RuntimeError(f"{name}: the model is not the one of the sum in the clear.")
    rounding = _largest_difference(weights[IN_THE_CLEAR], weights[NONE])
    if rounding > _MAX_ROUNDING:
        raise RuntimeError(f"Rounding to integers has changed the weights by {rounding}.")
    return rounding


def _largest_difference(weights: Weights, others: Weights) -> float:
    pairs = zip(weights.trainable, others.trainable, strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def _time_rounds(
    config: LedgerConfig,
    runners: Mapping[str, runtime.Runner],
    cohort: Mapping[str, Any],
    start: Weights,
) -> dict[Any, float]:
    cohort = dict(cohort)
    cases = {}
    for name, runner in runners.items():
        state = runner.set_model_weights(runner.initialize(), start)
        cases[name] = functools.partial(runner.next, state, cohort)
    return time_in_turn(cases, config.num_timed)


def _count_bytes(runner: runtime.Runner, start: Weights) -> tuple[float, float]:
    """Returns a client's bytes up and down in the last round; the training metrics do not count."""
    model = weights_bytes(start)
    if runner.secure_sum is None:
        return model, model
    costs = runner.secure_sum.costs
    up, down = (
        statistics.median(counted[name] for name in costs.bytes_up)
        for counted in (costs.bytes_up, costs.bytes_down)
    )
    return up, model + down
