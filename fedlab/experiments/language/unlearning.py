"""A client leaves, and the run goes back to the checkpoint from before it came."""

import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedlab import runtime
from fedlab.checks import check_count
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
    """Trains with a client, then without it from the checkpoint before its first round.

    Each checkpoint is a real one in a temporary folder: the first rounds are saved, the rounds with
    the client are made from a copy, and the rounds without it from the folder that was kept.

    Args:
        runner: What executes the rounds.
        cohort_fn: The cohorts, with the client from round `joins_after` + 1 on.
        cohort_without_fn: The cohorts without it.
        joins_after: The last round before it came, from 1 to `num_rounds` - 1.
        num_rounds: The last round with it, and the last without it.
        evaluate_fn: As in `fedlab.training.Evaluate`. The rounds that are made once more are numbered
            from `num_rounds` + 1 on.
        evaluate_every: Rounds between two evaluations, at least 1.

    Returns:
        The run without the client; its records are numbered from 1 to `num_rounds`.

    Raises:
        ValueError: `joins_after` is out of range.
    """
    check_count("joins_after", joins_after, at_most=num_rounds - 1)

    def evaluate_again(round_num: int, weights: Any) -> Mapping[str, float]:
        return evaluate_fn(round_num - joins_after + num_rounds, weights)

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Nobody can compare a sampling of one's own; and who takes part differs at last on purpose.
        warnings.filterwarnings("ignore", "Whether the run in .* goes on as it began is not known")
        warnings.filterwarnings("ignore", "The run in .* was begun as another one")
        kept, copied = Path(folder, "kept"), Path(folder, "copied")
        evaluate = Evaluate(evaluate_fn, evaluate_every)
        run_rounds(runner, cohort_fn, joins_after, callbacks=[Checkpoint(kept), evaluate])
        shutil.copytree(kept, copied)
        run_rounds(runner, cohort_fn, num_rounds, callbacks=[Checkpoint(copied), evaluate])
        callbacks = [Checkpoint(kept, on_change="warn"), Evaluate(evaluate_again, evaluate_every)]
        return run_rounds(runner, cohort_without_fn, num_rounds, callbacks=callbacks)
