"""One run: a configuration, a data set and a seed in; how good the model was, round by round, out."""

import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fedlab import evaluation, models
from fedlab.caching import cache_while_alive
from fedlab.checks import check_seed
from fedlab.data import FederatedDataset, pool, sampling
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.experiments import central_training
from fedlab.experiments.central_training import CreateSeededFn, Network, Weights, build_network
from fedlab.experiments.compilation import compile_rounds
from fedlab.experiments.config import RunConfig
from fedlab.experiments.partitions import deal, hold_out
from fedlab.experiments.store import ProgressFn
from fedlab.training import Callback, DivergedError, EarlyStopping, Evaluate, run_rounds

NUM_FIRST = 5  # the article's clients
TARGET_ACCURACY = 0.9  # where the configuration names no other


def run(
    config: RunConfig,
    dataset: FederatedDataset,
    seed: int,
    *,
    create_fn: CreateSeededFn | None = None,
    progress_fn: ProgressFn | None = None,
) -> pd.DataFrame:
    """Runs one configuration. The same arguments give the same numbers, bit for bit.

    Args:
        config: What to run.
        dataset: From `fedlab.data.load`.
        seed: Of the initial weights, the cohorts, the stragglers, the shuffling, the augmentation,
            the partition and the pre-training; at least 0. Runs of one seed are paired: what two
            configurations have in common, they meet alike.
        create_fn: Makes the model, from a `seed`. Default: what `config.model` names.
        progress_fn: Called after each evaluation with the share of the rounds that is done.

    Returns:
        One row per evaluation, the first before any training: round_num; eval_loss (nats) and
        eval_accuracy (in [0, 1]) on everyone's test digits; five_accuracy, on the first five
        writers'; seconds since the start. The last row only (else NaN): worst_decile_accuracy and
        best_decile_accuracy (the mean over that tenth of the writers, on the test digits of each),
        client_accuracy_std, and diverged_in_round: the round that a client ended without a finite
        update, or the model without a finite loss. The row is then the last good model's.

    Raises:
        ValueError: The configuration does not fit the data, or the seed is negative.
    """
    check_seed(seed)
    network = build_network(create_fn or _create_fn(config))
    curve = _Curve(config, dataset, network, progress_fn or (lambda share: None))
    weights = _start(config, dataset, network, seed)
    diverged = None
    try:
        curve.evaluate(0, weights)
        if not curve.is_at_target():
            train = _train_centrally if config.algorithm == "central" else _train_federated
            train(config, dataset, network, weights, seed, curve)
    except DivergedError as error:
        diverged = error.round_num
    return curve.to_frame(diverged)


def summarize(records: pd.DataFrame, target: float = TARGET_ACCURACY) -> dict[str, Any]:
    """Returns what a results file says of a run: one value per name.

    Args:
        records: From `run`.
        target: Accuracy whose first round is looked up; `None` there: not reached.
    """
    last, reached = records.iloc[-1], records[records.eval_accuracy >= target]
    return {
        "accuracy": float(last.eval_accuracy),
        "loss": float(last.eval_loss),
        "five_accuracy": float(last.five_accuracy),
        "best_accuracy": float(records.eval_accuracy.max()),
        "worst_decile_accuracy": float(last.worst_decile_accuracy),
        "best_decile_accuracy": float(last.best_decile_accuracy),
        "client_accuracy_std": float(last.client_accuracy_std),
        "num_rounds_done": int(last.round_num),
        "diverged_in_round": _as_int(last.diverged_in_round),
        "target_accuracy": target,
        "rounds_to_target": _as_int(reached.round_num.min() if len(reached) else None),
        "seconds": float(last.seconds),
    }


def _as_int(value: float | None) -> int | None:
    return None if value is None or pd.isna(value) else int(value)


