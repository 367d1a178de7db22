"""The privacy studies on a few clients and rounds: what rows share, what stays, what repeats."""

import dataclasses

import numpy as np
import pytest
from helpers import studies, tiny

from fedlab import data
from fedlab.experiments import STUDIES, Store, report, run_all, study_actions
from fedlab.experiments.privacy import ledger as ledger_study
from fedlab.experiments.privacy import start
from fedlab.experiments.privacy.configs import (
    CKKS,
    CLIPPING,
    DISTRIBUTED,
    EPSILON,
    MASKS,
    NONE,
    RECIPE,
    SERVERS,
    LedgerConfig,
    build_ledger,
)
from fedlab.experiments.settings import vary

FEW = LedgerConfig(
    num_rounds=2,
    group_size=4,
    num_timed=1,
    num_iterations=3,
    num_references=2,
    group_epsilon=500.0,
    server_learning_rates="1",
)
LEDGER = dataclasses.replace(
    STUDIES["privacy_ledger"], configs=build_ledger(FEW, other_epsilon=300.0)
)
EPSILONS = dataclasses.replace(
    STUDIES["privacy_epsilon"],
    configs=[
        vary(
            config,
            num_rounds=2,
            num_clients=3,
            num_canaries=config.num_canaries and 40,
            num_guesses=4,
        )
        for config in (EPSILON[3], EPSILON[5], EPSILON[-1])
    ],
)


def create_dataset(name="tiny"):
    train, test = tiny.create_data(*range(4, 24)), tiny.create_data(*[3] * 20)
    return studies.create_dataset(name, train, test, public_fn=lambda: data.pool(test))


@pytest.fixture(scope="module", autouse=True)
def small_network():
    with pytest.MonkeyPatch.context() as patch:
        studies.make_privacy_studies_small(patch)
        yield


@pytest.fixture
def dataset(monkeypatch, tmp_path):
    created = create_dataset()
    monkeypatch.setattr(data, "load", lambda name: created)
    monkeypatch.chdir(tmp_path)
    return created


def run_study(study, path, num_seeds=1):
    said = []
    study_actions.run_study(
        study, None, range(num_seeds), folder=path / "runs", out=path, notice_fn=said.append
    )
    return said


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """The folder of a whole ledger."""
    path = tmp_path_factory.mktemp("ledger")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda name: create_dataset())
        run_study(LEDGER, path)
        report_path = study_actions.write_report(LEDGER, "tiny", path)
    assert report_path == path / "privacy_ledger.md"
    return path


def test_the_ledger_has_a_row_for_each_defence(ledger):
    table = report.read_csv(ledger / "privacy_ledger.csv").set_index("defence")
    assert table.index.tolist() == [config.defence for config in LEDGER.configs]
    assert (table.server_learning_rate == 1).all()
    for name in (MASKS, CKKS, SERVERS):
        assert table.accuracy[name] == table.accuracy[NONE]
        assert table.rehearsal[name] == table.rehearsal[NONE]
        assert table.membership_auc[name] == table.membership_auc[NONE]
        assert table.reconstruction_ssim[name] == table.reconstruction_ssim[MASKS]
        assert "server_learning_rate rehearsal accuracy membership_auc" in table.shared[name]
        assert table.bytes_up_per_client[name] > table.bytes_up_per_client[NONE]
    noised = table[table.mechanism == "noise"]
    assert noised.epsilon.between(0.9 * noised.target_epsilon, noised.target_epsilon).all()
    assert (noised.reconstruction_ssim == table.reconstruction_ssim[CLIPPING]).all()
    assert noised.seconds_per_round.nunique() == 1
    assert np.isnan(table.epsilon[DISTRIBUTED])
    assert np.isinf(table.epsilon[NONE])
    assert table.num_members.unique() == [8]


def test_the_ledger_s_page_and_picture_are_made_from_its_file(ledger):
    text = (ledger / "privacy_ledger.md").read_text()
    table = report.read_csv(ledger / "privacy_ledger.csv")
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert [line.split(" | ")[0][2:] for line in lines] == table.defence.tolist()
    rates = [line.split(" | ")[1] for line in lines]
    assert rates[1] == f"{table.server_learning_rate[1]:g}"
    assert rates[4] == f"({table.server_learning_rate[4]:g})"
    accuracies = [line.split(" | ")[2] for line in lines]
    assert accuracies[0] == f"{table.accuracy[0]:.2%}"
    assert accuracies[4] == f"({table.accuracy[4]:.2%})"
    assert (ledger / "privacy_ledger.png").read_bytes().startswith(b"\x89PNG")


def test_rows_repeat_but_for_timings_and_fresh_noise(ledger, dataset):
    said = []
    configs = [LEDGER.configs[1], LEDGER.configs[4], LEDGER.configs[7]]
    assert study_actions.run_again(LEDGER, configs, None, [0], out=ledger, notice_fn=said.append)
    assert len([text for text in said if "to the last bit" in text]) == 3


