"""Gives what a graph defines names of its own: TensorFlow has one table of each kind in a process."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tensorflow.compat.v1 import GraphDef, NodeDef

# The condition of a loop names arguments that it does not read after itself, and with this.
_UNREAD = "___redundant_placeholder"
# They name functions that TensorFlow made on the way to a gradient, and that a graph may lack.
_GRADIENT_NAMES = ("forward_function_name", "backward_function_name")


def rename(graph_def: GraphDef, suffix: str) -> None:
    """Appends a suffix to the names of a graph's functions, variables and tables.

    Two graphs may define different functions under one name. Variables of one name are one variable.

    Args:
        graph_def: Changed in place.
        suffix: No other graph in this process has the same.
    """
    names = [function.signature.name for function in graph_def.library.function]
    _rename_functions(graph_def, {name: name + suffix for name in names})
    for node in all_nodes(graph_def):
        if "shared_name" in node.attr:
            name = node.attr["shared_name"].s.decode() or node.name
            node.attr["shared_name"].s = (name + suffix).encode()


def number_functions(graph_def: GraphDef) -> None:
    """Names a graph's functions by the order in which they are first called, and sorts them so.

    TensorFlow counts its functions over a whole process. After this, two graphs that were built in
    the same way are the same message, whatever was built before them.

    Args:
        graph_def: Changed in place, to be compared and not to be run: functions that nothing calls,
            and what a function knows of its gradient's, are removed.
    """
    functions = {function.signature.name: function for function in graph_def.library.function}
    numbers: dict[str, int] = {}

    def visit(names: Iterable[str]) -> None:
        for name in names:
            if name in functions and name not in numbers:
                numbers[name] = len(numbers)
                visit(_called_names(functions[name].node_def))

    visit(_called_names(graph_def.node))
    for gradient in graph_def.library.gradient:
        visit((gradient.function_name, gradient.gradient_func))
    new_names = {name: f"function_{number}" for name, number in numbers.items()}
    called = [functions[name] for name in numbers]
    del graph_def.library.function[:]
    graph_def.library.function.extend(called)
    for function in graph_def.library.function:
        for attribute in _GRADIENT_NAMES:
            function.attr.pop(attribute, None)
        for position, arg in enumerate(function.signature.input_arg):
            if _UNREAD in arg.name:
                arg.name = f"{_UNREAD}{position}"
    _rename_functions(graph_def, new_names)


def all_nodes(graph_def: GraphDef) -> Iterator[NodeDef]:
    """Yields the nodes of a graph and of the functions that it defines."""
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _called_names(nodes: Iterable[NodeDef]) -> Iterator[str]:
    """Yields the names of operations, and of the functions that they call, in the nodes' order."""
    for node in nodes:
        yield node.op
        for function in _called(node.attr):
            yield function.name


def _called(attributes: Mapping[str, Any]) -> Iterator[Any]:
    """Yields the functions in a node's attributes, and in theirs, in the order of the names."""
    for _, value in sorted(attributes.items()):
        for function in [*value.list.func, *([value.func] if value.HasField("func") else [])]:
            yield function
            yield from _called(function.attr)


def _rename_functions(graph_def: GraphDef, new_names: Mapping[str, str]) -> None:
    for function in graph_def.library.function:
        function.signature.name = new_names[function.signature.name]
    for node in all_nodes(graph_def):
        node.op = new_names.get(node.op, node.op)
        for called in _called(node.attr):
            called.name = new_names.get(called.name, called.name)
    for gradient in graph_def.library.gradient:
        gradient.function_name = new_names.get(gradient.function_name, gradient.function_name)
        gradient.gradient_func = new_names.get(gradient.gradient_func, gradient.gradient_func)
