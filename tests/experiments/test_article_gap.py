"""The study of the article's ten losses, on a few tiny clients."""

import dataclasses
import functools

import numpy as np
import pytest
from helpers import studies, tiny

from fedlab import data
from fedlab.data.client_data import MemoryClientData
from fedlab.experiments import STUDIES, article_gap, report, study_actions
from fedlab.experiments.article_gap_configs import AS_THEY_ARE, GAP, GapConfig
from fedlab.experiments.settings import vary

SMALL = GapConfig(
    name="small", group="small", cohort=1, num_rounds=2, num_clients=2, examples_per_client=9,
    batch_size=4, client_learning_rate=0.1,
)  # fmt: skip
MOVED = vary(SMALL, name="moved", group="moved", scale=0.5, max_shift=3, stroke="thick")
TRAIN, TEST = tiny.create_data(9, 12, 8, 10, 9, 4), tiny.create_data(2, 3, 2, 4, 3, 2)
run = functools.partial(
    article_gap.run,
    remember_fn=None,
    progress_fn=lambda share: None,
    create_fn=studies.create_model,
)


@pytest.fixture
def dataset():
    return studies.create_dataset(train=TRAIN, test=TEST)


def test_the_study_is_the_article_s_settings_and_one_grid():
    settings = {(config.scale, config.max_shift) for config in GAP if config.stroke == "as written"}
    assert settings == {(scale, shift) for scale in (0.5, 0.65, 0.8, 1.0) for shift in (0, 2, 4)}
    assert {config.stroke for config in GAP} == {"as written", "thin", "thick"}
    first = GAP[0]
    assert (first.group, first.scale, first.max_shift) == (AS_THEY_ARE, 1.0, 0)
    assert first.num_clients * first.examples_per_client == 480
    assert (first.num_rounds, first.batch_size, first.client_learning_rate) == (10, 20, 0.02)
    assert len({config.name for config in GAP}) == len({config.key for config in GAP}) == len(GAP)
    groups = {config.group for config in GAP}
    assert len(GAP) == len(groups) * len({config.cohort for config in GAP})


def test_cohorts_are_apart_and_have_enough_digits():
    first, second = (
        article_gap.choose_cohort(vary(SMALL, cohort=cohort), TRAIN) for cohort in (1, 2)
    )
    assert sorted(first + second) == ["c0", "c1", "c3", "c4"]
    with pytest.raises(ValueError, match="Cohort 3 of 2 clients needs 6 clients.*Found 4"):
        article_gap.choose_cohort(vary(SMALL, cohort=3), TRAIN)


def test_digits_as_they_are_stay_and_others_are_a_function_of_seed_split_and_client():
    kept = article_gap.change_digits(TRAIN, ["c1"], SMALL, 0, "train")
    assert tiny.same_bits(kept.examples("c1"), TRAIN.examples("c1"))

    def change(seed, split, *client_ids):
        changed = article_gap.change_digits(TRAIN, client_ids, MOVED, seed, split)
        return changed.examples("c1").pixels

    first = change(0, "train", "c1")
    assert np.array_equal(first, change(0, "train", "c0", "c1"))
    assert not np.array_equal(first, change(1, "train", "c1"))
    assert not np.array_equal(first, change(0, "test", "c1"))


def test_digits_move_by_each_shift_up_to_the_largest():
    dots = np.ones((400, 28, 28), np.float32)
    dots[:, 14, 14] = 0
    held = {"ann": data.client_data.Examples(dots, np.zeros(400, np.int32))}
    config = vary(SMALL, max_shift=2)
    moved = article_gap.change_digits(
        MemoryClientData(held, held.__getitem__), ["ann"], config, 0, "train"
    )
    _, rows, columns = np.nonzero(moved.examples("ann").pixels == 0)
    assert set(zip(rows, columns, strict=True)) == {
        (row, column) for row in range(12, 17) for column in range(12, 17)
    }


