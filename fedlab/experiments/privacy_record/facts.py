"""What the records of a run and its privacy plan say, as plain values for the record."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedlab.checks import check_count, describe
from fedlab.dp.privacy_plan import PrivacyPlan

NOT_RECORDED = "not recorded"


def to_plain(value: Any) -> Any:
    """Returns nested dictionaries and lists as JSON has them; a number that is not finite as text."""
    if isinstance(value, Mapping):
        return {str(name): to_plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [to_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("infinite" if value > 0 else "-infinite")
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # half a surrogate pair is no text
    return value


def describe_rounds(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the run's rounds, clients and bytes.

    Args:
        records: The records of the rounds, at least one.

    Raises:
        TypeError: A number has the wrong type.
        ValueError: A number is missing or out of range, or the rounds are not 1, 2, 3, ….
    """
    numbers = _column(records, "round_num", at_least=1)
    if numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(
            "run must have the records of all rounds from 1 on, each once and in order, since a part "
            f"has not all of the privacy cost. Found round_num {numbers[:10]}."
        )
    clients = _column(records, "num_clients")
    dropped = _column(records, "num_dropped")
    last = records[-1]
    return {
        "last round": numbers[-1],
        "smallest cohort": min(clients),
        "largest cohort": max(clients),
        "clients left out in all": sum(dropped),
        "bytes down": _total_bytes(records, "bytes_down"),
        "bytes up": _total_bytes(records, "bytes_up"),
        "loss of the last round": _last_metric(last, "loss"),
        "accuracy of the last round": _last_metric(last, "accuracy"),
    }


def most_participants(
    records: Sequence[Mapping[str, Any]], plan: PrivacyPlan | None, stated: int | None
) -> int:
    """Returns the number of clients that took part, or the most that may have.

    Args:
        records: The records of the rounds, as `describe_rounds` has checked them.
        plan: The plan of the run; no more than its population took part.
        stated: What a person states. None: the records' bound, all cohorts together, as if nobody had
            taken part twice.

    Raises:
        ValueError: Fewer are stated than took part in one round, or more than may have.
    """
    clients = _column(records, "num_clients")
    most = sum(clients) if plan is None else min(sum(clients), plan.population)
    if stated is None:
        return most
    if not max(clients) <= stated <= most:
        raise ValueError(
            f"num_participants must be from {max(clients)}, the largest cohort, to {most}, the most that "
            f"the rounds{' and the plan' * (plan is not None)} allow. Found {stated}."
        )
    return stated


def _column(records: Sequence[Mapping[str, Any]], name: str, *, at_least: int = 0) -> list[int]:
    for row in records:
        if name not in row:
            raise ValueError(f"run must have {name} in each round. Found {', '.join(row)}.")
    values = [_to_whole(row[name]) for row in records]
    return [check_count(f"run: {name}", each, at_least=at_least, at_most=None) for each in values]


def _to_whole(value: Any) -> Any:
    """Returns a whole float as an int: a table with a missing value has floats."""
    is_whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return int(value) if is_whole else value


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and math.isnan(value))


def _total_bytes(records: Sequence[Mapping[str, Any]], name: str) -> int | str:
    """Returns the sum over the rounds; of a process without a model there are no bytes."""
    if any(_is_missing(row.get(name)) for row in records):
        return NOT_RECORDED
    return sum(_column(records, name))


def _last_metric(record: Mapping[str, Any], name: str) -> Any:
    value = record.get(name)
    if value is None:
        return NOT_RECORDED
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise TypeError(f"run: {name} must be a number. Found {describe(value)}.")
    return float(value)


def describe_plan(plan: PrivacyPlan | None, num_rounds: int, largest_cohort: int) -> dict[str, Any]:
    """Returns what differential privacy promises after some rounds.

    Args:
        plan: The plan of the run. None: no differential privacy.
        num_rounds: Number of rounds that were run.
        largest_cohort: Number of clients in the largest cohort.

    Raises:
        ValueError: The run has more rounds, or more clients in a round, than the plan accounts for.
    """
    if plan is None:
        nothing = "none: no bound on what an attack can learn"
        return {"mechanism": nothing, "unit": "none", "epsilon": "none", "delta": "none"}
    if num_rounds > plan.num_rounds:
        raise ValueError(
            f"plan must account for all rounds of the run. Found {num_rounds} rounds and a plan for "
            f"{plan.num_rounds}; pass the plan that the run was made with."
        )
    if largest_cohort > plan.population:
        raise ValueError(
            f"plan must be of the population of the run. Found {largest_cohort} clients in a round and "
            f"a plan for {plan.population}; pass the plan that the run was made with."
        )
    return {
        "mechanism": "clipped updates, and Gaussian noise on their sum, which the server adds",
        "unit": "a client with all of its examples, added or removed",
        "population": plan.population,
        "expected clients in a round": plan.expected_num_clients,
        "clip": plan.clip,
        "quantile of an adaptive clip": "fixed clip" if plan.quantile is None else plan.quantile,
        "noise multiplier": plan.noise_multiplier,
        "cumulative epsilon": plan.epsilon_after(num_rounds),
        "epsilon of the whole plan": plan.epsilon,
        "delta": plan.delta,
        "metrics": "not part of the plan" if plan.metrics_clip is None else "part of the plan",
    }