def estimate_cost(config: RunConfig, dataset: FederatedDataset) -> float:
    """Estimates how long a run takes, in passes of one digit through the article's CNN."""
    num_writers = len(dataset.train.client_ids)
    num_train = 9 * len(dataset.pooled_test.labels)  # roughly; reading all to count them costs more
    a_client = min(num_train / num_writers, config.max_examples or num_train)
    is_central = config.algorithm == "central"
    a_round = a_client * (num_writers if is_central else config.num_clients * config.num_epochs)
    num_evaluations = 1 + config.num_rounds / config.evaluate_every
    passes = 3 * a_round * config.num_rounds + num_evaluations * len(dataset.pooled_test.labels)
    return passes * (2.0 if config.model == "deeper_cnn" else 1.0)


class _Curve:
    """Measures the model on everyone's test digits, round by round."""

    def __init__(
        self,
        config: RunConfig,
        dataset: FederatedDataset,
        network: Network,
        progress_fn: ProgressFn,
    ):
        self._config = config
        self._dataset = dataset
        self._network = network
        self._progress_fn = progress_fn
        self._rows: list[dict[str, float]] = []
        self._start = time.perf_counter()

    def evaluate(self, round_num: int, weights: Weights) -> dict[str, float]:
        """Adds a row, and returns it; a model whose loss is not finite raises a `DivergedError`."""
        examples = self._dataset.pooled_test
        predictions = self._network.predict(weights, examples)
        if not np.isfinite(predictions.loss).all():
            raise DivergedError(round_num, "the loss on the test digits is not finite")
        self._predictions = predictions
        right = predictions.prediction == examples.labels
        is_first = np.isin(self._dataset.test_owners, self._dataset.test.client_ids[:NUM_FIRST])
        row = {
            "round_num": round_num,
            "eval_loss": float(predictions.loss.mean(dtype=np.float64)),
            "eval_accuracy": float(right.mean()),
            "five_accuracy": float(right[is_first].mean()),
            "seconds": time.perf_counter() - self._start,
        }
        self._rows.append(row)
        self._progress_fn(round_num / self._config.num_rounds)
        return {"eval_accuracy": row["eval_accuracy"]}

    def is_at_target(self) -> bool:
        """Returns whether the last model has the accuracy at which the run is to end."""
        target = self._config.stop_at_accuracy
        return target is not None and self._rows[-1]["eval_accuracy"] >= target

    def to_frame(self, diverged_in_round: int | None) -> pd.DataFrame:
        """Returns the table of `run`."""
        predictions = pd.DataFrame(
            {
                "client_id": self._dataset.test_owners,
                "label": self._dataset.pooled_test.labels,
                "prediction": self._predictions.prediction,
                "loss": self._predictions.loss,
            }
        )
        fairness = evaluation.fairness(evaluation.per_client(predictions).accuracy)
        last = {
            "worst_decile_accuracy": fairness.worst,
            "best_decile_accuracy": fairness.best,
            "client_accuracy_std": fairness["std"],
            "diverged_in_round": np.nan if diverged_in_round is None else diverged_in_round,
        }
        empty = dict.fromkeys(last, np.nan)
        return pd.DataFrame([*(row | empty for row in self._rows[:-1]), self._rows[-1] | last])


def _create_fn(config: RunConfig) -> CreateSeededFn:
    return models.create_cnn if config.model == "cnn" else models.create_deeper_cnn


def _start(config: RunConfig, dataset: FederatedDataset, network: Network, seed: int) -> Weights:
    if config.pretrained:
        return _pretrain(dataset, network, seed)
    return network.initial_weights(seed)


@cache_while_alive
def _pretrain(dataset: FederatedDataset, network: Network, seed: int) -> Weights:
    """Trains on the public digits: Adam, some epochs, shuffled."""
    preprocessing = dataclasses.replace(central_training.PRETRAINING, seed=seed)
    num_epochs = central_training.PRETRAINING_EPOCHS
    public = dataset.public_examples
    epochs = central_training.batch_epochs("pre-training", public, preprocessing, num_epochs)
    rates = [central_training.PRETRAINING_RATE] * num_epochs
    *_, weights = network.fit(network.initial_weights(seed), epochs, rates, "adam")
    return weights


