"""Outcomes of attacks for the record, from what the attacks return."""

import numpy as np
import pandas as pd

from fedlab.attacks.membership import AttackResult
from fedlab.checks import check_instance, check_number, check_text
from fedlab.experiments.privacy_record.statements import AttackOutcome


def membership_outcome(name: str, attack: AttackResult, *, step: float = 0.05) -> AttackOutcome:
    """Returns the outcome of a membership attack over all clients.

    Args:
        name: What the attack is called.
        attack: From `fedlab.attacks.membership.evaluate_attack`, with its default confidence of 0.95.
        step: The interval is rounded outwards to multiples of it, in (0, 1], so that the last digits,
            which another processor computes otherwise, do not change the record. The AUC gets two
            decimals.

    Raises:
        ValueError: A value is out of range.
    """
    check_instance("attack", attack, AttackResult, "an AttackResult")
    step = check_number("step", step, above=0, at_most=1)
    low, high = attack.auc_interval
    auc = round(attack.auc, 2)
    return AttackOutcome(
        name=check_text("name", name),
        test="membership",
        metric="AUC",
        estimate=auc,
        low=round(min(auc, np.floor(low / step) * step), 6),
        high=round(max(auc, min(1.0, np.ceil(high / step) * step)), 6),
        chance=0.5,
    )


def recital_outcome(name: str, model: pd.DataFrame, base: pd.DataFrame) -> AttackOutcome:
    """Returns the outcome of the worst client: the one whose interval reaches highest.

    It is a test of queries: a prompt goes in, and an answer comes out.

    Args:
        name: What the attack is called.
        model: From `fedlab.attacks.extraction.count_recited`, of the trained model.
        base: The same of a model that never read these texts: what guessing has.

    Raises:
        ValueError: The two tables have other clients or texts.
    """
    columns = ["texts", "recited", "low", "high"]
    for label, table in (("model", model), ("base", base)):
        check_instance(label, table, pd.DataFrame, "a table of count_recited")
        if table.empty or not set(columns) <= set(table.columns):
            raise ValueError(
                f"{label} must be a table of count_recited. Found {list(table.columns)} and {len(table)} "
                "rows."
            )
    texts, texts_of_base = model.texts.to_dict(), base.texts.to_dict()
    if texts != texts_of_base:
        others = {*texts.items()} ^ {*texts_of_base.items()}
        raise ValueError(
            "model and base must be counted with the same client_ids and num_texts. Found other counts "
            f"for the client {min(str(client_id) for client_id, _ in others)!r}."
        )
    worst = model.high.idxmax()
    row = model.loc[worst]
    return AttackOutcome(
        name=check_text("name", name),
        test="queries",
        metric="share of the client's texts",
        estimate=row.recited / row.texts,
        low=row.low,
        high=row.high,
        chance=base.recited[worst] / row.texts,
        client_id=worst,
        num_clients_tested=len(model),
    )
