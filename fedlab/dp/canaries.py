"""Canaries for an audit: artificial clients that take part or not, decided by a fair coin.

Each canary sends the largest update that clipping allows, in a random direction that no other client
takes (Andrew et al. 2024). So the model's movement in that direction shows whether it took part.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_federated as tff

from fedlab.checks import (
    check_array,
    check_bools,
    check_count,
    check_instance,
    check_list,
    check_not_empty,
    check_number,
    check_seed,
)
from fedlab.random_streams import random_stream
from fedlab.runtime.runner import Cohort, Runner


def flip_coins(num_canaries: int, *, seed: int) -> np.ndarray:
    """Returns which canaries take part, decided by one fair coin each.

    Args:
        num_canaries: Number of canaries, at least 1.
        seed: Seed of the coins.

    Returns:
        bool (num_canaries,).

    Raises:
        ValueError: A number is out of range.
    """
    seed, num_canaries = check_seed(seed), check_count("num_canaries", num_canaries)
    return random_stream("canary coins", seed).random(num_canaries) < 0.5


class CanaryState(NamedTuple):
    """The state of a `CanaryRunner`. It counts the rounds, so that a resumed run draws the same canaries.

    Attributes:
        process_state: The state of the process that is executed.
        num_rounds: int32 (), the rounds so far.
    """

    process_state: Any
    num_rounds: np.int32


class CanaryRunner(Runner):
    """Runs a process and adds to the new weights, in each round, the updates of canary clients.

    A canary's update has the norm of the clip, so clipping does not change it, and the server adds the
    mean of the updates. So the canaries' part can be added after the round. This holds only for plain
    SGD at the server and for a mean over a FIXED number of clients, as in DP-FedAvg. It audits the noise
    and the sampling, but not the clipping. Pass the change of the weights over the whole run to
    `direction_scores`.

    Args:
        runner: Executes the rounds, from `fedlab.compile`.
        included: bool (num_canaries,), which canaries take part, from `flip_coins`.
        norm: L2 norm of the change of the weights by one canary in a round, above 0: server learning
            rate * clip / expected clients per round.
        sampling_probability: Probability that a canary takes part in a round, in (0, 1], the same as
            for every other client.
        seed: Seed of the directions and of the sampling.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(
        self,
        runner: Runner,
        included: np.ndarray,
        *,
        norm: float,
        sampling_probability: float,
        seed: int,
    ):
        check_instance("runner", runner, Runner, "from fedlab.compile")
        super().__init__(runner.process)
        self._probability = check_number(
            "sampling_probability", sampling_probability, above=0, at_most=1
        )
        self._norm, self._seed = check_number("norm", norm, above=0), check_seed(seed)
        self._runner = runner
        self._included = check_bools("included", included, (None,))

    def initialize(self) -> CanaryState:
        """Returns the state before the first round."""
        return CanaryState(self._runner.initialize(), np.int32(0))

    def next(
        self, state: CanaryState, cohort: Cohort
    ) -> tff.learning.templates.LearningProcessOutput:
        """Runs one round and adds the canaries' parts to the new weights.

        Args:
            state: The state from `initialize` or from an earlier round.
            cohort: The clients of the round, as for `Runner.next`.
        """
        output = self._runner.next(state.process_state, cohort)
        self.dropped = self._runner.dropped
        round_num = np.int32(state.num_rounds + 1)
        weights = self._runner.get_model_weights(output.state)
        shapes = [np.shape(weight) for weight in weights.trainable]
        rng = random_stream("canary cohort", self._seed, int(round_num))
        drawn = self._included & (rng.random(len(self._included)) < self._probability)
        trainable = [np.array(weight) for weight in weights.trainable]
        for canary in np.flatnonzero(drawn):
            direction = _direction(canary, shapes, self._seed)
            for total, part in zip(trainable, direction, strict=True):
                total += np.float32(self._norm) * part
        new = tff.learning.models.ModelWeights(trainable, weights.non_trainable)
        new_state = CanaryState(self._runner.set_model_weights(output.state, new), round_num)
        return tff.learning.templates.LearningProcessOutput(new_state, output.metrics)

    def call(self, computation: Any, *args: Any) -> Any:
        """Executes a computation of the process that has no clients.

        Args:
            computation: The computation.
            *args: Its arguments. A `CanaryState` is replaced by the state of the process.
        """
        inner = (arg.process_state if isinstance(arg, CanaryState) else arg for arg in args)
        return self._runner.call(computation, *inner)

    def set_model_weights(
        self, state: CanaryState, weights: tff.learning.models.ModelWeights
    ) -> CanaryState:
        """Returns a state with other model weights, at the same round.

        Args:
            state: A state of this runner.
            weights: The new weights.
        """
        return state._replace(process_state=super().set_model_weights(state, weights))


