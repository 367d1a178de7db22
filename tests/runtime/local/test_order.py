"""The result is the same, bit for bit, for any number of workers, and memory grows with those."""

import threading
import time
from collections.abc import Mapping

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import processes, tiny
from helpers.tff_processes import FUNCTIONAL, VARIABLE, fed_avg

from fedlab import runtime
from fedlab.learning import build_fed_avg
from fedlab.models import INPUT_SHAPE, build_functional_model, build_model_fn

NUM_WORKERS = (1, 2, 3, 7)


def create_dropout_model():
    layers = tf.keras.layers
    zeros = tf.keras.initializers.Zeros()
    return tf.keras.Sequential(
        [
            layers.InputLayer(INPUT_SHAPE),
            layers.Flatten(),
            layers.Dropout(0.5, seed=1),
            layers.Dense(10, kernel_initializer=zeros),
        ]
    )


def slowest_first(round_num):
    """The first client trains longer than all the others together."""
    cohort = tiny.create_cohort(40, 3, 8, 1, 5, 9, 2, 6, round_num=round_num)
    return cohort | {"c0": cohort["c0"].repeat(4)}


def run(process, num_workers, create_cohort, num_rounds=2):
    with runtime.compile(process, num_workers=num_workers) as runner:
        outputs, state = [], runner.initialize()
        for round_num in range(num_rounds):
            outputs.append(runner.next(state, create_cohort(round_num)))
            state = outputs[-1].state
    return outputs


@pytest.mark.parametrize(
    "model",
    [
        FUNCTIONAL,
        VARIABLE,
        build_functional_model(create_dropout_model),
        build_model_fn(create_dropout_model),
    ],
    ids=["functional", "variable", "dropout, functional", "dropout, variable"],
)
def test_any_number_of_workers_gives_the_same_bits(model):
    process = build_fed_avg(model, client_learning_rate=0.1)
    first, *others = (run(process, num_workers, slowest_first) for num_workers in NUM_WORKERS)
    assert not tiny.same_bits(first[0].state, first[1].state)
    assert all(tiny.same_bits(first, other) for other in others)


def test_the_sum_goes_by_the_cohort_s_order_and_not_by_who_is_ready():
    """Floating-point sums depend on it."""
    process = fed_avg()
    backwards = lambda round_num: dict(reversed(slowest_first(round_num).items()))  # noqa: E731
    found = run(process, 3, backwards, 1)
    assert tiny.same_bits(found, run(process, 1, backwards, 1))
    assert not tiny.same_bits(found, run(process, 1, slowest_first, 1))


def test_a_client_s_numbers_do_not_depend_on_who_is_before_it():
    runner = runtime.compile(fed_avg(VARIABLE), num_workers=1)
    state, cohort = runner.initialize(), tiny.create_cohort()
    alone = runner.next(state, {"c1": cohort["c1"]})
    runner.next(state, cohort)
    assert tiny.same_bits(runner.next(state, {"c1": cohort["c1"]}), alone)


# Memory


class LazyCohort(Mapping):
    """40 clients, made when they are asked for; the first does not begin to train before `go_on`."""

    def __init__(self):
        self.num_made, self.go_on = 0, threading.Event()
        self.batches = tiny.create_cohort(4)["c0"]

    def wait(self, images):
        assert self.go_on.wait(tiny.TIMEOUT)
        return images

    def __getitem__(self, client_id):
        self.num_made += 1
        if client_id != "c0":
            return self.batches
        return self.batches.map(lambda images, labels: (call(self.wait, images), labels))

    def __iter__(self):
        return (f"c{k}" for k in range(40))

    def __len__(self):
        return 40


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("model", [FUNCTIONAL, VARIABLE])
def test_few_clients_are_begun_while_an_earlier_one_is_not_added(model, num_workers):
    """Sums go by the cohort's order: whoever is ready waits in memory for the slow first client."""
    runner = runtime.compile(fed_avg(model), num_workers=num_workers)
    cohort, outputs = LazyCohort(), []
    state = runner.initialize()
    thread = threading.Thread(target=lambda: outputs.append(runner.next(state, cohort)))
    thread.start()
    try:
        assert processes.wait_until(lambda: cohort.num_made >= num_workers)
        time.sleep(0.5)  # for those that would be begun, were there no limit
        assert num_workers <= cohort.num_made <= 2 * num_workers
    finally:
        cohort.go_on.set()
        thread.join(tiny.TIMEOUT)
    assert cohort.num_made == 40
    assert outputs[0].metrics["client_work"]["train"]["num_examples"] == 40 * 4


def test_no_more_clients_run_at_once_than_there_are_workers():
    running, most, lock = [0], [0], threading.Lock()

    def enter(images):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        return images

    def leave(images):
        with lock:
            running[0] -= 1
        return images

    def watch(batches):
        first = batches.take(1).map(lambda x, y: (call(enter, x), y))
        last = batches.take(1).map(lambda x, y: (call(leave, x), y))
        return first.concatenate(batches).concatenate(last)

    cohort = {name: watch(one) for name, one in tiny.create_cohort(*range(20, 32)).items()}
    runner = runtime.compile(fed_avg(), num_workers=2)
    runner.next(runner.initialize(), cohort)
    assert running == [0]
    assert 1 <= most[0] <= 2


def call(python_fn, images):
    return tf.ensure_shape(tf.numpy_function(python_fn, [images], tf.float32), (None, *INPUT_SHAPE))


def test_sums_are_those_of_numpy_added_one_by_one():
    @tff.federated_computation(tff.FederatedType(np.float32, tff.CLIENTS))
    def total(values):
        return tff.federated_sum(values)

    runtime.install()
    values = np.random.default_rng(0).normal(size=50).astype(np.float32)
    expected = np.float32(0)
    for value in values:
        expected += value
    assert total(list(values)) == expected
