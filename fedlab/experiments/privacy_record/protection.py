"""What protected a run: as the run itself has it, or as somebody states it."""

import dataclasses
from typing import Any

from fedlab.checks import check_flag, check_instance
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.experiments.privacy_record.roles import name_secure_sum
from fedlab.training import TrainingRun

_CHECKED = (
    "checked when the run was compiled; not checked: how clients were drawn, from how many, and whether "
    "the noise and the draws are secret"
)
STATED = "stated; nothing has checked it"


@dataclasses.dataclass(frozen=True)
class RunProtection:
    """What protected a run, and how this is known.

    Attributes:
        secure_sum: "plain", "secagg", "ckks" or "shares".
        plan: The plan; None: no differential privacy.
        metrics_in_the_clear: Whether each client's training metrics reached the server one by one.
        source: How this is known, in words.
    """

    secure_sum: str
    plan: PrivacyPlan | None
    metrics_in_the_clear: bool
    source: str


def find_protection(
    run: Any, secure_sum: Any, plan: PrivacyPlan | None, metrics_in_the_clear: bool | None
) -> RunProtection:
    """Returns what protected a run.

    Args:
        run: A `TrainingRun`, which knows it, or records, which do not.
        secure_sum: What somebody states, as in `build_record`; None: nothing.
        plan: Likewise.
        metrics_in_the_clear: Likewise.

    Raises:
        TypeError: `plan` is no plan, or `metrics_in_the_clear` is neither true nor false.
        ValueError: There is no such secure sum, or the run was made with something else.
    """
    if plan is not None:
        check_instance("plan", plan, PrivacyPlan, "a PrivacyPlan")
    stated: dict[str, Any] = {
        "secure_sum": None if secure_sum is None else name_secure_sum(secure_sum),
        "plan": plan,
        "metrics_in_the_clear": metrics_in_the_clear
        if metrics_in_the_clear is None
        else check_flag("metrics_in_the_clear", metrics_in_the_clear),
    }
    known = run.protection if isinstance(run, TrainingRun) else None
    if known is None:
        is_open = metrics_in_the_clear is not False
        return RunProtection(stated["secure_sum"] or "plain", plan, is_open, STATED)
    if known.privacy_plan is not None:
        check_instance("the plan of the run", known.privacy_plan, PrivacyPlan, "a PrivacyPlan")
    found = RunProtection(
        name_secure_sum(known.secure_sum), known.privacy_plan, known.metrics_in_the_clear, _CHECKED
    )
    for name, value in stated.items():
        if value is not None and value != getattr(found, name):
            raise ValueError(
                f"{name} must be what the run was made with, {getattr(found, name)!r}. Found {value!r}; "
                "leave it out, the run knows it."
            )
    return found
