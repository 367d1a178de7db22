"""Runs the rounds of a training run."""

import contextlib
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab import runtime
from fedlab.checks import check_count
from fedlab.data.preprocessing import CohortFn
from fedlab.training.callbacks import (
    Callback,
    Checkpoint,
    Evaluate,
    EvaluateFn,
    ProgressBar,
)
from fedlab.training.run import DivergedError, Record, Run, TrainingInterrupted, TrainingRun


def run_rounds(
    process: tff.learning.templates.LearningProcess | runtime.Runner,
    cohort_fn: CohortFn,
    num_rounds: int,
    *,
    evaluate_fn: EvaluateFn | None = None,
    initial_weights: tff.learning.models.ModelWeights | None = None,
    callbacks: Iterable[Callback] | None = None,
) -> TrainingRun:
    """Trains for a number of rounds.

    Args:
        process: A TFF `LearningProcess` that reports `loss`, `accuracy` and `num_examples` under
            `metrics["client_work"]["train"]`, as TFF's builders do for `fedlab.models`; or what
            executes one, from `fedlab.compile`. Default: the local runtime.
        cohort_fn: Round number (from 1) to `{client_id: batches}`, from
            `preprocessing.build_cohort_fn`. Being a function of the number, it makes a resumed run
            the run that was never interrupted.
        num_rounds: The run's rounds in all, at least 1; those in a checkpoint count.
        evaluate_fn: Round number and model weights to `{name: value}`, such as one of
            `fedlab.evaluation.build_evaluate_fn`: called after every round, before the callbacks.
        initial_weights: Start from these instead of the model's own; not used when resuming.
        callbacks: What else happens around a round, in this order: `Evaluate`, `EarlyStopping`,
            `Checkpoint`, `CsvLog`, `TensorBoardLog`, `ProgressBar`, or a class of your own (see
            `Callback`). Default: a progress bar.

    Returns:
        The `TrainingRun`.

    Raises:
        TypeError: `num_rounds` is not a whole number.
        ValueError: `num_rounds` is less than 1, the process lacks a metric, or a callback refuses its
            file or checkpoint.
        DivergedError: An update, the loss or the model is not finite.
        ClientError: A client failed.
        TrainingInterrupted: The stop button (Ctrl-C); it holds the run so far.
    """
    num_rounds = check_count("num_rounds", num_rounds)
    callbacks = [ProgressBar()] if callbacks is None else list(callbacks)
    if evaluate_fn is not None:
        callbacks = [Evaluate(evaluate_fn), *callbacks]
    with _as_runner(process) as runner:
        state = runner.initialize()
        if initial_weights is not None:
            state = runner.set_model_weights(state, initial_weights)
        run = Run(runner, state, num_rounds)
        with _started(callbacks, run):
            try:
                while run.round_num < num_rounds and not run.is_stopped:
                    _run_round(run, cohort_fn, callbacks)
            except KeyboardInterrupt:
                raise TrainingInterrupted(run.finish(), num_rounds) from None
        return run.finish()


def _as_runner(
    process: tff.learning.templates.LearningProcess | runtime.Runner,
) -> contextlib.AbstractContextManager[runtime.Runner]:
    if isinstance(process, runtime.Runner):
        return contextlib.nullcontext(process)  # whoever made it closes it
    return runtime.compile(process)


@contextlib.contextmanager
def _started(callbacks: list[Callback], run: Run) -> Iterator[None]:
    """Starts callbacks, and ends those that were started, whatever happens."""
    # The others see the rounds that a checkpoint loads.
    in_order = sorted(callbacks, key=lambda callback: not isinstance(callback, Checkpoint))
    with contextlib.ExitStack() as ends:
        for callback in in_order:
            callback.on_start(run)
            ends.callback(callback.on_end, run)
        yield


def _run_round(run: Run, cohort_fn: CohortFn, callbacks: list[Callback]) -> None:
    """Runs a round and its callbacks. If one fails, the run is as it was before the round."""
    before = run.round_num, run.state, run.records
    round_num = run.round_num + 1
    state, record = _execute_round(run.runner, run.state, cohort_fn, round_num)
    run.resume(round_num, state, run.records)
    run.records.append(record)
    try:
        for callback in callbacks:
            callback.on_round_end(run)
    except BaseException:
        run.records.pop()
        run.resume(*before)
        raise


def _execute_round(
    runner: runtime.Runner, state: Any, cohort_fn: CohortFn, round_num: int
) -> tuple[Any, Record]:
    cohort = cohort_fn(round_num)
    start = time.perf_counter()
    try:
        output = runner.next(state, cohort)
    except runtime.NonFiniteUpdateError as error:
        raise DivergedError(round_num, f"client {error.client_id!r} {error.reason}") from error
    except runtime.NonFiniteStateError as error:
        raise DivergedError(round_num, "the server's state before it is not finite") from error
    except runtime.ClientError as error:
        error.add_note(f"It was round {round_num}.")
        raise
    seconds = time.perf_counter() - start
    metrics = _get_train_metrics(output.metrics)
    weights = runner.get_model_weights(output.state)
    if cohort:
        _check_finite(metrics, weights, round_num, runner.tells_non_finite)
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
    train = (client_work or {}).get("train") or {}
    missing = {"loss", "accuracy", "num_examples"} - set(train)
    if missing:
        raise ValueError(
            f"The process must report {', '.join(sorted(missing))} under "
            'metrics["client_work"]["train"]: build it from a model of fedlab.models, or add the '
            f"metric to your model. Found {', '.join(train) or 'no training metrics'}."
        )
    return train


def weights_bytes(weights: tff.learning.models.ModelWeights) -> int:
    """Returns the size of one copy of a model in bytes, uncompressed.

    Args:
        weights: The model's weights.
    """
    return sum(np.asarray(leaf).nbytes for leaf in tf.nest.flatten(weights))


def _check_finite(
    metrics: Mapping[str, Any],
    weights: tff.learning.models.ModelWeights,
    round_num: int,
    tells_non_finite: bool,
) -> None:
    if metrics["num_examples"] == 0 and tells_non_finite:
        raise ValueError(f"Round {round_num} trained on nothing: no client has an example.")
    if metrics["num_examples"] == 0:
        reason = "no client counts: none has a finite update (or none has an example)"
    elif not np.isfinite(metrics["loss"]):
        reason = f"the training loss is {metrics['loss']}"
    elif not all(np.isfinite(leaf).all() for leaf in tf.nest.flatten(weights)):
        reason = "the new weights are not finite"
    else:
        return
    raise DivergedError(round_num, reason)
