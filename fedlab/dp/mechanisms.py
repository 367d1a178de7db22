"""Aggregators that clip each client's update and add noise to the sum, and plans that account for it.

The aggregators are TFF's `DifferentiallyPrivateFactory` over TensorFlow Privacy's queries. Each of them
replaces the mean in a builder, `build_fed_avg(..., weighted=False, aggregator=...)`. All clients have
the same weight, because a client could exceed the clip with a large weight. The sum is divided by the
EXPECTED number of clients, a constant, because with Poisson sampling the actual number is itself
private. So a round with few clients makes a small step, and a round without clients adds only noise.

The training metrics are not protected: TFF's clients send loss and accuracy in the clear.
"""

import dataclasses
import functools
import secrets
from collections.abc import Sequence
from typing import Any, TypeAlias

import tensorflow_federated as tff
import tensorflow_privacy as tfp

from fedlab.checks import check_count, check_ids, check_number, check_seed
from fedlab.data import sampling
from fedlab.dp import accounting
from fedlab.dp.noise import NoisySumQuery, TreeFactory, split_noise
from fedlab.dp.plan_checks import check_delta, check_plan

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
    return _build_mean(query, expected_num_clients)


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
    return _build_mean(query, expected_num_clients)


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
    return TreeFactory(noise_multiplier * clip, clip, num_clients, rounds_per_epoch, insecure_seed)


@dataclasses.dataclass(frozen=True)
class PrivacyPlan:
    """The parameters of a private run in one place, so that sampling, noise and accounting agree.

    Example:
        plan = PrivacyPlan(640, 64, num_rounds=100, noise_multiplier=1.0, clip=0.5)
        process = build_fed_avg(model, weighted=False, aggregator=plan.build_aggregator())
        cohort_fn = build_cohort_fn(train, plan.sample_fn(train.client_ids), Preprocessing())

    Attributes:
        population: Number of clients that may be drawn, at least 2.
        expected_num_clients: Expected size of the cohorts, which are drawn by Poisson sampling.
        num_rounds: Number of rounds of the whole run, at least 1.
        noise_multiplier: Standard deviation of the noise on the sum divided by the clip, at least 0.
        clip: Largest L2 norm of a client's update, above 0; with a `quantile`, that of the first round.
        quantile: Share of updates that an adaptive clip leaves whole. Default: a fixed clip.
        delta: Delta of the guarantee, above 0 and below `1 / population`. Default:
            `accounting.default_delta(population)`.

    Raises:
        ValueError: A number is out of range.
    """

    population: int
    expected_num_clients: float
    num_rounds: int
    noise_multiplier: float
    clip: float
    quantile: float | None = None
    delta: float | None = None

    def __post_init__(self) -> None:
        if self.delta is None:
            object.__setattr__(self, "delta", accounting.default_delta(self.population))
        check_delta(self.delta, self.population)
        check_plan(self.population, self.expected_num_clients, self.clip, self.quantile)
        # Both check the parameters, so that a bad plan fails here and not in round 1.
        _ = self.build_aggregator(), self.epsilon

    @classmethod
    def for_epsilon(
        cls,
        target_epsilon: float,
        *,
        population: int,
        expected_num_clients: float,
        num_rounds: int,
        clip: float,
        quantile: float | None = None,
        delta: float | None = None,
    ) -> "PrivacyPlan":
        """Returns the plan with the least noise for an epsilon.

        Args:
            target_epsilon: The epsilon that the whole run may have, above 0.
            population: Number of clients that may be drawn, at least 2.
            expected_num_clients: Expected size of the cohorts.
            num_rounds: Number of rounds of the whole run, at least 1.
            clip: Largest L2 norm of a client's update, above 0.
            quantile: Share of updates that an adaptive clip leaves whole. Default: a fixed clip.
            delta: Delta of the guarantee, as in the class. Default: `default_delta(population)`.

        Raises:
            TypeError: An argument is not a number.
            ValueError: A number is out of range, or no noise gives this epsilon.
        """
        check_plan(population, expected_num_clients, clip, quantile)
        noise_multiplier = accounting.noise_for_epsilon(
            target_epsilon,
            num_clients=expected_num_clients,
            population=population,
            num_rounds=num_rounds,
            delta=delta,
        )
        return cls(
            population, expected_num_clients, num_rounds, noise_multiplier, clip, quantile, delta
        )

    @functools.cached_property
    def epsilon(self) -> float:
        """The epsilon of the whole run at `delta`, for adding or removing one client."""
        return self.epsilon_after(self.num_rounds)

    def epsilon_after(self, num_rounds: int) -> float:
        """Returns the epsilon of the first `num_rounds` rounds."""
        return accounting.epsilon(
            self.noise_multiplier,
            num_clients=self.expected_num_clients,
            population=self.population,
            num_rounds=num_rounds,
            delta=self.delta,
        )

    def sample_fn(
        self, client_ids: Sequence[str], *, insecure_seed: int | None = None
    ) -> sampling.SampleFn:
        """Returns the function from a round number of the plan to the ids of its cohort.

        Args:
            client_ids: The population.
            insecure_seed: Makes the cohorts repeatable, although the accounting assumes that nobody
                knows them. Default: random bits from the operating system.

        Raises:
            ValueError: `client_ids` is not as many as the population, or the round is not in the plan.
        """
        client_ids = check_ids("client_ids", client_ids)
        if insecure_seed is not None:
            check_seed(insecure_seed, "insecure_seed")
        if len(client_ids) != self.population:
            raise ValueError(
                f"client_ids must be the {self.population} clients that the plan accounts for. "
                f"Found {len(client_ids)}."
            )
        seed = secrets.randbits(128) if insecure_seed is None else insecure_seed
        draw = sampling.poisson(client_ids, self.expected_num_clients, seed=seed)

        def sample_fn(round_num: int) -> list[str]:
            if not 1 <= check_count("round_num", round_num, at_least=0) <= self.num_rounds:
                raise ValueError(
                    f"The plan accounts for rounds 1 to {self.num_rounds}. Found {round_num}. Make a "
                    "plan of more rounds before the first."
                )
            return draw(round_num)

        return sample_fn

    def build_aggregator(self, *, insecure_seed: int | None = None) -> Factory:
        """Returns the aggregator that clips the updates, sums them and adds the noise.

        Args:
            insecure_seed: Seed of the noise for tests and notebooks, as in `gaussian_fixed`.
        """
        noise, clip, num_clients = self.noise_multiplier, self.clip, self.expected_num_clients
        if self.quantile is None:
            return gaussian_fixed(noise, clip, num_clients, insecure_seed=insecure_seed)
        return gaussian_adaptive(
            noise, clip, num_clients, quantile=self.quantile, insecure_seed=insecure_seed
        )


def _build_mean(query: tfp.SumAggregationDPQuery, expected_num_clients: float) -> Factory:
    mean = tfp.NormalizedQuery(query, denominator=expected_num_clients)
    return tff.aggregators.DifferentiallyPrivateFactory(mean)


def _check(noise_multiplier: float, insecure_seed: int | None, **positive: float) -> list[Any]:
    """Returns the arguments, converted, in their order."""
    if insecure_seed is not None:  # an int64 in the graph
        insecure_seed = check_seed(insecure_seed, "insecure_seed", at_most=2**63 - 1)
    numbers = [check_number(name, value, above=0) for name, value in positive.items()]
    return [check_number("noise_multiplier", noise_multiplier, at_least=0), insecure_seed, *numbers]
