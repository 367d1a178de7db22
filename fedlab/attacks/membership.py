"""Membership inference: was this example, or this writer, in the training data?

All here works on arrays of losses: who made them, and with what, does not matter. A score is higher
for what looks more like a member.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from sklearn import metrics

from fedlab.data.sampling import check_seed

# (members' names, seed) -> the trained model's losses, float (num_examples,), always on the same.
TrainFn = Callable[[list[str], int], np.ndarray]
_LEAST_LOSS = 6e-8  # half of what float32 can add to 1
_LEAST_STD = 1e-6  # shadow models that agree to the last bit still leave a bell curve


@dataclasses.dataclass(frozen=True)
class AttackResult:
    """How well scores tell members from non-members.

    Attributes:
        fpr: float (num_points,): share of the non-members taken for members, in [0, 1], rising.
        tpr: float (num_points,): share of the members found, in [0, 1].
        auc: Area under the curve: 0.5 is a coin, 1 a perfect attack.
        auc_interval: (low, high), by bootstrap.
        num_members: How many members were scored.
        num_non_members: How many non-members; the finest FPR is 1 over this.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    auc: float
    auc_interval: tuple[float, float]
    num_members: int
    num_non_members: int

    def tpr_at(self, fpr: float = 0.001) -> float:
        """Returns the share of the members found at a false-positive rate (Carlini et al. 2022).

        Raises:
            ValueError: There are fewer than 1 / fpr non-members: one of them is already more.
        """
        if not 0 < fpr <= 1:
            raise ValueError(f"fpr must lie in (0, 1]. Found {fpr}.")
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
    """Draws the ROC curve of an attack.

    A writer's examples are members all together or not at all, so they are no independent draws:
    with `client_ids` the bootstrap draws whole writers, and the interval is wider, as it must be.

    Args:
        scores: float (n,), higher for members.
        is_member: bool (n,): the truth.
        client_ids: str (n,): whose example it is. Default: each counts for itself.
        confidence: Of the AUC's percentile interval, in (0, 1).
        num_resamples: Bootstrap draws, at least 1.
        seed: Seed of the draws.

    Returns:
        The `AttackResult`.

    Raises:
        ValueError: The lengths differ, a score is not a number, or there are no members or no
            non-members.
    """
    scores, is_member = _check_scores(scores, is_member)
    check_seed(seed)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1). Found {confidence}.")
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1. Found {num_resamples}.")
    groups = np.arange(len(scores)) if client_ids is None else _number(client_ids, len(scores))
    fpr, tpr, _ = metrics.roc_curve(is_member, scores, drop_intermediate=False)
    resampled = _bootstrap_auc(scores, is_member, groups, num_resamples, seed)
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    auc, interval = float(metrics.auc(fpr, tpr)), (float(low), float(high))
    return AttackResult(fpr, tpr, auc, interval, int(is_member.sum()), int((~is_member).sum()))


def loss_scores(losses: np.ndarray) -> np.ndarray:
    """Scores by the loss alone: what the model knows well it has seen (Yeom et al. 2018)."""
    return -np.asarray(losses, np.float64)


def logit_confidences(losses: np.ndarray) -> np.ndarray:
    """Returns log(p / (1 - p)) of the true label's probability p = exp(-loss).

    Over models it is near a bell curve, which the loss is not (Carlini et al. 2022, section 4.3).

    Args:
        losses: Cross-entropies in nats, at least 0, any shape.

    Returns:
        float64 of the same shape, at most 16.6: a float32 model cannot say more than p = 1 - 6e-8.

    Raises:
        ValueError: A loss is negative or not a number.
    """
    losses = np.asarray(losses, np.float64)
    if not (losses >= 0).all():
        raise ValueError(f"losses must be at least 0. Found {losses[~(losses >= 0)].flat[0]}.")
    losses = np.maximum(losses, _LEAST_LOSS)
    return -losses - np.log(-np.expm1(-losses))


def lira_scores(target: np.ndarray, shadow: np.ndarray, is_in: np.ndarray) -> np.ndarray:
    """Scores by the likelihood ratio of two bell curves (LiRA online, Carlini et al. 2022, alg. 1).

    How confident are models that trained on it, and models that did not? Means are per example;
    the two standard deviations are pooled over the examples, as the paper advises for few models.

    Args:
        target: float (n,): `logit_confidences` of the attacked model.
        shadow: float (num_models, n): of the shadow models.
        is_in: bool (num_models, n): whether the shadow model trained on it.

    Returns:
        float64 (n,): the log likelihood ratio.

    Raises:
        ValueError: The shapes do not fit, a value is not finite, or an example lacks a model that
            trained on it, or one that did not.
    """
    target, shadow, is_in = _check_shadow(target, shadow, is_in)
    if not (is_in.any(axis=0) & ~is_in.all(axis=0)).all():
        raise ValueError(
            "Every example needs a shadow model that trained on it and one that did not: draw them "
            "with train_shadow_models, or use lira_offline_scores."
        )
    log_in, log_out = (
        stats.norm.logpdf(target, *_fit(shadow, chosen)) for chosen in (is_in, ~is_in)
    )
    return log_in - log_out


def lira_offline_scores(target: np.ndarray, shadow: np.ndarray) -> np.ndarray:
    """Scores by how unusual the confidence is for a model that did not train on it (LiRA offline).

    The shadow models know nothing of the examples: one set of them serves every target.

    Args:
        target: float (n,): `logit_confidences` of the attacked model.
        shadow: float (num_models, n): of shadow models, none of which trained on the examples.

    Returns:
        float64 (n,): minus the log of the probability of at least this confidence.

    Raises:
        ValueError: The shapes do not fit, or a value is not finite.
    """
    target, shadow, is_in = _check_shadow(target, shadow, np.zeros(np.shape(shadow), bool))
    return -stats.norm.logsf(target, *_fit(shadow, ~is_in))


