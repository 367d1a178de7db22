"""A round of federated averaging, worked out by hand with plain TensorFlow."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny

from fedlab import models, runtime
from fedlab.data.preprocessing import Preprocessing
from fedlab.learning import build_evaluation, build_fed_avg

RATE = 0.1
SIZES = (12, 4, 8)
DATA = tiny.create_data(*SIZES)
CLIENTS = [
    Preprocessing(batch_size=5).apply(DATA.create_tf_dataset_for_client(client_id))
    for client_id in DATA.client_ids
]
START = tiny.create_model().get_weights()


@functools.cache
def compiled(**options):
    model = models.build_functional_model(tiny.create_model)
    return runtime.compile(build_fed_avg(model, **{"client_learning_rate": RATE} | options))


def run_round(clients, **options):
    """The trainable weights after one round, and its output."""
    runner = compiled(**options)
    output = runner.next(runner.initialize(), clients)
    return [np.asarray(w) for w in runner.get_model_weights(output.state).trainable], output


def train_alone(batches):
    """SGD on softmax regression, its gradient written out."""
    kernel, bias = (np.array(weights, np.float64) for weights in START)
    for images, labels in batches.as_numpy_iterator():
        flat = images.reshape(len(labels), -1)
        logits = flat @ kernel + bias
        exp = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = exp / exp.sum(axis=1, keepdims=True) - np.eye(10)[labels]
        kernel -= RATE * flat.T @ error / len(labels)
        bias -= RATE * error.mean(axis=0)
    return [kernel, bias]


ALONE = [train_alone(batches) for batches in CLIENTS]


def mean_of(results, weights):
    return [np.average(values, axis=0, weights=weights) for values in zip(*results, strict=True)]


def assert_close(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_the_clients_do_learn():
    assert all(np.abs(kernel - START[0]).max() > 1e-3 for kernel, _ in ALONE)


def test_equal_weights_give_the_plain_mean_of_the_clients_own_results():
    found, _ = run_round(CLIENTS, weighted=False)
    assert_close(found, mean_of(ALONE, [1, 1, 1]))


def test_a_client_counts_by_its_number_of_examples():
    found, _ = run_round(CLIENTS)
    assert_close(found, mean_of(ALONE, SIZES))
    assert np.abs(found[0] - mean_of(ALONE, [1, 1, 1])[0]).max() > 1e-4


def test_one_client_alone_gives_its_own_result():
    assert_close(run_round(CLIENTS[:1])[0], ALONE[0])


def test_the_server_rate_scales_the_mean_change():
    mean = mean_of(ALONE, SIZES)
    expected = [start + 0.5 * (end - start) for start, end in zip(START, mean, strict=True)]
    assert_close(run_round(CLIENTS, server_learning_rate=0.5)[0], expected)


@pytest.mark.parametrize("options", [{"client_learning_rate": 0.0}, {"server_learning_rate": 0.0}])
def test_a_rate_of_0_leaves_the_weights(options):
    assert tiny.same_bits(run_round(CLIENTS, **options)[0], START)


def test_a_client_without_batches_does_not_change_the_mean():
    empty = CLIENTS[0].take(0)
    assert_close(run_round([*CLIENTS, empty])[0], mean_of(ALONE, SIZES))


def test_a_round_in_which_nobody_has_batches_leaves_the_weights():
    assert tiny.same_bits(run_round([CLIENTS[0].take(0)])[0], START)


def test_training_metrics_are_of_all_examples_while_the_clients_train():
    metrics = run_round(CLIENTS)[1].metrics["client_work"]["train"]
    assert metrics["num_examples"] == sum(SIZES)
    assert metrics["num_batches"] == 3 + 1 + 2
    assert metrics["loss"] > 0


@pytest.mark.parametrize("name", ["client_learning_rate", "server_learning_rate"])
def test_a_bad_rate_is_named(name):
    with pytest.raises(ValueError, match=f"{name} must be a finite number of at least 0. Found -1"):
        build_fed_avg(models.build_model_fn(tiny.create_model), **{name: -1.0})


def test_evaluation_measures_and_changes_nothing():
    process = build_evaluation(models.build_functional_model(tiny.create_model))
    with runtime.compile(process) as runner:
        state = runner.initialize()
        output = runner.next(state, CLIENTS)
        assert tiny.same_bits(runner.get_model_weights(output.state).trainable, START)
    found = output.metrics["client_work"]["eval"]["current_round_metrics"]
    pixels = np.concatenate([DATA.examples(k).pixels for k in DATA.client_ids])[..., np.newaxis]
    labels = np.concatenate([DATA.examples(k).labels for k in DATA.client_ids])
    logits = tiny.create_model()(pixels)
    assert found["loss"] == pytest.approx(float(models.create_loss()(labels, logits)), rel=1e-5)
    accuracy = np.mean(tf.argmax(logits, axis=1) == labels)
    assert found["accuracy"] == pytest.approx(accuracy, rel=1e-6)
