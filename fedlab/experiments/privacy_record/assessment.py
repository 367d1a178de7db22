"""The fields that GDPR Article 35(7) and PIPL Articles 55 and 56 ask for, as a first draft."""

from collections.abc import Mapping
from typing import Any

from fedlab.experiments.privacy_record.markdown import to_text
from fedlab.experiments.privacy_record.statements import TO_FILL_IN

SOURCES = (
    "Regulation (EU) 2016/679 (GDPR), Article 35(7), and the Personal Information Protection Law of "
    "China (PIPL, in force since 1 November 2021), Articles 55 and 56; read on 2026-11-25. This draft "
    "is no legal advice"
)


def draft_assessment(content: Mapping[str, Any], *, num_attacks: int) -> list[dict[str, str]]:
    """Returns one row for each field: the article, what it asks for, what the run shows, an answer.

    The person who has to write an assessment checks each row; a row whose answer nobody gave says
    so. Nothing is added to what was measured or stated.

    Args:
        content: The other sections of the record.
        num_attacks: Number of outcomes of attacks in it.
    """
    stated = content["stated by a person"]
    protection = content["privacy"]
    shown_run = "; ".join(f"{name}: {to_text(value)}" for name, value in content["run"].items())
    shown_risk = (
        f"outcomes of attacks: {num_attacks}; the model is {content['anonymity']['statement']}"
    )
    shown_measures = f"secure sum: {content['run']['secure sum']}; differential privacy: {protection['mechanism']}"
    fields = [
        (
            "GDPR Art. 35(7)(a)",
            "description of the processing and its purposes",
            shown_run,
            "purpose",
        ),
        ("GDPR Art. 35(7)(b)", "necessity and proportionality", "", "necessity"),
        ("GDPR Art. 35(7)(c)", "risks to the rights and freedoms of people", shown_risk, "risks"),
        (
            "GDPR Art. 35(7)(d)",
            "measures against the risks, and how they are shown",
            shown_measures,
            "measures",
        ),
        (
            "PIPL Art. 55",
            "which case makes an assessment necessary: sensitive information, automated decisions, "
            "entrusting or providing it to others or publishing it, export, or other major influence",
            "",
            "assessment case",
        ),
        (
            "PIPL Art. 56, item 1",
            "whether purpose and method are lawful, legitimate and necessary",
            "",
            "legal basis",
        ),
        (
            "PIPL Art. 56, item 2",
            "influence on people's rights, and the risks",
            shown_risk,
            "risks",
        ),
        (
            "PIPL Art. 56, item 3",
            "whether the measures are lawful, effective and in proportion to the risk",
            shown_measures,
            "measures",
        ),
        (
            "PIPL Art. 56, storage",
            "the assessment and the record of the handling are stored for at least three years",
            "",
            "retention",
        ),
    ]
    return [
        {
            "article": article,
            "asks for": question,
            "shown by the run": shown or "nothing: a run cannot show it",
            "answer": stated.get(answer, TO_FILL_IN),
        }
        for article, question, shown, answer in fields
    ]
