"""A client that fails is named, the state stays as it was, and the next round works."""

import functools
import pickle
import threading
from collections.abc import Mapping

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny
from helpers.spoilt_clients import SPOILT, copy
from helpers.tff_processes import (
    FUNCTIONAL,
    VARIABLE,
    fed_avg,
    fed_prox,
    sgd,
    unweighted,
    without_noise,
)

from fedlab import runtime

PROCESSES = {
    "FedAvg": fed_avg,
    "FedAvg, unweighted": unweighted,
    "FedAvg, a VariableModel": lambda: fed_avg(VARIABLE),
    "FedProx": fed_prox,
    "FedSGD": lambda: tff.learning.algorithms.build_fed_sgd(FUNCTIONAL, sgd()),
    "DP": lambda: unweighted(without_noise("gaussian_fixed", clip=0.1)),
}


@functools.cache
def build(name):
    return PROCESSES[name]()


@functools.cache
def create_runner(name, on_client_error="raise"):
    return runtime.compile(build(name), num_workers=2, on_client_error=on_client_error)


def create_cohort(*spoilt_clients, spoil="NaN"):
    cohort = tiny.create_cohort(5, 8, 3, 12)
    return cohort | {name: SPOILT[spoil](cohort[name]) for name in spoilt_clients}


CASES = [(name, spoil) for name in PROCESSES for spoil in ("NaN", "Inf")]
CASES += [("FedAvg", spoil) for spoil in SPOILT if spoil not in ("NaN", "Inf")]
CASES += [("FedAvg, a VariableModel", "a failure in the data")]


@pytest.mark.parametrize("name, spoil", CASES)
def test_the_client_is_named_and_the_round_did_not_happen(name, spoil):
    runner = create_runner(name)
    state = runner.initialize()
    before, expected = copy(state), runner.next(state, create_cohort())
    with pytest.raises(runtime.ClientError, match="'c2'") as caught:
        runner.next(state, create_cohort("c2", "c3", spoil=spoil))
    assert caught.value.client_id == "c2"
    assert tiny.same_bits(state, before)
    assert tiny.same_bits(runner.next(state, create_cohort()), expected)


@pytest.mark.parametrize("name, spoil", CASES)
def test_dropped_clients_change_nothing_and_are_listed(name, spoil):
    runner = create_runner(name, "drop")
    state = runner.initialize()
    found = runner.next(state, create_cohort("c0", "c2", spoil=spoil))
    assert list(runner.dropped) == ["c0", "c2"]
    assert all(
        ("finite" if spoil in ("NaN", "Inf") else "failed") in why
        for why in runner.dropped.values()
    )
    without = {name: batches for name, batches in create_cohort().items() if name in ("c1", "c3")}
    assert tiny.same_bits(found, runner.next(state, without))
    assert runner.dropped == {}


@pytest.mark.parametrize("on_client_error", ["raise", "drop"])
def test_a_round_without_anyone_left_does_not_happen(on_client_error):
    runner = create_runner("FedAvg", on_client_error)
    with pytest.raises(runtime.ClientError) as caught:
        runner.next(runner.initialize(), create_cohort("c0", "c1", "c2", "c3"))
    assert caught.value.client_id == "c0"
    assert ("every other" in str(caught.value)) == (on_client_error == "drop")


def test_the_reason_is_what_tensorflow_says_went_wrong():
    runner = create_runner("FedAvg")
    with pytest.raises(runtime.ClientError, match="no data") as caught:
        runner.next(runner.initialize(), create_cohort("c1", spoil="a failure in the data"))
    assert isinstance(caught.value.__cause__, tf.errors.InvalidArgumentError)


def test_a_client_that_fails_does_not_end_the_others():
    cohort = create_cohort("c1", spoil="a failure in the data")
    cohort["c0"] = cohort["c0"].repeat(300)  # still at work when the next fails
    runner = create_runner("FedAvg")
    with pytest.raises(runtime.ClientError, match="'c1'"):
        runner.next(runner.initialize(), cohort)
    runner = create_runner("FedAvg", "drop")
    state = runner.initialize()
    found = runner.next(state, cohort)
    assert list(runner.dropped) == ["c1"]
    del cohort["c1"]
    assert tiny.same_bits(found, runner.next(state, cohort))


