"""Aggregators against cases worked out by hand: each client sends a vector that the test chooses."""

import functools
from collections import OrderedDict

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab import models, runtime
from fedlab.learning import aggregators, build_fed_avg

SIZE = 3
HONEST = [[1.0, 0.0, 2.0], [1.2, 0.1, 2.2], [0.9, -0.1, 1.8], [1.1, 0.0, 2.0]]
POISONED = [*HONEST, [-100.0, 50.0, 100.0]]


def vector_model():
    """Weights that are a vector, at 0; with a rate of 1 a client's change is its mean example."""

    @tf.function
    def predict_on_batch(weights, x, training=True):
        return tf.linalg.matvec(x, weights[0][0])

    @tf.function
    def loss(output, label, sample_weight=None):
        return -tf.reduce_mean(output)

    @tf.function
    def initialize_metrics():
        return OrderedDict(num_batches=tf.constant(0))

    @tf.function
    def update_metrics(state, labels, batch_output, sample_weight=None):
        return OrderedDict(num_batches=state["num_batches"] + 1)

    finalize_metrics = tf.function(lambda state: state)
    return tff.learning.models.FunctionalModel(
        initial_weights=((np.zeros(SIZE, np.float32),), ()),
        predict_on_batch_fn=predict_on_batch,
        loss_fn=loss,
        metrics_fns=(initialize_metrics, update_metrics, finalize_metrics),
        input_spec=(tf.TensorSpec((None, SIZE)), tf.TensorSpec((None,), tf.int32)),
    )


def clients(vectors, counts=None):
    """Datasets of as many copies of each vector; one batch each."""
    counts = counts or [1] * len(vectors)
    return [
        tf.data.Dataset.from_tensors(
            (np.tile(np.float32(vector), (count, 1)), np.zeros(count, np.int32))
        )
        for vector, count in zip(vectors, counts, strict=True)
    ]


@functools.cache
def compiled(name, weighted, *args, **options):
    if name not in ("median", "trimmed_mean"):
        options["weighted"] = weighted
    aggregator = getattr(aggregators, name)(*args, **options)
    return runtime.compile(
        build_fed_avg(
            vector_model(), client_learning_rate=1.0, weighted=weighted, aggregator=aggregator
        )
    )


def aggregate(name, vectors, counts=None, *args, weighted=False, rounds=1, **options):
    """What the server adds in the last round, and the aggregator's measurements."""
    runner = compiled(name, weighted, *args, **options)
    state = runner.initialize()
    for _ in range(rounds):
        before = np.asarray(runner.get_model_weights(state).trainable[0])
        output = runner.next(state, clients(vectors, counts))
        state = output.state
    after = np.asarray(runner.get_model_weights(state).trainable[0])
    return after - before, output.metrics["aggregator"]


def test_the_mean_counts_examples_or_clients():
    counts = [1, 2, 3, 4]
    found, _ = aggregate("mean", HONEST, counts, weighted=True)
    expected = np.average(HONEST, axis=0, weights=counts)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    found, _ = aggregate("mean", HONEST, counts)
    np.testing.assert_allclose(found, np.mean(HONEST, axis=0), rtol=1e-6, atol=1e-7)


def test_clipping_far_above_every_norm_is_the_mean():
    counts = [1, 2, 3, 4]
    found, _ = aggregate("clipping", HONEST, counts, 1e9, weighted=True)
    assert tiny.same_bits(found, aggregate("mean", HONEST, counts, weighted=True)[0])


@pytest.mark.parametrize("weighted", [False, True])
def test_clipping_shortens_who_is_too_long_and_keeps_the_direction(weighted):
    found, measured = aggregate(
        "clipping", [[3, 4, 0], [0, 0, 0.5]], [1, 3], 1.0, weighted=weighted
    )
    weights = [1, 3] if weighted else [1, 1]
    expected = np.average([[0.6, 0.8, 0], [0, 0, 0.5]], axis=0, weights=weights)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert measured["clipped_count"] == 1


def test_the_adaptive_norm_follows_the_quantile():
    vectors = [[0.1, 0, 0], [0.2, 0, 0], [0.3, 0, 0], [4.0, 0, 0]]
    options = {"initial_norm": 1.0, "quantile": 0.5, "learning_rate": 0.2}
    found, measured = aggregate("adaptive_clipping", vectors, **options)
    np.testing.assert_allclose(found[0], (0.1 + 0.2 + 0.3 + 1.0) / 4, rtol=1e-5)
    assert measured["clipping_norm"] == 1.0
    _, measured = aggregate("adaptive_clipping", vectors, rounds=2, **options)
    # Three of four lie below it, and half are wanted.
    assert measured["clipping_norm"] == pytest.approx(np.exp(0.2 * (0.5 - 0.75)), rel=1e-5)


