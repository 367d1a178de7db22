"""The rates of the ledger are chosen on public writers; its summary is a mean with an interval."""

import pandas as pd
import pytest
from helpers import studies, tiny

from fedlab import data, plots, statistics
from fedlab.experiments import report
from fedlab.experiments.privacy.configs import CLIPPING, NONE, LedgerConfig, build_ledger
from fedlab.experiments.privacy.rehearsal import rehearse
from fedlab.experiments.privacy.summary import summarize
from fedlab.experiments.privacy.texts import to_markdown
from fedlab.experiments.privacy.writers import split_writers

CONFIG = LedgerConfig(num_rounds=2, group_size=4, server_learning_rates="0.5 1")
STORED = report.read_csv(studies.ROOT / "results" / "privacy_ledger.csv")


def create_dataset(num_clients=20, is_pretrained_elsewhere=True):
    train, test = tiny.create_data(*[6] * num_clients), tiny.create_data(*[3] * num_clients)
    public = data.pool(test)
    public_fn = (lambda: public) if is_pretrained_elsewhere else None
    return studies.create_dataset("tiny", train, test, public_fn=public_fn)


@pytest.mark.parametrize("is_pretrained_elsewhere", [True, False])
def test_no_writer_is_in_two_groups(is_pretrained_elsewhere):
    dataset = create_dataset(20, is_pretrained_elsewhere)
    writers = split_writers(dataset, 3)
    assert [len(writers.rehearsed), len(writers.judges)] == [2, 2]
    assert [len(writers.client_ids), writers.num_members] == [16, 8]
    assert set(writers.members) < set(writers.client_ids)
    assert not set(writers.client_ids) & {*writers.rehearsed, *writers.judges}
    assert not set(writers.rehearsed) & set(writers.judges)
    if not is_pretrained_elsewhere:  # the model has seen the public writers
        assert writers.client_ids == dataset.participants(pretrained=True).client_ids
    assert split_writers(dataset, 3) == writers != split_writers(dataset, 4)


def test_a_ledger_without_two_public_writers_is_refused():
    with pytest.raises(ValueError, match="at least two public writers, .* Found 1 of 5"):
        split_writers(create_dataset(5), 0)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_rehearsal_tries_all_rates_on_public_writers_alone_and_takes_the_best(row, monkeypatch):
    studies.make_privacy_studies_small(monkeypatch)
    config, dataset = build_ledger(CONFIG, other_epsilon=2.0)[row], create_dataset()
    writers, asked = split_writers(dataset, 0), []
    examples = data.MemoryClientData.examples
    monkeypatch.setattr(
        data.MemoryClientData,
        "examples",
        lambda self, name: asked.append(name) or examples(self, name),
    )
    (record,) = rehearse(config, dataset, 0)
    pairs = [text.split(": ") for text in record["rehearsal"].split(", ")]
    accuracies = {float(rate): accuracy for rate, accuracy in pairs}
    assert list(accuracies) == [0.5, 1.0]
    best = max(accuracies.values(), key=lambda text: float(text.strip("%")))
    assert accuracies[record["server_learning_rate"]] == best
    assert set(asked) == {*writers.rehearsed, *writers.judges}
    assert rehearse(config, dataset, 0) == [record]


def test_a_rate_that_diverges_is_not_taken():
    config = LedgerConfig(num_rounds=3, server_learning_rates="1 1e30")
    (record,) = rehearse(config, create_dataset(), 0)
    assert record["server_learning_rate"] == 1.0
    assert record["rehearsal"].endswith("1e+30: 0.0%")


@pytest.mark.parametrize("rates", ["", "1 a", "0 1", "1 inf", "-1"])
def test_rates_are_numbers_above_zero(rates):
    with pytest.raises(ValueError, match="server_learning_rates must"):
        LedgerConfig(server_learning_rates=rates)


def create_seeds():
    """Three seeds of a ledger of two rows."""
    rows = STORED[STORED.defence.isin([NONE, CLIPPING])]
    rows = rows[rows.seed == 0].assign(rehearsal="1: 90.0%", server_learning_rate=1.0)
    seeds = [
        rows.assign(
            seed=seed, accuracy=rows.accuracy - 0.01 * seed, server_learning_rate=1.0 + (seed > 1)
        )
        for seed in range(3)
    ]
    return pd.concat(seeds, ignore_index=True)


def test_one_rate_alone_is_read_back_from_a_csv_file(tmp_path):
    for rate in ("2", "0.5"):
        row = LedgerConfig(server_learning_rates=rate).to_row()
        pd.DataFrame([row]).to_csv(tmp_path / "rows.csv", index=False)
        read = pd.read_csv(tmp_path / "rows.csv").iloc[0]
        assert LedgerConfig(server_learning_rates=read.server_learning_rates).rates == (
            float(rate),
        )


def test_the_summary_has_means_intervals_and_the_rates_of_all_seeds():
    table = create_seeds()
    summary = summarize(table).set_index("defence")
    assert summary.index.tolist() == [NONE, CLIPPING]
    assert summary.server_learning_rate.tolist() == ["1, 2", "1, 2"]
    for name, row in summary.iterrows():
        mean, low, high = statistics.mean_interval(table.accuracy[table.defence == name])
        assert (row.accuracy, row.accuracy_low) == (mean, low)
        assert row.accuracy_high == min(high, 1)
    text = to_markdown(summarize(table))
    assert f"{summary.accuracy[NONE]:.2%} [{summary.accuracy_low[NONE]:.1%}, " in text
    assert "Means over 3 seeds" in text and "best of 0.5 1 2 4 in a rehearsal" in text
    assert plots.ledger(summarize(table)).axes[0].collections


def test_one_seed_has_the_auc_s_interval_over_writers_alone():
    table = create_seeds()
    summary = summarize(table[table.seed == 0])
    assert summary.membership_low.tolist() == table.membership_low[:2].tolist()
    assert summary[["accuracy_low", "seconds_high"]].isna().all(axis=None)
    text = to_markdown(summary)
    assert "One run of one seed" in text and "nan" not in text