def _preprocessing(config: RunConfig, seed: int, **others: Any) -> Preprocessing:
    names = ("batch_size", "shuffle", "max_examples", "augmentation")
    chosen = {name: getattr(config, name) for name in names} | others
    return Preprocessing(seed=seed, **{k: v for k, v in chosen.items() if v is not None})


def _train_centrally(
    config: RunConfig,
    dataset: FederatedDataset,
    network: Network,
    weights: Weights,
    seed: int,
    curve: _Curve,
) -> None:
    """Passes over all training digits."""
    examples = pool(dataset.participants(pretrained=config.pretrained), config.max_examples)
    preprocessing = _preprocessing(config, seed, max_examples=None)
    num_epochs = config.num_rounds
    epochs = central_training.batch_epochs("central", examples, preprocessing, num_epochs)
    decay = config.client_rate_decay or 1.0
    rates = [config.client_learning_rate * decay**k for k in range(config.num_rounds)]
    fitted = network.fit(weights, epochs, rates, config.client_optimizer)
    evaluate = Evaluate(curve.evaluate, config.evaluate_every)
    for epoch, weights in enumerate(fitted, start=1):
        if not central_training.is_finite(weights):
            raise DivergedError(epoch, "the weights are not finite")
        if evaluate.is_due(epoch, config.num_rounds):
            curve.evaluate(epoch, weights)
            if curve.is_at_target():
                return


def _train_federated(
    config: RunConfig,
    dataset: FederatedDataset,
    network: Network,
    weights: Weights,
    seed: int,
    curve: _Curve,
) -> None:
    """Runs the rounds, and looks at the model on the way."""
    train = dataset.participants(pretrained=config.pretrained)
    callbacks: list[Callback] = [Evaluate(curve.evaluate, config.evaluate_every)]
    if config.stop_at_accuracy is not None:
        callbacks.append(EarlyStopping("eval_accuracy", target=config.stop_at_accuracy))
    if config.patience is not None:
        train, held_out = hold_out(train)
        judge_fn = functools.partial(_judge, network, pool(held_out))
        callbacks.append(Evaluate(judge_fn, config.evaluate_every))
        callbacks.append(EarlyStopping("held_out_accuracy", patience=config.patience))
    train = deal(config, train, seed)
    train_federated(config, train, network, weights, seed, callbacks)


def train_federated(
    config: RunConfig,
    train: MemoryClientData,
    network: Network,
    weights: Weights,
    seed: int,
    callbacks: Sequence[Callback] = (),
) -> Weights:
    """Returns the weights after the rounds of a configuration."""
    preprocessing = _preprocessing(config, seed, num_epochs=config.num_epochs)
    cohort_fn = build_cohort_fn(train, _sample_fn(config, train.client_ids, seed), preprocessing)
    return run_rounds(
        compile_rounds(config, network.create_fn),
        cohort_fn,
        config.num_rounds,
        initial_weights=weights,
        callbacks=callbacks,
    ).weights


def _judge(network: Network, held_out: Examples, _: int, weights: Weights) -> dict[str, float]:
    right = network.predict(weights, held_out).prediction == held_out.labels
    return {"held_out_accuracy": float(right.mean())}


def _sample_fn(config: RunConfig, client_ids: Sequence[str], seed: int) -> sampling.SampleFn:
    if config.num_clients > len(client_ids):
        raise ValueError(
            f"num_clients must be between 1 and {len(client_ids)} (who takes part in "
            f"{config.name!r}). Found {config.num_clients}."
        )
    if config.sampling == "first":
        sample_fn = sampling.fixed(client_ids[: config.num_clients])
    else:
        sample_fn = sampling.uniform(client_ids, config.num_clients, seed=seed)
    if config.straggler_rate:
        sample_fn = sampling.drop_out(sample_fn, config.straggler_rate, seed=seed)
    return sample_fn
