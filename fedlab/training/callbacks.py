"""What happens around a round: evaluation, checkpoints, log files, a progress bar, an early stop.

A callback of your own inherits from `Callback` and overrides what it needs:

    class PrintLoss(Callback):
        def on_round_end(self, run):
            print(run.round_num, run.record["loss"])

    run_rounds(process, cohort_fn, 10, callbacks=[PrintLoss()])

`run_rounds` calls the callbacks in the order of its list. So `Evaluate` stands before what stores or
shows its results. Only at the start a `Checkpoint` (in `fedlab.training.checkpoint`) goes first, wherever
it stands, so that all others see the rounds that it loads.
"""

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import tensorflow as tf
import tensorflow_federated as tff
from tqdm.auto import tqdm

from fedlab import files
from fedlab.checks import check_callable, check_count, check_number, check_path, check_text
from fedlab.training.run import Run

EvaluateFn = Callable[[int, tff.learning.models.ModelWeights], Mapping[str, float]]
_CSV_FIRST_LINE = "^round_num,num_clients,"


class Callback:
    """Does nothing; a base class.

    Each method gets the `Run`: its `round_num`, `state`, `weights`, `records` and `record` (that of the
    last round, to which a callback may add values), and `stop()`, which ends the run after this round.
    """

    def on_start(self, run: Run) -> None:
        """Is called once, before the first round. It may set the run to go on from a later round."""

    def on_round_end(self, run: Run) -> None:
        """Is called after each round, whose result is in `run`."""

    def on_end(self, run: Run) -> None:
        """Is called once, after the last round, or after what ended the run earlier."""


class Evaluate(Callback):
    """Measures the model and adds the results to the record of the round.

    Args:
        evaluate_fn: A function from round number and model weights to `{name: value}`, such as one of
            `fedlab.evaluation.build_evaluate_fn`.
        every: Rounds between two evaluations, at least 1. The last of `num_rounds` is evaluated in any case.

    Raises:
        TypeError: `every` is not a whole number.
        ValueError: `every` is less than 1; or, after a round, the evaluation has a name that the record
            has already.
    """

    def __init__(self, evaluate_fn: EvaluateFn, every: int = 1):
        self._evaluate_fn = check_callable("evaluate_fn", evaluate_fn)
        self._every = check_count("every", every)

    def is_due(self, round_num: int, num_rounds: int) -> bool:
        """Returns whether the model of a round is to be evaluated.

        Args:
            round_num: The round, from 1.
            num_rounds: The run's rounds in all.
        """
        return round_num % self._every == 0 or round_num == num_rounds

    def on_round_end(self, run: Run) -> None:
        """Evaluates, if the round is due."""
        if self.is_due(run.round_num, run.num_rounds):
            results = self._evaluate_fn(run.round_num, run.weights)
            taken = sorted(results.keys() & run.record.keys())
            if taken:
                raise ValueError(
                    f"evaluate_fn must return names of its own, such as 'eval_{taken[0]}'. Found "
                    f"{', '.join(taken)}, which the record has already."
                )
            run.record.update({name: float(value) for name, value in results.items()})


class EarlyStopping(Callback):
    """Ends a run when a value of the records is high enough, or no longer rises.

    A round whose record lacks the value, because it was not evaluated, does not count.

    Args:
        name: Which value of the records, such as "eval_accuracy"; larger is better.
        target: The run ends when the value is at least this. Default: no such end.
        patience: The run ends when the value has not risen above its best for this many evaluations, at
            least 1. Default: no such end.

    Raises:
        TypeError: A number is none.
        ValueError: A number is out of range, or neither target nor patience is given.
    """

    def __init__(self, name: str, *, target: float | None = None, patience: int | None = None):
        if target is None and patience is None:
            raise ValueError("EarlyStopping needs a target or a patience. Found neither.")
        self._name = check_text("name", name)
        self._target = None if target is None else check_number("target", target)
        self._patience = None if patience is None else check_count("patience", patience)

    def on_start(self, run: Run) -> None:
        """Looks at the records of the rounds before, if the run goes on from a checkpoint.

        A run that had ended early stays ended.
        """
        self._best, self._num_worse = -math.inf, 0
        for record in run.records:
            if self._look_at(record):
                run.stop()

    def on_round_end(self, run: Run) -> None:
        """Ends the run if it is time."""
        if self._look_at(run.record):
            run.stop()

    def _look_at(self, record: Mapping[str, Any]) -> bool:
        if self._name not in record:
            return False
        value = record[self._name]
        self._num_worse = 0 if value > self._best else self._num_worse + 1
        self._best = max(self._best, value)
        reached = self._target is not None and value >= self._target
        return reached or (self._patience is not None and self._num_worse >= self._patience)


class CsvLog(Callback):
    """Writes the records to a CSV file, a row after each round.

    Args:
        path: The file. A file of such records is replaced at the first round, any other is refused.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._path = check_path("path", path)

    def on_start(self, run: Run) -> None:
        """Checks that the file may be written, and makes its folder.

        Raises:
            ValueError: The file exists and does not hold such records.
            PermissionError: The file belongs to another user or is read-only.
        """
        path = files.resolve_target(self._path, _CSV_FIRST_LINE)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._columns: list[str] = []

    def on_round_end(self, run: Run) -> None:
        """Appends a row; a value that no row had before makes it write the whole file again."""
        if set(run.record) <= set(self._columns):
            row = pd.DataFrame([run.record], columns=self._columns)
            with files.resolve_target(self._path, _CSV_FIRST_LINE).open("a") as file:
                file.write(row.to_csv(index=False, header=False))
        else:
            self._write_all(run)

    def on_end(self, run: Run) -> None:
        """Writes the rows of a run that was finished already."""
        if run.records and not self._columns:
            self._write_all(run)

    def _write_all(self, run: Run) -> None:
        table = pd.DataFrame(run.records)
        files.write_text(self._path, table.to_csv(index=False), first_line=_CSV_FIRST_LINE)
        self._columns = list(table.columns)


class TensorBoardLog(Callback):
    """Writes the records as TensorBoard summaries, a step a round.

    Args:
        folder: Where TensorBoard looks; a new event file is added to it.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self._folder = check_path("folder", folder)

    def on_start(self, run: Run) -> None:
        """Opens the event file, and writes the rounds from before, if the run goes on."""
        self._writer = tf.summary.create_file_writer(os.fspath(self._folder))
        for record in run.records:
            self._write(record)

    def on_round_end(self, run: Run) -> None:
        """Writes the record."""
        self._write(run.record)

    def on_end(self, run: Run) -> None:
        """Closes the event file."""
        self._writer.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        with self._writer.as_default(step=record["round_num"]):
            for name, value in record.items():
                if name != "round_num":
                    tf.summary.scalar(name, value)
        self._writer.flush()


class ProgressBar(Callback):
    """Shows how many rounds are done, with the last one's loss and accuracy, if it has them."""

    def on_start(self, run: Run) -> None:
        """Shows the bar."""
        self._bar = tqdm(desc="Rounds", total=run.num_rounds, initial=run.round_num, unit="round")

    def on_round_end(self, run: Run) -> None:
        """Moves the bar on."""
        formats = {"loss": ".3f", "accuracy": ".1%"}
        shown = {n: f"{run.record[n]:{f}}" for n, f in formats.items() if n in run.record}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def on_end(self, run: Run) -> None:
        """Leaves the bar as it is."""
        self._bar.close()