def test_a_failing_round_does_not_end_another_thread_s():
    good, bad = create_runner("FedAvg"), create_runner("FedProx")
    state, found = good.initialize(), []
    slow = {name: batches.repeat(100) for name, batches in create_cohort().items()}
    expected = good.next(state, slow)
    thread = threading.Thread(target=lambda: found.append(good.next(state, slow)))
    thread.start()
    while thread.is_alive():
        with pytest.raises(runtime.ClientError, match="'c0'"):
            bad.next(bad.initialize(), create_cohort("c0", spoil="a failure in the data"))
    assert tiny.same_bits(found[0], expected)


class Half(Mapping):
    """Every second client's file cannot be read."""

    def __init__(self):
        self.held = create_cohort()

    def __getitem__(self, client_id):
        if client_id in ("c0", "c2"):
            raise OSError("The disk is full.")
        return self.held[client_id]

    def __iter__(self):
        return iter(self.held)

    def __len__(self):
        return len(self.held)


def test_data_that_cannot_be_made_is_its_own_client_s_failure():
    with pytest.raises(runtime.ClientError, match="disk is full") as caught:
        create_runner("FedAvg").next(create_runner("FedAvg").initialize(), Half())
    assert caught.value.client_id == "c0"
    assert isinstance(caught.value.__cause__, OSError)
    runner = create_runner("FedAvg", "drop")
    runner.next(runner.initialize(), Half())
    assert list(runner.dropped) == ["c0", "c2"]


def test_clients_of_a_list_are_named_by_their_places():
    runner = create_runner("FedAvg")
    with pytest.raises(runtime.ClientError) as caught:
        runner.next(runner.initialize(), list(create_cohort("c1").values()))
    assert caught.value.client_id == "#1"


def test_an_error_travels_between_processes():
    for error_type in (runtime.ClientError, runtime.NonFiniteUpdateError):
        assert type(pickle.loads(pickle.dumps(error_type("c7", "failed")))) is error_type
    error = pickle.loads(pickle.dumps(runtime.ClientError("c7", "failed: no data")))
    assert (error.client_id, error.reason) == ("c7", "failed: no data")
    assert "'c7' failed: no data" in str(error)


# Bad input


@pytest.mark.parametrize(
    "options, message",
    [
        ({"runtime": "spark"}, "one of local, tff, ray. Found 'spark'"),
        ({"on_client_error": "ignore"}, "one of raise, drop. Found 'ignore'"),
        ({"num_workers": 0}, "at least 1. Found 0"),
        ({"num_threads": 2}, "num_threads: not an option"),
        ({"runtime": "tff", "on_client_error": "drop"}, "not for TFF's own"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        runtime.compile(create_runner("FedAvg").process, **options)


@pytest.mark.parametrize("name", ["local", "tff"])
@pytest.mark.parametrize(
    "cohort, error",
    [
        ({}, ValueError),
        ([], ValueError),
        (create_cohort()["c0"], TypeError),
        (3, TypeError),
        ((batches for batches in create_cohort().values()), TypeError),
        (set(create_cohort()), TypeError),
    ],
)
def test_cohorts_are_checked(name, cohort, error):
    runner = runtime.compile(create_runner("FedAvg").process, name)
    state = runner.initialize()
    with pytest.raises(error, match="cohort must"):
        runner.next(state, cohort)
    assert tiny.same_bits(state, runner.initialize())


def test_another_model_s_state_is_refused():
    runner = create_runner("FedAvg")
    for other in (create_runner("DP").initialize(), {"global_model_weights": 1}, 3, None):
        with pytest.raises((TypeError, ValueError)):
            runner.next(other, create_cohort())


@pytest.mark.parametrize("shape", [(784, 11), (10, 784), (7840,), ()])
def test_weights_of_another_shape_are_refused(shape):
    runner = create_runner("FedAvg")
    state = runner.initialize()
    other = tf.nest.map_structure(
        lambda one: np.zeros(shape, np.float32) if np.shape(one) == (784, 10) else one, state
    )
    with pytest.raises((TypeError, ValueError)):
        runner.next(other, create_cohort())


@pytest.mark.parametrize("name", ["FedAvg", "DP"])
def test_a_state_that_is_not_finite_is_refused(name):
    runner = create_runner(name)
    state = tf.nest.map_structure(
        lambda one: one * np.float32(np.inf) if np.shape(one) == (784, 10) else one,
        runner.initialize(),
    )
    with pytest.raises(runtime.NonFiniteStateError, match="in the state is not finite"):
        runner.next(state, create_cohort())
