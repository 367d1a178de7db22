"""The studies of language models: who takes part, what is planted, what a server reads."""

import math
from itertools import compress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from fedlab import data
from fedlab.attacks import extraction
from fedlab.experiments.language import judge as judging
from fedlab.experiments.language import leaks, summary, training
from fedlab.experiments.language.configs import LANGUAGE
from fedlab.experiments.language.leak_configs import LeakConfig
from fedlab.experiments.language.settings import LanguageConfig
from fedlab.experiments.settings import vary

RESULTS = Path(__file__).resolve().parents[2] / "results"
SMALL = LanguageConfig(
    name="small", group="test", size="small", num_people=3, num_clients=3, num_rounds=2,
    max_windows=8, client_optimizer="adam", client_learning_rate=0.001, num_repeats=6,
    evaluate_every=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def plays():
    return data.load("plays")


def run(config, plays, seed=0):
    return training.run(config, plays, seed, remember_fn=None, progress_fn=lambda share: None)


@pytest.fixture(scope="module")
def records(plays):
    return run(SMALL, plays)


def test_a_run_repeats_and_its_row_has_the_columns_of_the_file(records, plays):
    again = run(SMALL, plays)
    row, other = (training.summarize(SMALL, each) for each in (records, again))
    assert tuple(row) == LanguageConfig.RESULTS
    is_repeated = [not name.startswith("seconds") for name in row]
    assert list(compress(row.values(), is_repeated)) == list(compress(other.values(), is_repeated))
    assert [each["round_num"] for each in records] == [0, 1, 2]
    assert row["membership_auc"] is None  # nobody was left out
    assert row["num_population"] == 3 and math.isinf(row["epsilon"])


def test_another_seed_has_another_secret(records, plays):
    other = run(vary(SMALL, num_rounds=1), plays, seed=1)
    assert other[0]["secret_rank"] != records[0]["secret_rank"]


LONGER = vary(SMALL, num_rounds=3)


@pytest.fixture(scope="module")
def never(plays):
    """The run in which the client never joins."""
    return run(vary(LONGER, joins_after=3), plays)[-1]


@pytest.fixture(scope="module")
def with_it(plays):
    """The run in which the client joins after the first round, and stays."""
    return run(vary(LONGER, joins_after=1), plays)[-1]


def test_a_client_that_never_joins_leaves_the_model_of_the_others(plays, never, with_it):
    """Retraining without a client is the run that goes on from before its first round."""
    said_once = run(vary(LONGER, joins_after=3, num_repeats=1), plays)[-1]
    assert said_once["bits"] == never["bits"] != with_it["bits"]


def test_going_back_to_a_checkpoint_gives_the_model_of_those_who_stay(plays, never, with_it):
    """The run with the client came between, on the same process and from a copy of the same folder."""
    back = run(vary(LONGER, joins_after=1, goes_back=True), plays)
    assert [record["round_num"] for record in back] == [0, 1, 2, 3, 4, 5]
    for name in ("bits", "exposure", "owner_gain"):
        assert back[-1][name] == never[name] != with_it[name]
    assert back[3]["exposure"] == with_it["exposure"]  # before it left
    assert back[-1]["owner_gain"] < with_it["owner_gain"]
    assert back[-1]["seconds_after_leaving"] > 0 and with_it["seconds_after_leaving"] is None


def test_masks_change_nothing_but_the_rounding(records, plays):
    plain, masked = records[-1], run(vary(SMALL, secure_sum="secagg"), plays)[-1]
    assert SMALL.secure_sum == "plain"
    assert masked["exposure"] == pytest.approx(plain["exposure"], abs=0.1)
    assert masked["bits"] == pytest.approx(plain["bits"], abs=0.01)


def test_all_repeats_are_in_the_windows_that_train(plays):
    judge = judging.Judge(SMALL, plays, 0, lambda share: None)
    said = judge.secret.tokens.tolist()
    rows = [
        np.append(tokens, following[-1])
        for tokens, following in zip(*judge.train.examples(judge.owner), strict=True)
    ]
    holds = [
        any(row[k : k + len(said)].tolist() == said for k in range(len(row) - len(said) + 1))
        for row in rows
    ]
    assert (len(rows), sum(holds)) == (SMALL.max_windows, SMALL.num_repeats)


def test_noise_is_that_of_the_plan(plays):
    config = vary(SMALL, clip=0.5, target_epsilon=8.0)
    plan = training.build_plan(config, 3)
    assert plan.epsilon == pytest.approx(8.0, rel=0.01) and plan.delta == pytest.approx(1 / 30)
    assert training.build_plan(SMALL, 3) is None
    assert training.build_plan(vary(SMALL, clip=0.5), 3).noise_multiplier == 0
    assert training.build_plan(vary(SMALL, clip=0.5, noise=0.25), 3).noise_multiplier == 0.25


def test_text_in_one_place_is_everybodys(plays):
    config = vary(SMALL, is_pooled=True, num_clients=1, num_repeats=0)
    judge = judging.Judge(config, plays, 0, lambda share: None)
    assert judge.train.client_ids == [judging.POOLED_ID]
    assert len(judge.train.examples(judging.POOLED_ID).tokens) == 3 * SMALL.max_windows


def test_the_half_that_is_left_out_is_drawn_and_never_trains(plays):
    config = vary(SMALL, leaves_out_half=True, num_people=6, num_repeats=0)
    judges = [judging.Judge(config, plays, seed, lambda share: None) for seed in (0, 1)]
    halves = [(set(each.train.client_ids), set(each._left_out.client_ids)) for each in judges]
    for members, others in halves:
        assert len(members) == len(others) == 3 and not members & others
    assert halves[0] != halves[1]


def test_images_are_refused():
    digits = data.load("digits", num_clients=5)
    with pytest.raises(ValueError, match="--dataset plays"):
        run(SMALL, digits)
    with pytest.raises(ValueError, match="--dataset plays"):
        leaks.run(LeakConfig(name="x"), digits, 0, remember_fn=None, progress_fn=lambda share: None)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"trained": "lora"}, "needs rank"),
        ({"rank": 4}, "needs rank"),
        ({"target_epsilon": 8.0}, "needs a clip"),
        ({"noise": 1.0}, "needs a clip"),
        ({"noise": 1.0, "target_epsilon": 8.0, "clip": 1.0}, "give one"),
        ({"secure_sum": "secagg", "clip": 1.0}, "without a clip"),
        ({"joins_after": 1, "clip": 1.0}, "without a clip"),
        ({"leaves_after": 2}, "before the last round"),
        ({"leaves_after": 1, "joins_after": 1}, "after joins_after"),
        ({"goes_back": True}, "joins_after"),
        ({"goes_back": True, "joins_after": 2}, "from 1 to 1"),
        ({"is_pooled": True}, "num_clients=1"),
        ({"leaves_after": 1, "num_repeats": 0}, "num_repeats"),
        ({"leaves_after": 1, "num_clients": 2}, "num_people"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        vary(SMALL, **changes)


def test_more_people_than_there_are_is_refused(plays):
    with pytest.raises(ValueError, match="at most 346"):
        run(vary(SMALL, num_people=400, num_clients=3, joins_after=0), plays)


def test_the_nine_secrets_of_the_study_differ():
    names = {config.name for config in LANGUAGE}
    assert len(names) == len(LANGUAGE)
    tokenizer = data.load_byte_pairs()
    seeds = [1000 * number + seed for number in range(3) for seed in range(3)]
    secrets = {extraction.draw_secret(tokenizer, seed=seed).chosen for seed in seeds}
    assert len(secrets) == 9


def test_what_a_silo_leaves_is_counted_from_when_it_left():
    runs = pd.read_csv(RESULTS / "language.csv")
    table = summary.unlearning(runs)
    assert table.trainings.tolist() == [0, 45, 105, 60, 45]
    assert table.megabytes.tolist() == pytest.approx(table.trainings * 2 * 4 * 168_768 / 1e6)
    assert table.seconds.isna().tolist() == [True, False, False, False, False]
    assert table.gap.iloc[0] > 0 == table.gap.iloc[3]


def test_the_noise_on_the_mean_is_as_long_as_its_directions_make_it():
    price = summary.price(pd.read_csv(RESULTS / "language.csv"))
    assert price.index[:2].tolist() == ["all parameters, no noise", "adapters, no noise"]
    # The noise on the mean of 40 clients: 0.593 clips on the sum, in each of 8,192 numbers.
    length = price.noise_length["adapters, epsilon 8"]
    assert length == pytest.approx(0.593 / 40 * 8192**0.5, rel=1e-3)
    assert price.noise_length.isna().sum() == 2
    runs = pd.read_csv(RESULTS / "language.csv")
    rows = runs[runs.name == "adapters, epsilon 8"]
    assert price.gain["adapters, epsilon 8"].mean == (rows.bits_at_start - rows.bits).mean()


def test_what_lessons_draw_is_what_is_stored():
    runs, curves = (pd.read_csv(RESULTS / f"language{end}.csv") for end in ("", "_curves"))
    networks = summary.compare_networks(runs)
    lstm = runs[(runs.group == "recurrent")].groupby("name").unseen_bits.mean()
    rows = runs[runs.name == lstm.idxmin()]
    assert networks.gained["LSTM"] == (rows.unseen_bits_at_start - rows.unseen_bits).mean()
    assert networks.kilobytes.tolist() == [4 * 168_768 / 1000, 4 * 197_632 / 1000]
    (drawn,) = summary.curves_of(curves, {"never": "4 silos, never said"}).values()
    assert [run.seed.unique().tolist() for run in drawn] == [[0], [1], [2]]
    guessed = summary.membership(runs)["adapters, epsilon 8"]
    stored = runs[(runs.group == "membership") & runs.name.str.endswith("adapters, epsilon 8")]
    assert guessed == tuple(
        stored[f"membership_{column}"].mean() for column in ("auc", "low", "high")
    )


def test_noise_between_four_silos_is_as_long_as_its_directions_make_it():
    table = summary.few_silos(pd.read_csv(RESULTS / "language.csv"))
    row = table.loc[0.03]
    assert row.length == pytest.approx(0.03 * 168_768**0.5)
    assert row.along == pytest.approx(0.03 * 30**0.5) and row.pull == 30
    assert [len(ranks) for ranks in table.ranks] == [3] * 5


def test_runs_of_each_protection_are_put_together():
    runs = pd.read_csv(RESULTS / "language.csv")
    table = summary.protection(runs)
    assert (table.runs == 9).all() and table.ranks.str.len().tolist() == [9] * 8
    few = summary.protection(runs[runs.seed == 0])
    assert (few.runs == 3).all() and few.p.isna().all()


def test_ranks_of_secrets_nobody_said_look_uniform_and_first_ranks_do_not():
    ranks = scipy.stats.randint(1, 10_001).rvs(9, random_state=0)
    assert summary.uniform_p_value(ranks) > 0.05
    assert summary.uniform_p_value([1] * 9) < 1e-6


def test_the_cap_is_that_of_the_definition():
    assert summary.attack_cap(0, 0) == 1e-4
    assert summary.attack_cap(1, 0.01) == pytest.approx(math.e * 1e-4 + 0.01)
    assert summary.attack_cap(1e9, 0) == 1


def leak(plays, **changes):
    config = LeakConfig(name="x", num_cases=2, **changes)
    found = leaks.run(config, plays, 0, remember_fn=None, progress_fn=lambda share: None)
    return leaks.summarize(config, found)


def test_one_window_is_read_and_a_sum_gives_its_bag(plays):
    alone = leak(plays)
    assert alone["least_window_share"] == alone["bag_precision"] == alone["bag_recall"] == 1
    masked = leak(plays, num_clients=3, secure_sum="secagg")
    assert masked["window_share"] < 0.5
    assert masked["bag_precision"] == masked["bag_recall"] == 1


def test_short_texts_of_several_are_read_by_the_span(plays):
    found = leak(plays, num_clients=2, context=16)
    assert found["places_recall"] == 1 and found["places_false"] < 100


def test_an_update_of_adapters_gives_away_what_is_no_longer_than_the_rank(plays):
    options = {"trained": "lora", "num_epochs": 3, "client_learning_rate": 0.5}
    short = leak(plays, rank=4, context=4, **options)
    assert short["places_recall"] > 0.9 and short["places_false"] < 2
    assert math.isnan(short["window_share"]) and math.isnan(short["bag_precision"])
    masked = leak(plays, rank=16, context=4, num_clients=3, secure_sum="secagg", **options)
    assert masked["places_recall"] > 0.9
    assert leak(plays, rank=4, context=64, **options)["places_recall"] == 0


def test_noise_spoils_the_closed_form(plays):
    assert leak(plays, noise=3.0)["window_share"] < 0.2
