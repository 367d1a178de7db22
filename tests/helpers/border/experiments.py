"""Good calls of the room experiments."""

import dataclasses
import datetime

import numpy as np
import pandas as pd
from helpers.border.calls import call
from helpers.border.kinds import (
    BELOW_ONE,
    COUNT,
    FLAG,
    NAN,
    NOT_NEGATIVE,
    NUMBER,
    POSITIVE,
    SEED,
    SHARE,
    TEXT,
    array,
    choice,
    count,
    instance,
    mapping,
    number,
    optional,
)

from fedlab.attacks import membership
from fedlab.experiments import RunConfig, article, privacy_law, privacy_record
from fedlab.experiments.privacy_record.statements import AttackOutcome, DeletionRequest, Statement
from fedlab.experiments.settings import (
    Count,
    Flag,
    Label,
    Positive,
    ProperFraction,
    Rate,
    Share,
)

_CONFIG_KINDS = {
    Label: TEXT,
    Flag: FLAG,
    Count: COUNT.without(2.0),  # as a CSV file has it
    Rate: NOT_NEGATIVE,
    ProperFraction: BELOW_ONE,
    Share: SHARE,
    Positive: POSITIVE,
}


def _config_parameters():
    for field in dataclasses.fields(RunConfig):
        inner = next((t for t in _CONFIG_KINDS if field.type in (t, t | None)), None)
        kind = choice(str(field.default)) if inner is None else _CONFIG_KINDS[inner]
        yield field.name, (field.default, optional(kind) if field.default is None else kind)


SCORE = optional(count(at_least=0, at_most=4).without(2.0, np.float32(2)))
WORDS = optional(TEXT.without(np.array(["a"])))
DAY = datetime.date(2026, 11, 25)
ROUNDS = [{"round_num": 1, "num_clients": 3, "num_dropped": 0, "bytes_up": 5}]
DIGESTS = {"data": "0123456789abcdef"}
ATTACK = membership.evaluate_attack(np.arange(4.0), np.arange(4) % 2 == 1, num_resamples=9)
RECITED = pd.DataFrame({"texts": [5, 4], "recited": [0, 1], "low": 0.0, "high": 0.5}, ["a", "b"])
RECORD = privacy_record.build_record(ROUNDS, Statement(), day=DAY, seed=0, digests=DIGESTS)

EXPERIMENT_CALLS = (
    call(
        Statement,
        **{
            field.name: (1, SCORE) if field.name.startswith("residual_") else ("words", WORDS)
            for field in dataclasses.fields(Statement)
            if field.name not in ("residual_risk", "num_participants")
        },
        residual_risk=("words", WORDS),
        num_participants=(5, optional(count(at_least=0).without(2.0, np.float32(2)))),
    ),
    call(
        AttackOutcome,
        name=("an attack", TEXT),
        test=("queries", choice("extraction", "queries", "membership", "update")),
        metric=("AUC", TEXT),
        estimate=(0.5, NUMBER),
        low=(0.25, NUMBER),
        high=(0.75, NUMBER),
        chance=(0.5, NUMBER),
        confidence_percent=(95.0, number(above=0, below=100)),
        client_id=("c0", TEXT),
        num_clients_tested=(9, COUNT.without(2.0)),
    ),
    call(
        privacy_record.membership_outcome,
        name=("an attack", TEXT),
        attack=(ATTACK, instance(0.5, {"auc": 0.5})),
        step=(0.25, SHARE),
    ),
    call(
        privacy_record.recital_outcome,
        name=("an attack", TEXT),
        model=(RECITED, instance(RECITED[:0], RECITED[["texts"]], {"texts": 1})),
        base=(RECITED, instance(RECITED[:0], RECITED[["texts"]], RECITED.assign(texts=9))),
    ),
    call(
        DeletionRequest,
        client_id=("c0", TEXT),
        after_round=(1, count(at_least=0).without(2.0, np.float32(2))),
        measure=("not met yet", choice("not met yet", "retrained without the client")),
        is_influence_tested=(False, FLAG),
    ),
    call(
        privacy_record.build_record,
        run=(
            ROUNDS,
            instance([3], [], [{"round_num": 1}], [ROUNDS[0] | {"num_clients": NAN}]),
        ),
        statement=(Statement(), instance({"purpose": "p"}, Statement)),
        day=(DAY, instance("2026-11-25", datetime.datetime(2026, 11, 25))),
        seed=(0, SEED),
        digests=(DIGESTS, mapping(DIGESTS, None, 5, "", "0123", "x" * 16, "A" * 16)),
        secure_sum=("plain", optional(choice("plain", "secagg", "ckks", "shares"))),
        metrics_in_the_clear=(True, optional(FLAG)),
        plan=(None, optional(instance())),
        attacks=([], instance([3], [None]).without([])),
        deletions=([], instance([3], [None]).without([])),
        claims_anonymous=(False, FLAG),
    ),
    call(
        privacy_law.export_route,
        num_people=(5, count(at_least=0)),
        num_sensitive=(0, count(at_least=0)),
        is_critical_operator=(False, FLAG),
        has_important_data=(False, FLAG),
    ),
    call(RunConfig, **dict(_config_parameters())),
    call(
        article.fitting_sizes,
        accuracies=([0.25, 0.5], array([0.25, 0.5], at_least=0, at_most=1)),
        at_most=(9, COUNT),
    ),
    call(
        article.count_right,
        accuracies=([0.25, 0.5], array([0.25, 0.5], at_least=0, at_most=1)),
        num_examples=(8, COUNT),
    ),
)
