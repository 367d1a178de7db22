"""Values of TFF's types as flat tensors, and back."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.runtime.local.element_types import check_element_type
from fedlab.runtime.local.sequences import ElementTypeError, to_dataset


def flatten(value: Any, type_spec: tff.Type) -> list[Any]:
    """Returns the leaves of a value in the order of its TFF type, as TensorFlow takes them.

    Args:
        value: A Python value; a sequence is a `tf.data.Dataset`, a list or an array of its elements.
        type_spec: Its TFF type.

    Raises:
        TypeError: The value does not have the type's structure.
    """
    if isinstance(type_spec, tff.FederatedType):
        return flatten(value, type_spec.member)
    if isinstance(type_spec, tff.SequenceType):
        return [tf.data.experimental.to_variant(as_dataset(value, type_spec))]
    if isinstance(type_spec, tff.TensorType):
        tensor = tf.convert_to_tensor(value, tf.as_dtype(type_spec.dtype))
        if not tensor.shape.is_compatible_with(type_spec.shape):
            raise TypeError(f"Expected a value of type {type_spec}. Found shape {tensor.shape}.")
        return [tensor]
    struct = value if isinstance(value, tff.structure.Struct) else _to_struct(value)
    fields = list(tff.structure.iter_elements(type_spec))
    if len(struct) != len(fields):
        raise TypeError(f"Expected a value of type {type_spec}. Found {len(struct)} fields.")
    leaves = []
    for index, (name, field) in enumerate(fields):
        part = getattr(struct, name) if name and hasattr(struct, name) else struct[index]
        leaves += flatten(part, field)
    return leaves


def pack(leaves: Sequence[tf.Tensor], type_spec: tff.Type) -> Any:
    """Returns a value of a TFF type, in its Python containers, with NumPy arrays as leaves.

    Args:
        leaves: In the order of the type.
        type_spec: The TFF type.
    """
    remaining = iter(leaves)
    struct = _pack_struct(remaining, type_spec)
    return tff.types.type_to_py_container(struct, _without_placement(type_spec))


def _pack_struct(leaves: Iterator[tf.Tensor], type_spec: tff.Type) -> Any:
    type_spec = _without_placement(type_spec)
    if isinstance(type_spec, tff.StructType):
        fields = [
            (name, _pack_struct(leaves, field))
            for name, field in tff.structure.iter_elements(type_spec)
        ]
        return tff.types.type_to_py_container(tff.structure.Struct(fields), type_spec)
    leaf = next(leaves)
    if isinstance(type_spec, tff.SequenceType):
        element_spec = tff.types.type_to_tf_tensor_specs(type_spec.element)
        return tf.data.experimental.from_variant(leaf, element_spec)
    return leaf.numpy()


def _without_placement(type_spec: tff.Type) -> tff.Type:
    return type_spec.member if isinstance(type_spec, tff.FederatedType) else type_spec


def _to_struct(value: Any) -> tff.structure.Struct:
    try:
        return tff.structure.from_container(value)
    except TypeError:
        raise TypeError(f"Expected a structure. Found {type(value).__name__}.") from None


def as_dataset(value: Any, type_spec: tff.SequenceType) -> tf.data.Dataset:
    """Returns a client's batches as a dataset of the type that a process takes.

    Args:
        value: A `tf.data.Dataset`, or a list, tuple or array of its elements.
        type_spec: The type.

    Raises:
        ElementTypeError: The batches are of another type; the message says what to do.
    """
    if isinstance(value, list | tuple | np.ndarray):
        value = _from_elements(value, type_spec.element)
    if not isinstance(value, tf.data.Dataset):
        raise ElementTypeError(
            "A client's batches must be a tf.data.Dataset or a list of batches. "
            f"Found {type(value).__name__}."
        )
    check_element_type(value, type_spec.element)
    return value


def client_dataset(client_id: str, value: Any, type_spec: tff.SequenceType) -> tf.data.Dataset:
    """Does what `as_dataset` does, for a client that an error names.

    Args:
        client_id: The client.
        value: The client's batches.
        type_spec: The type that the process takes.
    """
    try:
        return as_dataset(value, type_spec)
    except ElementTypeError as error:
        raise ElementTypeError(f"Client {client_id!r}: {error}") from None


def _from_elements(elements: Iterable[Any], element_type: tff.Type) -> tf.data.Dataset:
    try:
        converted = [
            _pack_struct(iter(flatten(element, element_type)), element_type) for element in elements
        ]
    except (TypeError, ValueError) as error:
        raise ElementTypeError(
            f"A client's batches must be of type {element_type}. {error}"
        ) from error
    return to_dataset(converted, tff.types.type_to_tf_tensor_specs(element_type))
