"""A graph is a function that can be sent away, loaded twice, and stopped."""

import dataclasses
import pickle
import threading

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny
from helpers.graphs import build, build_counter, meet
from helpers.tff_processes import FUNCTIONAL, VARIABLE, fed_avg
from tensorflow.core.framework import dataset_options_pb2
from tensorflow.python.framework import function

from fedlab import runtime
from fedlab.runtime import graph_loading
from fedlab.runtime.graph_loading import disk_cache, rewrites
from fedlab.runtime.graph_loading.stopping import Stop
from fedlab.runtime.local.graphs import Graph

v1 = tf.compat.v1


def call(graph: Graph, *args, **options):
    return [one.numpy() for one in graph.load(**options)(*map(tf.constant, args))]


def test_arguments_and_results_go_by_their_order(accelerator):
    graph = build(lambda x, y: (x - y, 10 * x, y), tf.float32, tf.float32)
    assert call(graph, 5.0, 3.0) == [2.0, 50.0, 3.0]
    assert call(build(lambda: (tf.constant(7),))) == [7]
    assert call(build(lambda x, y: (x,), tf.int32, tf.int32), 1, 2) == [1]  # y is not used


def test_a_graph_is_the_same_after_a_journey():
    graph = build(lambda x: (x + 1,), tf.float32)
    there = pickle.loads(pickle.dumps(graph))
    assert there == graph
    assert call(there, 1.0) == [2.0]


def test_what_only_waits_for_an_argument_does_not_ask_for_it_again(accelerator):
    def wait(x):
        with tf.control_dependencies([x]):
            return (tf.constant(3),)

    assert call(build(wait, tf.int32), 1) == [3]


def test_functions_of_one_name_are_kept_apart(accelerator):
    def build_with(body):
        named = function.Defun(tf.float32, func_name="the_same_name")(body)
        return build(lambda x: (named(x),), tf.float32)

    plus, times = (build_with(body).load() for body in (lambda x: x + 3, lambda x: x * 3))
    assert [plus(tf.constant(5.0))[0].numpy(), times(tf.constant(5.0))[0].numpy()] == [8.0, 15.0]


def test_processes_of_one_functional_model_are_kept_apart(accelerator):
    """Their graphs define different functions under the same names."""
    runners = [runtime.compile(fed_avg(client=client)) for client in (small_step, big_step)]
    after = []
    for runner in (*runners, *runners):
        state = runner.initialize()
        state = runner.next(state, tiny.create_cohort()).state
        after.append(runner.get_model_weights(state))
    assert tiny.same_bits(after[:2], after[2:])
    assert not tiny.same_bits(after[0], after[1])


def small_step():
    return tff.learning.optimizers.build_sgdm(0.01)


def big_step():
    return tff.learning.optimizers.build_sgdm(0.1)


def test_what_is_traced_for_a_function_is_used_for_the_same_one_only(monkeypatch):
    """Everything that a function depends on is part of the key under which it is remembered."""
    graph = build(lambda x, y: (x - y, x + y), tf.float32, tf.float32)
    others = [
        dataclasses.replace(
            graph, graph_def=build(lambda x, y: (x, y), tf.float32, tf.float32).graph_def
        ),
        dataclasses.replace(graph, inputs=graph.inputs[::-1]),
        dataclasses.replace(graph, outputs=graph.outputs[::-1]),
        dataclasses.replace(graph, init_op=graph.outputs[0].removesuffix(":0")),
    ]
    keys, remember_fn = [], disk_cache.remember

    def remember(build_fn, *key):
        keys.append(key)
        return remember_fn(build_fn, *key)

    monkeypatch.setattr(disk_cache, "remember", remember)
    for one in (graph, *others):
        one.load()
    graph.load(check_finite=True)
    now = rewrites.has_onednn_pooling()
    monkeypatch.setattr(rewrites, "has_onednn_pooling", lambda: not now)
    graph.load()
    assert len(set(keys)) == len(keys) == 7
    graph.load()
    assert keys[7] == keys[6]


