"""Program state on disk: saved after a round, found again after a crash."""

import asyncio
import concurrent.futures
import contextlib
import json
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.files import find_unused, make_marked_folder, resolve_target, write_text

FOLDER_NAME = "fedlab-checkpoints"
_PREFIX = "round_"
_KEEP = 3
_RECORDS = "records.jsonl"


class Checkpoints:
    """Saves the state of every round with TFF's own `FileProgramStateManager`.

    The manager writes beside and renames, so a kill at any moment leaves whole checkpoints only.
    The newest three are kept. A checkpoint is a TensorFlow SavedModel, which can contain any
    TensorFlow program: load only what you (or someone you trust) saved.

    Args:
        folder: Where to save; made if it is not there. All files lie in the folder
            `fedlab-checkpoints` in it, and nothing else in it is touched.

    Raises:
        PermissionError: The folder cannot be made or written.
        ValueError: There is a folder `fedlab-checkpoints` that this program did not make.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self._folder = Path(folder) / FOLDER_NAME
        _make_folder(self._folder)
        for leftover in self._list(r"\d+_temp\d{4}"):  # of a save that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        # TFF's manager would remove old checkpoints by following symbolic links.
        self._manager = tff.program.FileProgramStateManager(
            self._folder, prefix=_PREFIX, keep_total=0
        )

    def _list(self, pattern: str) -> list[Path]:
        """Returns what has a name of the prefix and the pattern."""
        return [
            path for path in self._folder.iterdir() if re.fullmatch(_PREFIX + pattern, path.name)
        ]

    def _remove_old(self) -> None:
        saved = sorted(self._list(r"\d+"), key=lambda path: int(path.name.removeprefix(_PREFIX)))
        for path in saved[:-_KEEP]:
            shutil.rmtree(path, ignore_errors=True)  # refuses a symbolic link

    def save(self, round_num: int, state: Any, record: dict[str, Any]) -> None:
        """Saves the state after a round, and the round's record."""
        with resolve_target(self._folder / _RECORDS).open("a") as file:
            file.write(json.dumps(record) + "\n")
        with _without_log_lines():
            _run(self._manager.save(state, round_num))
        self._remove_old()

    def load_latest(self, example_state: Any) -> tuple[int, Any, list[dict[str, Any]]]:
        """Finds where to go on.

        Args:
            example_state: A state of the process that is to go on, such as its first.

        Returns:
            `(round_num, state, records)` of the newest readable checkpoint; `(0, example_state,
            [])` where there is none. An unreadable one is renamed, with a warning, and not deleted.

        Raises:
            ValueError: The checkpoint is another model's or algorithm's.
        """
        for round_num in reversed(_run(self._manager.get_versions()) or []):
            path = self._folder / f"{_PREFIX}{round_num}"
            try:
                state = _run(self._manager.load(round_num, example_state))
            except Exception as error:  # what a damaged SavedModel raises is not documented
                if _is_readable(path):
                    raise ValueError(_another(path, "it holds other arrays")) from error
                _set_aside(path, error)
                continue
            _check_same_structure(state, example_state, path)
            state = tf.nest.map_structure(_as_type_of, example_state, state)
            return round_num, state, self._load_records(round_num)
        # A run that was killed before its first checkpoint may have left a record, or half of one.
        return 0, example_state, self._load_records(0)

    def _load_records(self, round_num: int) -> list[dict[str, Any]]:
        """Reads the records up to a round; later ones are of rounds whose state was not saved."""
        path = self._folder / _RECORDS
        records: dict[int, dict[str, Any]] = {}
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # the line that a kill cut short
                continue
            if record["round_num"] <= round_num:
                records[record["round_num"]] = record
        kept = [records[number] for number in sorted(records)]
        write_text(path, "".join(json.dumps(record) + "\n" for record in kept))
        return kept


def _make_folder(folder: Path) -> None:
    try:
        make_marked_folder(folder)
        with tempfile.TemporaryFile(dir=folder):  # a folder that can only be read is told now
            pass
    except OSError as error:
        raise PermissionError(
            f"Cannot write checkpoints to {str(folder.parent)!r} ({error.strerror}). Choose a "
            "folder that you may write to."
        ) from error


def _is_readable(path: Path) -> bool:
    """Whether a checkpoint is whole, whatever it holds."""
    try:
        tf.saved_model.load(os.fspath(path))
    except Exception:  # as above
        return False
    return True


def _set_aside(path: Path, error: Exception) -> None:
    target = find_unused(path.with_name(f"damaged_{path.name}"))
    path.rename(target)
    warnings.warn(
        f"The checkpoint {path} cannot be read ({type(error).__name__}); it is kept as {target}. "
        "Going on from the one before.",
        stacklevel=4,
    )


def _check_same_structure(state: Any, example_state: Any, path: Path) -> None:
    found = [np.shape(leaf) for leaf in tf.nest.flatten(state)]
    expected = [np.shape(leaf) for leaf in tf.nest.flatten(example_state)]
    if found != expected:
        raise ValueError(
            _another(path, f"it holds arrays of shapes {found}, this process {expected}")
        )


def _another(path: Path, difference: str) -> str:
    return (
        f"The checkpoint {path} is of another model or algorithm: {difference}. Use another folder, "
        "or build the process that it was saved from. Nothing was changed."
    )


def _as_type_of(example, value):
    return np.asarray(value, dtype=np.asarray(example).dtype)


@contextlib.contextmanager
def _without_log_lines() -> Iterator[None]:
    """TensorFlow reports each SavedModel that it writes; a learner's screen is not the place."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _run(coroutine: Coroutine) -> Any:
    """Runs a coroutine to its end, also where a notebook's event loop is already running."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(asyncio.run, coroutine).result()