def test_a_run_has_the_metric_of_each_round_and_the_accuracy_on_its_own_clients(dataset):
    records = run(MOVED, dataset, 3)
    cohort = article_gap.choose_cohort(MOVED, TRAIN)
    assert [record["round_num"] for record in records] == [1, 2]
    assert records[-1]["client_ids"] == " ".join(cohort)
    assert records[-1]["num_test_examples"] == sum(map(TEST.num_examples, cohort))
    row = article_gap.summarize(MOVED, records)
    assert list(row) == list(GapConfig.RESULTS)
    assert (row["first_loss"], row["loss"]) == (records[0]["loss"], records[1]["loss"])
    assert article_gap.summarize(MOVED, run(MOVED, dataset, 3)) | {"seconds": 0} == row | {
        "seconds": 0
    }
    assert run(MOVED, dataset, 4)[0]["loss"] != row["first_loss"]


def test_the_first_metric_is_that_of_the_first_weights_on_the_capped_digits(dataset):
    one_batch = vary(SMALL, batch_size=9, num_rounds=1)
    (record,) = run(one_batch, dataset, 0)
    cohort = article_gap.choose_cohort(one_batch, TRAIN)
    examples = data.pool(TRAIN.select(cohort), 9)
    logits = studies.create_model(seed=0)(examples.pixels[..., None]).numpy().astype(float)
    largest = logits.max(axis=1, keepdims=True)
    log_sums = largest[:, 0] + np.log(np.exp(logits - largest).sum(axis=1))
    losses = log_sums - logits[np.arange(len(logits)), examples.labels]
    assert record["loss"] == pytest.approx(losses.mean(), rel=1e-5)


def test_the_files_of_the_study_and_its_page(dataset, monkeypatch, tmp_path):
    monkeypatch.setattr(data, "load", lambda name: dataset)
    configs = [
        vary(config, name=f"{config.group} | cohort {cohort}", cohort=cohort)
        for config in (SMALL, MOVED)
        for cohort in (1, 2)
    ]
    study = dataclasses.replace(STUDIES["article_gap"], configs=configs, run_fn=run)
    study_actions.run_study(
        study, None, [0, 1], folder=tmp_path / "runs", out=tmp_path, notice_fn=lambda text: None
    )
    runs = report.read_csv(tmp_path / "article_gap.csv")
    assert [GapConfig.from_row(row) for _, row in runs.iterrows()][::2] == configs
    curves = report.read_csv(tmp_path / "article_gap_curves.csv")
    assert list(curves) == ["name", "seed", "round_num", "accuracy", "loss"]
    last = curves[curves.round_num == 2].loss.to_numpy()
    assert last == pytest.approx(runs.loss.to_numpy(), abs=5e-5)
    said = []
    assert study_actions.run_again(
        study, configs[-1:], None, [1], out=tmp_path, notice_fn=said.append
    )
    assert "to the last bit" in said[-1]

    table = article_gap.summarize_settings(runs)
    assert table.index.tolist() == ["small", "moved"] and table.num_runs.tolist() == [4, 4]
    assert table["mean"]["moved"] == pytest.approx(runs.loss[4:].mean())
    assert (table.low <= table["mean"]).all() and (table["mean"] <= table.high).all()
    assert (table.smallest <= table.low).all() and (table.high <= table.largest).all()
    text = study_actions.write_report(study, "tiny", tmp_path).read_text()
    assert text.count("\n| ") == 5 and f"| moved | {table['mean']['moved']:.3f} [" in text


def test_the_stored_results_are_those_of_the_study_s_configurations():
    runs = report.read_csv(studies.ROOT / "results" / "article_gap.csv")
    configs = [GapConfig.from_row(row) for _, row in runs[runs.seed == 0].iterrows()]
    assert configs == GAP and len(runs) == 5 * len(GAP)
    curves = report.read_csv(studies.ROOT / "results" / "article_gap_curves.csv")
    assert set(curves.name) == set(runs.name) and len(curves) == 10 * len(runs)
