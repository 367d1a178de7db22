"""Values of TFF's types as flat tensors, and back."""

from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff


def flatten(value: Any, type_spec: tff.Type) -> list[Any]:
    """Returns the leaves of a value in the order of its TFF type, as TensorFlow takes them.

    Args:
        value: A Python value; a sequence is a `tf.data.Dataset`.
        type_spec: Its TFF type.

    Raises:
        TypeError: The value does not have the type's structure.
    """
    if isinstance(type_spec, tff.FederatedType):
        return flatten(value, type_spec.member)
    if isinstance(type_spec, tff.SequenceType):
        return [_to_variant(value, type_spec)]
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
        value = getattr(struct, name) if name and hasattr(struct, name) else struct[index]
        leaves += flatten(value, field)
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


def _to_variant(value: Any, type_spec: tff.SequenceType) -> tf.Tensor:
    if not isinstance(value, tf.data.Dataset):
        raise TypeError(
            f"A client's batches must be a tf.data.Dataset. Found {type(value).__name__}."
        )
    expected = type_spec.element
    actual = tff.types.tensorflow_to_type(value.element_spec)
    if not expected.is_assignable_from(actual):
        raise TypeError(f"A client's batches must be of type {expected}. Found {actual}.")
    return tf.data.experimental.to_variant(value)
