"""A configuration is its CSV line, and what is wrong with it is said when it is made."""

import csv
import dataclasses
import io
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd
import pytest

from fedlab.experiments.article_gap_configs import GAP
from fedlab.experiments.config import BASELINE, RunConfig
from fedlab.experiments.personalization_configs import PERSONALIZATION
from fedlab.experiments.plans import PLANS
from fedlab.experiments.privacy.configs import EPSILON, LEDGER, EpsilonConfig, LedgerConfig
from fedlab.experiments.settings import FIRST_COLUMNS, LAST_COLUMNS, config_class

EVERY = [config for configs in PLANS.values() for config in configs if type(config) is RunConfig]
STUDIES = {
    "training": EVERY,
    "personalization": PERSONALIZATION,
    "epsilon": EPSILON,
    "ledger": LEDGER,
    "gap": GAP,
}
# What does something only beside another setting.
OWNED = {
    "mu": {"algorithm": "fed_prox"},
    "momentum": {"algorithm": "fed_avgm"},
    "server_beta_2": {"algorithm": "fed_yogi"},
    "server_epsilon": {"algorithm": "fed_adam"},
}


def test_the_baseline_is_the_article_s():
    assert RunConfig() == BASELINE
    assert (BASELINE.num_rounds, BASELINE.num_clients, BASELINE.sampling) == (10, 5, "first")
    assert (BASELINE.client_learning_rate, BASELINE.server_learning_rate) == (0.02, 1.0)
    assert (BASELINE.batch_size, BASELINE.num_epochs, BASELINE.shuffle) == (20, 1, False)
    watched = dataclasses.replace(BASELINE, evaluate_every=2)
    assert all(
        configs[0] == watched
        for name, configs in PLANS.items()
        if name in ("improvements", "ladder")
    )


def test_all_eight_as_written_holds_each_of_the_eight():
    (config,) = [config for config in EVERY if config.name == "all eight as written"]
    assert config.num_rounds == 50  # 1
    assert config.model == "deeper_cnn"  # 2
    assert (config.client_optimizer, config.client_learning_rate) == ("adam", 0.001)  # 3
    assert (config.algorithm, config.server_learning_rate) == ("fed_adam", 0.1)
    assert (config.server_beta_2, config.server_epsilon) == (0.999, 1e-7)
    assert (config.num_clients, config.sampling) == (20, "first")  # 4
    assert config.batch_size == 64  # 5
    assert config.augmentation == "mirror_and_brightness"  # 6
    assert config.pretrained  # 7
    assert config.mu > 0  # 8
    assert (config.num_epochs, config.shuffle) == (1, False)  # what the article leaves as it is


def test_suggestion_6_as_written_has_batches_of_32():
    (config,) = [one for one in EVERY if one.name.endswith("batch 32, as written")]
    changes = {"augmentation": "mirror_and_brightness", "batch_size": 32}
    assert config.key == dataclasses.replace(BASELINE, evaluate_every=2, **changes).key


@pytest.mark.parametrize("name", PLANS)
def test_a_study_names_each_configuration_once(name):
    assert len({config.label for config in PLANS[name]}) == len(PLANS[name])


def test_two_configurations_of_different_studies_have_two_keys():
    others = [*PERSONALIZATION, *EPSILON, *LEDGER]
    assert len({config.key for config in [*EVERY, *others]}) == (
        len({config.key for config in EVERY}) + len(others)
    )


@pytest.mark.parametrize("name", STUDIES)
def test_a_csv_line_gives_the_configuration_back_whoever_reads_it(name):
    configs, kind = STUDIES[name], type(STUDIES[name][0])
    results = dict.fromkeys([*FIRST_COLUMNS, *kind.RESULTS, *LAST_COLUMNS], "x")
    text = pd.DataFrame([config.to_row() | results for config in configs]).to_csv(index=False)
    by_csv = [kind.from_row(row) for row in csv.DictReader(io.StringIO(text))]
    by_pandas = pd.read_csv(io.StringIO(text), float_precision="round_trip")
    assert by_csv == configs
    assert [kind.from_row(row) for _, row in by_pandas.iterrows()] == configs
    assert None in (value for config in EVERY for value in config.to_row().values())


def test_one_configuration_has_one_key_however_it_is_written():
    assert dataclasses.replace(BASELINE, server_learning_rate=1).key == BASELINE.key
    assert dataclasses.replace(BASELINE, num_rounds=np.int64(10)).key == BASELINE.key
    assert dataclasses.replace(BASELINE, name="other", group="other").key == BASELINE.key