def test_what_rows_share_is_computed_once_and_kept_as_soon_as_it_is_done(
    dataset, tmp_path, monkeypatch
):
    computed = []
    train = ledger_study.train

    def train_twice(*args):
        if len(computed) == 2:
            raise KeyboardInterrupt
        computed.append(args)
        return train(*args)

    store = Store(tmp_path, dataset)
    configs = [LEDGER.configs[0], LEDGER.configs[6]]  # of one model
    with monkeypatch.context() as patch:
        patch.setattr(ledger_study, "train", train_twice)
        with pytest.raises(KeyboardInterrupt):  # in the second reference model
            list(run_all(LEDGER, configs, [0], dataset, store, progress=False))
    monkeypatch.setattr(ledger_study, "measure_groups", None)  # a call would fail
    monkeypatch.setattr(ledger_study, "train", lambda *args: computed.append(args) or train(*args))
    rows = list(run_all(LEDGER, configs, [0], dataset, store, progress=False))
    assert len(computed) == 3
    assert rows[0]["accuracy"] == rows[1]["accuracy"]


def test_a_results_file_of_other_data_stays(ledger, monkeypatch, tmp_path):
    before = (ledger / "privacy_ledger.csv").read_bytes()
    monkeypatch.setattr(data, "load", lambda name: create_dataset("other"))
    with pytest.raises(ValueError, match="holds results of 'tiny', and these are of other"):
        study_actions.run_study(
            LEDGER, None, [0], folder=tmp_path, out=ledger, notice_fn=lambda text: None
        )
    assert (ledger / "privacy_ledger.csv").read_bytes() == before


def test_epsilons_of_two_data_sets_are_in_one_file(dataset, monkeypatch, tmp_path):
    run_study(EPSILONS, tmp_path)
    path = tmp_path / "privacy_epsilon.csv"
    first = report.read_csv(path)
    assert first.name.tolist() == ["epsilon 8", "no noise, no clip", "epsilon 8, audited"]
    assert first["clip"].tolist() == [0.5, np.inf, 0.5]
    assert first.audit_epsilon.notna().tolist() == [False, False, True]
    assert first.epsilon[0] == first.epsilon[2] <= 8 and np.isinf(first.epsilon[1])
    said = []
    assert study_actions.run_again(
        EPSILONS, EPSILONS.configs[:1], None, [0], out=tmp_path, notice_fn=said.append
    )
    assert "to the last bit" in said[-1]

    with monkeypatch.context() as patch:
        patch.setattr(data, "load", lambda name: create_dataset("other"))
        one = dataclasses.replace(EPSILONS, configs=EPSILONS.configs[1:2])
        study_actions.run_study(
            one, None, [0], folder=tmp_path / "other", out=tmp_path, notice_fn=said.append
        )
    both = report.read_csv(path)
    assert both.dataset.tolist() == ["tiny"] * 3 + ["other"]
    assert both[:3].equals(first)
    report_path = study_actions.write_report(EPSILONS, "tiny", tmp_path)
    assert "| other | no noise, no clip | no bound | " in report_path.read_text()
    run_study(EPSILONS, tmp_path)
    assert report.read_csv(path).dataset.tolist() == ["other"] + ["tiny"] * 3


def test_a_run_may_begin_at_drawn_weights_or_have_the_article_s_network(dataset, tmp_path):
    configs = [vary(config, num_rounds=1, num_clients=3) for config in RECIPE[1:3]]
    run_study(dataclasses.replace(STUDIES["privacy_recipe"], configs=configs), tmp_path)
    fresh, of_article = report.read_csv(tmp_path / "privacy_recipe.csv").itertuples()
    drawn = start.network_of("small_cnn").initial_weights(0)
    assert fresh.accuracy_at_start == start.pooled_accuracy(dataset, drawn)
    assert (fresh.num_params, of_article.num_params) == (7850, 693_962)
    assert np.isnan(fresh.audit_epsilon) and np.isnan(of_article.audit_epsilon)


@pytest.mark.parametrize(
    "name, num_seeds",
    [
        ("privacy_epsilon", 6),
        ("privacy_recipe", 6),
        ("privacy_ledger", 3),
        ("language", 3),
        ("text_leaks", 3),
    ],
)
def test_the_stored_results_are_those_of_the_study_s_configurations(name, num_seeds):
    table = report.read_csv(studies.ROOT / "results" / f"{name}.csv")
    configs = [type(STUDIES[name].configs[0]).from_row(row) for _, row in table.iterrows()]
    assert sorted(configs, key=str) == sorted([*STUDIES[name].configs] * num_seeds, key=str)
    assert table.command.str.startswith(f"python -m fedlab study {name} ").all()
