"""Aggregators that clip each client's update and add noise to the sum.

The aggregators are TFF's `DifferentiallyPrivateFactory` over TensorFlow Privacy's queries. Each of them
replaces the mean in a builder, `build_fed_avg(..., weighted=False, aggregator=...)`. All clients have
the same weight, because a client could exceed the clip with a large weight. The sum is divided by the
EXPECTED number of clients, a constant, because with Poisson sampling the actual number is itself
private. So a round with few clients makes a small step, and a round without clients adds only noise.

What an aggregator lets a client send carries the aggregator's name and parameters, so that
`fedlab.runtime.compile` can tell it from all else that the client sends, and refuse a process with
more. The training metrics are such a thing: build the process without them
(`fedlab.learning.leave_out_metrics`), or protect them too, with a `fedlab.dp.privacy_plan.PrivacyPlan`.
"""

from typing import Any, TypeAlias

import tensorflow_federated as tff
import tensorflow_privacy as tfp

from fedlab.checks import check_count, check_number, check_seed
from fedlab.dp.noise import NamedMean, NoisySumQuery, TreeFactory, split_noise

Factory: TypeAlias = tff.aggregators.UnweightedAggregationFactory


def gaussian_fixed(
    noise_multiplier: float,
    clip: float,
    expected_num_clients: float,
    *,
    insecure_seed: int | None = None,
) -> Factory:
    """Clips at a fixed norm and adds Gaussian noise: DP-FedAvg (McMahan et al. 2018, algorithm 1).

    Args:
        noise_multiplier: Standard deviation of the noise on the sum divided by `clip`, at least 0.
        clip: Largest L2 norm of a client's update, over all its arrays together, above 0.
        expected_num_clients: The constant by which the noisy sum is divided, above 0.
        insecure_seed: Makes the noise a function of this number and the round, so that everybody who
            knows the number can remove the noise: for tests and notebooks. Default: random bits from
            the operating system.

    Raises:
        ValueError: A number is out of range.
    """
    noise_multiplier, insecure_seed, clip, expected_num_clients = _check(
        noise_multiplier, insecure_seed, clip=clip, expected_num_clients=expected_num_clients
    )
    query = NoisySumQuery(
        tfp.GaussianSumQuery(l2_norm_clip=clip, stddev=0.0),
        lambda state, num_leaves: [noise_multiplier * state.l2_norm_clip] * num_leaves,
        noise_multiplier,
        insecure_seed,
    )
    name = fixed_name(noise_multiplier, clip, expected_num_clients)
    return _build_mean(query, expected_num_clients, name)


def gaussian_adaptive(
    noise_multiplier: float,
    initial_clip: float,
    expected_num_clients: float,
    *,
    quantile: float = 0.5,
    learning_rate: float = 0.2,
    insecure_seed: int | None = None,
) -> Factory:
    """Clips at a norm that follows a quantile of the updates' norms (Andrew et al. 2021).

    The number of updates below the clip gets noise too, with a standard deviation of a twentieth of the
    expected clients, as in the paper. The noise of the updates is increased, so that both together cost
    as much privacy as one Gaussian mechanism with `noise_multiplier` (theorem 1). Account for that one.

    Args:
        noise_multiplier: Noise multiplier of both together, at least 0.
        initial_clip: Clip of the first round, above 0. With the default quantile, the clip changes by a
            factor of at most `exp(learning_rate / 2)` per round.
        expected_num_clients: The constant by which the noisy sum is divided, above 0.
        quantile: Share of the updates that should not be clipped, in [0, 1].
        learning_rate: Step size of the logarithm of the clip, at least 0.
        insecure_seed: Seed of the noise for tests and notebooks, as in `gaussian_fixed`.

    Raises:
        ValueError: A number is out of range, or the cohort is so small that the noise of the count alone
            would exceed the noise multiplier.
    """
    noise_multiplier, insecure_seed, initial_clip, expected_num_clients = _check(
        noise_multiplier,
        insecure_seed,
        initial_clip=initial_clip,
        expected_num_clients=expected_num_clients,
    )
    learning_rate = check_number("learning_rate", learning_rate, at_least=0)
    quantile = check_number("quantile", quantile, at_least=0, at_most=1)
    count_stddev = expected_num_clients / 20 if noise_multiplier else 0.0
    update_noise = split_noise(noise_multiplier, count_stddev)

    def stddevs_fn(state: Any, num_leaves: int) -> list[Any]:  # the last leaf is the count
        return [update_noise * state.sum_state.l2_norm_clip] * (num_leaves - 1) + [count_stddev]

    inner = tfp.QuantileAdaptiveClipSumQuery(
        initial_l2_norm_clip=initial_clip,
        noise_multiplier=0.0,
        target_unclipped_quantile=quantile,
        learning_rate=learning_rate,
        clipped_count_stddev=0.0,
        expected_num_records=expected_num_clients,
    )
    query = NoisySumQuery(inner, stddevs_fn, noise_multiplier, insecure_seed)
    name = adaptive_name(noise_multiplier, initial_clip, expected_num_clients, quantile)
    return _build_mean(query, expected_num_clients, name)


