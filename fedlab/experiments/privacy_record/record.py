"""The record of a run for the person who has to answer for it: measured, stated, or to be filled in.

A record is made from the records of an actual run. It says who saw what, which bytes crossed, what
differential privacy promises and which attacks were run. What only a person can say is shown as
stated, or as "to be filled in by a person". The record is a draft and no legal advice.
"""

import dataclasses
import datetime
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from fedlab.checks import (
    check_flag,
    check_instance,
    check_list,
    check_path,
    check_seed,
    check_text,
    describe,
)
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.experiments.privacy_record import markdown
from fedlab.experiments.privacy_record.anonymity import describe_anonymity
from fedlab.experiments.privacy_record.assessment import SOURCES, draft_assessment
from fedlab.experiments.privacy_record.facts import (
    describe_plan,
    describe_rounds,
    most_participants,
    to_plain,
)
from fedlab.experiments.privacy_record.protection import STATED, find_protection
from fedlab.experiments.privacy_record.roles import describe_roles
from fedlab.experiments.privacy_record.statements import (
    TO_FILL_IN,
    AttackOutcome,
    DeletionRequest,
    Statement,
)
from fedlab.files import resolve_target, write_text
from fedlab.training import TrainingRun

TITLE = "Record of a federated run, written by fedlab"
_JSON_START = '{"written_by": "fedlab.experiments.privacy_record"'
_FIRST_LINES = {".md": f"^# {TITLE}$", ".json": f"^{_JSON_START},$"}
_PACKAGES = ("tensorflow", "tensorflow-federated", "numpy")
RunRecords: TypeAlias = TrainingRun | pd.DataFrame | Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class PrivacyRecord:
    """The record of a run, from `build_record`.

    Attributes:
        content: From the name of a section to its content: a dictionary, a list of dictionaries with
            equal keys, or text. JSON and Markdown are both made from it.
    """

    content: dict[str, Any]

    def to_json(self) -> str:
        """Returns the record as JSON text; numbers that are not finite are text in it."""
        text = json.dumps(self.content, indent=1, ensure_ascii=False, allow_nan=False)
        return f"{_JSON_START},\n{text.removeprefix('{').lstrip()}\n"

    def to_markdown(self) -> str:
        """Returns the record as Markdown text; what a person typed is in tables and is no markup."""
        return markdown.render(TITLE, self.content)

    def write(self, path: str | os.PathLike[str]) -> tuple[Path, Path]:
        """Writes the record as Markdown and as JSON.

        Args:
            path: The path of both files without their endings `.md` and `.json`. A file that exists
                is left as it is, for a person may have filled it in.

        Returns:
            The paths of the Markdown file and of the JSON file.

        Raises:
            TypeError: `path` is no path.
            ValueError: One of the two files exists with another content. Neither is then written.
            PermissionError: One of them belongs to another user or is read-only.
        """
        stem = check_path("path", path)
        texts = {
            stem.with_name(f"{stem.name}.md"): self.to_markdown(),
            stem.with_name(f"{stem.name}.json"): self.to_json(),
        }
        for target, text in texts.items():
            _check_free(target, text)
        for target, text in texts.items():
            write_text(target, text, first_line=_FIRST_LINES[target.suffix])
        markdown, as_json = texts
        return markdown, as_json


def _check_free(target: Path, text: str) -> None:
    resolved = resolve_target(target, _FIRST_LINES[target.suffix])
    if resolved.exists() and resolved.read_bytes() not in (b"", text.encode()):
        raise ValueError(
            f"path must be of a record that does not exist yet. Found {str(target)!r} with another "
            "content, which a person may have filled in; choose another path, or move the file away."
        )