def test_whatever_else_differs_has_another_key():
    changes = {
        "algorithm": "fed_adam",
        "client_optimizer": "adam",
        "model": "deeper_cnn",
        "sampling": "uniform",
        "augmentation": "mirror",
        "partition": "iid",
        "shuffle": True,
        "pretrained": True,
        "max_examples": 7,
        "client_rate_decay": 0.5,
        "stop_at_accuracy": 0.5,
        "patience": 3,
    }
    for field in dataclasses.fields(RunConfig):
        if field.name in ("name", "group", "alpha", *OWNED):
            continue
        value = changes.get(field.name) or getattr(BASELINE, field.name) / 2 + 0.5
        if type(getattr(BASELINE, field.name)) is int:
            value = getattr(BASELINE, field.name) + 1
        if value == getattr(BASELINE, field.name):
            value = 0.75
        assert dataclasses.replace(BASELINE, **{field.name: value}).key != BASELINE.key, field.name
    for name, owner in OWNED.items():
        without = dataclasses.replace(BASELINE, **owner)
        assert dataclasses.replace(without, **{name: 0.5}).key != without.key
    dirichlet = dataclasses.replace(BASELINE, partition="dirichlet", alpha=1)
    assert dataclasses.replace(dirichlet, alpha=2).key != dirichlet.key


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"client_learning_rate": -0.1}, "^client_learning_rate must be .* equal to 0. Found -0.1"),
        ({"server_learning_rate": float("nan")}, "must be a finite number. Found nan"),
        ({"client_learning_rate": "0.1"}, "client_learning_rate must be a number. Found '0.1'"),
        ({"num_rounds": 0}, "num_rounds must be greater than or equal to 1. Found 0"),
        ({"num_rounds": 2.5}, "num_rounds must be a valid integer.* Found 2.5"),
        ({"num_clients": True}, "num_clients must be a number. Found True"),
        ({"batch_size": None}, "batch_size must be a valid integer. Found None"),
        ({"straggler_rate": 1.0}, "straggler_rate must be less than 1. Found 1.0"),
        ({"client_rate_decay": 0.0}, "client_rate_decay must be greater than 0. Found 0.0"),
        ({"stop_at_accuracy": 98.8}, "stop_at_accuracy must be .* equal to 1. Found 98.8"),
        ({"shuffle": 1}, "shuffle must be True or False. Found 1"),
        ({"name": ""}, "name must have at least 1 character. Found ''"),
        ({"algorithm": "fed_avgg"}, "^There is no algorithm 'fed_avgg'. Did you mean 'fed_avg'"),
        ({"algorithm": "xyz"}, "no algorithm 'xyz'. Choose from: fed_avg, fed_prox"),
        ({"augmentation": "miror"}, "Did you mean 'mirror'"),
        (
            {"mu": 0.1},
            "^mu is for algorithm fed_prox or .* Found mu=0.1 with algorithm 'fed_avg'",
        ),
        ({"momentum": 0.9, "algorithm": "fed_prox"}, "momentum is for algorithm fed_avgm"),
        ({"server_epsilon": 0.0, "algorithm": "fed_adam"}, "server_epsilon must be greater than 0"),
        ({"alpha": 0.5}, "alpha is for partition dirichlet"),
        ({"partition": "dirichlet"}, "needs alpha"),
        ({"algorithm": "mime_lite", "client_optimizer": "adam"}, "no client_optimizer but 'sgd'"),
        ({"algorithm": "fed_sgd", "client_rate_decay": 0.9}, "does nothing for fed_sgd"),
        ({"algorithm": "central", "patience": 3}, "'central' has none. Found 3"),
        ({"patience": 0}, "patience must be greater than or equal to 1. Found 0"),
    ],
)
def test_a_bad_value_is_named_with_what_would_be_good(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        RunConfig(**changes)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    "create, message",
    [
        (
            lambda: EpsilonConfig(name="x", target_epsilon=-1.0),
            "target_epsilon must be greater than 0. Found -1.0",
        ),
        (
            lambda: EpsilonConfig(name="x", target_epsilon=1.0, clip=float("inf")),
            "needs a finite clip",
        ),
        (
            lambda: EpsilonConfig(name="x", target_epsilon=float("nan")),
            "target_epsilon must be greater than 0",
        ),
        (lambda: LedgerConfig(mechanism="noise"), "needs target_epsilon"),
        (lambda: LedgerConfig(target_epsilon=1.0), "needs target_epsilon"),
        (lambda: LedgerConfig(secure_sum="mask"), "no secure_sum 'mask'. Choose from: secagg"),
        (lambda: LedgerConfig(group_size=0), "group_size must be greater than or equal to 1"),
    ],
)
def test_a_bad_value_of_a_privacy_study_is_named(create, message):
    with pytest.raises(ValueError, match=message):
        create()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"momentun": 0.9}, "no column 'momentun'. Did you mean 'momentum'"),
        ({"num_rounds": "ten"}, "num_rounds must be a number. Found 'ten'"),
        ({"shuffle": "yes"}, "shuffle must be True or False. Found 'yes'"),
        ({"client_learning_rate": ""}, "client_learning_rate must be a valid number. Found None"),
    ],
)
def test_a_bad_line_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        RunConfig.from_row(BASELINE.to_row() | change)


def test_a_line_with_a_setting_that_is_gone_is_still_read():
    assert RunConfig.from_row(BASELINE.to_row() | {"dropout_rate": "0.5"}) == BASELINE


def test_a_line_of_another_table_is_refused():
    with pytest.raises(ValueError, match="The row lacks algorithm, num_rounds"):
        RunConfig.from_row({"name": "small", "accuracy": 0.5})


def test_a_new_setting_changes_no_old_line_and_no_old_key():
    @config_class
    class LaterConfig(RunConfig):
        momentum_of_tomorrow: float = 0.5

    for config in EVERY:
        later = LaterConfig.from_row(config.to_row())
        assert later.key == config.key
        assert later.to_row() == config.to_row() | {"momentum_of_tomorrow": 0.5}
    assert dataclasses.replace(later, momentum_of_tomorrow=0.6).key != later.key


def test_every_choice_can_be_made():
    for name, kind in get_type_hints(RunConfig).items():
        for choice in get_args(kind) if get_origin(kind) is Literal else ():
            alpha = 0.5 if choice == "dirichlet" else None
            assert getattr(RunConfig(**{name: choice}, alpha=alpha), name) == choice
