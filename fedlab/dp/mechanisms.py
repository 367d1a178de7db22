"""Aggregators that clip every client's update and add noise to the sum, and plans that account for it.

They are TFF's `DifferentiallyPrivateFactory` over TensorFlow Privacy's queries. Each takes the
place of the mean in a builder, `build_fed_avg(..., weighted=False, aggregator=...)`: every client
counts once, for its weight would be a way out of the clip. The sum is divided by the EXPECTED number
of clients, a constant: the number that came is itself private under Poisson sampling. So a round of
few clients makes a small step, and a round of nobody adds noise alone.

Where the noise comes from: `fedlab.dp.noise`.

Not protected: the training metrics. TFF's clients send loss, accuracy and number of examples in
the clear.
"""

import dataclasses
import functools
import secrets
from collections.abc import Sequence

import tensorflow_federated as tff
import tensorflow_privacy as tfp

from fedlab.data import sampling
from fedlab.dp import accounting
from fedlab.dp.noise import NoisySumQuery, TreeFactory

Factory = tff.aggregators.UnweightedAggregationFactory


def gaussian_fixed(
    noise_multiplier: float,
    clip: float,
    expected_num_clients: float,
    *,
    insecure_seed: int | None = None,
) -> Factory:
    """Clips at a fixed norm and adds Gaussian noise: DP-FedAvg (McMahan et al. 2018, algorithm 1).

    Args:
        noise_multiplier: Standard deviation of the noise on the sum, in units of `clip`, at least 0.
        clip: Largest L2 norm of a client's update, over all its arrays, above 0.
        expected_num_clients: What the noised sum is divided by, above 0.
        insecure_seed: Makes the noise a function of this number and the round: for tests and
            notebooks. Whoever knows it can take the noise away. Default: the operating system's.

    Raises:
        ValueError: A number is out of range.
    """
    _check(noise_multiplier, clip, expected_num_clients, insecure_seed)
    query = NoisySumQuery(
        tfp.GaussianSumQuery(l2_norm_clip=float(clip), stddev=0.0),
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

    The count of those below the clip is noised too (standard deviation: a twentieth of the expected
    clients, as in the paper), and the updates' noise is raised so that both together cost what one
    Gaussian with `noise_multiplier` costs (theorem 1): account for that.

    Args:
        noise_multiplier: Of both together, at least 0.
        initial_clip: Of the first round, above 0. By a factor of at most `exp(learning_rate / 2)` a
            round it finds its way from there (quantile 0.5).
        expected_num_clients: See `gaussian_fixed`.
        quantile: Share of the updates to leave whole, in [0, 1].
        learning_rate: How fast the clip moves, at least 0.
        insecure_seed: See `gaussian_fixed`.

    Raises:
        ValueError: A number is out of range, or the cohort is too small for the noise: its count
            would need all of it.
    """
    _check(noise_multiplier, initial_clip, expected_num_clients, insecure_seed)
    accounting.check_at_least_0("learning_rate", learning_rate)
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile must lie in [0, 1]. Found {quantile}.")
    count_stddev = expected_num_clients / 20 if noise_multiplier else 0.0
    update_noise = _split_noise(noise_multiplier, count_stddev)

    def stddevs_fn(state, num_leaves: int):  # the last leaf is the count
        return [update_noise * state.sum_state.l2_norm_clip] * (num_leaves - 1) + [count_stddev]

    inner = tfp.QuantileAdaptiveClipSumQuery(
        initial_l2_norm_clip=float(initial_clip),
        noise_multiplier=0.0,
        target_unclipped_quantile=quantile,
        learning_rate=learning_rate,
        clipped_count_stddev=0.0,
        expected_num_records=float(expected_num_clients),
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

    The sum of all rounds so far, which is what SGD at the server makes of them, carries the noise of
    a few nodes of the tree and not one noise per round. A new tree begins with every epoch. It wants
    plain SGD (or momentum) at the server, and clients that take part at most once in an epoch:
    `sampling.once_per_epoch`; `accounting.tree_epsilon` says what that gives. The state holds the
    noise of the open nodes and must be kept as secret as the updates.

    Args:
        noise_multiplier: Standard deviation of the noise of a node, in units of `clip`, at least 0.
        clip: See `gaussian_fixed`.
        num_clients: Of every round; what the sum is divided by.
        rounds_per_epoch: After how many rounds a new tree begins, at least 1.
        insecure_seed: See `gaussian_fixed`.

    Raises:
        ValueError: A number is out of range.
    """
    _check(noise_multiplier, clip, num_clients, insecure_seed)
    if not rounds_per_epoch >= 1:
        raise ValueError(f"rounds_per_epoch must be at least 1. Found {rounds_per_epoch}.")
    return TreeFactory(noise_multiplier * clip, clip, num_clients, rounds_per_epoch, insecure_seed)


@dataclasses.dataclass(frozen=True)
class PrivacyPlan:
    """What a private run will do, once: what is sampled, noised and accounted cannot disagree.

    Attributes:
        population: Clients that may be drawn, at least 2.
        expected_num_clients: Mean size of the cohorts, drawn by Poisson sampling.
        num_rounds: Of the whole run, at least 1.
        noise_multiplier: See `gaussian_fixed`.
        clip: Largest L2 norm of an update; with a `quantile`, of the first round's.
        quantile: Lets the clip follow it, see `gaussian_adaptive`. Default: the clip is fixed.
        delta: Default: `accounting.default_delta(population)`.
    """

    population: int
    expected_num_clients: float
    num_rounds: int
    noise_multiplier: float
    clip: float
    quantile: float | None = None
    delta: float | None = None

    def __post_init__(self):
        if self.delta is None:
            object.__setattr__(self, "delta", accounting.default_delta(self.population))
        _ = self.epsilon, self.build_aggregator()  # they fail here, not in round 1

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
        """Returns the plan with the least noise for an epsilon. See `accounting.noise_for_epsilon`."""
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
        """Of the whole run, at `delta`, for adding or removing one client."""
        return self.epsilon_after(self.num_rounds)

    def epsilon_after(self, num_rounds: int) -> float:
        """Returns the epsilon of the first rounds."""
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
        """Returns the function that draws the cohorts; it names nobody beyond the last round.

        Args:
            client_ids: The population.
            insecure_seed: Makes the cohorts repeatable, also for a run that is resumed elsewhere.
                The accounting counts on nobody knowing them. Default: the operating system's.

        Raises:
            ValueError: It is another population, or a round that is not accounted for.
        """
        if len(client_ids) != self.population:
            raise ValueError(
                f"client_ids must be the {self.population} that the plan accounts for. "
                f"Found {len(client_ids)}."
            )
        seed = secrets.randbits(128) if insecure_seed is None else insecure_seed
        draw = sampling.poisson(client_ids, self.expected_num_clients, seed=seed)

        def sample_fn(round_num: int) -> list[str]:
            if not 1 <= round_num <= self.num_rounds:
                raise ValueError(
                    f"The plan accounts for rounds 1 to {self.num_rounds}. Found {round_num}. Make a "
                    "plan of more rounds before the first."
                )
            return draw(round_num)

        return sample_fn

    def build_aggregator(self, *, insecure_seed: int | None = None) -> Factory:
        """Returns what clips, sums and adds the noise. For `insecure_seed` see `gaussian_fixed`."""
        arguments = self.noise_multiplier, self.clip, self.expected_num_clients
        if self.quantile is None:
            return gaussian_fixed(*arguments, insecure_seed=insecure_seed)
        return gaussian_adaptive(*arguments, quantile=self.quantile, insecure_seed=insecure_seed)


def _build_mean(query: tfp.SumAggregationDPQuery, expected_num_clients: float) -> Factory:
    mean = tfp.NormalizedQuery(query, denominator=float(expected_num_clients))
    return tff.aggregators.DifferentiallyPrivateFactory(mean)


def _split_noise(noise_multiplier: float, count_stddev: float) -> float:
    """Returns the updates' share of the noise, where the count, of sensitivity 1/2, has the rest."""
    if noise_multiplier == 0:
        return 0.0
    if noise_multiplier >= 2 * count_stddev:
        raise ValueError(
            "expected_num_clients must be above 10 times the noise_multiplier, or the count of the "
            f"clipped takes all of the noise. Found a noise_multiplier of {noise_multiplier} and "
            f"{20 * count_stddev:g} clients."
        )
    return (noise_multiplier**-2 - (2 * count_stddev) ** -2) ** -0.5


def _check(
    noise_multiplier: float, clip: float, num_clients: float, insecure_seed: int | None
) -> None:
    accounting.check_at_least_0("noise_multiplier", noise_multiplier)
    for name, value in (("clip", clip), ("expected_num_clients", num_clients)):
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} must be a number above 0. Found {value}.")
    if insecure_seed is not None:
        sampling.check_seed(insecure_seed)
