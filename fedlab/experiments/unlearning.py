"""A client leaves, and the run goes back to the checkpoint from before it came."""

import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedlab import runtime
from fedlab.data.preprocessing import CohortFn
from fedlab.training import Checkpoint, Evaluate, TrainingRun, run_rounds


def train_and_go_back(
    runner: runtime.Runner,
    cohort_fn: CohortFn,
    cohort_without_fn: CohortFn,
    *,
    joins_after: int,
    num_rounds: int,
    evaluate_fn: Callable[[int, Any], Mapping[str, float]],
    evaluate_every: int,
) -> TrainingRun:
    """Trains with a client, forgets that run, and trains without it from the checkpoint before its first round.

    Each checkpoint is a real one in a temporary folder: the first rounds are saved, the rounds with the
    client are made from a copy, and the rounds without it from the folder that was kept.

    Args:
        runner: What executes the rounds.
        cohort_fn: The cohorts, with the client from round `joins_after` + 1 on.
        cohort_without_fn: The cohorts without it.
        joins_after: The last round before it came, at least 1.
        num_rounds: The last round with it; as many are made without it.
        evaluate_fn: As in `fedlab.training.Evaluate`. The rounds that are made once more are numbered
            from `num_rounds` + 1 on.
        evaluate_every: Rounds between two evaluations, at least 1.

    Returns:
        The run without the client; its records are numbered from 1 to `num_rounds`.
    """

    def evaluate_again(round_num: int, weights: Any) -> Mapping[str, float]:
        return evaluate_fn(round_num - joins_after + num_rounds, weights)

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Who takes part differs on purpose, and a checkpoint that is given another cohort says so.
        warnings.simplefilter("ignore")
        kept, copied = Path(folder, "kept"), Path(folder, "copied")
        evaluate = Evaluate(evaluate_fn, evaluate_every)

        def train(cohorts: CohortFn, rounds: int, place: Path, measure: Evaluate) -> TrainingRun:
            saving = Checkpoint(place, on_change="warn")
            return run_rounds(runner, cohorts, rounds, callbacks=[saving, measure])

        train(cohort_fn, joins_after, kept, evaluate)
        shutil.copytree(kept, copied)
        train(cohort_fn, num_rounds, copied, evaluate)
        return train(cohort_without_fn, num_rounds, kept, Evaluate(evaluate_again, evaluate_every))
