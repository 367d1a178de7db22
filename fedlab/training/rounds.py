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
from fedlab.checks import check_callable, check_count, check_instance, check_list
from fedlab.data.preprocessing import CohortFn
from fedlab.models.keras_to_tff import check_weights
from fedlab.training.callbacks import (
    Callback,
    Evaluate,
    EvaluateFn,
    ProgressBar,
)
from fedlab.training.checkpoint import Checkpoint
from fedlab.training.run import DivergedError, Record, Run, TrainingInterrupted, TrainingRun

_FIRST_METRICS = ("num_examples", "loss", "accuracy")
_NUM_BATCHES = "num_batches"  # TFF counts them for each Keras model; the examples say as much


def run_rounds(
    process: tff.templates.IterativeProcess | runtime.Runner,
    cohort_fn: CohortFn,
    num_rounds: int,
    *,
    evaluate_fn: EvaluateFn | None = None,
    initial_weights: tff.learning.models.ModelWeights | None = None,
    callbacks: Iterable[Callback] | None = None,
) -> TrainingRun:
    """Trains for a number of rounds.

    Args:
        process: A TFF `LearningProcess`, or another `IterativeProcess`, which is executed on the local
            runtime; or what executes one, from `fedlab.compile`. The records have the metrics that
            the process reports (see `TrainingRun`).
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
        TypeError: `num_rounds` is not a whole number; or `initial_weights` or an evaluation is given
            for a process whose state holds no model.
        ValueError: `num_rounds` is less than 1, no client has an example, or a callback refuses its
            file or checkpoint.
        DivergedError: An update, the loss or the model is not finite.
        ClientError: A client failed.
        TrainingInterrupted: The stop button (Ctrl-C); it holds the run so far.
    """
    num_rounds = check_count("num_rounds", num_rounds)
    check_callable("cohort_fn", cohort_fn)
    callbacks = [ProgressBar()] if callbacks is None else check_list("callbacks", callbacks)
    for callback in callbacks:
        check_instance("callbacks", callback, Callback, "a list of Callback objects")
    if initial_weights is not None:
        check_weights("initial_weights", initial_weights)
    if evaluate_fn is not None:
        callbacks = [Evaluate(evaluate_fn), *callbacks]
    with _as_runner(process) as runner:
        state = runner.initialize()
        if initial_weights is not None:
            if runner.has_model:
                _check_same_shapes(initial_weights, runner.get_model_weights(state))
            state = runner.set_model_weights(state, initial_weights)
        run = Run(runner, cohort_fn, state, num_rounds)
        with _started(callbacks, run):
            run.has_past = run.round_num > 0 or initial_weights is not None
            try:
                while run.round_num < num_rounds and not run.is_stopped:
                    _run_round(run, callbacks)
            except KeyboardInterrupt:
                raise TrainingInterrupted(run.finish(), num_rounds) from None
        return run.finish()


def _check_same_shapes(
    initial_weights: tff.learning.models.ModelWeights, own: tff.learning.models.ModelWeights
) -> None:
    found, expected = (
        [np.shape(array) for array in weights.trainable] for weights in (initial_weights, own)
    )
    if found != expected:
        raise ValueError(
            f"initial_weights must have the shapes of the process's model, {expected}. Found {found}."
        )


def _as_runner(
    process: tff.templates.IterativeProcess | runtime.Runner,
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


def _run_round(run: Run, callbacks: list[Callback]) -> None:
    """Runs a round and its callbacks. If one fails, the run is as it was before the round."""
    before = run.round_num, run.state, run.records
    round_num = run.round_num + 1
    state, record = _execute_round(run.runner, run.state, run.cohort_fn, round_num)
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
    new_state, metrics = _split_output(output, runner.process.next.type_signature.result)
    weights = runner.get_model_weights(new_state) if runner.has_model else None
    if cohort:
        _check_finite(metrics, weights, round_num, runner.tells_non_finite)
    else:  # TFF has 0 / 0 = 0
        metrics = {
            name: math.nan if isinstance(value, float) else value for name, value in metrics.items()
        }
    record = {
        "round_num": round_num,
        "num_clients": len(cohort),
        "num_dropped": len(runner.dropped),
    }
    after = {"seconds": seconds}
    if weights is not None:
        after["bytes_down"] = weights_bytes(weights) * len(cohort)
        # A client gets the whole model, and sends the change of what trains.
        num_bytes_up = sum(np.asarray(leaf).nbytes for leaf in tf.nest.flatten(weights.trainable))
        after["bytes_up"] = num_bytes_up * (len(cohort) - len(runner.dropped))
    taken = record.keys() | after.keys()  # a process may use these names for metrics of its own
    metrics = {f"metrics.{name}" if name in taken else name: metrics[name] for name in metrics}
    return new_state, record | metrics | after


def _split_output(output: Any, result_type: tff.Type) -> tuple[Any, Record]:
    """Returns the new state and the metrics of a round, as flat scalars."""
    if isinstance(output, tff.learning.templates.LearningProcessOutput):
        state, metrics = output.state, output.metrics
        client_work = metrics.get("client_work") if isinstance(metrics, Mapping) else None
        metrics = client_work.get("train") or metrics if client_work else metrics
    elif isinstance(result_type, tff.FederatedType):  # the state alone, whatever is in it
        state, metrics = output, {}
    else:
        state, metrics, *_ = output
    scalars = dict(_flatten_scalars(metrics))
    first = {name: scalars[name] for name in _FIRST_METRICS if name in scalars}
    return state, first | {name: scalars[name] for name in scalars if name != _NUM_BATCHES}


def _flatten_scalars(metrics: Any, prefix: str = "") -> Iterator[tuple[str, int | float]]:
    """Yields the metrics that are one number each."""
    if isinstance(metrics, Mapping):
        for name, value in metrics.items():
            yield from _flatten_scalars(value, f"{prefix}.{name}" if prefix else str(name))
    elif np.ndim(metrics) == 0 and np.issubdtype(np.asarray(metrics).dtype, np.number):
        yield prefix or "metric", np.asarray(metrics).item()


def weights_bytes(weights: tff.learning.models.ModelWeights) -> int:
    """Returns the size of one copy of a model in bytes, uncompressed.

    Args:
        weights: The model's weights.
    """
    check_weights("weights", weights)
    return sum(np.asarray(leaf).nbytes for leaf in tf.nest.flatten(weights))


def _check_finite(
    metrics: Record,
    weights: tff.learning.models.ModelWeights | None,
    round_num: int,
    tells_non_finite: bool,
) -> None:
    is_empty = metrics.get("num_examples") == 0
    leaves = [] if weights is None else tf.nest.flatten(weights.trainable)
    if is_empty and tells_non_finite:
        raise ValueError(f"Round {round_num} trained on nothing: no client has an example.")
    if is_empty:
        reason = "no client counts: none has a finite update (or none has an example)"
    elif not tells_non_finite and not math.isfinite(metrics.get("loss", 0.0)):
        reason = f"the training loss is {metrics['loss']}"
    elif not all(np.isfinite(leaf).all() for leaf in leaves):
        reason = "the new weights are not finite"
    else:
        return
    raise DivergedError(round_num, reason)
