"""Canaries for an audit: made-up clients that take part, or not, as a fair coin says."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_federated as tff

from fedlab.data.client_data import Examples, MemoryClientData, client_arrays
from fedlab.data.sampling import check_seed
from fedlab.runtime.runner import Cohort, Runner

_COINS, _SAMPLING, _DIRECTIONS, _PICTURES, _NOISE = range(5)  # independent streams of one seed


def flip_coins(num_canaries: int, *, seed: int) -> np.ndarray:
    """Returns which canaries take part: bool (num_canaries,), each a fair coin of its own."""
    check_seed(seed)
    if num_canaries < 1:
        raise ValueError(f"num_canaries must be at least 1. Found {num_canaries}.")
    return _rng(seed, _COINS).random(num_canaries) < 0.5


# Canaries made of data: writers of noise, through everything that a client goes through.


@dataclasses.dataclass(frozen=True)
class CanaryClients:
    """Canary writers.

    Attributes:
        client_data: All of them, in or out: the model's mean loss on a writer, times -1, is its
            score.
        included: bool (num_canaries,): the coins, in the order of `client_data.client_ids`.
    """

    client_data: MemoryClientData
    included: np.ndarray


def add_canary_clients(
    client_data, num_canaries: int, *, num_examples: int = 5, seed: int = 0
) -> tuple[MemoryClientData, CanaryClients]:
    """Adds canary writers to a population, those that their coins let in.

    A canary has one picture of blots at random and a random label, several times: nothing else in
    the data says that such a picture has such a label.

    Args:
        client_data: The honest writers; `ClientData` with Federated EMNIST's elements.
        num_canaries: Coins to flip, at least 1; about half take part.
        num_examples: How often a canary has its picture, at least 1.
        seed: Seed of coins and pictures.

    Returns:
        The population with canaries, and what the auditor keeps.

    Raises:
        ValueError: A number is out of range, or a writer has a canary's name.
    """
    if num_examples < 1:
        raise ValueError(f"num_examples must be at least 1. Found {num_examples}.")
    included = flip_coins(num_canaries, seed=seed)
    rng = _rng(seed, _PICTURES)
    held = {
        f"canary_{number:05d}": _draw_canary(rng, num_examples) for number in range(num_canaries)
    }
    chosen = {name for name, is_in in zip(held, included, strict=True) if is_in}
    taken = set(held) & set(client_data.client_ids)
    if taken:
        raise ValueError(f"The data already has a client {min(taken)!r}. Add canaries once.")

    def read(client_id: str) -> Examples:
        return held[client_id] if client_id in chosen else client_arrays(client_data, client_id)

    num_classes = getattr(client_data, "num_classes", 62)
    population = MemoryClientData([*client_data.client_ids, *chosen], read, num_classes)
    return population, CanaryClients(MemoryClientData(held, held.__getitem__), included)


def _draw_canary(rng: np.random.Generator, num_examples: int) -> Examples:
    blots = np.kron(rng.random((7, 7)) < 0.5, np.ones((4, 4)))
    pixels = np.repeat(blots[np.newaxis].astype(np.float32), num_examples, axis=0)
    return Examples(pixels, np.full(num_examples, rng.integers(10), np.int32))


# Canaries made of directions: the strongest update that clipping lets through, in a direction that
# nobody else takes (Andrew et al. 2024).


class CanaryState(NamedTuple):
    """A state of `CanaryRunner`. It counts the rounds, so that a resumed run draws the same canaries.

    Attributes:
        process_state: The state of the process that is executed.
        num_rounds: int32 (), the rounds so far.
    """

    process_state: Any
    num_rounds: np.int32


class CanaryRunner(Runner):
    """Runs a process, and adds in every round what canary clients would have added.

    A canary's update has the clip's norm, so clipping leaves it as it is, and the server adds the
    mean: it can be added after the round. Only for plain SGD at the server and a mean over a FIXED
    number of clients, as in DP-FedAvg. Audits noise and sampling, not the clipping. The weights'
    change over the whole run goes to `direction_scores`.

    Args:
        runner: What executes the rounds, from `fedlab.compile`.
        included: bool (num_canaries,), from `flip_coins`.
        norm: Of one canary's part in a step: server learning rate * clip / clients a round.
        sampling_probability: Of Poisson sampling, as of every client, in (0, 1].
        seed: Seed of directions and sampling.
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
        super().__init__(runner.process)
        _check_sampling(sampling_probability)
        if not norm > 0:
            raise ValueError(f"norm must be above 0: clip / clients a round. Found {norm}.")
        check_seed(seed)
        self._runner = runner
        self._included = np.asarray(included, bool)
        self._norm, self._probability, self._seed = norm, sampling_probability, seed

    def initialize(self) -> CanaryState:
        """Returns the state before the first round."""
        return CanaryState(self._runner.initialize(), np.int32(0))

    def next(
        self, state: CanaryState, cohort: Cohort
    ) -> tff.learning.templates.LearningProcessOutput:
        """Runs one round, and adds the canaries' parts to the new weights.

        Args:
            state: The state from `initialize` or an earlier round.
            cohort: As of `Runner.next`.
        """
        output = self._runner.next(state.process_state, cohort)
        self.dropped = self._runner.dropped
        round_num = state.num_rounds + 1
        weights = self._runner.get_model_weights(output.state)
        shapes = [np.shape(one) for one in weights.trainable]
        rng = _rng(self._seed, _SAMPLING, round_num)
        drawn = self._included & (rng.random(len(self._included)) < self._probability)
        trainable = [np.array(one) for one in weights.trainable]
        for canary in np.flatnonzero(drawn):
            for total, part in zip(trainable, _direction(canary, shapes, self._seed), strict=True):
                total += np.float32(self._norm) * part
        new = tff.learning.models.ModelWeights(trainable, weights.non_trainable)
        new_state = CanaryState(self._runner.set_model_weights(output.state, new), round_num)
        return tff.learning.templates.LearningProcessOutput(new_state, output.metrics)

    def call(self, computation, *args):
        """Executes one of the process's computations without clients.

        Args:
            computation: The computation.
            *args: Its arguments; of a `CanaryState` it gets the process's own state.
        """
        args = [arg.process_state if isinstance(arg, CanaryState) else arg for arg in args]
        return self._runner.call(computation, *args)

    def set_model_weights(
        self, state: CanaryState, weights: tff.learning.models.ModelWeights
    ) -> CanaryState:
        """Returns the state with other model weights in it, at the same round.

        Args:
            state: A state of this runner.
            weights: The new weights.
        """
        return state._replace(process_state=super().set_model_weights(state, weights))


