"""The record of a run, for the person who has to answer for it: `build_record`."""

from fedlab.experiments.privacy_record.outcomes import membership_outcome, recital_outcome
from fedlab.experiments.privacy_record.record import PrivacyRecord, build_record
from fedlab.experiments.privacy_record.statements import (
    ANONYMITY_TESTS,
    TO_FILL_IN,
    AttackOutcome,
    DeletionRequest,
    Statement,
)

__all__ = [
    "ANONYMITY_TESTS",
    "TO_FILL_IN",
    "AttackOutcome",
    "DeletionRequest",
    "PrivacyRecord",
    "Statement",
    "build_record",
    "membership_outcome",
    "recital_outcome",
]