def build_record(
    run: RunRecords,
    statement: Statement,
    *,
    day: datetime.date,
    seed: int,
    digests: Mapping[str, str],
    secure_sum: Any = None,
    metrics_in_the_clear: bool | None = None,
    plan: PrivacyPlan | None = None,
    attacks: Iterable[AttackOutcome] = (),
    deletions: Iterable[DeletionRequest] = (),
    claims_anonymous: bool = False,
) -> PrivacyRecord:
    """Makes the record of an actual run.

    The same arguments and versions give the same record, byte for byte. Of a claim that the model is
    anonymous, EDPB Opinion 28/2024 (adopted on 17 December 2024; read on 2026-11-25 in a text that
    quotes it) asks in paragraph 43 that the likelihood of extracting personal data from the model,
    and of obtaining them from queries, is insignificant for any person. So the record refuses
    this word unless both were tested, each for its worst client of all that may have taken part, and
    every interval of these tests contains the value of guessing and ends at most 0.1 above it.
    Passing shows that these attacks failed, and not that none works.

    Args:
        run: What `run_rounds` returned, which knows what protected it, unless it began with a
            checkpoint or with given weights; or its records, or their table, which do not know it.
            Each round has round_num, num_clients and num_dropped, and as far as measured bytes_up,
            bytes_down, loss and accuracy.
        statement: What a person states.
        day: The day of the record, such as `datetime.date(2026, 11, 25)`.
        seed: The seed of the run, at least 0.
        digests: From a name, such as "training data", to its digest in hexadecimal digits, as of
            `FederatedDataset.sha256`; at least one.
        secure_sum: Where the run does not know it: "plain", "secagg", "ckks" or "shares", as for
            `fedlab.compile`, or `runner.secure_sum`. Default: what the run was made with, else "plain".
        metrics_in_the_clear: Where the run does not know it: whether each client's training metrics
            reached the server one by one. Default: as the run was made, else true.
        plan: Where the run does not know it: the plan that the run was made with. Default:
            the run's own, else no differential privacy.
        attacks: The outcomes of the attacks that were run. Default: none was run.
        deletions: The requests of deletion. Default: none came.
        claims_anonymous: Whether the record is to say that a person calls the model anonymous.

    Returns:
        The record.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: A round or a digest is wrong, `statement.num_participants` cannot be, the run was
            made with other protection than is stated or has rounds for which the plan does not account,
            or the model is called anonymous without the tests that this needs.
    """
    check_instance("statement", statement, Statement, "a Statement")
    protection = find_protection(run, secure_sum, plan, metrics_in_the_clear)
    plan = protection.plan
    attacks = _check_all("attacks", attacks, AttackOutcome)
    deletions = _check_all("deletions", deletions, DeletionRequest)
    records = _to_records(run)
    rounds = describe_rounds(records)
    privacy = describe_plan(plan, rounds["last round"], rounds["largest cohort"])
    participants = most_participants(records, plan, statement.num_participants)
    is_counted = statement.num_participants is not None
    worst = [_describe_attack(each) for each in attacks if each.client_id]
    content: dict[str, Any] = {
        "day": _check_day(day).isoformat(),
        "stated by a person": _describe_statement(statement),
        "run": rounds
        | {"clients that took part": _describe_participants(participants, is_counted)}
        | {"secure sum": protection.secure_sum, "protection as told here": protection.source},
        "who saw what": describe_roles(
            protection.secure_sum,
            has_plan=plan is not None,
            metrics_in_the_clear=protection.metrics_in_the_clear,
        ),
        "privacy": privacy,
        "attacks": [_describe_attack(each) for each in attacks] or "no attack was run",
        "worst clients": worst or "no attack was run for a single client",
        "anonymity": describe_anonymity(
            attacks,
            participants,
            is_claimed=check_flag("claims_anonymous", claims_anonymous),
        ),
        "deletion requests": [
            _describe_deletion(each, attacks, rounds["last round"]) for each in deletions
        ]
        or "no request was given to this record",
        "origin": {"seed": check_seed(seed)} | _check_digests(digests) | _versions(),
    }
    content["first draft of an assessment"] = draft_assessment(content, num_attacks=len(attacks))
    content["sources of the draft"] = SOURCES
    return PrivacyRecord(to_plain(content))


def _check_all(name: str, values: Any, expected: type) -> list[Any]:
    values = check_list(name, values)
    for each in values:
        check_instance(name, each, expected, f"a list of {expected.__name__}")
    return values


def _to_records(run: Any) -> list[dict[str, Any]]:
    if isinstance(run, TrainingRun):
        run = run.records
    rows = run.to_dict("records") if isinstance(run, pd.DataFrame) else check_list("run", run)
    if not rows:
        raise ValueError("run must have at least one round. Found none.")
    for row in rows:
        if not isinstance(row, Mapping):
            raise TypeError(f"run must be records of rounds. Found {describe(row)}.")
    return [dict(row) for row in rows]


def _check_day(day: Any) -> datetime.date:
    is_day = isinstance(day, datetime.date) and not isinstance(day, datetime.datetime)
    if not is_day or day != day:
        raise TypeError(f"day must be a datetime.date without a time. Found {describe(day)}.")
    return day


def _check_digests(digests: Any) -> dict[str, str]:
    if not isinstance(digests, Mapping) or not digests:
        raise TypeError(f"digests must be a dictionary with an entry. Found {describe(digests)}.")
    for name, digest in digests.items():
        check_text("the names of digests", name)
        is_hexadecimal = isinstance(digest, str) and digest.strip("0123456789abcdef") == ""
        if not is_hexadecimal or len(digest) < 16:
            raise ValueError(
                f"digests[{name!r}] must be at least 16 hexadecimal digits in lower case, such as "
                f"FederatedDataset.sha256. Found {describe(digest)}."
            )
    return {f"digest of {name}": str(digest) for name, digest in digests.items()}


def _versions() -> dict[str, str]:
    versions = {f"version of {name}": version(name) for name in _PACKAGES}
    return {"version of Python": platform.python_version()} | versions


def _describe_statement(statement: Statement) -> dict[str, Any]:
    stated = dataclasses.asdict(statement)
    return {
        name.replace("_", " "): TO_FILL_IN if value is None else value
        for name, value in stated.items()
    }


def _describe_participants(number: int, is_stated: bool) -> str:
    return f"{number}, {STATED}" if is_stated else f"at most {number}"


def _describe_attack(attack: AttackOutcome) -> dict[str, Any]:
    values = dataclasses.asdict(attack).items()
    described = {name.replace("_", " "): value for name, value in values}
    verdict = "yes" if attack.is_consistent_with_guessing else "no"
    client = attack.client_id or "over all clients"
    tested = attack.num_clients_tested or "no single client"
    return described | {
        "client id": client,
        "num clients tested": tested,
        "consistent with guessing": verdict,
        "told by": STATED,
    }


def _describe_deletion(
    request: DeletionRequest, attacks: list[AttackOutcome], last_round: int
) -> dict[str, Any]:
    if request.after_round > last_round:
        raise ValueError(
            f"deletions must have an after_round of the run, at most {last_round}. "
            f"Found {request.after_round} for client {request.client_id!r}."
        )
    if request.is_influence_tested and all(each.client_id != request.client_id for each in attacks):
        raise ValueError(
            f"deletions say that the influence of client {request.client_id!r} was tested: attacks must "
            "have an outcome with this client_id. Found none."
        )
    values = dataclasses.asdict(request).items()
    is_tested = "yes" if request.is_influence_tested else "no"
    return {name.replace("_", " "): value for name, value in values} | {
        "is influence tested": is_tested,
        "told by": STATED,
    }