def direction_scores(change: Iterable[np.ndarray], num_canaries: int, *, seed: int) -> np.ndarray:
    """Measures how far the model moved in each canary's direction.

    Args:
        change: The trainable weights after the run minus those before.
        num_canaries: As flipped.
        seed: As given to `CanaryRunner`.

    Returns:
        float64 (num_canaries,).

    Raises:
        ValueError: The change is not finite.
    """
    change = [np.asarray(one, np.float32) for one in change]
    if not all(np.isfinite(one).all() for one in change):
        raise ValueError("The change is not finite: the run diverged.")
    shapes = [one.shape for one in change]
    return np.array(
        [
            sum(
                np.vdot(a, b) for a, b in zip(change, _direction(canary, shapes, seed), strict=True)
            )
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
    """Returns the scores of direction canaries under the mechanism alone, without a model.

    Canaries at right angles do not meet, so each round adds its part, 1 in units of the clip, if it
    was drawn, and noise: all that such canaries can show of the Poisson-subsampled Gaussian.

    Args:
        included: bool (num_canaries,), from `flip_coins`.
        noise_multiplier: Standard deviation of the noise over the clip, at least 0.
        num_rounds: At least 1.
        sampling_probability: In (0, 1].
        seed: Seed of sampling and noise.

    Returns:
        float64 (num_canaries,).

    Raises:
        ValueError: A number is out of range.
    """
    _check_sampling(sampling_probability)
    check_seed(seed)
    if not (noise_multiplier >= 0 and num_rounds >= 1):
        raise ValueError(
            "noise_multiplier must be at least 0 and num_rounds at least 1. "
            f"Found {noise_multiplier} and {num_rounds}."
        )
    rng = _rng(seed, _NOISE)
    drawn = rng.binomial(num_rounds, sampling_probability, size=len(included))
    noise = rng.normal(size=len(included)) * noise_multiplier * np.sqrt(num_rounds)
    return np.asarray(included, bool) * drawn + noise


def _rng(seed: int, *stream: int) -> np.random.Generator:
    """A stream that no `default_rng(seed)` and no cohort of `[seed, round_num]` shares."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(map(int, stream))))


def _direction(canary: int, shapes: Sequence[tuple[int, ...]], seed: int) -> list[np.ndarray]:
    """Draws a unit vector, cut into a model's arrays; never kept, for together they fill the memory."""
    rng = _rng(seed, _DIRECTIONS, canary)
    sizes = [int(np.prod(shape)) for shape in shapes]
    vector = rng.standard_normal(sum(sizes), dtype=np.float32)
    vector /= np.linalg.norm(vector)
    parts = np.split(vector, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _check_sampling(sampling_probability: float) -> None:
    if not 0 < sampling_probability <= 1:
        raise ValueError(f"sampling_probability must lie in (0, 1]. Found {sampling_probability}.")
