"""The parameters of a private run in one place: its cohorts, its noise and what they cost."""

import dataclasses
import functools
import math
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from fedlab.checks import check_count, check_ids, check_number, check_seed
from fedlab.data import sampling
from fedlab.data.description import describe, with_description
from fedlab.dp import accounting, mechanisms
from fedlab.dp.plan_checks import check_delta, check_plan


@dataclasses.dataclass(frozen=True)
class PrivacyPlan:
    """The parameters of a private run in one place, so that sampling, noise and accounting agree.

    Example:
        plan = PrivacyPlan(640, 64, num_rounds=100, noise_multiplier=1.0, clip=0.5)
        process = build_fed_avg(
            model,
            weighted=False,
            aggregator=plan.build_aggregator(),
            metrics_aggregator=leave_out_metrics,
        )
        runner = compile(process, privacy_plan=plan)
        cohort_fn = build_cohort_fn(train, plan.sample_fn(train.client_ids), Preprocessing())

    The epsilon is that of this run alone. Several runs on the same clients, such as those of a
    search for a learning rate, add up: see `fedlab.dp.ledger.PrivacyLedger`.

    With a `metrics_clip`, the training metrics are part of the plan. Each client's metrics, as one
    vector, are clipped and get noise as its update does. The two mechanisms together have the
    `noise_multiplier` of the plan: `z = (z_update ** -2 + z_metrics ** -2) ** -0.5` (as in Andrew
    et al. 2021, theorem 1), so the update gets more noise than without the metrics.

    Attributes:
        population: Number of clients that may be drawn, at least 2.
        expected_num_clients: Expected size of the cohorts, which are drawn by Poisson sampling.
        num_rounds: Number of rounds of the whole run, at least 1.
        noise_multiplier: Standard deviation of the noise on the sum divided by the clip, at least 0.
        clip: Largest L2 norm of a client's update, above 0; with a `quantile`, that of the first round.
        quantile: Share of updates that an adaptive clip leaves whole. Default: a fixed clip.
        delta: Delta of the guarantee, above 0 and at most `1 / (10 * population)`, the default; see
            `fedlab.dp.plan_checks.largest_delta`.
        metrics_clip: Largest L2 norm of a client's metrics before they are finalized (sums over its
            examples, and their number), above 0. Default: the metrics are not part of the plan.
        metrics_share: Share of the privacy cost (of `noise_multiplier ** -2`) that the metrics
            take, in (0, 1). Without a `metrics_clip` it is not used.

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
    metrics_clip: float | None = None
    metrics_share: float = 0.05

    def __post_init__(self) -> None:
        if self.delta is None:
            object.__setattr__(self, "delta", accounting.default_delta(self.population))
        check_delta(self.delta, self.population)
        check_plan(self.population, self.expected_num_clients, self.clip, self.quantile)
        noise = check_number("noise_multiplier", self.noise_multiplier, at_least=0)
        share = check_number("metrics_share", self.metrics_share, above=0, below=1)
        object.__setattr__(self, "noise_multiplier", noise)
        object.__setattr__(self, "metrics_share", share)
        if self.metrics_clip is not None:
            check_number("metrics_clip", self.metrics_clip, above=0)
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
        if delta is not None:
            check_delta(delta, population)
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

        return with_description(sample_fn, lambda: describe(draw) | {"seed": insecure_seed})

    def build_aggregator(self, *, insecure_seed: int | None = None) -> mechanisms.Factory:
        """Returns the aggregator that clips the updates, sums them and adds the noise.

        Args:
            insecure_seed: Seed of the noise for tests and notebooks, as in `gaussian_fixed`.
        """
        noise, clip, num_clients = self._update_noise, self.clip, self.expected_num_clients
        if self.quantile is None:
            return mechanisms.gaussian_fixed(noise, clip, num_clients, insecure_seed=insecure_seed)
        return mechanisms.gaussian_adaptive(
            noise, clip, num_clients, quantile=self.quantile, insecure_seed=insecure_seed
        )

    def build_metrics_aggregator(self) -> Callable[..., tff.Computation]:
        """Returns the `metrics_aggregator` that clips the clients' metrics, sums them, adds noise.

        The noise is always from the operating system. Whole numbers are rounded, and a noisy count
        may be negative: the smaller a cohort, the less the metrics say.

        Raises:
            ValueError: The plan has no `metrics_clip`.
        """
        if self.metrics_clip is None:
            raise ValueError(
                "The plan must have a metrics_clip for the metrics to be part of it. Found None."
            )
        factory = mechanisms.gaussian_fixed(self._metrics_noise, self.metrics_clip, 1.0)
        return functools.partial(_sum_metrics, factory)

    @property
    def mechanism_names(self) -> frozenset[str]:
        """The names that the plan's aggregators give to what they let a client send."""
        parameters = self._update_noise, self.clip, self.expected_num_clients
        if self.quantile is None:
            update = mechanisms.fixed_name(*parameters)
        else:
            update = mechanisms.adaptive_name(*parameters, self.quantile)
        if self.metrics_clip is None:
            return frozenset({update})
        return frozenset({update, mechanisms.fixed_name(self._metrics_noise, self.metrics_clip, 1)})

    @property
    def _update_noise(self) -> float:
        share = 0.0 if self.metrics_clip is None else self.metrics_share
        return self.noise_multiplier / math.sqrt(1 - share)

    @property
    def _metrics_noise(self) -> float:
        return self.noise_multiplier / math.sqrt(self.metrics_share)


def _sum_metrics(
    factory: mechanisms.Factory, metric_finalizers: Any, metrics_type: Any = None
) -> tff.Computation:
    """Returns a computation from the clients' metrics to those of a noisy sum; see TFF's own."""

    @tff.federated_computation
    def aggregate(client_metrics):
        metrics_type = client_metrics.type_signature.member
        specs = tff.types.type_to_tf_tensor_specs(metrics_type)

        @tff.tensorflow.computation(metrics_type)
        def to_vector(metrics):
            leaves = tf.nest.flatten(metrics)
            return tf.concat([tf.reshape(tf.cast(leaf, tf.float32), [-1]) for leaf in leaves], 0)

        @tff.tensorflow.computation(to_vector.type_signature.result)
        def finalize(vector):
            flat_specs = tf.nest.flatten(specs)
            parts = tf.split(vector, [spec.shape.num_elements() for spec in flat_specs])
            leaves = [
                tf.cast(tf.round(part) if spec.dtype.is_integer else part, spec.dtype)
                for part, spec in zip(parts, flat_specs, strict=True)
            ]
            shaped = [
                tf.reshape(leaf, spec.shape) for leaf, spec in zip(leaves, flat_specs, strict=True)
            ]
            metrics = tf.nest.pack_sequence_as(specs, shaped)
            if callable(metric_finalizers):
                return OrderedDict(metric_finalizers(metrics))
            return OrderedDict(
                (name, finalizer(metrics[name])) for name, finalizer in metric_finalizers.items()
            )

        process = factory.create(to_vector.type_signature.result)
        vectors = tff.federated_map(to_vector, client_metrics)
        output = process.next(process.initialize(), vectors)
        return tff.federated_map(finalize, output.result)

    return aggregate
