"""Membership inference: was this example, or this writer, in the training data?

All functions take arrays of losses, from any model. A score is higher for an example that looks more
like a member of the training data.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from sklearn import metrics

from fedlab.checks import (
    check_array,
    check_bools,
    check_callable,
    check_count,
    check_ids,
    check_number,
    check_seed,
)
from fedlab.random_streams import random_stream

# (ids of the members, seed) -> losses of a model trained on them, float (num_examples,).
TrainFn = Callable[[list[str], int], np.ndarray]
_LEAST_LOSS = 6e-8  # half of the distance from 1 to the next float32
_LEAST_STD = 1e-6  # so that equal shadow models do not lead to a division by zero


@dataclasses.dataclass(frozen=True)
class AttackResult:
    """The ROC curve of an attack: how well its scores separate members from non-members.

    Attributes:
        fpr: float (num_points,), false-positive rates in [0, 1], rising: shares of the non-members that
            the attack takes for members.
        tpr: float (num_points,), true-positive rates in [0, 1]: shares of the members that the attack
            recognizes.
        auc: Area under the curve. Random guesses have 0.5, a perfect attack has 1.
        auc_interval: (low, high), bootstrap interval of the AUC.
        num_members: Number of members that were scored.
        num_non_members: Number of non-members that were scored. The smallest nonzero false-positive rate
            is 1 / num_non_members.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    auc: float
    auc_interval: tuple[float, float]
    num_members: int
    num_non_members: int

    def tpr_at(self, fpr: float = 0.001) -> float:
        """Returns the true-positive rate at a false-positive rate (Carlini et al. 2022).

        Args:
            fpr: The false-positive rate, in (0, 1].

        Raises:
            ValueError: The rate is out of range, or there are fewer than 1 / fpr non-members, so that a
                single false positive exceeds it.
        """
        fpr = check_number("fpr", fpr, above=0, at_most=1)
        needed = int(np.ceil(round(1 / fpr, 6)))
        if self.num_non_members < needed:
            raise ValueError(
                f"A false-positive rate of {fpr:g} needs at least {needed} non-members. Found "
                f"{self.num_non_members}, with which the finest rate is {1 / self.num_non_members:.2g}."
            )
        return float(self.tpr[self.fpr <= fpr * (1 + 1e-9)].max())


