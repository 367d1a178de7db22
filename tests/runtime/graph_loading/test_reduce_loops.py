"""A dataset's reduction gives the same as a loop, whatever is reduced."""

import threading

import numpy as np
import pytest
import tensorflow as tf
from helpers.graphs import build
from tensorflow.compat.v1 import GraphDef

from fedlab.runtime import graph_loading
from fedlab.runtime.graph_loading import reduce_loops, renaming
from fedlab.runtime.graph_loading.stopping import Stop

v1 = tf.compat.v1


def read(variant, spec):
    return tf.data.experimental.from_variant(variant, spec)


def variant_of(dataset):
    return tf.data.experimental.to_variant(dataset)


def load_both(fn, *dtypes):
    """Returns the function as it is accelerated, and as it is."""
    graph = build(fn, *dtypes)
    accelerated = graph.load()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(graph_loading.VARIABLE, "0")
        return accelerated, graph.load()


def check_same(fn, dataset, *args):
    accelerated, plain = load_both(fn, tf.variant, *(tf.as_dtype(arg.dtype) for arg in args))
    for number in (1, 2):  # the second call finds it instantiated
        results, expected = (each(variant_of(dataset), *args) for each in (accelerated, plain))
        for result, value in zip(results, expected, strict=True):
            np.testing.assert_array_equal(result.numpy(), value.numpy(), err_msg=f"call {number}")
    return [result.numpy() for result in results]


NUMBERS = tf.TensorSpec([], tf.int64)


@pytest.mark.parametrize("count, expected", [(5, 10 + 7), (1, 7), (0, 7)])
def test_a_sum_and_what_it_starts_with(count, expected):
    def add_up(variant, start):
        return (read(variant, NUMBERS).reduce(start, lambda total, number: total + number),)

    assert check_same(add_up, tf.data.Dataset.range(count), np.int64(7)) == [expected]


def test_structures_strings_and_what_the_function_captures():
    def join(variant, factor):
        spec = {"name": tf.TensorSpec([], tf.string), "sizes": tf.TensorSpec([None], tf.float32)}
        start = (tf.constant(""), tf.constant(0.0))

        def step(state, element):
            return state[0] + element["name"], state[1] + factor * tf.reduce_sum(element["sizes"])

        return read(variant, spec).reduce(start, step)

    elements = {"name": ["a", "b", "c"], "sizes": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}
    dataset = tf.data.Dataset.from_tensor_slices(elements)
    assert check_same(join, dataset, np.float32(2)) == [b"abc", 42.0]


def test_a_state_that_grows():
    def collect(variant):
        start = tf.zeros([0], tf.int64)
        step = lambda state, number: tf.concat([state, [number]], 0)  # noqa: E731
        return (read(variant, NUMBERS).reduce(start, step),)

    assert check_same(collect, tf.data.Dataset.range(4))[0].tolist() == [0, 1, 2, 3]


def test_a_reduction_within_a_reduction():
    def add_up(variant):
        def step(total, number):
            inner = tf.data.Dataset.range(number + 1)
            return total + inner.reduce(tf.constant(0, tf.int64), lambda a, b: a + b)

        numbers = read(variant, NUMBERS)
        first = numbers.reduce(tf.constant(0, tf.int64), step)
        return first, numbers.reduce(first, step)  # two of one name

    assert check_same(add_up, tf.data.Dataset.range(5)) == [20, 40]


def test_steps_that_change_a_variable_come_one_after_the_other():
    def run(variant):
        variable = v1.get_variable("w", (), tf.float32, v1.ones_initializer(), use_resource=True)

        def step(count, number):
            change = variable.assign(variable * 1.5 + tf.cast(number, tf.float32))
            with tf.control_dependencies([change]):
                return count + 1

        count = read(variant, NUMBERS).reduce(tf.constant(0), step)
        with tf.control_dependencies([count]):
            return count, variable.read_value()

    expected = 1.0
    for number in range(12):
        expected = expected * 1.5 + number
    assert check_same(run, tf.data.Dataset.range(12)) == [12, pytest.approx(expected)]


def test_a_hash_table():
    def look_up(variant):
        initializer = tf.lookup.KeyValueTensorInitializer(["x", "y"], [3.0, 4.0])
        table = tf.lookup.StaticHashTable(initializer, 0.0)
        v1.get_default_graph().add_to_collection("tables", table)
        words = read(variant, tf.TensorSpec([None], tf.string))
        step = lambda total, batch: total + tf.reduce_sum(table.lookup(batch))  # noqa: E731
        with tf.control_dependencies([v1.tables_initializer()]):
            return (words.reduce(tf.constant(0.0), step),)

    dataset = tf.data.Dataset.from_tensor_slices(["x", "y", "z", "y"]).batch(3)
    assert check_same(look_up, dataset) == [11.0]


def test_an_error_within_a_step_is_raised():
    def check(variant):
        def step(total, number):
            with tf.control_dependencies([tf.debugging.assert_less(number, np.int64(2))]):
                return total + number

        return (read(variant, NUMBERS).reduce(tf.constant(0, tf.int64), step),)

    for loaded in load_both(check, tf.variant):
        with pytest.raises(tf.errors.InvalidArgumentError):
            loaded(variant_of(tf.data.Dataset.range(5)))
        assert loaded(variant_of(tf.data.Dataset.range(2)))[0].numpy() == 1


def test_a_reduction_without_end_can_be_ended():
    def add_up(variant):
        return (read(variant, NUMBERS).reduce(tf.constant(0, tf.int64), lambda a, b: a + b),)

    accelerated, _ = load_both(add_up, tf.variant)
    stop = Stop()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(tf.errors.CancelledError):
        accelerated(variant_of(tf.data.Dataset.range(3).repeat()), stop=stop)


def test_no_reduction_is_left():
    def add_up(variant):
        def step(total, number):
            inner = tf.data.Dataset.range(number)
            return inner.reduce(total, lambda a, b: a + b)

        return (read(variant, NUMBERS).reduce(tf.constant(0, tf.int64), step),)

    graph_def = GraphDef.FromString(build(add_up, tf.variant).graph_def)
    assert "ReduceDataset" in operations(graph_def)
    renaming.rename(graph_def, "_of_this_test")
    reduce_loops.use_loops(graph_def)
    assert "ReduceDataset" not in operations(graph_def)


def operations(graph_def):
    return {node.op for node in renaming.all_nodes(graph_def)}
