"""A function stands in TensorFlow's table while somebody has it, and getting it ready runs nothing."""

import gc
import threading

import pytest
import tensorflow as tf
from helpers import tiny
from helpers.graphs import build, build_counter, meet
from tensorflow.python.eager import context, execute
from tensorflow.python.framework import function

from fedlab import runtime
from fedlab.runtime.graph_loading import functions
from fedlab.runtime.graph_loading.stopping import Stop
from fedlab.runtime.local.local_runner import get_ready_in_thread


def test_it_leaves_the_table_with_its_last_owner():
    graph = build(lambda x: (x + 1,), tf.float32)
    graph.load()  # tracing has its own
    before = names_in_table()
    loaded = graph.load()
    assert len(names_in_table() - before) == 1
    assert loaded(tf.constant(1.0))[0].numpy() == 2
    del loaded
    assert names_in_table() == before


def names_in_table():
    gc.collect()
    join_helpers()  # of the tests before, too
    names = context.context().list_function_names()
    # TensorFlow keeps one of these for each operation that was ever called eagerly.
    return {name for name in names if not name.startswith("__wrapped__")}


@pytest.mark.parametrize(
    "build_graph, num_functions", [(build_counter, 3), (lambda: build_with_called(), 2)]
)
def test_what_it_calls_and_what_sets_its_variables_leave_the_table_too(build_graph, num_functions):
    graph = build_graph()
    graph.load()  # tracing has its own
    before = names_in_table()
    loaded = graph.load()
    loaded(tf.constant(1.0))
    assert len(names_in_table() - before) == num_functions
    del loaded
    assert names_in_table() == before


def build_with_called():
    called = function.Defun(tf.float32, func_name="called")(lambda x: x + 3)
    return build(lambda x: (called(x),), tf.float32)


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


@pytest.mark.parametrize(
    "argument",
    [
        tf.constant(1.0),
        tf.constant(1, tf.int64),
        tf.constant(True),
        tf.constant("text"),
        tf.data.experimental.to_variant(tf.data.Dataset.range(1)),
    ],
    ids=lambda argument: argument.dtype.name,
)
def test_to_get_ready_is_not_to_run(argument):
    calls = []

    def note(value):
        calls.append(1)
        return value

    def run(x):
        with tf.control_dependencies([x]):
            return (tf.numpy_function(note, [tf.constant(1.0)], tf.float32),)

    loaded = build(run, argument.dtype).load()
    loaded.get_ready()
    loaded.get_ready()
    assert calls == []
    loaded(argument)
    assert calls == [1]


def test_a_counter_counts_only_calls():
    loaded = build_counter().load()
    loaded.get_ready()
    assert [loaded(tf.constant(x))[0].numpy() for x in (1.0, 2.0)] == [1.0, 2.0]


def test_a_call_that_was_stopped_before_does_not_run():
    loaded, stop = build(lambda x: (x + 1,), tf.float32).load(), Stop()
    stop.set()
    with pytest.raises(tf.errors.CancelledError):
        loaded(tf.constant(1.0), stop=stop)
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


def build_broken():
    """A graph with an operation that has no kernel for what it is asked."""

    def pool(x):
        images = tf.reshape(x, [1, 1, 1, 1])
        return (tf.raw_ops.MaxPool(input=images, ksize=[2] * 4, strides=[1] * 4, padding="SAME"),)

    return build(pool, tf.float32)


def test_what_is_broken_says_so_when_it_is_called():
    broken, next_function = build_broken().load(), Slow()
    next_function.go_on.set()
    get_ready_in_thread([broken, next_function])
    join_helpers()
    assert next_function.num_asked == 1  # the broken one did not end the thread
    with pytest.raises(tf.errors.OpError):
        broken(tf.constant(1.0))


class Slow:
    """Takes its time to get ready, and notes that it was asked."""

    def __init__(self):
        self.begun, self.go_on, self.num_asked = threading.Event(), threading.Event(), 0

    def get_ready(self):
        self.num_asked += 1
        self.begun.set()
        assert self.go_on.wait(tiny.TIMEOUT)


def test_getting_ready_aside_can_be_stopped():
    slow = Slow()
    stop = get_ready_in_thread([slow, slow, slow])
    assert slow.begun.wait(tiny.TIMEOUT)
    stop.set()
    slow.go_on.set()
    join_helpers()
    assert slow.num_asked == 1


def test_first_calls_at_a_time_are_optimized_once(monkeypatch):
    loaded = build(lambda x: (x + 1,), tf.float32).load()
    calls = []
    execute_fn = execute.execute_with_cancellation

    def note(name, num_outputs, inputs, attrs, table, manager, **options):
        calls.append(manager.is_cancelled)
        return execute_fn(name, num_outputs, inputs, attrs, table, manager, **options)

    monkeypatch.setattr(execute, "execute_with_cancellation", note)
    threads = [threading.Thread(target=loaded, args=(tf.constant(1.0),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(tiny.TIMEOUT)
    assert calls.count(True) == 1
    assert calls.count(False) == 8


def test_a_runner_gets_all_of_a_round_ready_by_itself(process, monkeypatch):
    ready = []
    get_ready = functions.LoadedFunction.get_ready

    def note(self):
        get_ready(self)
        ready.append(self)

    monkeypatch.setattr(functions.LoadedFunction, "get_ready", note)
    runner = runtime.compile(process)
    join_helpers()
    assert len(ready) == len(set(map(id, ready))) == 6
    state = runner.initialize()
    ready.clear()
    runner.next(state, tiny.create_cohort())
    assert ready == []  # no call of the round had to wait for it


def join_helpers():
    for thread in threading.enumerate():
        if thread.name in ("fedlab-get-ready", "fedlab-remove"):
            thread.join(tiny.TIMEOUT)
