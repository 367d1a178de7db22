"""Two graphs that were built alike become one message, and others do not."""

import pytest
import tensorflow as tf
from tensorflow.compat.v1 import GraphDef

from fedlab.runtime.graph_loading import renaming


def build(step, times: float = 3.0, other: float = 5.0) -> GraphDef:
    """A graph with a loop and two functions; TensorFlow counts on with each."""
    triple, quintuple = (
        tf.function(lambda x, factor=factor: x * factor) for factor in (times, other)
    )

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def compute(x):
        for _ in tf.range(4):
            x = step(triple, quintuple, x)
        return x

    return compute.get_concrete_function().graph.as_graph_def()


def first(triple, quintuple, x):
    return triple(x) - quintuple(triple(x))


def second(triple, quintuple, x):
    return quintuple(x) - triple(quintuple(x))


def numbered(graph_def: GraphDef) -> bytes:
    copied = GraphDef.FromString(graph_def.SerializeToString())
    renaming.number_functions(copied)
    return copied.SerializeToString(deterministic=True)


def test_graphs_that_were_built_alike_are_one_message():
    graph_defs = [build(first), build(first)]
    plain = [each.SerializeToString(deterministic=True) for each in graph_defs]
    assert plain[0] != plain[1]  # else nothing is shown
    assert numbered(graph_defs[0]) == numbered(graph_defs[1])


@pytest.mark.parametrize(
    "other",
    [
        lambda: build(first, times=3.5),
        lambda: build(first, times=5.0, other=3.0),
        lambda: build(second),
        lambda: build(lambda triple, quintuple, x: triple(x) - quintuple(quintuple(x))),
        lambda: build(lambda triple, quintuple, x: x),
    ],
)
def test_graphs_that_compute_something_else_are_not(other):
    assert numbered(build(first)) != numbered(other())


def test_the_order_of_the_functions_and_what_nothing_calls_do_not_count():
    graph_def, expected = build(first), numbered(build(first))
    unused = graph_def.library.function.add()
    unused.CopyFrom(graph_def.library.function[0])
    unused.signature.name = "nothing_calls_it"
    graph_def.library.function.sort(key=lambda function: function.signature.name, reverse=True)
    assert numbered(graph_def) == expected


def test_a_numbered_graph_still_computes():
    graph_def = build(first)
    (result,) = [node.name for node in graph_def.node if node.op == "Identity"][-1:]
    computed = []
    for change in (lambda graph: None, renaming.number_functions):
        change(graph_def)

        def call(x):
            return tf.graph_util.import_graph_def(graph_def, {"x:0": x}, [f"{result}:0"])

        imported = tf.compat.v1.wrap_function(call, [tf.TensorSpec([], tf.float32)])
        computed.append(float(imported(tf.constant(1.5))[0]))
    assert computed[0] == computed[1] == 1.5 * (3 - 15) ** 4
