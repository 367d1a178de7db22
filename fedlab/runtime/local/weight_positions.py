"""Where the model's weights lie among the tensors of a round."""

from collections.abc import Iterator

import tensorflow_federated as tff

_MODEL_WEIGHTS = ["trainable", "non_trainable"]


def find_trainable(type_spec: tff.Type) -> tuple[int, ...]:
    """Returns the positions of the trainable weights among the leaves of what is broadcast.

    Args:
        type_spec: A type with `tff.learning.models.ModelWeights` in it; without them, nothing is found.
    """
    for start, part in _structs(type_spec):
        if [name for name, _ in tff.structure.iter_elements(part)] == _MODEL_WEIGHTS:
            return tuple(range(start, start + _num_leaves(part[0])))
    return ()


def find_update(result_type: tff.Type, broadcast_type: tff.Type) -> tuple[int, ...]:
    """Returns the positions of a model's update among the leaves of what a client sends.

    The update is the last structure whose leaves have the types of the trainable weights, one after the
    other: behind the metrics, in all of TFF's algorithms. Metrics may be infinite and well.

    Args:
        result_type: What a client sends.
        broadcast_type: What a client gets.
    """
    leaves = tff.structure.flatten(broadcast_type)
    trainable = [leaves[position] for position in find_trainable(broadcast_type)]
    if not trainable:
        return ()
    matching: tuple[int, ...] = ()
    for start, part in _structs(result_type):
        if tff.structure.flatten(part) == trainable:
            matching = tuple(range(start, start + len(trainable)))
    return matching


def _structs(type_spec: tff.Type, start: int = 0) -> Iterator[tuple[int, tff.StructType]]:
    """Yields each structure in a type, with the position of its first leaf."""
    if isinstance(type_spec, tff.StructType):
        yield start, type_spec
        for _, field in tff.structure.iter_elements(type_spec):
            yield from _structs(field, start)
            start += _num_leaves(field)


def _num_leaves(type_spec: tff.Type) -> int:
    return len(tff.structure.flatten(type_spec)) if isinstance(type_spec, tff.StructType) else 1
