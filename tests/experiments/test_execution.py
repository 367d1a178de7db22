"""One run: the same numbers again, paired with its like, and evaluated as federated evaluation does."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from helpers import studies, tiny
from helpers.studies import CONFIG, change, create_model

from fedlab import data, evaluation, experiments, models, runtime, training
from fedlab.data import sampling
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.experiments import central_training, compilation, execution, partitions
from fedlab.experiments.execution import summarize
from fedlab.learning import build_fed_avg
from fedlab.models import build_functional_model

DATASET = studies.create_dataset()


def run(config=CONFIG, seed=0, dataset=DATASET, **options):
    return experiments.run(config, dataset, seed, create_fn=create_model, **options)


def numbers(records):
    return records.drop(columns="seconds")


def assert_same(one, other):
    pd.testing.assert_frame_equal(numbers(one), numbers(other), check_exact=True)


@pytest.fixture(scope="module")
def records():
    return run()


def test_a_run_is_run_rounds_with_the_seed_s_weights(records):
    model = build_functional_model(lambda: create_model(7))  # not the seed's: these must not count
    ids = studies.TRAIN.client_ids
    trained = training.run_rounds(
        build_fed_avg(model, client_learning_rate=0.1),
        build_cohort_fn(studies.TRAIN, sampling.fixed(ids[:3]), Preprocessing(batch_size=4)),
        3,
        evaluate_fn=evaluation.build_evaluate_fn(model, studies.TEST),
        initial_weights=central_training.Network(create_model).initial_weights(0),
        callbacks=[],
    )
    for name in ("eval_loss", "eval_accuracy"):
        expected = [record[name] for record in trained.records]
        np.testing.assert_allclose(records[name][1:], expected, rtol=0, atol=1e-6)
    answers = evaluation.predict(trained.weights, studies.TEST, create_fn=create_model)
    first = answers[answers.client_id.isin(ids[:5])]
    assert records.five_accuracy.iloc[-1] == evaluation.accuracy(first)
    found = evaluation.fairness(evaluation.per_client(answers).accuracy)
    assert records.worst_decile_accuracy.iloc[-1] == found.worst
    assert records.best_decile_accuracy.iloc[-1] == found.best
    assert records.client_accuracy_std.iloc[-1] == found["std"]
    assert records.round_num.tolist() == [0, 1, 2, 3]
    assert records.worst_decile_accuracy[:3].isna().all()


def test_the_pooled_test_gives_what_federated_evaluation_gives():
    sizes = [300, 7, 256, 1]  # more than a batch, and a batch exactly
    dataset = studies.create_dataset(test=tiny.create_data(*sizes))
    network = central_training.Network(create_model)
    weights = network.initial_weights(3)
    answers = network.predict(weights, dataset.pooled_test)
    model = build_functional_model(create_model)
    found = evaluation.build_evaluate_fn(model, dataset.test)(0, weights)
    right = answers.prediction == dataset.pooled_test.labels
    assert right.mean() == pytest.approx(found["eval_accuracy"], abs=1e-6)
    assert answers.loss.mean() == pytest.approx(found["eval_loss"], abs=1e-6)
    assert dataset.test_owners.tolist() == [f"c{k}" for k in range(4) for _ in range(sizes[k])]


CHANGES = {
    "uniform": {"sampling": "uniform", "shuffle": True, "num_epochs": 2},
    "iid": {"partition": "iid"},
    "dirichlet": {"partition": "dirichlet", "alpha": 0.5, "sampling": "uniform"},
    "decay": {"client_rate_decay": 0.5},
    "pretrained": {"pretrained": True, "num_rounds": 1},
    "central": {"algorithm": "central", "client_optimizer": "adam", "shuffle": True},
    "stragglers": {"straggler_rate": 0.5, "sampling": "uniform"},
    "augmented": {"augmentation": "shift", "shuffle": True},
    "FedAdam": {"algorithm": "fed_adam", "server_learning_rate": 0.01},
}

CACHES = {
    "uniform": (compilation._compile,),
    "dirichlet": (partitions._deal,),
    "pretrained": (execution._pretrain, central_training.build_network),
    "central": (central_training.build_network,),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_csv_line_and_a_seed_give_the_same_numbers_bit_for_bit(name):
    config = change(name=name, **CHANGES[name])
    text = pd.DataFrame([config.to_row()]).to_csv(index=False)
    (row,) = csv.DictReader(io.StringIO(text))
    once = run(config, 1)
    for cached in CACHES.get(name, ()):  # with these empty it is a new process's run
        cached.cache_clear()
    assert_same(run(experiments.RunConfig.from_row(row), 1, studies.create_dataset()), once)
    other = run(config, 2)
    assert (other.eval_loss != once.eval_loss).all()


def test_the_process_is_built_once_for_what_differs_in_seed_cohort_or_batches():
    compilation._compile.cache_clear()
    run(CONFIG)
    run(CONFIG, 5)
    run(change(batch_size=2, sampling="uniform", num_rounds=1, partition="iid"))
    assert compilation._compile.cache_info().misses == 1
    run(change(client_learning_rate=0.2))
    assert compilation._compile.cache_info().misses == 2


def test_runs_of_one_seed_start_alike():
    runs = [run(CONFIG), run(change(num_clients=5)), run(change(algorithm="central"))]
    assert len({one.eval_loss[0] for one in runs}) == 1
    assert len({one.eval_loss[3] for one in runs}) == 3


def test_fed_prox_without_a_pull_is_fed_avg(records):
    assert_same(run(change(algorithm="fed_prox", mu=0.0)), records)


LOCAL = {"num_epochs": 3, "num_rounds": 2}  # with one local step FedProx is FedAvg, whatever mu
SETTINGS = [
    ({}, {"num_clients": 4}),
    ({}, {"sampling": "uniform"}),
    ({}, {"batch_size": 5}),
    ({}, {"num_epochs": 2}),
    ({}, {"shuffle": True}),
    ({}, {"max_examples": 5}),
    ({}, {"augmentation": "mirror"}),
    ({}, {"pretrained": True}),
    ({}, {"partition": "iid"}),
    ({"num_clients": 7}, {"straggler_rate": 0.9}),
    ({"partition": "dirichlet", "alpha": 100}, {"alpha": 0.1}),
    (LOCAL, {"algorithm": "fed_prox", "mu": 1.0}),
    (LOCAL | {"algorithm": "fed_adam", "server_learning_rate": 0.01}, {"mu": 1.0}),
    (LOCAL, {"algorithm": "fed_avgm", "momentum": 0.9}),
    (LOCAL, {"server_learning_rate": 0.5}),
]


@pytest.mark.parametrize("base, changes", SETTINGS)
def test_every_setting_reaches_the_run(base, changes):
    one, other = run(change(**base)), run(change(**base | changes))
    assert one.eval_loss.iloc[-1] != other.eval_loss.iloc[-1]


def test_the_models_are_those_of_the_configuration():
    assert execution._create_fn(CONFIG) is models.create_cnn
    assert execution._create_fn(change(model="deeper_cnn")) is models.create_deeper_cnn


def test_a_rate_of_0_leaves_the_model():
    for algorithm in ("fed_avg", "central"):
        found = run(change(algorithm=algorithm, client_learning_rate=0.0))
        assert found.eval_loss.nunique() == 1


def test_one_client_that_holds_all_is_central_training():
    pooled = data.pool(studies.TRAIN)
    one = tiny.MemoryClientData(["all"], {"all": pooled}.__getitem__)
    federated = run(change(num_clients=1), dataset=studies.create_dataset(train=one))
    found = run(change(algorithm="central"))
    np.testing.assert_allclose(found.eval_loss, federated.eval_loss, rtol=1e-5)
    adam = change(num_clients=1, num_rounds=1, client_optimizer="adam", client_learning_rate=0.01)
    federated = run(adam, dataset=studies.create_dataset(train=one))
    found = run(change(adam, algorithm="central"))
    np.testing.assert_allclose(found.eval_loss, federated.eval_loss, rtol=1e-4)


def test_the_decay_is_a_factor_a_round():
    for algorithm in ("fed_avg", "central"):
        decayed = run(change(algorithm=algorithm, client_rate_decay=1e-30))  # 1 round, then none
        plain = run(change(algorithm=algorithm))
        assert decayed.eval_loss[1] == pytest.approx(plain.eval_loss[1], rel=1e-6)
        assert decayed.eval_loss[3] == pytest.approx(decayed.eval_loss[1], rel=1e-6)
        assert plain.eval_loss[3] != pytest.approx(plain.eval_loss[1], rel=1e-3)


def test_evaluations_come_when_they_are_due_and_after_the_last_round(records):
    found = run(change(evaluate_every=2))
    assert found.round_num.tolist() == [0, 2, 3]
    assert found.eval_loss.tolist() == records.eval_loss[[0, 2, 3]].tolist()
    found = run(change(evaluate_every=2, algorithm="central"))
    assert found.round_num.tolist() == [0, 2, 3]


@pytest.mark.parametrize("algorithm", ["fed_avg", "central"])
def test_a_run_ends_at_its_target(algorithm):
    config = change(algorithm=algorithm, num_rounds=40, num_clients=7)
    long = run(config)
    target = float(long.eval_accuracy.max())
    first = int(long.round_num[long.eval_accuracy >= target].min())
    short = run(change(config, stop_at_accuracy=target))
    assert short.round_num.iloc[-1] == first < 40
    assert short.eval_loss.tolist() == long.eval_loss[: first + 1].tolist()
    found = summarize(short, target)
    assert (found["rounds_to_target"], found["num_rounds_done"]) == (first, first)
    assert summarize(long, 1.0)["rounds_to_target"] is None or target == 1.0


def test_a_rule_on_held_out_writers_ends_the_run():
    """At a rate of 0 nothing rises, so the run ends after the first evaluation and the patience."""
    still = change(client_learning_rate=0.0, num_rounds=9, patience=2)
    assert run(still).round_num.tolist() == [0, 1, 2, 3]
    assert run(change(still, evaluate_every=2)).round_num.tolist() == [0, 2, 4, 6]


def test_held_out_writers_do_not_train():
    """Of seven writers the last is held out, so that six take part, whoever is asked for."""
    everyone = change(num_clients=7, patience=9)
    with pytest.raises(ValueError, match="between 1 and 6 .* Found 7"):
        run(everyone)
    few = studies.create_dataset(train=DATASET.train.select(DATASET.train.client_ids[:6]))
    six = change(num_clients=6)
    assert_same(run(change(six, patience=9)), run(six, dataset=few))
    one = DATASET.train.select(DATASET.train.client_ids[:1])
    with pytest.raises(ValueError, match="patience must hold out clients.* Found 1 client"):
        run(change(num_clients=1, patience=1), dataset=studies.create_dataset(train=one))


def test_a_server_that_diverges_is_a_result_too():
    found = run(change(server_learning_rate=3e38, client_learning_rate=50.0))
    assert found.iloc[-1].diverged_in_round == found.iloc[-1].round_num + 1


@pytest.mark.parametrize("algorithm", ["fed_avg", "central"])
def test_a_run_that_diverges_is_a_result(algorithm):
    rate = 1e38  # the first step overflows, or the second
    found = run(change(algorithm=algorithm, client_learning_rate=rate))
    last = found.iloc[-1]
    assert last.diverged_in_round == last.round_num + 1
    assert np.isfinite(found.eval_loss).all()
    assert summarize(found)["diverged_in_round"] == last.diverged_in_round
    assert summarize(run())["diverged_in_round"] is None


def test_a_client_that_fails_for_another_reason_is_an_error(monkeypatch):
    def fail(*args, **options):
        raise runtime.ClientError("c0", "failed: no such file")

    monkeypatch.setattr(execution, "run_rounds", fail)
    with pytest.raises(runtime.ClientError, match="no such file"):
        run()


def test_a_pre_trained_run_starts_where_the_public_digits_led():
    pooled = data.pool(studies.TEST)  # so that what was learnt can be seen in the test
    dataset = studies.create_dataset(public_fn=lambda: pooled)
    config = change(pretrained=True, client_learning_rate=0.0, num_rounds=1)
    found = run(config, dataset=dataset)
    assert found.eval_loss[0] < run().eval_loss[0] - 0.3
    assert found.eval_loss[1] == found.eval_loss[0]


def test_what_does_not_fit_the_data_is_refused():
    with pytest.raises(ValueError, match=r"between 1 and 7 .*'small'.* Found 8"):
        run(change(num_clients=8))
    with pytest.raises(ValueError, match="seed must be at least 0. Found -1"):
        run(seed=-1)
    two = studies.create_dataset(train=tiny.create_data(4, 4), test=tiny.create_data(2, 2))
    with pytest.raises(ValueError, match="some clients must become public. Found 2"):
        run(change(pretrained=True, num_clients=1), dataset=two)


def test_longer_runs_cost_more():
    cost = execution.estimate_cost(CONFIG, DATASET)
    for changes in (
        {"num_rounds": 4},
        {"num_clients": 4},
        {"num_epochs": 2},
        {"model": "deeper_cnn"},
    ):
        assert execution.estimate_cost(change(**changes), DATASET) > cost
    assert execution.estimate_cost(change(evaluate_every=3), DATASET) < cost
    shares = []
    run(progress_fn=shares.append)
    assert shares == [0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]
