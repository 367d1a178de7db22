"""Cohorts of clients whose consent holds in the round."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fedlab.checks import check_callable, check_count, check_ids, check_mapping
from fedlab.checks import describe as show
from fedlab.data.description import UNKNOWN, describe, digest_ids, with_description
from fedlab.data.sampling import SampleFn


def with_consent(
    sample_fn: SampleFn, client_ids: Sequence[str], consent: Mapping[str, range]
) -> SampleFn:
    """Returns a function that leaves out of each cohort the clients without consent in that round.

    The draw comes first and the consent second, and nobody takes the place of a client that is left
    out. So a cohort may be smaller than the number that was asked for, and it may be empty; and a
    client is drawn with at most the probability that it has without the consent of others.

    For differential privacy this order matters. The accounting of Poisson sampling and of
    `once_per_epoch` assumes a largest rate, or a largest number of rounds, for each client.
    Leaving clients out raises neither. In sampling without replacement a client that is left out
    counts as one that sends zeros. So epsilon stays an upper bound, as long as the sum of the updates
    is divided by a number that is fixed (`expected_num_clients` of `fedlab.dp.mechanisms`)
    and consent does not depend on other people's data. Who consents in which round is not hidden.
    Drawing from only those who consent, with the same expected size of a cohort, would raise the
    rate above that of the accountant. Therefore `client_ids` must be the population of `sample_fn`.

    A withdrawal ends a client's part in later rounds. What the model learned from earlier rounds
    stays in the weights.

    Args:
        sample_fn: A function from the round's number to client ids, such as `uniform(…)`,
            `poisson(…)` or `PrivacyPlan.sample_fn(…)`.
        client_ids: The ids of the whole population that `sample_fn` draws from, in its order, with
            and without consent.
        consent: From a client's id to the rounds in which its consent holds, a range with step 1:
            `range(1, 8)` for a withdrawal that takes effect in round 8. A client that is not named
            has not consented. To record a withdrawal, pass a shorter range to a new function; a
            `Checkpoint` notices the change, and `on_change="warn"` lets the run go on.

    Returns:
        A function from the round's number, at least 0, to the clients of the cohort that consent in
        this round, in the cohort's order.

    Raises:
        TypeError: `sample_fn` is no function, `client_ids` is no list of text, or `consent` is no
            dictionary of ranges.
        ValueError: `consent` names a client that is not in the population, or a range is below round
            0 or has another step, or `client_ids` is not the population of `sample_fn`. The
            returned function raises it for a client of a cohort that is not in `client_ids`.

    Example:
        >>> from fedlab.data.sampling import fixed
        >>> sample_fn = with_consent(fixed(["ann", "bob"]), ["ann", "bob"], {"ann": range(1, 3)})
        >>> sample_fn(2), sample_fn(3)
        (['ann'], [])
    """
    check_callable("sample_fn", sample_fn)
    population = check_ids("client_ids", client_ids)
    rounds = _check_consent(consent, frozenset(population))
    _check_population(describe(sample_fn), population)
    known = frozenset(population)

    def consenting_fn(round_num: int) -> list[str]:
        round_num = check_count("round_num", round_num, at_least=0)
        cohort = check_ids(
            "the cohort of sample_fn", sample_fn(round_num), known=known, may_be_empty=True
        )
        return [each for each in cohort if round_num in rounds.get(each, range(0))]

    digest = _digest(rounds)
    return with_description(
        consenting_fn,
        lambda: {"sampler": "with_consent", "consent": digest, "of": describe(sample_fn)},
    )


def _check_consent(consent: Any, known: frozenset[str]) -> dict[str, range]:
    rounds = check_mapping("consent", consent)
    for client_id, each in rounds.items():
        if client_id not in known:
            raise ValueError(
                f"consent must name clients of the population. Found {show(client_id)}; correct the "
                "id, or add the client to client_ids."
            )
        if not isinstance(each, range):
            raise TypeError(
                f"consent[{client_id!r}] must be a range of rounds, such as range(1, 8). "
                f"Found {show(each)}."
            )
        if each.step != 1 or (each and each[0] < 0):
            raise ValueError(
                f"consent[{client_id!r}] must be rounds from 0 on, with step 1. Found {each}."
            )
    return {str(client_id): each for client_id, each in rounds.items()}


def _check_population(description: Any, population: list[str]) -> None:
    """Raises ValueError if the function says that it draws from other clients."""
    while isinstance(description, Mapping) and "of" in description:
        description = description["of"]
    digest = description.get("client_ids") if isinstance(description, Mapping) else None
    if digest not in (None, UNKNOWN, digest_ids(population)):
        raise ValueError(
            "client_ids must be the population that sample_fn draws from, all of it and in its order: "
            "drawing from only those who consent would raise their rate above that of the "
            f"accountant. Found {len(population)} other ids, or another order."
        )


def _digest(rounds: Mapping[str, range]) -> str:
    text = json.dumps(sorted((name, each.start, each.stop) for name, each in rounds.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