# Datasets


def options_in_the_graph(dataset) -> dataset_options_pb2.Options:
    graph = build(lambda variant: (tf.raw_ops.GetOptions(input_dataset=variant),), tf.variant)
    (serialized,) = graph.load()(tf.data.experimental.to_variant(dataset))
    return dataset_options_pb2.Options.FromString(serialized.numpy())


def test_a_dataset_is_read_as_it_is(accelerator):
    found = options_in_the_graph(tf.data.Dataset.range(3))
    assert not found.autotune_options.enabled
    assert not found.optimization_options.apply_default_optimizations


def test_what_else_a_dataset_asks_for_is_kept(accelerator):
    own = tf.data.Options()
    own.deterministic = False
    own.threading.private_threadpool_size = 3
    own.autotune.enabled = True
    found = options_in_the_graph(tf.data.Dataset.range(3).with_options(own))
    assert found.HasField("deterministic")
    assert not found.deterministic
    assert found.threading_options.private_threadpool_size == 3
    assert not found.autotune_options.enabled


def pipeline():
    """With all that TensorFlow would tune or exchange."""
    mapped = tf.data.Dataset.range(20).map(lambda n: n + 1, num_parallel_calls=tf.data.AUTOTUNE)
    mapped = mapped.filter(lambda n: n % 7 > 0).shuffle(5, seed=1).repeat(2).batch(3).take(99)
    return mapped.map(lambda batch: (batch, 2 * batch)).prefetch(tf.data.AUTOTUNE)


def test_what_is_read_is_the_same(accelerator):
    def join(variant):
        batches = tf.data.experimental.from_variant(variant, pipeline().element_spec)
        text = batches.map(lambda *batch: tf.strings.as_string(tf.concat(batch, 0)))
        text = text.map(lambda numbers: tf.strings.reduce_join(numbers, separator=" "))
        return (text.reduce("", lambda one, other: one + "|" + other),)

    tf.random.set_seed(0)
    expected = join(tf.data.experimental.to_variant(pipeline()))[0].numpy()
    tf.random.set_seed(0)
    (found,) = build(join, tf.variant).load()(tf.data.experimental.to_variant(pipeline()))
    assert found.numpy() == expected
    assert expected.count(b"|") == 12


# Variables


def test_variables_begin_anew_in_every_call(accelerator):
    graph = build_counter()
    assert graph.has_state
    counter = graph.load()
    assert [counter(tf.constant(x))[0].numpy() for x in (1.0, 2.0, 2.0)] == [1.0, 2.0, 2.0]
    assert not build(lambda x: (x,), tf.float32).has_state


