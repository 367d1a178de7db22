"""Datasets out of lists. TFF is not imported: a remote worker does without it."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class ElementTypeError(TypeError):
    """Data of another type than the process takes: a mistake in the program, not of one client."""


def to_dataset(elements: Sequence[Any], element_spec: Any) -> tf.data.Dataset:
    """Returns a dataset of elements, whose shapes may differ.

    Args:
        elements: Structures of arrays.
        element_spec: A structure of `tf.TensorSpec`s, for a dataset without elements.
    """
    if not elements:
        shaped = tf.nest.map_structure(
            lambda spec: tf.zeros([size or 0 for size in spec.shape], spec.dtype), element_spec
        )
        return tf.data.Dataset.from_tensors(shaped).take(0)
    if len(elements) == 1:
        return tf.data.Dataset.from_tensors(elements[0])
    half = len(elements) // 2  # a tree: in a chain each element would pass through all its links
    first, second = (to_dataset(part, element_spec) for part in (elements[:half], elements[half:]))
    return first.concatenate(second)
