"""The attacks of privacy_ledger.py: what the server rebuilds, and who the model says was there."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from _privacy_world import World

from fedlab import runtime
from fedlab.attacks import image_similarity, inversion, membership
from fedlab.data import sampling
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.data.preprocessing import build_cohort_fn
from fedlab.experiments.central_training import Weights
from fedlab.models import create_small_cnn


class Crowd:
    """As many members as a group has, one digit each, and the model of round 1.

    Args:
        world: The data.

    Attributes:
        images: float32 (group_size, 28, 28).
        labels: int32 (group_size,).
    """

    def __init__(self, world: World):
        self._world = world
        writers = world.members[: world.recipe.group_size]
        held = {
            writer: _take_one(world.train.examples(writer), number)
            for number, writer in enumerate(writers)
        }
        self._data = MemoryClientData(writers, held.__getitem__)
        self.images = np.concatenate([held[writer].pixels for writer in writers])
        self.labels = np.concatenate([held[writer].labels for writer in writers])

    def blank_ssim(self) -> float:
        """Returns the score of blank paper."""
        return float(image_similarity.blank_baseline(self.images).ssim.mean())

    def ssim_one_by_one(self, runner: runtime.Runner) -> float:
        """Inverts what the server gets of each client alone. Returns the mean SSIM."""
        found = []
        for k, writer in enumerate(self._data.client_ids):
            seen = self._see(runner, [writer])
            found.append(self._invert(seen, self.labels[k : k + 1]))
        return float(image_similarity.score(self.images, np.concatenate(found)).ssim.mean())

    def ssim_of_sum(self, runner: runtime.Runner) -> float:
        """Inverts the sum of all; each image is paired with one digit. Returns the mean SSIM."""
        found = self._invert(self._see(runner, self._data.client_ids), self.labels)
        found = found[image_similarity.match(self.images, found)]
        return float(image_similarity.score(self.images, found).ssim.mean())

    def _see(self, runner: runtime.Runner, writers: Sequence[str]) -> list[np.ndarray]:
        """Runs a round and returns what it did to the weights: the mean that the server has."""
        start = runner.set_model_weights(runner.initialize(), self._world.start)
        cohort = build_cohort_fn(self._data, sampling.fixed(writers))(1)
        after = runner.get_model_weights(runner.next(start, cohort).state)
        return inversion.model_delta(self._world.start, after)

    def _invert(self, delta: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
        recipe = self._world.recipe
        return inversion.invert(
            delta,
            self._world.start,
            labels,
            create_fn=create_small_cnn,
            learning_rate=recipe.client_learning_rate,
            num_iterations=recipe.num_iterations,
            seed=recipe.seed,
        )


def _take_one(examples: Examples, number: int) -> Examples:
    """Takes another place with each writer: the first digits of many are all of one kind."""
    row = number % len(examples.labels)
    return Examples(examples.pixels[row : row + 1], examples.labels[row : row + 1])


class References(NamedTuple):
    """What the membership attacker knows: models of its own, on random halves of the writers.

    Attributes:
        confidences: float64 (num_models, num_writers).
        is_in: bool (num_models, num_writers).
    """

    confidences: np.ndarray
    is_in: np.ndarray


def train_references(world: World, runner: runtime.Runner) -> References:
    """Trains the attacker's models: the rounds of the members, without a defence, on others."""

    def train(writers: list[str], seed: int) -> np.ndarray:
        expected = world.recipe.participation * len(writers)  # about half of all, not exactly
        sample_fn = sampling.poisson(writers, expected, seed=seed)
        print(f"  a reference model on {len(writers)} writers", flush=True)
        return world.train_losses(world.run(runner, sample_fn, seed))

    losses, is_in = membership.train_shadow_models(
        train, world.writers, world.recipe.num_references, seed=world.recipe.seed
    )
    return References(_by_writer(world, losses), is_in)


def attack_membership(
    world: World, weights: Weights, references: References
) -> membership.AttackResult:
    """Asks a finished model who was in its training data.

    The score is how much surer of a writer's digits the model is than those of the references that
    did not train on them: some hands are easy to read for every model (Watson et al. 2022).
    """
    confidences = _by_writer(world, world.train_losses(weights))
    is_out = ~references.is_in
    without = (references.confidences * is_out).sum(axis=0) / is_out.sum(axis=0)
    is_member = np.isin(world.writers, world.members)
    return membership.evaluate_attack(confidences - without, is_member, seed=world.recipe.seed)


def _by_writer(world: World, losses: np.ndarray) -> np.ndarray:
    """Returns the mean confidence on each writer's digits, in the order of `world.writers`."""
    confidences = membership.logit_confidences(losses)
    names, means = membership.mean_per_client(confidences, world.train_owners())
    return means[..., [names.index(writer) for writer in world.writers]]
