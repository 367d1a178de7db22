"""A graph with less work in it gives the same numbers, bit for bit."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny

from fedlab import models
from fedlab.learning import build_fed_avg
from fedlab.models import build_functional_model
from fedlab.runtime.graph_loading import disk_cache, rewrites
from fedlab.runtime.local.map_reduce_form import cut, cut_initialize

needs_onednn = pytest.mark.skipif(
    not rewrites.has_onednn_pooling(), reason="this TensorFlow has no oneDNN pooling"
)


def ops(graph_def):
    return {node.op for node in graph_def.node}


def pooling_graph(images, size, stride, padding):
    """The gradient of max pooling, weighted so that no two outputs are alike."""
    window = {"ksize": [1, size, size, 1], "strides": [1, stride, stride, 1], "padding": padding}
    with tf.Graph().as_default() as graph:
        placed = tf.constant(images)
        pooled = tf.raw_ops.MaxPool(input=placed, **window)
        weights = tf.reshape(tf.range(1.0, tf.size(pooled, tf.float32) + 1), tf.shape(pooled))
        tf.raw_ops.MaxPoolGrad(
            orig_input=placed, orig_output=pooled, grad=weights, name="result", **window
        )
    return graph.as_graph_def()


def run(graph_def):
    fetch = tf.compat.v1.wrap_function(
        lambda: tf.graph_util.import_graph_def(graph_def, return_elements=["result:0"]), []
    )
    return fetch()[0].numpy()


@needs_onednn
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("size, stride", [(2, 2), (3, 2), (2, 1), (3, 3)])
@pytest.mark.parametrize("num_values", [1, 3, 1000])  # all ties, many, few
def test_the_gradient_of_max_pooling_is_the_same(size, stride, padding, num_values):
    images = np.random.default_rng(0).integers(num_values, size=(3, 7, 8, 5)).astype(np.float32)
    graph_def = pooling_graph(images, size, stride, padding)
    expected = run(graph_def)
    rewrites.use_onednn_pooling(graph_def)
    assert "MaxPoolGrad" not in ops(graph_def)
    np.testing.assert_array_equal(run(graph_def), expected)


@pytest.mark.parametrize("create_fn", [models.create_cnn, models.create_deeper_cnn])
def test_a_client_s_update_is_the_same(create_fn, monkeypatch):
    process = build_fed_avg(build_functional_model(create_fn))
    form, initialize = cut(process), cut_initialize(process.initialize)
    broadcast = form.prepare(initialize())
    (batches,) = tiny.create_cohort(30, num_epochs=2).values()
    with_onednn = form.work.as_function()(batches, broadcast)
    monkeypatch.setattr(rewrites, "has_onednn_pooling", lambda: False)
    assert tiny.same_bits(form.work.as_function()(batches, broadcast), with_onednn)


@pytest.fixture
def untried(monkeypatch, tmp_path):
    """The kernels have been tried neither in this process nor in one that has left a file."""
    monkeypatch.setenv(disk_cache.FOLDER_VARIABLE, str(tmp_path))
    rewrites.has_onednn_pooling.cache_clear()
    yield
    rewrites.has_onednn_pooling.cache_clear()


@needs_onednn
def test_an_error_that_may_pass_is_not_kept(untried, monkeypatch):
    with monkeypatch.context() as patch:

        def fail(*args):
            raise tf.errors.ResourceExhaustedError(None, None, "no memory")

        patch.setattr(tf.compat.v1, "wrap_function", fail)
        assert not rewrites.has_onednn_pooling()
    rewrites.has_onednn_pooling.cache_clear()
    assert rewrites.has_onednn_pooling()


def test_whoever_switches_onednn_off_gets_the_standard_kernels(untried, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    graph_def = pooling_graph(np.ones((1, 4, 4, 1), np.float32), 2, 2, "VALID")
    rewrites.use_onednn_pooling(graph_def)
    assert {"MaxPool", "MaxPoolGrad"} <= ops(graph_def)


@pytest.mark.parametrize("result", [tf.errors.UnimplementedError(None, None, "no kernel"), 7.0])
def test_kernels_that_are_missing_or_differ_are_not_used(untried, monkeypatch, result):
    results = [1.0, result]  # of the standard kernels, and of the others

    def pretend(*args):
        value = results.pop(0)
        if isinstance(value, Exception):
            raise value
        return lambda: [tf.constant(value)]

    monkeypatch.setattr(tf.compat.v1, "wrap_function", pretend)
    assert not rewrites.has_onednn_pooling()
    assert results == []


def test_half_precision_is_left_alone():
    graph_def = pooling_graph(np.ones((1, 4, 4, 1), np.float32), 2, 2, "VALID")
    for node in graph_def.node:
        if "T" in node.attr:
            node.attr["T"].type = tf.float16.as_datatype_enum
    rewrites.use_onednn_pooling(graph_def)
    assert "MaxPoolGrad" in ops(graph_def)
