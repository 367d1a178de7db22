"""Small TensorFlow graphs out of Python functions."""

import tensorflow as tf

from fedlab.runtime.local.graphs import Graph

v1 = tf.compat.v1


def build(fn, *dtypes) -> Graph:
    """A graph out of a Python function of tensors."""
    with tf.Graph().as_default() as graph:
        inputs = [v1.placeholder(dtype, ()) for dtype in dtypes]
        outputs = [tf.identity(one) for one in fn(*inputs)]
        init_op = v1.global_variables_initializer().name if v1.global_variables() else ""
    found = [tuple(one.name for one in tensors) for tensors in (inputs, outputs)]
    return Graph(graph.as_graph_def().SerializeToString(), *found, init_op)


def meet(barrier):
    """Waits in the graph until somebody else is at the same place."""

    def wait(value):
        barrier.wait(20)
        return value

    return lambda tensor: tf.numpy_function(wait, [tensor], tensor.dtype)


def build_counter(pause=lambda tensor: tensor) -> Graph:
    def count(x):
        variable = v1.get_variable("sum", (), tf.float32, v1.zeros_initializer(), use_resource=True)
        with tf.control_dependencies([variable.assign_add(x)]):
            paused = pause(tf.identity(x))
        with tf.control_dependencies([paused]):
            return (variable.read_value(),)

    return build(count, tf.float32)
