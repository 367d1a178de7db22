"""Whether a record may say that a person calls the model anonymous."""

from collections.abc import Sequence

from fedlab.experiments.privacy_record.statements import ANONYMITY_TESTS, AttackOutcome

SOURCE = (
    "EDPB Opinion 28/2024, adopted on 17 December 2024, paragraph 43 (read on 2026-11-25 in a text "
    "that quotes it)"
)

LARGEST_ADVANTAGE = (
    0.1  # over guessing, that an interval may allow: our choice, the Opinion has no number
)
_LARGEST_CHANCE = 0.5  # of guessing; above it there is little left to find
_ON_THE_MODEL = (*ANONYMITY_TESTS, "membership")  # an update is not the model


def describe_anonymity(
    attacks: Sequence[AttackOutcome], num_clients: int, *, is_claimed: bool
) -> dict[str, str]:
    """Returns what was tested of anonymity, and refuses the word where the tests are missing.

    Args:
        attacks: The outcomes of the attacks that were run.
        num_clients: How many took part in at least one round, or the most that may have.
        is_claimed: Whether a person calls the model anonymous.

    Raises:
        ValueError: The model is called anonymous, and extraction or queries were not tested, not for
            the worst client or on fewer clients than may have taken part, or an attack on the model did
            better than guessing, or has an interval that allows more than `LARGEST_ADVANTAGE` over it.
    """
    reasons = [
        reason for test in ANONYMITY_TESTS for reason in _find_missing(test, attacks, num_clients)
    ]
    reasons += [
        _describe_success(each)
        for each in attacks
        if each.test in _ON_THE_MODEL and not each.is_consistent_with_guessing
    ]
    reasons += [
        _describe_doubt(each)
        for each in attacks
        if each.test in _ON_THE_MODEL
        and (each.high > each.chance + LARGEST_ADVANTAGE or each.chance > _LARGEST_CHANCE)
    ]
    if is_claimed and reasons:
        raise ValueError(
            f"claims_anonymous must be False for this run: {'; '.join(reasons)}. Found True; run the "
            "missing tests on all clients, count them in num_participants, protect the run, or leave the "
            "word out."
        )
    statement = (
        "called anonymous by a person; the attacks on the model that are listed did no better than "
        "guessing, which does not show that no attack does"
        if is_claimed
        else "not called anonymous"
    )
    return {
        "statement": statement,
        "missing for the word": "; ".join(reasons) or "nothing that this record can tell",
        "source": SOURCE,
    }


def _find_missing(test: str, attacks: Sequence[AttackOutcome], num_clients: int) -> list[str]:
    outcomes = [each for each in attacks if each.test == test]
    if not outcomes:
        return [f"no test of {test}"]
    reasons = []
    most = max(each.num_clients_tested or 0 for each in outcomes)
    if not most:
        reasons.append(f"no test of {test} for the worst client")
    elif most < num_clients:
        reasons.append(
            f"the worst client in the test of {test} is one of {most}, and up to {num_clients} took part"
        )
    return reasons


def _describe_doubt(attack: AttackOutcome) -> str:
    if attack.chance > _LARGEST_CHANCE:
        return f"the test of {attack.test} has a chance of {attack.chance:g} of guessing: too easy a question"
    return (
        f"the test of {attack.test} allows up to {attack.high:g}, more than guessing ({attack.chance:g}) and "
        f"{LARGEST_ADVANTAGE:g}: test with more data"
    )


def _describe_success(attack: AttackOutcome) -> str:
    whom = f"client {attack.client_id!r}" if attack.client_id else "all clients"
    return (
        f"the test of {attack.test} for {whom} has the interval {attack.low:g} to {attack.high:g} without "
        f"the {attack.chance:g} of guessing"
    )
