"""The same graph with less work in it."""

import functools
import os

import numpy as np
import tensorflow as tf
from tensorflow.compat.v1 import GraphDef, NodeDef

from fedlab.random_streams import random_stream
from fedlab.runtime.graph_loading import disk_cache

# What TensorFlow's own oneDNN pass writes into a graph for the kernels that stand for standard ones.
_ONEDNN_LABEL = b"MklNameChangeOp"
_NO_SUCH_KERNEL = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.UnimplementedError,
)


def use_onednn_pooling(graph_def: GraphDef) -> None:
    """Lets max pooling remember which input was the largest, instead of looking again.

    TensorFlow 2.15 runs max pooling in oneDNN but its gradient in Eigen, which finds every maximum
    anew. oneDNN's gradient takes the forward pass's notes ("workspace"), and its results are the
    same, bit for bit; that is tried out once.

    Args:
        graph_def: Changed in place. Only its nodes, not its functions: TFF's graphs have none.
    """
    if any(node.op == "MaxPoolGrad" for node in graph_def.node) and has_onednn_pooling():
        _rewrite_pooling(graph_def)


def _rewrite_pooling(graph_def: GraphDef) -> None:
    nodes = {node.name: node for node in graph_def.node}
    for gradient in graph_def.node:
        forward = nodes.get(gradient.input[1]) if gradient.op == "MaxPoolGrad" else None
        if forward is None or not _is_float_pooling(forward):
            continue
        for node, op in ((forward, "_MklNativeMaxPool"), (gradient, "_MklNativeMaxPoolGrad")):
            node.op = op
            node.attr.pop("explicit_paddings", None)
            node.attr["workspace_enabled"].b = True
            node.attr["_kernel"].s = _ONEDNN_LABEL
        gradient.input.insert(3, f"{forward.name}:1")


def _is_float_pooling(node: NodeDef) -> bool:
    # A second gradient finds the forward pass already rewritten.
    pools = node.op in ("MaxPool", "_MklNativeMaxPool")
    return (
        pools
        and node.attr["T"].type == tf.float32
        and node.attr["padding"].s in (b"VALID", b"SAME")
    )


@functools.lru_cache(maxsize=1)
def has_onednn_pooling() -> bool:
    """Returns whether TensorFlow has these kernels, and they give what the standard ones give."""
    try:
        return disk_cache.remember(lambda: bytes([_try_onednn_pooling()]), "pooling") == b"\1"
    except tf.errors.OpError:  # it could not be tried now; that is not kept
        return False


def _try_onednn_pooling() -> bool:
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":  # whoever switched it off means it
        return False
    shape = (2, 6, 6, 3)
    images = (
        random_stream("pooling check", 0).integers(4, size=shape).astype(np.float32)
    )  # with many ties
    expected = _pooling_gradient(images, rewritten=False)
    try:
        rewritten = _pooling_gradient(images, rewritten=True)
    except (*_NO_SUCH_KERNEL, ValueError):
        return False
    return np.array_equal(expected, rewritten)


def _pooling_gradient(images: np.ndarray, *, rewritten: bool) -> np.ndarray:
    with tf.Graph().as_default() as graph:
        placed = tf.constant(images)
        pooled = tf.raw_ops.MaxPool(
            input=placed, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"
        )
        gradient = tf.raw_ops.MaxPoolGrad(
            orig_input=placed,
            orig_output=pooled,
            grad=pooled,
            ksize=[1, 2, 2, 1],
            strides=[1, 2, 2, 1],
            padding="VALID",
        )
    graph_def = graph.as_graph_def()
    if rewritten:
        _rewrite_pooling(graph_def)
    call = tf.compat.v1.wrap_function(
        lambda: tf.graph_util.import_graph_def(graph_def, return_elements=[gradient.name]), []
    )
    return call()[0].numpy()
