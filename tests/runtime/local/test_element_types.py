"""Clients' data: what is taken, and what is told as a mistake in the program."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny
from helpers.tff_processes import fed_avg

from fedlab import runtime

TYPE = r"<float32\[\?,28,28,1\],int32\[\?\]>"


def map_images(change_fn):
    return lambda batches: batches.map(lambda images, labels: (change_fn(images), labels))


MISTAKES = {
    "labels of another type": (
        lambda batches: batches.map(lambda x, y: (x, tf.cast(y, tf.int64))),
        "Cast int64 to int32",
    ),
    "images of another type": (
        map_images(lambda images: tf.cast(images, tf.float64)),
        "Cast float64 to float32",
    ),
    "not batched": (lambda batches: batches.unbatch(), r"Batch the examples: dataset\.batch\(20\)"),
    "another shape": (map_images(lambda images: images[:, :14]), "input_spec=dataset.element_spec"),
    "other names": (
        lambda batches: batches.map(lambda x, y: {"x": x, "y": y}),
        "these names in this order",
    ),
    "nothing like data": (lambda batches: "batches", "or a list of batches. Found str"),
    "a list of another type": (lambda batches: [(1, 2, 3)], "Found 3 fields"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("name", ["local", "tff"])
def test_a_mistake_names_the_client_what_was_found_and_the_remedy(name, mistake):
    spoil, remedy = MISTAKES[mistake]
    cohort = tiny.create_cohort(4, 5)
    cohort["c1"] = spoil(cohort["c1"])
    runner = runtime.compile(fed_avg(), name)
    with pytest.raises(TypeError, match=rf"Client 'c1': .*{remedy}") as caught:
        runner.next(runner.initialize(), cohort)
    assert not isinstance(caught.value, runtime.ClientError)


def test_a_mistake_is_not_dropped():
    runner = runtime.compile(fed_avg(), on_client_error="drop")
    cohort = {"c0": tiny.create_cohort(4)["c0"].unbatch()}
    with pytest.raises(TypeError, match="Batch the examples"):
        runner.next(runner.initialize(), cohort)


def test_a_smaller_last_batch_is_named():
    spec = tff.SequenceType(tff.TensorType(np.float32, [4]))
    total = tff.tensorflow.computation(lambda data: data.reduce(tf.zeros(4), tf.add), spec)
    piece = runtime.Piece.from_computation(total)
    with pytest.raises(TypeError, match=r"batch\(4, drop_remainder=True\)"):
        piece(tf.data.Dataset.from_tensor_slices(tf.ones(6)).batch(4))
    full = tf.data.Dataset.from_tensor_slices(tf.ones(6)).batch(4, drop_remainder=True)
    np.testing.assert_array_equal(piece(full), np.ones(4))


@pytest.mark.parametrize("name", ["local", "tff"])
@pytest.mark.parametrize("kind", [list, tuple])
def test_lists_of_batches_are_data_as_well(name, kind):
    cohort = tiny.create_cohort(12, 5)
    lists = {client: kind(batches.as_numpy_iterator()) for client, batches in cohort.items()}
    runner = runtime.compile(fed_avg(), name)
    state = runner.initialize()
    assert tiny.same_bits(runner.next(state, lists), runner.next(state, cohort))


def test_arrays_and_lists_go_into_a_computation():
    """As in TFF's tutorials on custom algorithms."""
    numbers = tff.SequenceType(np.float32)
    total = runtime.Piece.from_computation(
        tff.tensorflow.computation(lambda data: data.reduce(np.float32(0), tf.add), numbers)
    )
    for data in ([68.5, 70.3], (68.5, 70.3), np.array([68.5, 70.3])):
        assert total(data) == pytest.approx(138.8)
    assert total([]) == 0
    with pytest.raises(TypeError, match="must be of type float32"):
        total(["text"])
