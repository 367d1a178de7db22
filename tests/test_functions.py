"""A function stands in TensorFlow's table while somebody has it, and getting it ready runs nothing."""

import gc
import threading

import pytest
import tensorflow as tf
import tiny
from tensorflow.python.eager import cancellation, context
from test_graphs import build, build_counter, meet

from fedlab.runtime import functions


def test_it_leaves_the_table_with_its_last_owner():
    loaded = build(lambda x: (x + 1,), tf.float32).load()
    name = loaded._name
    assert context.context().has_function(name)
    assert loaded(tf.constant(1.0))[0].numpy() == 2
    del loaded
    gc.collect()
    assert not context.context().has_function(name)


def test_two_loads_do_not_take_each_other_away():
    graph = build(lambda x: (x + 1,), tf.float32)
    one, other = graph.load(), graph.load()
    del one
    gc.collect()
    assert other(tf.constant(1.0))[0].numpy() == 2


def test_two_loads_draw_the_same_numbers():
    graph = build(lambda: (tf.random.uniform((), seed=3),))
    one, other = graph.load(), graph.load()
    drawn = [float(one()[0]) for _ in range(3)]
    assert [float(other()[0]) for _ in range(3)] == drawn
    assert len(set(drawn)) == 3


@pytest.mark.parametrize("dtype", [tf.float32, tf.int64, tf.bool, tf.string, tf.variant])
def test_to_get_ready_is_not_to_run(dtype):
    calls = []

    def note(value):
        calls.append(1)
        return value

    def run(x):
        with tf.control_dependencies([x]):
            return (tf.numpy_function(note, [tf.constant(1.0)], tf.float32),)

    loaded = build(run, dtype).load()
    loaded.get_ready()
    loaded.get_ready()
    assert calls == []
    loaded(functions._placeholder(dtype))
    assert calls == [1]


def test_a_counter_counts_only_calls():
    loaded = build_counter().load()
    loaded.get_ready()
    assert [loaded(tf.constant(x))[0].numpy() for x in (1.0, 2.0)] == [1.0, 2.0]


def test_a_call_is_stopped_by_its_own_manager():
    loaded = build(lambda x: (x + 1,), tf.float32).load()
    manager = cancellation.CancellationManager()
    manager.start_cancel()
    with pytest.raises(tf.errors.CancelledError):
        loaded(tf.constant(1.0), manager=manager)
    assert loaded(tf.constant(1.0))[0].numpy() == 2


def test_first_calls_at_a_time_all_run():
    wait = meet(threading.Barrier(2))
    loaded = build(lambda x: (wait(x) + 1,), tf.float32).load()
    found = []
    threads = [
        threading.Thread(target=lambda k=k: found.append(float(loaded(tf.constant(float(k)))[0])))
        for k in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(tiny.TIMEOUT)
    assert sorted(found) == [1.0, 2.0]


class Broken:
    """Not one that TensorFlow can get ready."""

    def get_ready(self):
        raise tf.errors.InvalidArgumentError(None, None, "no kernel")


def test_what_cannot_get_ready_aside_says_so_when_it_is_called(recwarn):
    loaded = build(lambda x: (x + 1,), tf.float32).load()
    functions.get_ready_aside([Broken(), loaded])
    for thread in threading.enumerate():
        if thread.name == "fedlab-get-ready":
            thread.join(tiny.TIMEOUT)
    assert loaded._is_ready
    assert not recwarn.list
