"""Batches hold the client's examples, in the order promised, again and again the same."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab.data import sampling
from fedlab.data.preprocessing import (
    INPUT_SPEC,
    Cohort,
    Preprocessing,
    build_cohort_fn,
    preprocess,
)

EXAMPLES = tiny.create_examples(50)
DATASET = tiny.create_data(50).create_tf_dataset_for_client("c0")


def batches(dataset):
    return [(images, labels) for images, labels in dataset.as_numpy_iterator()]


def images_of(dataset):
    """All images in order, without the channel."""
    return np.concatenate([images for images, _ in batches(dataset)])[..., 0]


def counted(images):
    return Counter(image.tobytes() for image in images)


def test_the_article_s_preprocess_is_batches_of_20_in_the_order_of_the_file():
    found = batches(preprocess(DATASET))
    assert [len(labels) for _, labels in found] == [20, 20, 10]
    np.testing.assert_array_equal(images_of(preprocess(DATASET)), EXAMPLES.pixels)
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]), EXAMPLES.labels)


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(),
        Preprocessing(batch_size=1, num_epochs=2, shuffle=True, max_examples=3),
    ],
)
def test_batches_are_what_the_models_are_fed(preprocessing):
    dataset = preprocessing.apply(DATASET)
    assert dataset.element_spec == INPUT_SPEC
    images, labels = next(iter(dataset))
    assert images.dtype == tf.float32
    assert labels.dtype == tf.int32
    assert images.shape[1:] == (28, 28, 1)


@pytest.mark.parametrize("shuffle", [False, True])
def test_epochs_go_through_every_example_as_often(shuffle):
    dataset = Preprocessing(batch_size=7, num_epochs=3, shuffle=shuffle).apply(DATASET)
    assert counted(images_of(dataset)) == dict.fromkeys(counted(EXAMPLES.pixels), 3)


def test_no_epoch_begins_before_the_last_has_ended():
    images = images_of(Preprocessing(num_epochs=2, shuffle=True).apply(DATASET))
    assert counted(images[:50]) == counted(images[50:]) == counted(EXAMPLES.pixels)
    assert not np.array_equal(images[:50], images[50:])  # each in an order of its own


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_cap_takes_the_first_examples(shuffle):
    images = images_of(Preprocessing(max_examples=12, shuffle=shuffle).apply(DATASET))
    assert counted(images) == counted(EXAMPLES.pixels[:12])


def test_a_cap_above_the_client_s_size_takes_all():
    assert len(images_of(Preprocessing(max_examples=999).apply(DATASET))) == 50


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_last_batch_of_each_epoch_is_smaller(shuffle):
    dataset = Preprocessing(16, num_epochs=2, shuffle=shuffle).apply(DATASET)
    sizes = [len(labels) for _, labels in batches(dataset)]
    assert sizes == [16, 16, 16, 2] * 2


def test_the_order_is_a_function_of_seed_and_stream():
    def order(seed, *stream):
        return images_of(Preprocessing(shuffle=True, seed=seed).apply(DATASET, *stream)).tobytes()

    assert order(1, 2, 3) == order(1, 2, 3)
    assert len({order(0), order(1), order(1, 2), order(1, 2, 3), order(1, 3, 2)}) == 5


SHUFFLED = Preprocessing(16, num_epochs=2, shuffle=True)


def test_image_and_label_stay_together():
    label_of = {p.tobytes(): y for p, y in zip(*EXAMPLES, strict=True)}
    for images, labels in batches(SHUFFLED.apply(DATASET)):
        assert [label_of[image.tobytes()] for image in images[..., 0]] == list(labels)


def test_the_order_depends_on_nothing_else():
    dataset = SHUFFLED.apply(DATASET, 7)
    first = images_of(dataset)
    np.testing.assert_array_equal(images_of(dataset), first)  # nor on who went through it before
    tf.random.set_seed(99)
    np.testing.assert_array_equal(images_of(SHUFFLED.apply(DATASET, 7)), first)


@pytest.mark.parametrize("max_examples, num_batches", [(None, 8), (32, 4), (33, 6)])
def test_the_number_of_batches_is_known_where_the_client_s_is(max_examples, num_batches):
    shuffled = dataclasses.replace(SHUFFLED, max_examples=max_examples)
    assert shuffled.apply(DATASET).cardinality() == num_batches
    assert len(batches(shuffled.apply(DATASET))) == num_batches
    unknown = shuffled.apply(DATASET.filter(lambda element: True))
    np.testing.assert_array_equal(images_of(unknown), images_of(shuffled.apply(DATASET)))


def test_shuffles_in_a_graph_as_it_does_here():
    count = tf.function(lambda: SHUFFLED.apply(DATASET).reduce(0, lambda n, batch: n + 1))
    assert count() == 8


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("num_labels", [49, 51])
def test_as_many_labels_as_images_are_needed(shuffle, num_labels):
    pixels, labels = EXAMPLES
    with pytest.raises(ValueError, match=f"labels must be 50, one an image. Found {num_labels}"):
        Preprocessing(shuffle=shuffle, max_examples=10).apply_to_arrays(
            pixels, np.resize(labels, num_labels)
        )


@pytest.mark.parametrize("name", ["batch_size", "num_epochs", "max_examples"])
@pytest.mark.parametrize("value", [0, -2])
def test_bad_values_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least 1. Found {value}."):
        Preprocessing(**{name: value})


def test_a_negative_seed_is_named():
    with pytest.raises(ValueError, match="seed must be at least 0. Found -1."):
        Preprocessing(seed=-1)


def test_a_cohort_is_repeatable_and_in_its_order():
    data = tiny.create_data(30, 40, 5, 8)
    sample_fn = sampling.uniform(data.client_ids, 3, seed=4)
    cohort_fn = build_cohort_fn(data, sample_fn, Preprocessing(shuffle=True))
    first = {client_id: images_of(batched) for client_id, batched in cohort_fn(1).items()}
    assert list(first) == sample_fn(1)
    cohort_fn(2)
    for client_id, batched in cohort_fn(1).items():
        np.testing.assert_array_equal(images_of(batched), first[client_id])


def test_a_client_meets_another_order_in_another_round_than_others():
    data = tiny.create_data(30, 30)
    both = build_cohort_fn(data, sampling.fixed(["c0", "c1"]), Preprocessing(shuffle=True))

    def order(round_num, client_id):
        held = {row.tobytes(): i for i, row in enumerate(data.examples(client_id).pixels)}
        return tuple(held[image.tobytes()] for image in images_of(both(round_num)[client_id]))

    orders = {(r, c): order(r, c) for r in (1, 2) for c in ("c0", "c1")}
    assert len(set(orders.values())) == 4


def test_the_cohort_s_order_changes_no_client_s_batches():
    data = tiny.create_data(30, 30)
    shuffled = Preprocessing(shuffle=True)
    one = build_cohort_fn(data, sampling.fixed(["c0", "c1"]), shuffled)(1)
    two = build_cohort_fn(data, sampling.fixed(["c1"]), shuffled)(1)
    np.testing.assert_array_equal(images_of(one["c1"]), images_of(two["c1"]))


def test_the_article_s_batches_are_the_default():
    data = tiny.create_data(50)
    cohort = build_cohort_fn(data, sampling.fixed(["c0"]))(1)
    np.testing.assert_array_equal(images_of(cohort["c0"]), EXAMPLES.pixels)


def test_a_dataset_without_an_end_is_refused():
    data = tiny.create_data(3)
    endless = data.create_tf_dataset_for_client("c0").repeat()
    with pytest.raises(ValueError, match="dataset must be finite.* Found .* without an end"):
        preprocess(endless)


@pytest.mark.parametrize("name, shape", [("image", (28, 28)), ("pixels", (784,))])
def test_elements_of_another_name_or_shape_are_named(name, shape):
    examples = {"label": [np.int32(1)], name: [np.ones(shape, np.float32)]}
    data = tff.simulation.datasets.TestClientData({"u": examples})
    with pytest.raises(ValueError, match=f"client_data must have .*label.*pixels.* Found .*{name}"):
        build_cohort_fn(data, lambda round_num: ["u"])


def test_what_a_client_draws_depends_on_its_id_and_not_on_the_other_clients():
    """A selection of clients once changed everybody's batches."""
    spec = Preprocessing(4, num_epochs=2, shuffle=True, augmentation="shift")
    whole = tiny.create_data(*[12] * 5)
    chosen = whole.select(whole.client_ids[:1:-1])
    for client_id in chosen.client_ids:
        of_whole = Cohort(whole, whole.client_ids, spec, 3)[client_id]
        of_chosen = Cohort(chosen, [client_id], spec, 3)[client_id]
        np.testing.assert_array_equal(images_of(of_whole), images_of(of_chosen))
    with pytest.raises(KeyError):
        Cohort(whole, whole.client_ids, spec, 3).stream("nobody")
