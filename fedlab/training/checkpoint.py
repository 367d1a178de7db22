"""The callback that saves a run after every round and goes on from there."""

import os
import warnings

from fedlab.checkpoints import Checkpoints, SavedRun
from fedlab.checks import check_choice
from fedlab.training.callbacks import Callback
from fedlab.training.description import check_same_run, describe_run
from fedlab.training.run import Run


class Checkpoint(Callback):
    """Saves the state after every round, and goes on from the newest checkpoint.

    A checkpoint is a file of arrays and JSON; nothing in it is executed. Beside the state it has the
    records of all rounds and the run's description, with which the run that goes on is compared:

    - the process: a digest of its computation, so of the model, the clients' learning rate, the
      weighting and the aggregator; and the settings that it keeps in the state, such as the server's
      learning rate;
    - `cohort_fn`, if it is from `build_cohort_fn`: a digest of the clients' ids and examples (of at
      most 32 MB of examples), the sampling with its seed, the batches;
    - the versions of TensorFlow, TFF and NumPy.

    NOT compared: the initial weights, which the saved state has replaced; the runtime and its
    options; the evaluation and other callbacks; the code of an augmentation of your own. A `cohort_fn`
    or a sampling of your own is named in a warning, for nobody knows what it depends on.

    While a run goes on, its folder is locked for others.

    Args:
        folder: Where to save. All files lie in the folder `fedlab-checkpoints` in it.
        on_change: What to do if the run was begun as another one: "raise" a ValueError that names
            what differs, or "warn" and go on as this one, for example with a lower learning rate. A
            setting in the state is refused in any case, since it would have no effect.

    Raises:
        ValueError: `on_change` is neither.
    """

    def __init__(self, folder: str | os.PathLike[str], *, on_change: str = "raise"):
        self._folder = folder
        self._on_change = check_choice("on_change", on_change, ("raise", "warn"))

    def on_start(self, run: Run) -> None:
        """Locks the folder, and loads the newest checkpoint, if there is one.

        Raises:
            fedlab.checkpoints.FolderInUseError: Another run has the folder; the message says which.
            ValueError: The checkpoint is another model's, the run was begun as another one, or is past
                its last round; or the folder exists and is not this program's.
            OSError: The folder cannot be written, or the checkpoint not be read.
        """
        self._checkpoints = Checkpoints(self._folder)
        try:
            self._description = describe_run(run.runner, run.cohort_fn, run.state)
            self._resume(run)
        except BaseException:
            self._checkpoints.close()
            raise

    def _resume(self, run: Run) -> None:
        folder = os.fsdecode(self._folder)
        saved = self._checkpoints.load_latest(run.state)
        if saved is None:
            return
        if saved.round_num > run.num_rounds:
            raise ValueError(
                f"num_rounds must be at least {saved.round_num}, the rounds already in {folder!r}. "
                f"Found {run.num_rounds}."
            )
        check_same_run(saved.description, self._description, folder, self._report)
        run.resume(saved.round_num, saved.state, saved.records)

    def _report(self, difference: str) -> None:
        if self._on_change == "raise":
            raise ValueError(
                f"{difference} Nothing was changed: set that back, use another folder, or go on as this "
                "run with Checkpoint(..., on_change='warn')."
            )
        warnings.warn(f"{difference} It goes on as this one.", stacklevel=8)

    def on_round_end(self, run: Run) -> None:
        """Saves the state and the records."""
        self._checkpoints.save(SavedRun(run.round_num, run.state, run.records, self._description))

    def on_end(self, run: Run) -> None:
        """Releases the folder."""
        self._checkpoints.close()
