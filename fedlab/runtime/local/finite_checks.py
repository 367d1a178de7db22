"""Whether a graph's results are finite. TFF is not imported: a remote worker does without it."""

from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf
from tensorflow.compat.v1 import GraphDef, NodeDef

_CONDITIONAL = ("Switch", "RefSwitch", "Enter", "NextIteration", "LoopCond")
_END_OF_CONDITIONAL = ("Exit", "Merge")


def find_finite_checks(graph_def: GraphDef) -> list[str]:
    """Returns the names of the tensors by which the graph itself checks that something is finite.

    TFF's clients replace an update that is not finite by zeros, so that the result does not show it.
    """
    nodes = {node.name: node for node in graph_def.node}
    tests = {node.name for node in graph_def.node if node.op == "IsFinite"}
    return [
        f"{node.name}:0"
        for node in graph_def.node
        if node.op == "All"
        and source_name(node.input[0]) in tests
        and not _is_conditional(node, nodes)
    ]


def all_finite(results: Sequence[tf.Tensor], checks: Iterable[tf.Tensor]) -> tf.Tensor:
    """Returns bool (): whether all checks hold, and all floats among the results are finite."""
    floats = [result for result in results if result.dtype.is_floating]
    return tf.reduce_all([*checks, *(tf.reduce_all(tf.math.is_finite(each)) for each in floats)])


def source_name(tensor_name: str) -> str:
    """Returns the name of the node that makes a tensor, or that a control input names."""
    return tensor_name.lstrip("^").split(":")[0]


def _is_conditional(node: NodeDef, nodes: Mapping[str, NodeDef]) -> bool:
    """Returns whether a node is inside a loop or a branch, so that it may never have a value."""
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop()
        if node.op in _CONDITIONAL:
            return True
        if node.op in _END_OF_CONDITIONAL:
            continue
        for name in map(source_name, node.input):
            if name not in seen:
                seen.add(name)
                waiting.append(nodes[name])
    return False