def test_robust_zeroes_and_clips():
    found, measured = aggregate("robust", POISONED, weighted=True)
    expected = np.sum([np.divide(one, np.linalg.norm(one)) for one in HONEST], axis=0) / 5
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert measured["zeroed_count"] == 1
    assert measured["zeroing_norm"] == 21  # twice the first estimate of 10, plus 1


def test_quantization_rounds_to_the_nearest_level():
    # Two bits: levels 0, 1, 2, 3 between the smallest and the largest.
    found, _ = aggregate("quantization", [[0.0, 1.2, 3.0]], None, 2, min_size=0, weighted=True)
    np.testing.assert_allclose(found, [0, 1, 3], atol=1e-5)


def test_sixteen_bits_are_nearly_the_mean_and_can_be_repeated():
    first, _ = aggregate("quantization", HONEST, None, 16, min_size=0)
    np.testing.assert_allclose(first, np.mean(HONEST, axis=0), atol=1e-4)
    assert tiny.same_bits(aggregate("quantization", HONEST, None, 16, min_size=0)[0], first)


def test_compression_is_robust_where_the_arrays_are_small():
    found, _ = aggregate("compression", POISONED, weighted=True)
    np.testing.assert_allclose(found, aggregate("robust", POISONED, weighted=True)[0], rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "name, args",
    [
        ("mean", ()),
        ("clipping", (1.0,)),
        ("adaptive_clipping", ()),
        ("robust", ()),
        ("compression", ()),
        ("quantization", ()),
    ],
)
def test_all_come_weighted_and_unweighted(name, args, weighted):
    kinds = tff.aggregators.UnweightedAggregationFactory, tff.aggregators.WeightedAggregationFactory
    assert isinstance(getattr(aggregators, name)(*args, weighted=weighted), kinds[weighted])


# Medians


@pytest.mark.parametrize("vectors", [HONEST, POISONED])
def test_the_median_is_numpy_s(vectors):
    found, _ = aggregate("median", vectors)
    np.testing.assert_allclose(found, np.median(vectors, axis=0), rtol=1e-6)


def test_the_trimmed_mean_leaves_out_as_many_at_either_end():
    found, _ = aggregate("trimmed_mean", POISONED, None, 0.2)
    np.testing.assert_allclose(found, np.sort(POISONED, axis=0)[1:-1].mean(axis=0), rtol=1e-5)
    none, _ = aggregate("trimmed_mean", HONEST, None, 0.2)  # 0.8 of a client: nobody
    np.testing.assert_allclose(none, np.mean(HONEST, axis=0), rtol=1e-6)


@pytest.mark.parametrize("name, args", [("median", ()), ("trimmed_mean", (0.2,))])
def test_one_poisoned_client_in_five_cannot_move_a_median(name, args):
    found, _ = aggregate(name, POISONED, None, *args)
    honest = np.mean(HONEST, axis=0)
    assert np.linalg.norm(found - honest) < 0.3
    assert np.linalg.norm(aggregate("mean", POISONED)[0] - honest) > 10


@pytest.mark.parametrize("name, args", [("median", ()), ("trimmed_mean", (0.2,))])
def test_a_median_does_not_ask_how_many_examples_a_client_has(name, args):
    found, _ = aggregate(name, POISONED, [1, 2, 3, 4, 99], *args)
    assert tiny.same_bits(found, aggregate(name, POISONED, None, *args)[0])


def test_a_median_of_several_arrays_on_the_local_runtime_and_tff_s_agree():
    model = models.build_functional_model(tiny.create_model)
    process = build_fed_avg(model, weighted=False, aggregator=aggregators.median())
    cohort = tiny.create_cohort(12, 4, 8)
    after = []
    for kind in ("local", "tff"):
        with runtime.compile(process, kind) as runner:
            state = runner.next(runner.initialize(), cohort).state
            after.append(runner.get_model_weights(state).trainable)
    for ours, theirs in zip(*after, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    "name, args, options, message",
    [
        ("clipping", (0.0,), {}, "norm must be a finite number above 0. Found 0.0"),
        ("adaptive_clipping", (), {"initial_norm": -1.0}, "initial_norm must be .* Found -1.0"),
        ("adaptive_clipping", (), {"learning_rate": 0.0}, "learning_rate must be .* Found 0.0"),
        (
            "adaptive_clipping",
            (),
            {"quantile": 1.5},
            r"quantile must be a number in \[0, 1\]. Found 1.5",
        ),
        ("quantization", (0,), {}, "num_bits must be at least 1. Found 0"),
        ("quantization", (8,), {"min_size": -1}, "min_size must be at least 0. Found -1"),
        ("trimmed_mean", (0.5,), {}, r"fraction must be a number in \[0, 0.5\). Found 0.5"),
    ],
)
def test_bad_input_is_named(name, args, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(aggregators, name)(*args, **options)
