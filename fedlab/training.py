"""The rounds of a training run: progress, records, evaluation, checkpoints."""

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_federated as tff
from tqdm.auto import tqdm

from fedlab import runtime
from fedlab.checkpoints import Checkpoints
from fedlab.preprocessing import CohortFn

Record = dict[str, Any]
EvaluateFn = Callable[[tff.learning.models.ModelWeights], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """What a run leaves.

    Attributes:
        state: The process's state after the last round.
        weights: The model's weights in it.
        records: One flat record per round: round_num, num_clients, num_examples, loss and accuracy
            (measured by the clients WHILE they train), seconds, bytes_down, bytes_up (float32
            weights to and from the whole cohort), and what `evaluate_fn` returned.
    """

    state: Any
    weights: tff.learning.models.ModelWeights
    records: list[Record]

    def to_frame(self) -> pd.DataFrame:
        """Returns the records as a table, one row a round."""
        return pd.DataFrame(self.records)


def run_rounds(
    process: tff.learning.templates.LearningProcess,
    cohort_fn: CohortFn,
    num_rounds: int,
    *,
    evaluate_fn: EvaluateFn | None = None,
    evaluate_every: int = 1,
    initial_weights: tff.learning.models.ModelWeights | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    csv_path: str | os.PathLike[str] | None = None,
    tensorboard_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> TrainingRun:
    """Trains for a number of rounds.

    Args:
        process: Any TFF `LearningProcess`.
        cohort_fn: Round number (from 1) to `{client_id: batches}`, from
            `preprocessing.build_cohort_fn`. Being a function of the number, it makes a resumed run
            the run that was never interrupted.
        num_rounds: The run's rounds in all, at least 1; those in `checkpoint_dir` count.
        evaluate_fn: Model weights to `{name: value}`, from `fedlab.evaluation`.
        evaluate_every: Evaluate after every n-th round, and after the last.
        initial_weights: Start from these instead of the model's own; not used when resuming.
        checkpoint_dir: Save after every round, and go on from the newest checkpoint there.
        csv_path: Write the records here after every round.
        tensorboard_dir: Write the records here as TensorBoard summaries.
        progress: Show a progress bar with loss and accuracy.

    Returns:
        The `TrainingRun`.

    Raises:
        ValueError: A number is out of range, a round diverged, or the checkpoint is another model's
            or is past `num_rounds`.
        PermissionError: `checkpoint_dir` cannot be written.
    """
    for name, value in (("num_rounds", num_rounds), ("evaluate_every", evaluate_every)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1. Found {value}.")
    sinks = _build_sinks(csv_path, tensorboard_dir)
    with runtime.compile(process) as runner:
        state = runner.initialize()
        if initial_weights is not None:
            state = runner.set_model_weights(state, initial_weights)
        checkpoints = Checkpoints(checkpoint_dir) if checkpoint_dir else None
        done, records = 0, []
        if checkpoints:
            done, state, records = checkpoints.load_latest(state)
            _check_not_past(done, num_rounds, checkpoint_dir)
        rounds = range(done + 1, num_rounds + 1)
        with tqdm(
            rounds, "Rounds", num_rounds, initial=done, disable=not progress, unit="round"
        ) as bar:
            for round_num in bar:
                state, record = _run_round(runner, state, cohort_fn, round_num)
                if evaluate_fn and (round_num % evaluate_every == 0 or round_num == num_rounds):
                    found = evaluate_fn(runner.get_model_weights(state))
                    record |= {name: float(value) for name, value in found.items()}
                records.append(record)
                if checkpoints:
                    checkpoints.save(round_num, state, record)
                for sink in sinks:
                    sink(records)
                bar.set_postfix(loss=f"{record['loss']:.3f}", accuracy=f"{record['accuracy']:.1%}")
        return TrainingRun(state, runner.get_model_weights(state), records)


def _run_round(
    runner: runtime.Runner, state, cohort_fn: CohortFn, round_num: int
) -> tuple[Any, Record]:
    datasets = cohort_fn(round_num)
    start = time.perf_counter()
    output = runner.next(state, datasets.values())
    seconds = time.perf_counter() - start
    metrics = output.metrics["client_work"]["train"]
    weights = runner.get_model_weights(output.state)
    _check_finite(metrics, weights, round_num)
    num_bytes = weights_bytes(weights) * len(datasets)
    record = {
        "round_num": round_num,
        "num_clients": len(datasets),
        "num_examples": int(metrics["num_examples"]),
        "loss": float(metrics["loss"]),
        "accuracy": float(metrics["accuracy"]),
        "seconds": seconds,
        "bytes_down": num_bytes,
        "bytes_up": num_bytes,
    }
    return output.state, record


def weights_bytes(weights: tff.learning.models.ModelWeights) -> int:
    """Returns the size of one copy of a model in bytes, uncompressed."""
    return sum(np.asarray(leaf).nbytes for leaf in tf.nest.flatten(weights))


def _check_finite(
    metrics: Mapping[str, Any], weights: tff.learning.models.ModelWeights, round_num: int
) -> None:
    if metrics["num_examples"] == 0:  # TFF leaves out, silently, whoever's update is not finite
        found = "no client counts: none has a finite update (or none has an example)"
    elif not np.isfinite(metrics["loss"]):
        found = f"the training loss is {metrics['loss']}"
    elif not all(np.isfinite(leaf).all() for leaf in tf.nest.flatten(weights)):
        found = "the new weights are not finite"
    else:
        return
    raise ValueError(
        f"Round {round_num} diverged: {found}. Lower the learning rate. The last good state is "
        "that of the round before."
    )


def _check_not_past(done: int, num_rounds: int, folder) -> None:
    if done > num_rounds:
        raise ValueError(
            f"num_rounds must be at least {done}, the rounds already in {str(folder)!r}. "
            f"Found {num_rounds}."
        )


def _build_sinks(csv_path, tensorboard_dir) -> list[Callable[[list[Record]], None]]:
    sinks = []
    if csv_path:
        path = Path(csv_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        sinks.append(lambda records: pd.DataFrame(records).to_csv(path, index=False))
    if tensorboard_dir:
        writer = tf.summary.create_file_writer(os.fspath(tensorboard_dir))
        sinks.append(lambda records: _write_summary(writer, records[-1]))
    return sinks


def _write_summary(writer: tf.summary.SummaryWriter, record: Record) -> None:
    with writer.as_default(step=record["round_num"]):
        for name, value in record.items():
            if name != "round_num":
                tf.summary.scalar(name, value)
    writer.flush()
