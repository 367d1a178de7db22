"""Gives what a graph defines names of its own: TensorFlow has one table of each kind in a process."""

from collections.abc import Iterator

from tensorflow.compat.v1 import GraphDef, NodeDef


def rename(graph_def: GraphDef, suffix: str) -> None:
    """Appends a suffix to the names of a graph's functions, variables and tables.

    Two graphs may define different functions under one name. Variables of one name are one variable.

    Args:
        graph_def: Changed in place.
        suffix: No other graph in this process has the same.
    """
    _rename_functions(graph_def, suffix)
    for node in all_nodes(graph_def):
        if "shared_name" in node.attr:
            name = node.attr["shared_name"].s.decode() or node.name
            node.attr["shared_name"].s = (name + suffix).encode()


def all_nodes(graph_def: GraphDef) -> Iterator[NodeDef]:
    """Yields the nodes of a graph and of the functions that it defines."""
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _rename_functions(graph_def: GraphDef, suffix: str) -> None:
    names = {function.signature.name for function in graph_def.library.function}
    for function in graph_def.library.function:
        function.signature.name += suffix
    for node in all_nodes(graph_def):
        if node.op in names:
            node.op += suffix
        for attr in node.attr.values():
            functions = [*attr.list.func, *([attr.func] if attr.HasField("func") else [])]
            for function in functions:
                if function.name in names:
                    function.name += suffix
    for gradient in graph_def.library.gradient:
        gradient.function_name += suffix
        if gradient.gradient_func in names:
            gradient.gradient_func += suffix