def mean_per_client(values: np.ndarray, client_ids: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Averages over each client's examples: from attacks on examples to attacks on writers.

    Args:
        values: float or bool (..., n): losses, confidences, or who was in.
        client_ids: str (n,): whose example it is.

    Returns:
        The clients, sorted, and float64 (..., num_clients).
    """
    values = np.asarray(values, np.float64)
    names, groups = np.unique(np.asarray(client_ids, str), return_inverse=True)
    if values.shape[-1] != len(groups):
        raise ValueError(
            "client_ids must have one entry per example. "
            f"Found {len(groups)} for {values.shape[-1]} examples."
        )
    one_hot = np.eye(len(names))[groups]
    return names.tolist(), values @ (one_hot / one_hot.sum(axis=0))


def train_shadow_models(
    train_fn: TrainFn, client_ids: Sequence[str], num_models: int, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Trains models like the target, each on some clients; each client is in half of the models.

    Args:
        train_fn: (members' ids, seed) -> losses, float (num_examples,), of a model trained on them;
            always on the same examples.
        client_ids: The clients to draw from: members and non-members of the target.
        num_models: Shadow models, at least 2; of an odd number, a client is in the smaller half.
        seed: Seed of the draw; model k gets the seed `seed + 1 + k`.

    Returns:
        losses float64 (num_models, num_examples), and who was in: bool (num_models, num_clients).

    Raises:
        ValueError: A number is out of range, or a model has no member.
    """
    check_seed(seed)
    if num_models < 2:
        raise ValueError(f"num_models must be at least 2. Found {num_models}.")
    # A stream of its own: `default_rng(seed)` may have drawn the target's members.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    ranks = rng.uniform(size=(num_models, len(client_ids))).argsort(axis=0).argsort(axis=0)
    is_in = ranks < num_models // 2
    if not is_in.any(axis=1).all():
        raise ValueError(f"{len(client_ids)} clients are too few for {num_models} shadow models.")
    losses = [
        np.asarray(train_fn([client_ids[k] for k in np.flatnonzero(row)], seed + 1 + model))
        for model, row in enumerate(is_in)
    ]
    return np.stack(losses).astype(np.float64), is_in


def _bootstrap_auc(scores, is_member, groups, num_resamples: int, seed: int) -> np.ndarray:
    """Draws groups again, members and non-members apart; a group drawn twice weighs twice."""
    rng = np.random.default_rng(seed)
    ranks = np.unique(scores, return_inverse=True)[1]
    sides = [
        (ranks[side], *np.unique(groups[side], return_inverse=True))
        for side in (is_member, ~is_member)
    ]

    def resample(ranks_of, names, numbers) -> np.ndarray:
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        return np.bincount(ranks_of, times[numbers], minlength=ranks.max() + 1)

    found = np.empty(num_resamples)
    for row in range(num_resamples):
        members, others = (resample(*side) for side in sides)
        lower = np.cumsum(others) - others / 2  # those that a member outranks; ties count half
        found[row] = members @ lower / (members.sum() * others.sum())
    return found


def _fit(shadow: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the mean per example (n,), and one standard deviation for all."""
    count = chosen.sum(axis=0)
    mean = np.where(chosen, shadow, 0.0).sum(axis=0) / count
    squares = np.where(chosen, (shadow - mean) ** 2, 0.0).sum()
    # One degree of freedom went into each mean.
    return mean, max(np.sqrt(squares / max(count.sum() - len(count), 1)), _LEAST_STD)


def _number(client_ids: Sequence[str], num_scores: int) -> np.ndarray:
    if len(client_ids) != num_scores:
        raise ValueError(
            f"client_ids must have one entry per score. Found {len(client_ids)} for {num_scores}."
        )
    return np.unique(np.asarray(client_ids, str), return_inverse=True)[1]


def _check_scores(scores, is_member) -> tuple[np.ndarray, np.ndarray]:
    scores, is_member = np.asarray(scores, np.float64), np.asarray(is_member, bool)
    if scores.ndim != 1 or scores.shape != is_member.shape:
        raise ValueError(
            "scores and is_member must be vectors of one length. "
            f"Found shapes {scores.shape} and {is_member.shape}."
        )
    if np.isnan(scores).any():
        raise ValueError("scores must be numbers. Found NaN: did the model diverge?")
    if not 0 < is_member.sum() < len(is_member):
        raise ValueError(
            "There must be members and non-members. "
            f"Found {is_member.sum()} members among {len(is_member)}."
        )
    return scores, is_member


def _check_shadow(target, shadow, is_in) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    target, shadow = np.asarray(target, np.float64), np.asarray(shadow, np.float64)
    is_in = np.asarray(is_in, bool)
    if target.ndim != 1 or shadow.shape != is_in.shape or shadow.shape[1:] != target.shape:
        raise ValueError(
            "target must be (n,), shadow and is_in (num_models, n). "
            f"Found {target.shape}, {shadow.shape} and {is_in.shape}."
        )
    if len(shadow) < 2:
        raise ValueError(f"There must be at least 2 shadow models. Found {len(shadow)}.")
    if not (np.isfinite(target).all() and np.isfinite(shadow).all()):
        raise ValueError("The confidences must be finite: take logit_confidences of the losses.")
    return target, shadow, is_in
