"""The study of personalization on a few clients: what is measured, what is shared, what repeats."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
from helpers import studies, tiny

from fedlab import data
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.experiments import (
    PLANS,
    STUDIES,
    Store,
    partitions,
    personalization,
    report,
    run_all,
    study_actions,
)
from fedlab.experiments.personalization_configs import PersonalizationConfig, without_federation
from fedlab.experiments.settings import vary

CONFIGS = [
    vary(config, num_rounds=2, num_clients=3, batch_size=4, own_epochs=2, num_measured=5)
    for config in PLANS["personalization"]
]
RUN_FN = functools.partial(personalization.run, create_fn=studies.create_model)
STUDY = dataclasses.replace(STUDIES["personalization"], configs=CONFIGS, run_fn=RUN_FN)
RUNS = pd.DataFrame(
    {
        "name": ["a | b"] * 2 + ["c | d"] * 2,
        "seed": [0, 1] * 2,
        "dataset": "tiny",
        "num_measured": 5,
        "global_accuracy": [0.1, 0.3, 0.5, 0.5],
        "fine_tuned_accuracy": [0.6, 0.9, 0.75, 0.75],
        "own_accuracy": [0.5, 0.6, 0.5, 0.5],
        "label_accuracy": [0.7, 0.7, 0.5, 0.5],
        **{f"{model}_worst_decile": 0.25 for model in ("global", "fine_tuned", "own", "label")},
    }
)


def run(config, seed=0, **options):
    options = {"create_fn": studies.create_model} | options
    return personalization.run(
        config,
        studies.create_dataset(),
        seed,
        remember_fn=lambda part, compute_fn: compute_fn(),
        progress_fn=lambda share: None,
        **options,
    )


@pytest.mark.parametrize("config", PLANS["personalization"], ids=lambda config: config.name)
def test_the_federated_run_is_that_of_the_study_of_settings_without_its_target(config):
    plan = {other.name: other for other in PLANS["non_iid"]}
    assert config.training().key == vary(
        plan[config.name], stop_at_accuracy=None, evaluate_every=1
    ).key  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS[::2], ids=lambda config: config.group)
def test_every_client_is_measured_on_its_own_digits(config):
    table = pd.DataFrame(run(config))
    assert table.client_id.is_unique and len(table) == config.num_measured
    answers = table[["global", "fine_tuned", "own", "label"]]
    assert ((answers >= 0) & (answers <= 1)).all().all()
    for column in answers:  # a whole number of right answers
        num_right = answers[column] * table.num_test
        np.testing.assert_allclose(num_right, num_right.round(), atol=1e-5)
    if config.partition == "natural":
        sizes = [studies.TEST.num_examples(client_id) for client_id in table.client_id]
        assert table.num_test.tolist() == sizes


def test_without_a_step_nothing_is_personal():
    table = pd.DataFrame(run(vary(CONFIGS[0], client_learning_rate=0.0, server_learning_rate=0.0)))
    assert (table["global"] == table.fine_tuned).all()
    assert (table["global"] == table.own).all()


def test_the_commonest_label_is_counted_in_the_training_digits():
    def build(labels_by_client):
        def read(client_id):
            labels = np.array(labels_by_client[client_id], np.int32)
            return Examples(np.ones((len(labels), 28, 28), np.float32), labels)

        return MemoryClientData(labels_by_client, read)

    train = build({"ann": [3, 3, 5], "ben": [7, 2, 2, 7]})  # a tie: the smaller
    test = build({"ann": [5, 5, 5, 3], "ben": [2, 7]})
    measured = personalization.measure_commonest_label(train, test)
    assert measured.to_dict() == {"ann": 0.25, "ben": 0.5}


def test_digits_set_aside_are_not_trained_on():
    train, test = partitions.set_tests_aside(studies.TRAIN, 3)
    assert train.client_ids == test.client_ids == studies.TRAIN.client_ids
    for client_id in train.client_ids:
        pixels = np.concatenate([part.examples(client_id).pixels for part in (train, test)])
        expected = studies.TRAIN.examples(client_id).pixels
        assert sorted(map(bytes, pixels)) == sorted(map(bytes, expected))
        assert test.num_examples(client_id) == max(1, round(0.2 * len(expected)))
    assert not tiny.same_data(test, partitions.set_tests_aside(studies.TRAIN, 4)[1])


def test_models_of_clients_alone_are_trained_once_for_all_methods(tmp_path):
    fed_avg, fed_adam = CONFIGS[:2]
    assert without_federation(fed_avg).key == without_federation(fed_adam).key
    assert without_federation(CONFIGS[2]).key != without_federation(CONFIGS[4]).key
    longer = vary(fed_avg, own_epochs=3)
    assert without_federation(longer).key != without_federation(fed_avg).key
    store = Store(tmp_path, studies.create_dataset())
    rows = list(run_all(STUDY, CONFIGS[:2], [0], studies.create_dataset(), store, progress=False))
    assert len(list(tmp_path.glob("*_0.json"))) == 3  # two runs and the part
    assert rows[0]["own_accuracy"] == rows[1]["own_accuracy"]
    assert rows[0]["global_accuracy"] != rows[1]["global_accuracy"]


def test_the_study_is_written_reported_and_repeated(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "load", lambda name: studies.create_dataset())
    study = dataclasses.replace(STUDY, configs=CONFIGS[:1])
    study_actions.run_study(
        study, None, [0, 1], folder=tmp_path / "runs", out=tmp_path, notice_fn=lambda text: None
    )
    runs = report.read_csv(tmp_path / "personalization_tiny.csv")
    assert [PersonalizationConfig.from_row(row) for _, row in runs.iterrows()] == CONFIGS[:1] * 2
    text = study_actions.write_report(study, "tiny", tmp_path).read_text()
    assert f"| FedAvg / writers | {runs.global_accuracy.mean():.1%} [" in text
    said = []
    assert study_actions.run_again(
        study, study.configs, None, [1], out=tmp_path, notice_fn=said.append
    )
    assert "to the last bit" in said[-1]


def test_differences_are_taken_seed_by_seed():
    table = personalization.compare_with_fine_tuned(RUNS, "label")
    assert table.index.tolist() == ["a | b", "c | d"]
    assert table.difference.tolist() == pytest.approx([0.05, 0.25])
    assert table.low.tolist() == pytest.approx([-0.1, 0.25])
    assert table.high.tolist() == pytest.approx([0.2, 0.25])


def test_the_report_shows_means_intervals_and_differences(tmp_path):
    path = tmp_path / "page.md"
    personalization.write_report(path, RUNS)
    text = path.read_text()
    assert "| a / b | 20.0% [10.0, 30.0] | 75.0% [60.0, 90.0] |" in text
    assert "| c / d | +25.0 [+25.0, +25.0] | +25.0 [+25.0, +25.0] | +25.0 [+25.0, +25.0] |" in text


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"partition": "dirichlet"}, "needs alpha"),
        ({"alpha": 0.5}, "alpha is for partition dirichlet"),
        ({"algorithm": "fed_sgd"}, "There is no algorithm 'fed_sgd'"),
        ({"fine_tune_epochs": 0}, "fine_tune_epochs must be .* equal to 1. Found 0"),
        ({"own_epochs": 2.5}, "own_epochs must be a valid integer.* Found 2.5"),
        ({"num_measured": "all"}, "num_measured must be a number. Found 'all'"),
    ],
)
def test_a_bad_setting_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        PersonalizationConfig(**{"name": "x | y", "group": "y"} | changes)


def test_the_stored_results_are_those_of_the_study_s_configurations():
    table = report.read_csv(studies.ROOT / "results" / "personalization_digits.csv")
    configs = [PersonalizationConfig.from_row(row) for _, row in table.iterrows()]
    assert configs == [config for config in PLANS["personalization"] for _ in range(5)]
    assert table.seed.tolist() == [*range(5)] * len(PLANS["personalization"])
    assert table.command.str.startswith("python -m fedlab study personalization ").all()