def tree_aggregation(
    noise_multiplier: float,
    clip: float,
    num_clients: int,
    rounds_per_epoch: int,
    *,
    insecure_seed: int | None = None,
) -> Factory:
    """Adds the noise of a binary tree over the rounds: DP-FTRL (Kairouz et al. 2021).

    SGD at the server applies the sum of the updates of all rounds so far. Here this sum has the noise of
    a few nodes of a binary tree, instead of the noise of every round. A new tree begins with each epoch.
    The method needs plain SGD (or momentum) at the server, and clients that take part at most once in an
    epoch: draw cohorts with `sampling.once_per_epoch` and account with `accounting.tree_epsilon`. The
    server state contains the noise of the open nodes and must be kept as secret as the updates.

    Args:
        noise_multiplier: Standard deviation of the noise of a node divided by `clip`, at least 0.
        clip: Largest L2 norm of a client's update, over all its arrays together, above 0.
        num_clients: Clients per round, the constant by which the noisy sum is divided, above 0.
        rounds_per_epoch: Number of rounds after which a new tree begins, at least 1.
        insecure_seed: Seed of the noise for tests and notebooks, as in `gaussian_fixed`.

    Raises:
        ValueError: A number is out of range.
    """
    noise_multiplier, insecure_seed, clip = _check(noise_multiplier, insecure_seed, clip=clip)
    num_clients = check_count("num_clients", num_clients)
    rounds_per_epoch = check_count("rounds_per_epoch", rounds_per_epoch)
    parameters = {"noise": noise_multiplier, "clip": clip, "clients": num_clients}
    name = _name("tree", **parameters, rounds=rounds_per_epoch)
    return TreeFactory(
        noise_multiplier * clip, clip, num_clients, rounds_per_epoch, insecure_seed, name
    )


def _build_mean(
    query: tfp.SumAggregationDPQuery, expected_num_clients: float, name: str
) -> Factory:
    return tff.aggregators.DifferentiallyPrivateFactory(
        NamedMean(query, expected_num_clients, name)
    )


def fixed_name(noise_multiplier: float, clip: float, num_clients: float) -> str:
    """Returns the name that `gaussian_fixed` with these arguments gives to what a client sends."""
    return _name("gaussian", noise=noise_multiplier, clip=clip, clients=num_clients)


def adaptive_name(noise_multiplier: float, clip: float, num_clients: float, quantile: float) -> str:
    """Returns the name that `gaussian_adaptive` with these arguments gives to what a client sends."""
    parameters = {"noise": noise_multiplier, "clip": clip, "clients": num_clients}
    return _name("adaptive_gaussian", **parameters, quantile=quantile)


def _name(mechanism: str, **parameters: float) -> str:
    # TensorFlow takes no "+", as in 1e+20, in a name.
    parts = [f"{name}{float(value)}".replace("+", "") for name, value in parameters.items()]
    return ".".join([mechanism, *parts])


def _check(noise_multiplier: float, insecure_seed: int | None, **positive: float) -> list[Any]:
    """Returns the arguments, converted, in their order."""
    if insecure_seed is not None:  # an int64 in the graph
        insecure_seed = check_seed(insecure_seed, "insecure_seed", at_most=2**63 - 1)
    numbers = [check_number(name, value, above=0) for name, value in positive.items()]
    return [check_number("noise_multiplier", noise_multiplier, at_least=0), insecure_seed, *numbers]
