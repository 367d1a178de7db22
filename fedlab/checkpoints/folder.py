"""A folder of checkpoints, and the lock on it."""

import contextlib
import os
import re
import stat
import tempfile
import warnings
from pathlib import Path
from typing import Any

from fedlab import files
from fedlab.checkpoints import archive
from fedlab.checkpoints.archive import DamagedError, OtherStateError, SavedRun
from fedlab.checkpoints.leaves import describe_type
from fedlab.checkpoints.lock import lock_folder, unlock_folder

FOLDER_NAME = "fedlab-checkpoints"
_NAME_PATTERN = r"round_(\d+)\.npz"
_OLD_PATTERN = r"round_\d+"  # TensorFlow SavedModels, before the first release
_KEEP = 3


class Checkpoints:
    """Saves the state of every round, for one run at a time.

    A checkpoint is a file `round_N.npz` of arrays and JSON (see `fedlab.checkpoints.archive`), written
    beside and renamed, so that a kill at any moment leaves whole checkpoints only. The newest three
    stay. Reading one executes nothing.

    The folder is locked until `close`, or until this process ends.

    Args:
        folder: Where to save; made if it is not there. All files lie in the folder
            `fedlab-checkpoints` in it, and nothing else in it is touched.

    Raises:
        fedlab.checkpoints.FolderInUseError: Another run has the folder; the message says which.
        OSError: The folder cannot be made or written.
        ValueError: There is a folder `fedlab-checkpoints` that this program did not make.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self._folder = Path(folder) / FOLDER_NAME
        self._state_type: list[str] = []
        self._lock = _open_folder(self._folder)
        part_pattern = _NAME_PATTERN + files.PART_PATTERN
        if self._lock is None:
            files.remove_abandoned(self._folder, part_pattern)
        else:  # nobody else writes here: they are of runs that were killed
            for path, _ in files.list_files(self._folder, part_pattern):
                with contextlib.suppress(OSError):
                    path.unlink()

    def close(self) -> None:
        """Releases the folder for other runs."""
        lock, self._lock = self._lock, None
        unlock_folder(lock)

    def save(self, run: SavedRun) -> None:
        """Saves a run after a round, and removes what is older than the newest three.

        Args:
            run: The run.

        Raises:
            TypeError: The state or a record holds what cannot be saved; the message names it.
            ValueError: The state has other arrays than the example of `load_latest`, which could not be
                loaded.
            OSError: The file cannot be written; what was saved before is still there.
        """
        if self._state_type:
            archive.check_type(describe_type(run.state), self._state_type)
        target = self._folder / f"round_{run.round_num}.npz"
        with files.create_part(target) as part:
            with part.open("wb") as file:
                archive.write(file, run)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        _sync_folder(self._folder)
        for path in self._find_saved()[:-_KEEP]:
            path.unlink(missing_ok=True)

    def load_latest(self, example_state: Any) -> SavedRun | None:
        """Reads the newest checkpoint that is whole.

        One that is damaged is renamed, with a warning, and not deleted.

        Args:
            example_state: A state of the process that is to go on, such as its first. The state that
                is read has the same containers, types and shapes.

        Returns:
            The run, or `None` where there is no checkpoint.

        Raises:
            ValueError: The checkpoint is another model's or algorithm's, or of another format.
            OSError: The file cannot be read. This is no damage, so nothing was renamed.
            MemoryError: It takes more memory than there is.
        """
        self._state_type = describe_type(example_state)
        saved = self._find_saved()
        if not saved:
            self._check_old()
        for path in reversed(saved):
            try:
                return _read(path, example_state)
            except DamagedError as error:
                _set_aside(path, error)
        return None

    def _find_saved(self) -> list[Path]:
        """Returns the checkpoints, the newest last."""
        saved = {}
        for path in self._folder.iterdir():
            match = re.fullmatch(_NAME_PATTERN, path.name)
            if match and stat.S_ISREG(path.lstat().st_mode):
                saved[path] = int(match[1])
        return sorted(saved, key=saved.__getitem__)

    def _check_old(self) -> None:
        for path in self._folder.iterdir():
            if re.fullmatch(_OLD_PATTERN, path.name) and path.is_dir():
                raise ValueError(
                    f"{path} is a checkpoint of the old format, a TensorFlow program, which is not read "
                    "any more. Nothing was changed: choose another folder for this run, which begins "
                    f"with round 1, or move {self._folder} away."
                )


def _open_folder(folder: Path) -> int | None:
    """Makes and locks the folder."""
    try:
        files.make_marked_folder(folder)
        with tempfile.TemporaryFile(dir=folder):  # a folder that can only be read is told now
            pass
        return lock_folder(folder)
    except OSError as error:
        raise OSError(
            error.errno,
            f"Cannot write checkpoints to {str(folder.parent)!r} ({error.strerror}). Choose a "
            "folder that you may write to, or see to what is missing",
        ) from error


def _sync_folder(folder: Path) -> None:
    """Makes the new name last through a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, example_state: Any) -> SavedRun:
    try:
        archive.check_size(path.stat().st_size, example_state)
        saved = archive.read(path.read_bytes(), example_state)
    except OtherStateError as error:
        raise ValueError(
            f"The checkpoint {path} is of another model or algorithm: {error}. Use another folder, "
            "or build the process that it was saved from. Nothing was changed."
        ) from error
    except (OSError, MemoryError) as error:
        error.add_note(f"The checkpoint {path} could not be read. Nothing was changed.")
        raise
    if path.name != f"round_{saved.round_num}.npz":
        raise DamagedError(f"it holds round {saved.round_num}")
    return saved


def _set_aside(path: Path, error: DamagedError) -> None:
    target = files.find_unused(path.with_name(f"damaged_{path.name}"))
    path.rename(target)
    warnings.warn(
        f"The checkpoint {path} is damaged ({error}); it is kept as {target}. Going on from the one "
        "before.",
        stacklevel=8,  # whoever called `run_rounds`
    )
