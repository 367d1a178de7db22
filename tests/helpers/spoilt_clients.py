"""Clients whose data or updates are bad."""

import numpy as np
import tensorflow as tf


def change_images(change_fn):
    return lambda batches: batches.map(lambda images, labels: (change_fn(images), labels))


def fail(images):
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_sum(images) < 0, ["no data"])]):
        return tf.identity(images)


SPOILT = {
    "NaN": change_images(lambda images: images * np.nan),
    "Inf": change_images(lambda images: images + np.inf),
    "a failure in the data": change_images(fail),
}


def copy(state):
    return tf.nest.map_structure(np.array, state)