def direction_scores(change: Iterable[np.ndarray], num_canaries: int, *, seed: int) -> np.ndarray:
    """Measures how far the model moved in the direction of each canary.

    Args:
        change: The trainable weights after the run minus those before it.
        num_canaries: Number of canaries, as passed to `flip_coins`.
        seed: The seed that was passed to `CanaryRunner`.

    Returns:
        float64 (num_canaries,), the scalar products of the change and the directions.

    Raises:
        ValueError: The change is not finite.
    """
    num_canaries, seed = check_count("num_canaries", num_canaries), check_seed(seed)
    arrays = [
        check_array("change", array, np.shape(array), hint=" Did the run diverge?").astype(
            np.float32
        )
        for array in check_list("change", change)
    ]
    check_not_empty("change", arrays)
    shapes = [array.shape for array in arrays]
    return np.array(
        [
            sum(map(np.vdot, arrays, _direction(canary, shapes, seed)))
            for canary in range(num_canaries)
        ]
    )


def simulate_gaussian(
    included: np.ndarray,
    *,
    noise_multiplier: float,
    num_rounds: int = 1,
    sampling_probability: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """Returns the canaries' scores under the noise and the sampling alone, without a model.

    Canaries in orthogonal directions do not influence each other. In units of the clip, each round adds
    1 to a canary's score if it was drawn, and noise in any case. No audit with such canaries can show
    more about the Poisson-subsampled Gaussian mechanism.

    Args:
        included: bool (num_canaries,), which canaries take part, from `flip_coins`.
        noise_multiplier: Standard deviation of the noise divided by the clip, at least 0.
        num_rounds: Number of rounds, at least 1.
        sampling_probability: Probability that a canary takes part in a round, in (0, 1].
        seed: Seed of the sampling and of the noise.

    Returns:
        float64 (num_canaries,).

    Raises:
        ValueError: A number is out of range.
    """
    probability = check_number("sampling_probability", sampling_probability, above=0, at_most=1)
    noise_multiplier = check_number("noise_multiplier", noise_multiplier, at_least=0)
    num_rounds = check_count("num_rounds", num_rounds)
    included = check_bools("included", included, (None,))
    rng = random_stream("canary noise", check_seed(seed))
    drawn = rng.binomial(num_rounds, probability, size=len(included))
    noise = rng.normal(size=len(included)) * noise_multiplier * np.sqrt(num_rounds)
    return included * drawn + noise


def _direction(canary: int, shapes: Sequence[tuple[int, ...]], seed: int) -> list[np.ndarray]:
    """Returns a random unit vector, split into arrays of these shapes.

    It is drawn again each time, because the vectors of all canaries together would fill the memory.
    """
    rng = random_stream("canary direction", seed, int(canary))
    sizes = [int(np.prod(shape)) for shape in shapes]
    vector = rng.standard_normal(sum(sizes), dtype=np.float32)
    vector /= np.linalg.norm(vector)
    parts = np.split(vector, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
