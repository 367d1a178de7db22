"""Processes that are no `LearningProcess` run with the results of their own `next`."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

import fedlab
from fedlab import runtime
from fedlab.runtime.local.local_runner import FormRunner

NUMBERS = tff.SequenceType(np.float32)
STATE = tff.FederatedType(np.float32, tff.SERVER)
COHORT = {"a": [1.0, 2.0, 3.0], "b": [6.0]}


@tff.federated_computation
def initialize():
    return tff.federated_value(np.float32(1), tff.SERVER)


@tff.tensorflow.computation(NUMBERS, np.float32)
def add_up(numbers, start):
    return numbers.reduce(start, tf.add)


def mean(state, data):
    return tff.federated_mean(tff.federated_map(add_up, (data, tff.federated_broadcast(state))))


@tff.federated_computation(STATE, tff.FederatedType(NUMBERS, tff.CLIENTS))
def state_alone(state, data):
    return mean(state, data)


@tff.federated_computation(STATE, tff.FederatedType(NUMBERS, tff.CLIENTS))
def state_and_metrics(state, data):
    new = mean(state, data)
    metrics = collections.OrderedDict(old=state, new=new)
    return new, tff.federated_zip(metrics)


@pytest.mark.parametrize("name", ["local", "tff"])
@pytest.mark.parametrize(
    "next_fn, expected",
    [(state_alone, 7.0), (state_and_metrics, (7.0, {"old": 1.0, "new": 7.0}))],
    ids=["state alone", "state and metrics"],
)
def test_it_runs_with_its_own_results(name, next_fn, expected):
    process = tff.templates.IterativeProcess(initialize, next_fn)
    with fedlab.compile(process, name) as runner:
        assert (type(runner) is FormRunner) == (name == "local")
        output = runner.next(runner.initialize(), COHORT)
        assert output == expected
        assert type(output) is type(process.next(1.0, list(COHORT.values())))


def test_there_are_no_model_weights_in_its_state():
    runner = fedlab.compile(tff.templates.IterativeProcess(initialize, state_alone))
    with pytest.raises(TypeError, match="get_model_weights is for a LearningProcess"):
        runner.get_model_weights(1.0)


@pytest.mark.parametrize("process", [None, 3, initialize, "fed_avg"])
def test_what_is_no_process_is_refused(process):
    with pytest.raises(
        TypeError, match="process must be a TFF LearningProcess or IterativeProcess"
    ):
        fedlab.compile(process)


# Infinity that is meant


def test_an_infinite_bound_is_no_error():
    process = tff.learning.algorithms.build_weighted_fed_avg(
        fedlab.models.build_functional_model(tiny.create_model),
        client_optimizer_fn=tff.learning.optimizers.build_sgdm(0.1),
        model_aggregator=tff.aggregators.clipping_factory(
            float("inf"), tff.aggregators.MeanFactory()
        ),
    )
    for name in ("local", "tff"):
        runner = runtime.compile(process, name)
        output = runner.next(runner.initialize(), tiny.create_cohort())
        weights = runner.get_model_weights(output.state).trainable
        assert all(np.isfinite(array).all() for array in weights)
        assert any(array.any() for array in weights)


def test_an_infinite_metric_is_told_as_it_is():
    process = tff.learning.algorithms.build_fed_eval(
        fedlab.models.build_functional_model(tiny.create_model)
    )
    cohort = tiny.create_cohort()
    cohort["c1"] = cohort["c1"].map(lambda images, labels: (images * np.nan, labels))
    for name in ("local", "tff"):
        runner = runtime.compile(process, name)
        metrics = runner.next(runner.initialize(), cohort).metrics["client_work"]["eval"]
        current = metrics["current_round_metrics"]
        assert np.isnan(current["loss"])
        assert current["num_examples"] > 0
