"""Whether a client's data is of the type that a process takes, and if not, what to do."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.runtime.local.sequences import ElementTypeError


def check_element_type(dataset: tf.data.Dataset, expected: tff.Type) -> None:
    """Checks the elements of a dataset, without reading one.

    Args:
        dataset: A client's batches.
        expected: The type that the process takes.

    Raises:
        ElementTypeError: The elements are of another type; the message says what to do.
    """
    actual = tff.types.tensorflow_to_type(dataset.element_spec)
    if not expected.is_assignable_from(actual):
        raise ElementTypeError(
            f"A client's batches must be of type {expected}. Found {actual}. "
            f"{_find_remedy(expected, actual)}"
        )


def _find_remedy(expected: tff.Type, actual: tff.Type) -> str:
    if _structure(expected) != _structure(actual):
        return (
            "Map the dataset to elements with these names in this order, or build the model with "
            "input_spec=dataset.element_spec."
        )
    pairs = list(zip(_leaves(expected), _leaves(actual), strict=True))
    casts = {
        f"{np.dtype(found.dtype).name} to {np.dtype(wanted.dtype).name}"
        for wanted, found in pairs
        if wanted.dtype != found.dtype
    }
    if casts:
        return f"Cast {' and '.join(sorted(casts))}: dataset.map(...) with tf.cast."
    sizes = [(_sizes(wanted), _sizes(found)) for wanted, found in pairs]
    if all(len(found) == len(wanted) - 1 for wanted, found in sizes):
        return "Batch the examples: dataset.batch(20)."
    if all(wanted[1:] == found[1:] for wanted, found in sizes) and sizes[0][0]:
        size = sizes[0][0][0]
        return (
            f"Leave out the smaller last batch: dataset.batch({size}, drop_remainder=True), or build "
            "the model with an input_spec whose first size is None."
        )
    return "Build the model with input_spec=dataset.element_spec, or reshape the examples."


def _leaves(type_spec: tff.Type) -> Sequence[Any]:
    is_struct = isinstance(type_spec, tff.StructType)
    return tff.structure.flatten(type_spec) if is_struct else [type_spec]


def _structure(type_spec: tff.Type) -> Any:
    """Returns the names and the nesting of a type, without its tensors."""
    if not isinstance(type_spec, tff.StructType):
        return None
    return [(name, _structure(part)) for name, part in tff.structure.iter_elements(type_spec)]


def _sizes(type_spec: tff.TensorType) -> Sequence[int | None]:
    return () if type_spec.shape is None else tuple(type_spec.shape)