def evaluate_attack(
    scores: np.ndarray,
    is_member: np.ndarray,
    *,
    client_ids: Sequence[str] | None = None,
    confidence: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> AttackResult:
    """Computes the ROC curve of an attack and a bootstrap interval of its AUC.

    The examples of one writer are all members or all non-members, so they are not independent. With
    `client_ids`, the bootstrap resamples whole writers, and the interval is correctly wider.

    Args:
        scores: float (n,), higher for members.
        is_member: bool (n,), the truth.
        client_ids: str (n,), the writer of each example. Default: all examples are independent.
        confidence: Confidence of the AUC's percentile interval, in (0, 1).
        num_resamples: Number of bootstrap samples, at least 1.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: The lengths differ, a score is NaN, a number is out of range, or members or
            non-members are missing.
        TypeError: A number has the wrong type.
    """
    scores, is_member = _check_scores(scores, is_member)
    seed, num_resamples = check_seed(seed), check_count("num_resamples", num_resamples)
    confidence = check_number("confidence", confidence, above=0, below=1)
    groups = np.arange(len(scores)) if client_ids is None else _number(client_ids, len(scores))[1]
    fpr, tpr, _ = metrics.roc_curve(is_member, scores, drop_intermediate=False)
    resampled = _bootstrap_auc(scores, is_member, groups, num_resamples, seed)
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    auc, interval = float(metrics.auc(fpr, tpr)), (float(low), float(high))
    return AttackResult(fpr, tpr, auc, interval, int(is_member.sum()), int((~is_member).sum()))


def loss_scores(losses: np.ndarray) -> np.ndarray:
    """Returns the negative losses as scores: members tend to have low losses (Yeom et al. 2018).

    Args:
        losses: Losses of any shape.
    """
    return -_check_losses(losses)


def logit_confidences(losses: np.ndarray) -> np.ndarray:
    """Returns log(p / (1 - p)) of the true label's probability p = exp(-loss).

    Over models trained on different data it is nearly Gaussian, which the loss is not (Carlini et al.
    2022, section 4.3).

    Args:
        losses: Cross-entropies in nats, at least 0, of any shape.

    Returns:
        float64 of the same shape, at most 16.6, because the largest p below 1 in float32 is 1 - 6e-8.

    Raises:
        ValueError: A loss is negative or NaN.
    """
    losses = np.maximum(_check_losses(losses, at_least=0), _LEAST_LOSS)
    return -losses - np.log(-np.expm1(-losses))


def lira_scores(target: np.ndarray, shadow: np.ndarray, is_in: np.ndarray) -> np.ndarray:
    """Returns the log likelihood ratio of membership (LiRA online, Carlini et al. 2022, algorithm 1).

    For each example, one Gaussian is fitted to the confidences of the shadow models that trained on it,
    and one to those of the models that did not. Each example has its own means; the two standard
    deviations are pooled over all examples, as the paper advises for few models.

    Args:
        target: float (n,), `logit_confidences` of the attacked model.
        shadow: float (num_models, n), `logit_confidences` of the shadow models.
        is_in: bool (num_models, n), whether the shadow model trained on the example.

    Returns:
        float64 (n,), the log likelihood ratios.

    Raises:
        ValueError: The shapes do not fit, a value is not finite, or for an example no model, or every
            model, trained on it.
    """
    target, shadow, is_in = _check_shadow(target, shadow, is_in)
    if not (is_in.any(axis=0) & ~is_in.all(axis=0)).all():
        raise ValueError(
            "is_in must have, for every example, a shadow model that trained on it and a model that "
            "did not. Draw them with train_shadow_models."
        )
    log_in, log_out = (
        stats.norm.logpdf(target, *_fit(shadow, chosen)) for chosen in (is_in, ~is_in)
    )
    return log_in - log_out


def mean_per_client(values: np.ndarray, client_ids: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Averages over each client's examples, for attacks on writers instead of examples.

    Args:
        values: float or bool (..., n), for example losses, confidences or membership.
        client_ids: str (n,), the client of each example.

    Returns:
        The clients, sorted, and their means, float64 (..., num_clients).

    Raises:
        ValueError: `client_ids` has another length than the last axis of `values`.
    """
    if np.asarray(values).dtype != bool:
        shape = tuple(length or None for length in np.shape(values))
        check_array("values", values, shape, is_finite=False)
    values = np.atleast_1d(np.asarray(values, np.float64))
    names, groups = _number(client_ids, values.shape[-1])
    one_hot = np.eye(len(names))[groups]
    return names, values @ (one_hot / one_hot.sum(axis=0))


def train_shadow_models(
    train_fn: TrainFn, client_ids: Sequence[str], num_models: int, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Trains shadow models, each on some clients, so that each client is in half of the models.

    Args:
        train_fn: Function (ids of the members, seed) -> losses, float (num_examples,), of a model
            trained on the members. It evaluates the same examples in every call.
        client_ids: The clients to draw from, members and non-members of the attacked model.
        num_models: Number of shadow models, at least 2. If it is odd, each client is in the smaller half.
        seed: Seed of the draw. Model k is trained with the seed `seed + 1 + k`.

    Returns:
        The losses, float64 (num_models, num_examples), and the membership, bool (num_models,
        num_clients).

    Raises:
        ValueError: A number is out of range, or a model has no member.
        TypeError: A number is not a whole number.
    """
    check_callable("train_fn", train_fn)
    client_ids = check_ids("client_ids", client_ids)
    seed, num_models = check_seed(seed), check_count("num_models", num_models, at_least=2)
    rng = random_stream("shadow members", seed)
    ranks = rng.uniform(size=(num_models, len(client_ids))).argsort(axis=0).argsort(axis=0)
    is_in = ranks < num_models // 2
    if not is_in.any(axis=1).all():
        raise ValueError(
            f"num_models must fit {len(client_ids)} clients: a model has no member. Found {num_models}."
        )
    losses = [
        np.asarray(train_fn([client_ids[k] for k in np.flatnonzero(row)], seed + 1 + model))
        for model, row in enumerate(is_in)
    ]
    return np.stack(losses).astype(np.float64), is_in


def _bootstrap_auc(
    scores: np.ndarray, is_member: np.ndarray, groups: np.ndarray, num_resamples: int, seed: int
) -> np.ndarray:
    """Returns the AUC of resampled groups, drawn separately among members and non-members."""
    rng = random_stream("resampled groups", seed)
    ranks = np.unique(scores, return_inverse=True)[1]
    sides = [
        (ranks[side], *np.unique(groups[side], return_inverse=True))
        for side in (is_member, ~is_member)
    ]

    def resample(side_ranks: np.ndarray, names: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Returns how often each rank occurs; a group that was drawn twice counts twice."""
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        return np.bincount(side_ranks, times[numbers], minlength=ranks.max() + 1)

    aucs = np.empty(num_resamples)
    for row in range(num_resamples):
        members, others = (resample(*side) for side in sides)
        lower = np.cumsum(others) - others / 2  # non-members below each rank; ties count half
        aucs[row] = members @ lower / (members.sum() * others.sum())
    return aucs


def _fit(shadow: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the mean of each example, (n,), and one standard deviation for all examples."""
    count = chosen.sum(axis=0)
    mean = np.where(chosen, shadow, 0.0).sum(axis=0) / count
    squares = np.where(chosen, (shadow - mean) ** 2, 0.0).sum()
    # Each mean uses up one degree of freedom.
    return mean, max(np.sqrt(squares / max(count.sum() - len(count), 1)), _LEAST_STD)


def _number(client_ids: Sequence[str], num_examples: int) -> tuple[list[str], np.ndarray]:
    """Returns the different ids, sorted, and the place of each example's id among them."""
    owners = check_ids("client_ids", client_ids, may_repeat=True)
    if len(owners) != num_examples:
        raise ValueError(
            "client_ids must have one entry per example. "
            f"Found {len(owners)} for {num_examples} examples."
        )
    names, numbers = np.unique(owners, return_inverse=True)
    return names.tolist(), numbers


def _check_losses(losses: np.ndarray, at_least: float | None = None) -> np.ndarray:
    shape = tuple(length or None for length in np.shape(losses))
    return check_array("losses", losses, shape, at_least=at_least, is_finite=False).astype(
        np.float64
    )


def _check_scores(scores: np.ndarray, is_member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores = check_array("scores", scores, (None,), is_finite=False).astype(np.float64)
    is_member = check_bools("is_member", is_member, scores.shape)
    if not 0 < is_member.sum() < len(is_member):
        raise ValueError(
            "is_member must have members and non-members. "
            f"Found {is_member.sum()} members among {len(is_member)}."
        )
    return scores, is_member


def _check_shadow(
    target: np.ndarray, shadow: np.ndarray, is_in: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hint = " Pass logit_confidences of the losses."
    target = check_array("target", target, (None,), hint=hint).astype(np.float64)
    shadow = check_array("shadow", shadow, (None, len(target)), hint=hint).astype(np.float64)
    return target, shadow, check_bools("is_in", is_in, shadow.shape)
