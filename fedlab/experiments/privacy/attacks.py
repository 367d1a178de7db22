"""The attacks of the privacy ledger: what the server reconstructs, and who was a member."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fedlab import models, runtime
from fedlab.attacks import image_similarity, inversion, membership
from fedlab.data import pool, sampling
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.experiments.central_training import Weights
from fedlab.experiments.privacy.configs import LedgerConfig
from fedlab.experiments.privacy.defences import build_cohorts
from fedlab.experiments.privacy.start import small_network
from fedlab.experiments.privacy.writers import Writers


class Group(NamedTuple):
    """The clients of a group, who hold one digit each.

    Attributes:
        client_data: Their data.
        images: float32 (group_size, 28, 28).
        labels: int32 (group_size,).
    """

    client_data: MemoryClientData
    images: np.ndarray
    labels: np.ndarray


def build_group(writers: Writers, group_size: int) -> Group:
    """Takes one digit of each of the first members."""
    client_ids = writers.members[:group_size]
    examples = {
        client_id: _take_example(writers.train.examples(client_id), number)
        for number, client_id in enumerate(client_ids)
    }
    images = np.concatenate([examples[client_id].pixels for client_id in client_ids])
    labels = np.concatenate([examples[client_id].labels for client_id in client_ids])
    return Group(MemoryClientData(client_ids, examples.__getitem__), images, labels)


def _take_example(examples: Examples, number: int) -> Examples:
    """Takes another row for each writer: the first digits of many are all of one kind."""
    row = number % len(examples.labels)
    return Examples(examples.pixels[row : row + 1], examples.labels[row : row + 1])


def blank_ssim(group: Group) -> float:
    """Returns the mean similarity of the group's digits to blank paper, in [-1, 1]."""
    return float(image_similarity.blank_baseline(group.images).ssim.mean())


def reconstruct_each(
    config: LedgerConfig, group: Group, runner: runtime.Runner, start: Weights, seed: int
) -> float:
    """Inverts what the server gets of each client alone.

    Returns:
        The mean SSIM of the digits and what is reconstructed, in [-1, 1].
    """
    images = []
    for k, client_id in enumerate(group.client_data.client_ids):
        delta = _observe(config, group, [client_id], runner, start, seed)
        images.append(_invert(config, delta, start, group.labels[k : k + 1], seed))
    return float(image_similarity.score(group.images, np.concatenate(images)).ssim.mean())


def reconstruct_sum(
    config: LedgerConfig, group: Group, runner: runtime.Runner, start: Weights, seed: int
) -> float:
    """Inverts the sum of all updates; each reconstructed image is paired with one digit.

    Returns:
        The mean SSIM of the pairs, in [-1, 1].
    """
    delta = _observe(config, group, group.client_data.client_ids, runner, start, seed)
    images = _invert(config, delta, start, group.labels, seed)
    images = images[image_similarity.match(group.images, images)]
    return float(image_similarity.score(group.images, images).ssim.mean())


def _observe(
    config: LedgerConfig,
    group: Group,
    client_ids: Sequence[str],
    runner: runtime.Runner,
    start: Weights,
    seed: int,
) -> list[np.ndarray]:
    """Runs a round and returns what it did to the weights: the mean that the server has."""
    state = runner.set_model_weights(runner.initialize(), start)
    cohort = build_cohorts(config, group.client_data, sampling.fixed(client_ids), seed)(1)
    after = runner.get_model_weights(runner.next(state, cohort).state)
    return inversion.model_delta(start, after)


def _invert(
    config: LedgerConfig, delta: list[np.ndarray], start: Weights, labels: np.ndarray, seed: int
) -> np.ndarray:
    return inversion.invert(
        delta,
        start,
        labels,
        create_fn=models.create_small_cnn,
        learning_rate=config.client_learning_rate,
        num_iterations=config.num_iterations,
        seed=seed,
    )


def client_confidences(writers: Writers, weights: Weights) -> np.ndarray:
    """Returns a model's mean confidence on each writer's training digits.

    Args:
        writers: Members and others, with their data.
        weights: Of the small CNN.

    Returns:
        float64 (num_writers,), in the order of `writers.client_ids`.
    """
    losses = small_network().predict(weights, pool(writers.train.select(writers.client_ids))).loss
    sizes = [len(writers.train.examples(client_id).labels) for client_id in writers.client_ids]
    confidences = membership.logit_confidences(losses)
    names, means = membership.mean_per_client(
        confidences, np.repeat(writers.client_ids, sizes).tolist()
    )
    return means[[names.index(client_id) for client_id in writers.client_ids]]


def attack_membership(
    writers: Writers,
    confidences: np.ndarray,
    reference_confidences: np.ndarray,
    is_in: np.ndarray,
    seed: int,
) -> membership.AttackResult:
    """Guesses from a finished model who was in its training data.

    The score is how much surer of a writer's digits the model is than those of the references that
    did not train on them: some hands are easy to read for every model (Watson et al. 2022).

    Args:
        writers: Who was a member.
        confidences: float64 (num_writers,), of the attacked model.
        reference_confidences: float64 (num_models, num_writers), of the attacker's models, which
            are trained on random halves of the writers, without a defence.
        is_in: bool (num_models, num_writers), who trained which of them.
        seed: Of the bootstrap interval.
    """
    is_out = ~is_in
    without = (reference_confidences * is_out).sum(axis=0) / is_out.sum(axis=0)
    is_member = np.isin(writers.client_ids, writers.members)
    return membership.evaluate_attack(confidences - without, is_member, seed=seed)
