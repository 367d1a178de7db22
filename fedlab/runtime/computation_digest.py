"""A digest of what a computation computes, whatever the names in it.

Two builds of one process differ in the names that TensorFlow counts up, in the order of the functions in
a graph, and in what variables begin with. A digest must not see these. It sees the operations, how they
are connected, and every number that is written into them, such as a learning rate.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import tensorflow as tf
import tensorflow_federated as tff
from google.protobuf.message import Message
from tensorflow_federated.proto.v0 import computation_pb2

# An operation's hash takes in its neighbours' hashes this many times.
_NUM_STEPS = 3
_NAMES = ("shared_name", "container", "metadata")


def digest_computation(computation: tff.Computation) -> str:
    """Returns 16 hexadecimal digits that two builds of one computation have in common.

    They depend on the versions of TensorFlow and TFF, too.

    Args:
        computation: A computation whose parts are TensorFlow, such as the `next` of a process.
    """
    proto = computation_pb2.Computation()
    proto.CopyFrom(tff.framework.serialize_computation(computation))
    for part in find_tensorflow(proto):
        digest = _digest_tensorflow(part)
        part.Clear()
        part.initialize_op = digest
    return _hash(proto.SerializeToString(deterministic=True)).hex()[:16]


def find_tensorflow(message: Message) -> Iterator[computation_pb2.TensorFlow]:
    """Yields the parts of a computation that are TensorFlow graphs.

    Args:
        message: The computation, serialized; or a part of it.
    """
    if isinstance(message, computation_pb2.TensorFlow):
        yield message
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in value if field.label == field.LABEL_REPEATED else [value]:
                yield from find_tensorflow(part)


def _digest_tensorflow(part: computation_pb2.TensorFlow) -> str:
    graph_def = tf.compat.v1.GraphDef()
    part.graph_def.Unpack(graph_def)
    functions = {function.signature.name: function for function in graph_def.library.function}

    @functools.cache
    def digest_function(name: str) -> bytes:
        function = functions[name]
        arguments = [arg.name for arg in function.signature.input_arg]
        outputs = [function.ret[arg.name] for arg in function.signature.output_arg]
        outputs += [f"^{name}" for name in function.control_ret.values()]
        return _digest_nodes(function.node_def, arguments, outputs, digest_node)

    def digest_node(node: tf.compat.v1.NodeDef) -> bytes:
        op = digest_function(node.op) if node.op in functions else node.op.encode()
        return _hash(op, *_digest_attributes(node, functions, digest_function))

    arguments = _tensor_names(part.parameter)
    outputs = _tensor_names(part.result)
    return _digest_nodes(graph_def.node, arguments, outputs, digest_node).hex()


def _digest_attributes(
    node: tf.compat.v1.NodeDef, functions: Iterable[str], digest_function: Callable[[str], bytes]
) -> Iterator[bytes]:
    for name in sorted(node.attr):
        if name.startswith("_") or name in _NAMES:
            continue
        value = type(node.attr[name])()
        value.CopyFrom(node.attr[name])
        called = [*value.list.func, *([value.func] if value.HasField("func") else [])]
        for function in called:
            if function.name in functions:
                function.name = digest_function(function.name).hex()
        yield _hash(name.encode(), value.SerializeToString(deterministic=True))


def _digest_nodes(
    nodes: Iterable[tf.compat.v1.NodeDef],
    arguments: Sequence[str],
    outputs: Sequence[str],
    digest_node: Callable[[tf.compat.v1.NodeDef], bytes],
) -> bytes:
    """Returns the digest of the nodes that the outputs need: not of those that initialize variables."""
    by_name = {node.name: node for node in nodes}
    needed: dict[str, tf.compat.v1.NodeDef | None] = {}
    remaining = [_node_name(output) for output in outputs]
    while remaining:
        name = remaining.pop()
        if name not in needed:
            needed[name] = node = by_name.get(name)  # an argument of a function has no node
            remaining += [_node_name(edge) for edge in node.input] if node else []
    numbers = {_node_name(argument): str(number) for number, argument in enumerate(arguments)}
    hashes = {
        name: _hash(b"argument", numbers[name].encode()) if name in numbers else digest_node(node)
        for name, node in needed.items()
    }

    def follow(edges: Iterable[str]) -> list[bytes]:
        followed: dict[bool, list[bytes]] = {False: [], True: []}
        for edge in edges:
            is_control = edge.startswith("^")
            followed[is_control].append(_hash(_output_name(edge), hashes[_node_name(edge)]))
        return followed[False] + sorted(followed[True])  # control edges have no order

    for _ in range(_NUM_STEPS):
        hashes = {
            name: _hash(hashes[name], *follow(node.input if node else []))
            for name, node in needed.items()
        }
    return _hash(*follow(outputs), *sorted(hashes.values()))


def _node_name(edge: str) -> str:
    """Returns the node of "node:0", "node:output:0" (in functions) or "^node" (a control edge)."""
    return edge.removeprefix("^").partition(":")[0]


def _output_name(edge: str) -> bytes:
    output = edge.partition(":")[2] or "0"
    return b"^" if edge.startswith("^") else output.encode()


def _tensor_names(binding: computation_pb2.TensorFlow.Binding) -> list[str]:
    kind = binding.WhichOneof("binding")
    if kind == "tensor":
        return [binding.tensor.tensor_name]
    if kind == "sequence":
        return [binding.sequence.variant_tensor_name]
    elements = binding.struct.element if kind == "struct" else []
    return [name for element in elements for name in _tensor_names(element)]


def _hash(*parts: bytes) -> bytes:
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return hashed.digest()
