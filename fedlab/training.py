"""The rounds of a training run: progress, records, evaluation, checkpoints."""

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_federated as tff
from tqdm.auto import tqdm

from fedlab import files, runtime
from fedlab.checkpoints import Checkpoints
from fedlab.data.preprocessing import CohortFn

Record = dict[str, Any]
_CSV_FIRST_LINE = "^round_num,num_clients,"
EvaluateFn = Callable[[tff.learning.models.ModelWeights], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """What a run leaves.

    Attributes:
        state: The process's state after the last round.
        weights: The model's weights in it.
        records: One flat record per round: round_num, num_clients, num_dropped (of them left out,
            see `runtime.compile`), num_examples, loss and accuracy (measured by the clients WHILE
            they train; NaN in a round of nobody), seconds, bytes_down, bytes_up (the uncompressed
            weights to the cohort, and from those not left out, whatever the process compresses or
            adds), and what `evaluate_fn` returned.
    """

    state: Any
    weights: tff.learning.models.ModelWeights
    records: list[Record]

    def to_frame(self) -> pd.DataFrame:
        """Returns the records as a table, one row a round."""
        return pd.DataFrame(self.records)


class TrainingInterrupted(KeyboardInterrupt):
    """The stop button; in a notebook: `run = sys.last_value.run`.

    Attributes:
        run: The rounds that were finished.
    """

    def __init__(self, run: TrainingRun, num_rounds: int):
        done = run.records[-1]["round_num"] if run.records else 0
        super().__init__(
            f"Stopped after {done} of {num_rounds} rounds. They are kept: run = sys.last_value.run"
        )
        self.run = run


def run_rounds(
    process: tff.learning.templates.LearningProcess | runtime.Runner,
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

    A resumed run is checked to have the model's and the algorithm's arrays and the hyperparameters
    that TFF keeps in the state, such as the server's learning rate. NOT checked, for the checkpoint
    does not hold them: the clients' learning rate (unless the process keeps it in the state), the
    seeds, the data, the cohorts and the batches.

    Args:
        process: A TFF `LearningProcess` that reports `loss`, `accuracy` and `num_examples` under
            `metrics["client_work"]["train"]`, as TFF's builders do for `fedlab.models`; or what
            executes one, from `fedlab.runtime.compile`. Default: the local runtime.
        cohort_fn: Round number (from 1) to `{client_id: batches}`, from
            `preprocessing.build_cohort_fn`. Being a function of the number, it makes a resumed run
            the run that was never interrupted.
        num_rounds: The run's rounds in all, at least 1; those in `checkpoint_dir` count.
        evaluate_fn: Model weights to `{name: value}`, from `fedlab.evaluation`.
        evaluate_every: Evaluate after every n-th round, and after the last.
        initial_weights: Start from these instead of the model's own; not used when resuming.
        checkpoint_dir: Save after every round in the folder `fedlab-checkpoints` of this folder,
            and go on from the newest checkpoint there.
        csv_path: Write the records to this file after every round. A file of such records is
            replaced, any other is refused.
        tensorboard_dir: Write the records here as TensorBoard summaries.
        progress: Show a progress bar with loss and accuracy.

    Returns:
        The `TrainingRun`.

    Raises:
        ValueError: A number is out of range, a round diverged, the process lacks a metric, or the
            checkpoint is another model's, has other hyperparameters or is past `num_rounds`; or
            `csv_path` or the folder of the checkpoints exists and is not this program's.
        ClientError: A client failed, or its update is not finite.
        PermissionError: `checkpoint_dir` or `csv_path` cannot be written.
        TrainingInterrupted: The stop button (Ctrl-C); it holds the run so far.
    """
    for name, value in (("num_rounds", num_rounds), ("evaluate_every", evaluate_every)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1. Found {value}.")
    with _as_runner(process) as runner:
        state = runner.initialize()
        if initial_weights is not None:
            state = runner.set_model_weights(state, initial_weights)
        checkpoints = Checkpoints(checkpoint_dir) if checkpoint_dir else None
        done, records = 0, []
        if checkpoints:
            fresh = state
            done, state, records = checkpoints.load_latest(fresh)
            if done:
                _check_not_past(done, num_rounds, checkpoint_dir)
                saved, ours = (runner.get_hparams(one) for one in (state, fresh))
                _check_same_hparams(saved, ours, checkpoint_dir)
        sinks = _build_sinks(csv_path, tensorboard_dir)
        for sink in sinks if records else ():  # a kill may have come between checkpoint and sinks
            sink(records)
        rounds = range(done + 1, num_rounds + 1)
        with tqdm(
            rounds, "Rounds", num_rounds, initial=done, disable=not progress, unit="round"
        ) as bar:
            try:
                for round_num in bar:
                    new_state, record = _run_round(runner, state, cohort_fn, round_num)
                    if evaluate_fn and (round_num % evaluate_every == 0 or round_num == num_rounds):
                        found = evaluate_fn(runner.get_model_weights(new_state))
                        record |= {name: float(value) for name, value in found.items()}
                    state, records = new_state, [*records, record]
                    if checkpoints:
                        checkpoints.save(round_num, state, record)
                    for sink in sinks:
                        sink(records)
                    bar.set_postfix(
                        loss=f"{record['loss']:.3f}", accuracy=f"{record['accuracy']:.1%}"
                    )
            except KeyboardInterrupt:
                run = TrainingRun(state, runner.get_model_weights(state), records)
                raise TrainingInterrupted(run, num_rounds) from None
        return TrainingRun(state, runner.get_model_weights(state), records)


def _as_runner(process) -> contextlib.AbstractContextManager[runtime.Runner]:
    if isinstance(process, runtime.Runner):
        return contextlib.nullcontext(process)  # whoever made it closes it
    return runtime.compile(process)


def _run_round(
    runner: runtime.Runner, state, cohort_fn: CohortFn, round_num: int
) -> tuple[Any, Record]:
    cohort = cohort_fn(round_num)
    start = time.perf_counter()
    try:
        output = runner.next(state, cohort)
    except runtime.ClientError as error:
        error.add_note(f"It was round {round_num}.")
        raise
    seconds = time.perf_counter() - start
    metrics = _get_train_metrics(output.metrics)
    weights = runner.get_model_weights(output.state)
    if cohort:
        _check_finite(metrics, weights, round_num)
    else:  # TFF has 0 / 0 = 0
        metrics = {**metrics, "loss": math.nan, "accuracy": math.nan}
    num_bytes, num_dropped = weights_bytes(weights), len(runner.dropped)
    record = {
        "round_num": round_num,
        "num_clients": len(cohort),
        "num_dropped": num_dropped,
        "num_examples": int(metrics["num_examples"]),
        "loss": float(metrics["loss"]),
        "accuracy": float(metrics["accuracy"]),
        "seconds": seconds,
        "bytes_down": num_bytes * len(cohort),
        "bytes_up": num_bytes * (len(cohort) - num_dropped),
    }
    return output.state, record


def _get_train_metrics(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    client_work = metrics.get("client_work") if isinstance(metrics, Mapping) else None
    found = (client_work or {}).get("train") or {}
    missing = {"loss", "accuracy", "num_examples"} - set(found)
    if missing:
        raise ValueError(
            f"The process must report {', '.join(sorted(missing))} under "
            'metrics["client_work"]["train"]: build it from a model of fedlab.models, or add the '
            f"metric to your model. Found {', '.join(found) or 'no training metrics'}."
        )
    return found


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


def _check_same_hparams(saved: Mapping[str, Any], ours: Mapping[str, Any], folder) -> None:
    saved, ours = dict(_flatten(saved)), dict(_flatten(ours))
    for name, value in ours.items():
        if not np.array_equal(saved[name], value):
            raise ValueError(
                f"The run in {str(folder)!r} was saved with {name} = {saved[name]}, and this "
                f"process has {value} (finalizer: the server's optimizer). TFF keeps it in the state "
                f"and would go on with {saved[name]}: build the process with that, or use another "
                "folder."
            )


def _flatten(hparams: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in hparams.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _build_sinks(csv_path, tensorboard_dir) -> list[Callable[[list[Record]], None]]:
    sinks = []
    if csv_path:
        # These fail here, not after the first round.
        path = files.resolve_target(Path(csv_path), _CSV_FIRST_LINE)
        path.parent.mkdir(parents=True, exist_ok=True)

        def write_csv(records: list[Record]) -> None:
            text = pd.DataFrame(records).to_csv(index=False)
            files.write_text(path, text, first_line=_CSV_FIRST_LINE)

        sinks.append(write_csv)
    if tensorboard_dir:
        sinks.append(_SummarySink(tensorboard_dir))
    return sinks


class _SummarySink:
    """Writes records as TensorBoard summaries, each once."""

    def __init__(self, folder: str | os.PathLike[str]):
        self._writer = tf.summary.create_file_writer(os.fspath(folder))
        self._num_written = 0

    def __call__(self, records: list[Record]) -> None:
        for record in records[self._num_written :]:
            with self._writer.as_default(step=record["round_num"]):
                for name, value in record.items():
                    if name != "round_num":
                        tf.summary.scalar(name, value)
        self._num_written = len(records)
        self._writer.flush()
