"""What a run depends on, stored beside its state, so that only the run that was begun goes on."""

import hashlib
import importlib.metadata
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from fedlab.checkpoints import map_leaves
from fedlab.data.description import UNKNOWN, describe
from fedlab.data.preprocessing import CohortFn
from fedlab.runtime import Runner, digest_computation

Description = dict[str, Any]
_PACKAGES = ("tensorflow", "tensorflow-federated", "numpy")
_STATE = "state."
_WEIGHTS = "global_model_weights"  # of TFF's `LearningAlgorithmState`
# What the names of a description stand for, in an error.
_MEANINGS = {
    "process": "what the process computes: its model, clients' learning rate, weighting, aggregator",
    "cohort_fn": "the cohorts",
    "cohort_fn.sampling": "the sampling",
    "cohort_fn.data": "the clients' data",
}


def describe_run(runner: Runner, cohort_fn: CohortFn, first_state: Any) -> Description:
    """Returns what a run depends on, as JSON has it.

    Args:
        runner: What executes the process.
        cohort_fn: The function from a round's number to a cohort.
        first_state: The state before the first round.
    """
    description = {
        "process": _digest_process(runner),
        "state": _describe_state(runner, first_state),
        "cohort_fn": describe(cohort_fn),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }
    return json.loads(json.dumps(description, default=_to_plain))


def _to_plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return getattr(value, "__qualname__", UNKNOWN)  # of a function for the augmentation


def _digest_process(runner: Runner) -> str:
    try:
        return digest_computation(runner.process.next)
    except (TypeError, ValueError, RecursionError):  # not all that TFF executes can be written down
        return UNKNOWN


def _describe_state(runner: Runner, first_state: Any) -> Description:
    """Returns the settings that a process keeps in its state.

    Left out are the model's weights, which a model without a seed begins anew each time, and what
    differs from one start to the next, such as the seeds of a random rotation.
    """
    first, second = _describe_leaves(first_state), _describe_leaves(runner.initialize())
    if not any(_WEIGHTS in path for path in first):
        return {}
    return {
        path: value
        for path, value in first.items()
        if _WEIGHTS not in path and second.get(path) == value
    }


def _describe_leaves(state: Any) -> Description:
    values: Description = {}
    map_leaves(lambda path, leaf: values.update({path: _describe_leaf(leaf)}), state)
    return values


def _describe_leaf(leaf: Any) -> Any:
    array = np.asarray(leaf)
    if array.ndim == 0:
        return str(array.item())
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def check_same_run(
    saved: Description,
    current: Description,
    folder: str,
    report_fn: Callable[[str], None],
) -> None:
    """Compares the run that was saved with the one that is to go on.

    What is unknown cannot be compared, and is named in a warning.

    Args:
        saved: The description beside the state.
        current: That of the run that is to go on.
        folder: The folder, for the messages.
        report_fn: Takes the message about what differs.

    Raises:
        ValueError: A setting that the process keeps in the state differs. The state that is loaded
            has the old one, so the new one would have no effect.
    """
    differences, unknown = [], []
    for path, old, new in _compare(saved, current):
        if path.startswith(_STATE):
            raise ValueError(
                f"The run in {folder!r} was saved with {path.removeprefix(_STATE)} = {old}, and this "
                f"process has {new} (finalizer: the server's optimizer). TFF keeps it in the state and "
                f"would go on with {old}: build the process with that, or use another folder."
            )
        if UNKNOWN in (old, new):
            unknown.append(_name(path))
        else:
            differences.append(f"{_name(path)} was {old} and is {new}")
    if unknown:
        warnings.warn(
            f"Whether the run in {folder!r} goes on as it began is not known for: "
            f"{', '.join(unknown)}. (Only what `fedlab` builds can be compared.)",
            stacklevel=7,  # whoever called `run_rounds`
        )
    if differences:
        report_fn(f"The run in {folder!r} was begun as another one: {'; '.join(differences)}.")


def _compare(saved: Any, current: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yields path and values of what differs or is unknown."""
    if isinstance(saved, Mapping) and isinstance(current, Mapping):
        for name in {**saved, **current}:
            below = f"{path}.{name}" if path else name
            yield from _compare(saved.get(name), current.get(name), below)
    elif saved != current or saved == UNKNOWN:
        yield path, saved, current


def _name(path: str) -> str:
    return f"{path} ({_MEANINGS[path]})" if path in _MEANINGS else path
