"""The defences of privacy_ledger.py: their processes, what a round of each costs, who sees what."""

import functools
import statistics
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow_federated as tff
from _common import time_in_turn
from _privacy_world import World

from fedlab import learning, models, runtime
from fedlab.data import sampling
from fedlab.dp import mechanisms
from fedlab.training import weights_bytes

Process = tff.learning.templates.LearningProcess
NONE, CLIPPING, DISTRIBUTED = "none (FedAvg)", "clipping", "masks, and noise at the clients"
MASKS, CKKS, SERVERS = "masks (secure aggregation)", "encryption (CKKS)", "shares (three servers)"
SECURE_SUMS = {MASKS: "secagg", CKKS: "ckks", SERVERS: "shares"}
IN_THE_CLEAR = "the secure sums' integers, in the clear"  # no row; what these are held against


def noise_name(epsilon: float) -> str:
    """Returns what the ledger calls noise at the server."""
    return f"noise at the server, epsilon {epsilon:g}"


class RoundCost(NamedTuple):
    """What a round of a group costs: seconds; bytes a client, the model included."""

    seconds: float
    bytes_up: float
    bytes_down: float


class Defences:
    """Builds the processes, each once: cutting one takes longer than a round.

    Args:
        world: Data and recipe.

    Attributes:
        plans: {name: plan} of the rows with noise at the server.

    Raises:
        ValueError: A group is too small for the clients' noise.
    """

    def __init__(self, world: World):
        recipe = world.recipe
        self._world = world
        self._model = models.build_functional_model(models.create_small_cnn)
        self.plans = {
            noise_name(epsilon): mechanisms.PrivacyPlan.for_epsilon(
                epsilon,
                population=len(world.members),
                expected_num_clients=world.expected_num_clients,
                num_rounds=recipe.num_rounds,
                clip=recipe.clip,
            )
            for epsilon in recipe.epsilons
        }
        if not recipe.group_size > 10 * self.noise_multiplier:
            raise ValueError(
                "group_size must be above 10 times the noise multiplier, or TFF's count of the "
                f"clipped takes all the noise. Found {recipe.group_size} and a noise multiplier "
                f"of {self.noise_multiplier:.2f}."
            )

    @property
    def noise_multiplier(self) -> float:
        """Of the first plan, and of the clients' noise."""
        return next(iter(self.plans.values())).noise_multiplier

    @functools.cached_property
    def trained(self) -> dict[str, runtime.Runner]:
        """What trains a model of its own; sums that are to be secure are in the clear here."""
        recipe, num_clients = self._world.recipe, self._world.expected_num_clients
        aggregators = {CLIPPING: mechanisms.gaussian_fixed(0.0, recipe.clip, num_clients)} | {
            name: plan.build_aggregator(insecure_seed=recipe.seed)
            for name, plan in self.plans.items()
        }
        processes = {
            NONE: self._build(),
            **{name: self._build(one, clipped=True) for name, one in aggregators.items()},
            DISTRIBUTED: self._build_distributed(round(num_clients)),
        }
        return {name: runtime.compile(process) for name, process in processes.items()}

    @functools.cached_property
    def grouped(self) -> dict[str, runtime.Runner]:
        """What runs a round of a group, with its sum as secure as the row says."""
        trained = [NONE, CLIPPING, next(iter(self.plans))]
        integers = self._build(
            tff.learning.secure_aggregator(zeroing=False, clipping=False, weighted=False)
        )
        distributed = self._build_distributed(self._world.recipe.group_size)
        return {
            **{name: self.trained[name] for name in trained},
            IN_THE_CLEAR: runtime.compile(integers),
            **{
                name: runtime.compile(integers, secure_sum=secure_sum)
                for name, secure_sum in SECURE_SUMS.items()
            },
            DISTRIBUTED: runtime.compile(distributed, secure_sum="secagg"),
        }

    def sample_fn(self, name: str) -> sampling.SampleFn:
        """Returns who takes part: the same cohorts in every row."""
        world, seed = self._world, self._world.recipe.seed
        if name in self.plans:
            return self.plans[name].sample_fn(world.members, insecure_seed=seed)
        return sampling.poisson(world.members, world.expected_num_clients, seed=seed)

    def _build(self, aggregator=None, *, clipped: bool = False) -> Process:
        recipe = self._world.recipe
        rates = recipe.server_learning_rate, recipe.clipped_server_learning_rate
        return learning.build_fed_avg(
            self._model,
            client_learning_rate=recipe.client_learning_rate,
            server_learning_rate=rates[clipped],
            weighted=False,
            aggregator=aggregator,
        )

    def _build_distributed(self, num_clients: int) -> Process:
        with runtime.oversize_messages():
            aggregator = tff.learning.ddp_secure_aggregator(self.noise_multiplier, num_clients)
            return self._build(aggregator, clipped=True)


def measure_rounds(world: World, runners: Mapping[str, runtime.Runner]) -> dict[str, RoundCost]:
    """Times a round of one group under each defence, in turns. Returns the medians.

    Each has run before: see `check_same_model`.
    """
    cohort = dict(world.cohort(sampling.fixed(world.members[: world.recipe.group_size])))
    states = {name: _start(world, runner) for name, runner in runners.items()}
    cases = {
        name: functools.partial(runner.next, states[name], cohort)
        for name, runner in runners.items()
    }
    seconds = time_in_turn(cases, world.recipe.num_timed)
    return {
        name: RoundCost(seconds[name], *_count_bytes(world, runner))
        for name, runner in runners.items()
    }


def check_same_model(world: World, runners: Mapping[str, runtime.Runner]) -> float:
    """Runs two rounds under each defence: those that only hide a sum must end at the same bits.

    Returns:
        How far the weights are at most from FedAvg's, which adds floats and no integers.

    Raises:
        RuntimeError: They do not, or are off by more than rounding explains.
    """
    sample_fn = sampling.fixed(world.members[: world.recipe.group_size])
    found = {name: world.run(runner, sample_fn, 0, 2).trainable for name, runner in runners.items()}
    for name in SECURE_SUMS:
        if _largest_difference(found[name], found[IN_THE_CLEAR]) != 0:
            raise RuntimeError(f"{name}: the model is not the one of the sum in the clear.")
    largest = _largest_difference(found[IN_THE_CLEAR], found[NONE])
    if largest > 1e-6:
        raise RuntimeError(f"Rounding to integers has changed the weights by {largest}.")
    return largest


def _largest_difference(weights, others) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(weights, others, strict=True))


def _start(world: World, runner: runtime.Runner):
    return runner.set_model_weights(runner.initialize(), world.start)


def _count_bytes(world: World, runner: runtime.Runner) -> tuple[float, float]:
    """Returns a client's bytes up and down in the last round; the training metrics do not count."""
    model = weights_bytes(world.start)
    if runner.secure_sum is None:
        return model, model
    costs = runner.secure_sum.costs
    up, down = (
        statistics.median(counted[one] for one in costs.bytes_up)
        for counted in (costs.bytes_up, costs.bytes_down)
    )
    return up, model + down
