"""Computations that are called directly run in this process, from anywhere."""

import asyncio
import threading
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny
from helpers.tff_processes import assert_close, assert_same_kind

from fedlab import runtime
from fedlab.runtime import context

CLIENTS = tff.FederatedType(np.float32, tff.CLIENTS)
SERVER = tff.FederatedType(np.float32, tff.SERVER)


@pytest.fixture(autouse=True)
def local():
    runtime.install()
    yield
    runtime.install()


@tff.federated_computation(CLIENTS)
def average(values):
    return tff.federated_mean(values)


@tff.tensorflow.computation(np.float32, np.float32)
def subtract(x, y):
    return x - y


@pytest.fixture(scope="module")
def no_form():
    """What is broadcast depends on what the clients have sent: there is no such form."""

    @tff.federated_computation(SERVER, CLIENTS)
    def center(state, values):
        mean = tff.federated_broadcast(tff.federated_mean(values))
        distance = tff.federated_map(subtract, (values, mean))
        return state, tff.federated_max(distance)

    return center


def run_in_tff(fn):
    runtime.install("tff")
    try:
        return fn()
    finally:
        runtime.install()


# What runs


def test_a_process_s_own_next_takes_a_list_of_data_sets():
    process, cohort = tiny.build_process(), list(tiny.create_cohort().values())

    def two_rounds():
        state = process.next(process.initialize(), cohort).state
        output = process.next(state, cohort)
        return output, process.get_model_weights(output.state), process.get_hparams(output.state)

    ours, theirs = two_rounds(), run_in_tff(two_rounds)
    assert_same_kind(ours, theirs)
    assert_close(ours, theirs)
    runner = runtime.compile(process)
    state = runner.next(runner.initialize(), cohort).state
    assert tiny.same_bits(runner.next(state, cohort), ours[0])


def test_values_of_clients_become_one_of_the_server():
    @tff.federated_computation(CLIENTS)
    def sums(values):
        squares = tff.federated_map(tff.tensorflow.computation(lambda x: x * x), values)
        return tff.federated_sum(values), tff.federated_sum(squares)

    assert average([1.0, 2.0, 6.0]) == 3
    assert average([5.0]) == 5
    for found in (sums([1.0, 2.0, 3.0]), run_in_tff(lambda: sums([1.0, 2.0, 3.0]))):
        assert tuple(found) == (6, 14)


def test_values_are_of_tff_s_types():
    @tff.federated_computation(tff.FederatedType([("a", np.int32), ("b", np.float32)], tff.CLIENTS))
    def total(values):
        return tff.federated_sum(values)

    values = [{"a": 1, "b": 0.5}, {"a": 2, "b": 0.25}]
    ours, theirs = total(values), run_in_tff(lambda: total(values))
    assert_same_kind(ours, theirs)
    assert_close(ours, theirs)


def test_tensorflow_computations():
    @tff.tensorflow.computation(tff.SequenceType(np.int32))
    def total(numbers):
        return numbers.reduce(np.int32(0), lambda x, y: x + y)

    @tff.tensorflow.computation
    def constant():
        return {"a": tf.constant([1.0, 2.0]), "b": "text"}

    assert subtract(5.0, 2.0) == 3
    assert total(tf.data.Dataset.range(5, output_type=tf.int32)) == 10
    assert_same_kind(constant(), run_in_tff(constant))
    assert tiny.same_bits(constant()["a"], np.array([1, 2], np.float32))


def test_a_value_at_the_server_out_of_nothing():
    @tff.federated_computation
    def three():
        return tff.federated_value(np.float32(3), tff.SERVER)

    assert three() == run_in_tff(three) == 3


def test_a_client_that_fails_is_named_by_its_place():
    process, cohort = tiny.build_process(), list(tiny.create_cohort().values())
    cohort[1] = cohort[1].map(lambda images, labels: (images * np.nan, labels))
    with pytest.raises(runtime.ClientError, match="'#1'"):
        process.next(process.initialize(), cohort)


# From anywhere


def test_inside_a_running_event_loop():
    async def cell():
        return average([1.0, 2.0])

    assert asyncio.run(cell()) == 1.5


def test_from_other_threads_at_once():
    found = []

    def work(k):
        runtime.install()  # TFF has a default for each thread
        found.append((average([k, k + 1.0]), subtract(k, 1.0)) == (k + 0.5, k - 1))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(tiny.TIMEOUT)
    assert found == [True] * 4


# What has no form


def test_what_has_no_form_runs_on_tff_s_own_runtime_and_says_so_once(no_form):
    with pytest.warns(UserWarning, match="no MapReduceForm: it runs on TFF's own") as told:
        assert tuple(no_form(7.0, [1.0, 2.0, 6.0])) == (7, 3)
    assert len(told) == 1
    assert len(str(told[0].message).splitlines()) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tuple(no_form(7.0, [1.0, 5.0])) == (7, 2)


def test_a_computation_that_is_gone_is_not_taken_for_a_new_one():
    def build(number):
        return tff.tensorflow.computation(lambda: tf.constant(number))

    assert [build(number)() for number in range(20)] == list(range(20))


# Installing


def test_installing_twice_is_installing_once():
    stack = tff.framework.get_context_stack()
    current = stack.current
    runtime.install()
    assert stack.current is current
    runtime.install("tff")
    assert stack.current is not current
    assert average([1.0, 2.0]) == 1.5
    runtime.install()
    assert stack.current is current


def test_another_runtime_is_refused():
    with pytest.raises(ValueError, match="one of local, tff. Found 'nope'"):
        runtime.install("nope")
    assert isinstance(tff.framework.get_context_stack().current, context.LocalContext)