def test_functions_loaded_from_one_graph_have_variables_of_their_own(accelerator):
    pause = meet(threading.Barrier(2))  # TensorFlow itself does not keep it
    graph = build_counter(pause)
    counters = [graph.load() for _ in range(2)]
    found = [None, None]

    def work(k):
        found[k] = float(counters[k](tf.constant(10.0**k))[0])

    threads = [threading.Thread(target=work, args=(k,)) for k in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(tiny.TIMEOUT)
    assert found == [1.0, 10.0]


def test_graphs_whose_variables_have_one_name_do_not_share_them(accelerator):
    graphs = [build_counter(), build_counter(lambda tensor: tensor * 2)]
    assert [call(graph, 3.0) for graph in graphs] == [[3.0], [3.0]]


def test_only_a_variable_model_s_clients_have_variables():
    assert runtime.cut(fed_avg(VARIABLE)).work.graph.has_state
    assert not runtime.cut(fed_avg(FUNCTIONAL)).work.graph.has_state


# Random numbers


@pytest.mark.parametrize(
    "draw, expected",
    [
        (lambda: tf.random.uniform(()), True),
        (lambda: tf.random.normal((), seed=3), True),
        (lambda: tf.random.stateless_uniform((), (1, 2)), False),
        (lambda: tf.constant(0.5), False),
    ],
)
def test_numbers_that_depend_on_the_calls_before_are_noticed(draw, expected):
    assert build(lambda: (draw(),)).draws_from_a_stream == expected
    in_function = function.Defun(func_name="draws")(draw)
    assert build(lambda: (in_function(),)).draws_from_a_stream == expected


# Finite or not


@pytest.mark.parametrize("value, expected", [(1.0, True), (np.nan, False), (-np.inf, False)])
def test_results_that_are_not_finite_are_noticed(value, expected, accelerator):
    graph = build(lambda x, n: (n, x), tf.float32, tf.int32)
    *_, is_finite = call(graph, np.float32(value), 3, check_finite=True)
    assert is_finite == expected
    assert len(call(graph, np.float32(value), 3)) == 2


def test_integers_are_always_finite():
    assert call(build(lambda n: (n,), tf.int32), 3, check_finite=True) == [3, True]


@pytest.mark.parametrize("model", [FUNCTIONAL, VARIABLE], ids=["functional", "variable"])
@pytest.mark.parametrize("factor", [1.0, np.nan, np.inf])
def test_an_update_that_tff_s_client_zeroes_itself_is_noticed(model, factor, accelerator):
    form = runtime.cut(fed_avg(model))
    batches = tiny.create_cohort()["c0"].map(lambda images, labels: (images * factor, labels))
    broadcast = tff.structure.flatten(form.prepare.type_signature.result)
    *update, is_finite = form.work.load(check_finite=True)(
        tf.data.experimental.to_variant(batches),
        *(tf.ones(one.shape, one.dtype) for one in broadcast),
    )
    assert bool(is_finite) == (factor == 1.0)
    weights = [one for one in update if one.shape == (784, 10)]
    assert len(weights) == 1
    assert np.all(np.isfinite(weights[0]))
    assert np.any(weights[0]) == (factor == 1.0)


# Stopped


def build_endless() -> Graph:
    def run(x):
        return tf.while_loop(lambda n: n >= 0, lambda n: [(n + 1) % 1000], [x])

    return build(run, tf.int32)


def test_a_call_can_be_ended_from_another_thread():
    stop, endless = Stop(), build_endless().load()
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    with pytest.raises(tf.errors.CancelledError):
        endless(tf.constant(0), stop=stop)
    assert endless(tf.constant(-1), stop=Stop())[0].numpy() == -1


def test_without_the_accelerator_a_call_is_ended_before_it_begins(monkeypatch):
    monkeypatch.setenv(graph_loading.VARIABLE, "0")
    stop, loaded = Stop(), build(lambda x: (x + 1,), tf.float32).load()
    assert loaded(tf.constant(1.0), stop=stop)[0].numpy() == 2
    stop.set()
    with pytest.raises(tf.errors.CancelledError):
        loaded(tf.constant(1.0), stop=stop)


def test_one_failing_call_does_not_end_another(accelerator):
    check = build(lambda x: (tf.debugging.check_numerics(x, "bad"),), tf.float32).load()
    stop = Stop()
    with pytest.raises(tf.errors.InvalidArgumentError, match="bad"):
        check(tf.constant(np.nan), stop=stop)
    assert check(tf.constant(1.0), stop=stop)[0].numpy() == 1
    assert not stop.is_set()


def test_the_switch_is_0_or_1(monkeypatch):
    monkeypatch.setenv(graph_loading.VARIABLE, "off")
    with pytest.raises(ValueError, match="FEDLAB_ACCELERATOR must be 0.*Found 'off'"):
        build(lambda x: (x,), tf.float32).load()


def test_a_graph_is_not_changed_by_loading():
    graph = build_counter()
    before = dataclasses.replace(graph)
    graph.load(check_finite=True)
    assert graph == before
