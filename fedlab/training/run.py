"""A training run: while it goes on, what it leaves, and how it may end early."""

import dataclasses
import functools
from typing import Any

import pandas as pd
import tensorflow_federated as tff

from fedlab import runtime
from fedlab.data.preprocessing import CohortFn
from fedlab.runtime.runner import Protection

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """What a run leaves.

    Attributes:
        state: The process's state after the last round.
        weights: The model's weights in it; `None` where the state holds no model.
        records: One flat record per round: round_num, num_clients, num_dropped (of them left out,
            see `runtime.compile`), the metrics that the process reports, seconds, and what callbacks
            added, such as an evaluation. The metrics are the numbers under
            `metrics["client_work"]["train"]`, such as num_examples, loss and accuracy of
            `fedlab.models`, measured by the clients WHILE they train (NaN in a round without
            clients); else all numbers that the process reports, "." between the names. A name that the
            record has already begins with "metrics.". With a model also bytes_down and bytes_up: the
            uncompressed weights to the cohort, and of those that train, from the clients that are
            not left out, whatever the process compresses or adds.
        protection: What stood between each client's update and the server, as `fedlab.compile` found
            it. `None` of a runner that it did not make, and of a run with a past: nobody has checked
            what a checkpoint or `initial_weights` were trained with.
    """

    state: Any
    weights: tff.learning.models.ModelWeights | None
    records: list[Record]
    protection: Protection | None = None

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


class DivergedError(ArithmeticError):
    """A client's update, the loss or the model is not finite any more; the last good state is kept.

    Attributes:
        round_num: The round in which it was seen; 0 for the model before the first round.
    """

    def __init__(self, round_num: int, reason: str):
        super().__init__(
            f"Round {round_num} diverged: {reason}. Lower the learning rate. The last good state is "
            "that of the round before."
        )
        self.round_num = round_num


class Run:
    """A run while it goes on, as callbacks see it.

    Attributes:
        runner: What executes the process.
        cohort_fn: The function from a round's number to its cohort.
        num_rounds: The run's rounds in all.
        round_num: The last finished round; 0 before the first.
        state: The process's state after it.
        records: The records of the finished rounds.
        is_stopped: Whether a callback has called `stop`.
        has_past: Whether it began with rounds of a checkpoint or with given weights.
    """

    def __init__(self, runner: runtime.Runner, cohort_fn: CohortFn, state: Any, num_rounds: int):
        self.runner = runner
        self.cohort_fn = cohort_fn
        self.num_rounds = num_rounds
        self.is_stopped = False
        self.has_past = False
        self.resume(0, state, [])

    def resume(self, round_num: int, state: Any, records: list[Record]) -> None:
        """Sets the run to go on after a round.

        Args:
            round_num: The finished round.
            state: The process's state after it.
            records: The records of all rounds up to it.
        """
        self.round_num, self.state, self.records = round_num, state, records
        self.__dict__.pop("weights", None)

    @functools.cached_property
    def weights(self) -> tff.learning.models.ModelWeights:
        """The model's weights in the state."""
        return self.runner.get_model_weights(self.state)

    @property
    def record(self) -> Record:
        """The record of the last finished round."""
        return self.records[-1]

    def stop(self) -> None:
        """Ends the run after this round."""
        self.is_stopped = True

    def finish(self) -> TrainingRun:
        """Returns what the run leaves."""
        weights = self.weights if self.runner.has_model else None
        protection = None if self.has_past else self.runner.protection
        return TrainingRun(self.state, weights, self.records, protection)
