"""A dataset's reduction as a loop over an iterator."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.compat.v1 import GraphDef, NodeDef

_REDUCE, _CALL = "ReduceDataset", "StatefulPartitionedCall"


def use_loops(graph_def: GraphDef) -> None:
    """Replaces each `ReduceDataset` by a call of a function that does the same in a loop.

    Whenever a `ReduceDataset` runs, TensorFlow makes its function anew: it is copied, optimized and
    placed, which takes longer than a client's few batches. The body of a loop is made once, with the
    function that contains it.

    Args:
        graph_def: Changed in place, its functions included. Their names are not in TensorFlow's table
            yet.
    """
    rewriting = _Rewriting(graph_def)
    for function in list(graph_def.library.function):
        rewriting.rewrite_function(function.signature.name)
    for node in graph_def.node:
        if node.op == _REDUCE:
            rewriting.replace(node)


class _Rewriting:
    def __init__(self, graph_def: GraphDef):
        self._library = graph_def.library
        self._functions = {function.signature.name: function for function in self._library.function}
        self._done: set[str] = set()

    def rewrite_function(self, name: str) -> None:
        if name in self._done:
            return
        self._done.add(name)
        function = self._functions[name]
        reductions = [node for node in function.node_def if node.op == _REDUCE]
        for node in reductions:
            self.replace(node)
        for node in reductions:  # its results have another name within a function
            _rename_results(function, f"{node.name}:components:", f"{node.name}:output:")

    def replace(self, node: NodeDef) -> None:
        reduce_name = node.attr["f"].func.name
        self.rewrite_function(reduce_name)  # first: once traced, it must not change
        loop = self._trace_loop(node, self._functions[reduce_name])
        for function in (loop.function_def, *loop.graph.as_graph_def().library.function):
            if function.signature.name not in self._functions:
                self._functions[function.signature.name] = function
                self._done.add(function.signature.name)
                self._library.function.add().CopyFrom(function)
        types = [tf.variant.as_datatype_enum]
        types += [*node.attr["Tstate"].list.type, *node.attr["Targuments"].list.type]
        results = list(node.attr["output_types"].list.type)
        node.op = _CALL
        node.attr.clear()
        node.attr["Tin"].list.type.extend(types)
        node.attr["Tout"].list.type.extend(results)
        node.attr["f"].func.name = loop.function_def.signature.name

    def _trace_loop(self, node: NodeDef, function: Any) -> Any:
        """Returns the function (dataset, *state, *arguments) -> state."""
        num_state, num_arguments = (
            len(node.attr[name].list.type) for name in ("Tstate", "Targuments")
        )
        shapes = [tf.TensorShape(shape) for shape in node.attr["output_shapes"].list.shape]
        dtypes = [tf.as_dtype(arg.type) for arg in function.signature.input_arg]
        end = len(dtypes) - num_arguments
        element_spec = tuple(tf.TensorSpec(None, dtype) for dtype in dtypes[num_state:end])
        state_spec = [
            tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=False)
        ]
        call = self._importer(function)

        def loop(variant: tf.Tensor, *args: tf.Tensor) -> Sequence[tf.Tensor]:
            state, arguments = args[:num_state], args[num_state:]
            iterator = iter(tf.data.experimental.from_variant(variant, element_spec))

            def step(_: tf.Tensor, *state: tf.Tensor) -> tuple[tf.Tensor, ...]:
                optional = iterator.get_next_as_optional()
                has_value = optional.has_value()

                def advance() -> list[tf.Tensor]:
                    results = call([*state, *optional.get_value(), *arguments])
                    for result, shape in zip(results, shapes, strict=True):
                        result.set_shape(shape)
                    return results

                return has_value, *tf.cond(has_value, advance, lambda: list(state))

            _, *state = tf.while_loop(
                lambda is_running, *_: is_running,
                step,
                (tf.constant(True), *state),
                shape_invariants=(tf.TensorShape([]), *shapes),
            )
            return state

        argument_spec = [tf.TensorSpec(None, dtype) for dtype in dtypes[end:]]
        signature = [tf.TensorSpec([], tf.variant), *state_spec, *argument_spec]
        return tf.function(loop, autograph=False).get_concrete_function(*signature)

    def _importer(self, function: Any) -> Callable[[Sequence[tf.Tensor]], list[tf.Tensor]]:
        """Returns what calls a function of the library in the graph that is being built."""
        dtypes = [arg.type for arg in function.signature.input_arg]
        graph_def = GraphDef(library=self._library)
        for number, dtype in enumerate(dtypes):
            node = graph_def.node.add(name=f"arg_{number}", op="Placeholder")
            node.attr["dtype"].type = dtype
        call = graph_def.node.add(name="call", op=_CALL)
        call.input.extend(f"arg_{number}" for number in range(len(dtypes)))
        call.attr["Tin"].list.type.extend(dtypes)
        call.attr["Tout"].list.type.extend(arg.type for arg in function.signature.output_arg)
        call.attr["f"].func.name = function.signature.name
        results = [f"call:{number}" for number in range(len(function.signature.output_arg))]

        def call_imported(args: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            # The import takes tensors of this very graph only; an identity brings them in.
            feeds = {f"arg_{number}:0": tf.identity(arg) for number, arg in enumerate(args)}
            return tf.graph_util.import_graph_def(graph_def, feeds, results, name="reduce")

        return call_imported


def _rename_results(function: Any, old: str, new: str) -> None:
    for node in function.node_def:
        for position, name in enumerate(node.input):
            if name.startswith(old):
                node.input[position] = new + name.removeprefix(old)
    for name, result in function.ret.items():
        if result.startswith(old):
            function.ret[name] = new + result.removeprefix(old)
