"""TensorFlow graphs as functions of this process. TFF is not imported: a remote worker does without it."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf
from tensorflow.compat.v1 import GraphDef

from fedlab.runtime import graph_loading
from fedlab.runtime.graph_loading import reduce_loops, renaming, rewrites
from fedlab.runtime.graph_loading.stopping import Stop
from fedlab.runtime.local.finite_checks import all_finite, find_finite_checks, source_name

_NUMBERS = itertools.count()

# TensorFlow rewrites a dataset's graph each time that somebody begins to read it, and starts a thread
# that tunes its buffers. Neither changes what is read, and a client's few batches hardly repay it
# (benchmarks/accelerator.py). What else a dataset asks for is kept.
_READ_AS_IT_IS = tf.data.Options()
_READ_AS_IT_IS.autotune.enabled = False
_READ_AS_IT_IS.experimental_optimization.apply_default_optimizations = False


class GraphFunction(Protocol):
    """A graph as a function of flat tensors."""

    def __call__(self, *args: Any, stop: Stop | None = None) -> Sequence[tf.Tensor]:
        """Calls the function eagerly.

        Args:
            *args: The graph's inputs, as tensors or what becomes one; a dataset as a variant.
            stop: Ends the call from another thread, with a `CancelledError`.

        Returns:
            The graph's outputs.
        """

    def get_ready(self) -> None:
        """Does now what the first call would do besides its own work."""


@dataclasses.dataclass(frozen=True)
class Graph:
    """A TensorFlow function as data, that can be sent elsewhere and loaded there.

    Attributes:
        graph_def: A serialized `tf.compat.v1.GraphDef`.
        inputs: Names of the tensors that take the arguments; a dataset is a variant tensor.
        outputs: Names of the tensors that hold the results.
        init_op: Name of the operation that sets the graph's variables, or "".
    """

    graph_def: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    init_op: str = ""

    @property
    def has_state(self) -> bool:
        """Whether the graph has variables, which two threads must not share."""
        return bool(self.init_op)

    @property
    def draws_from_a_stream(self) -> bool:
        """Whether the graph draws random numbers whose values depend on the calls before."""
        nodes = renaming.all_nodes(GraphDef.FromString(self.graph_def))
        return any({"seed", "seed2"} <= set(node.attr) for node in nodes)

    def load(self, *, check_finite: bool = False) -> GraphFunction:
        """Returns the graph as a function of flat tensors.

        Each that is loaded has variables and streams of random numbers of its own.

        Args:
            check_finite: Whether to append one result: bool (), whether all floats among the
                results are finite, and nothing was replaced because it was not. (TFF's clients set
                an update that is not finite to zero; their own check is read here.)
        """
        run: GraphFunction
        initialize: Sequence[GraphFunction]
        if graph_loading.is_on():
            from fedlab.runtime.graph_loading import functions  # TensorFlow's private names

            run, *initialize = functions.load(
                lambda suffix: self._trace(suffix, check_finite, accelerate=True),
                self.graph_def,
                repr((self.inputs, self.outputs, self.init_op, check_finite)).encode(),
                repr(rewrites.has_onednn_pooling()).encode(),
            )
        else:
            traced = self._trace(f"_{next(_NUMBERS)}", check_finite, accelerate=False)
            run, *initialize = map(_PlainFunction, traced)
        return _RunAnew(run, *initialize) if initialize else run

    def _trace(self, suffix: str, check_finite: bool, *, accelerate: bool) -> list[Any]:
        """Returns the function, and one that sets its variables if it has any."""
        graph_def = GraphDef.FromString(self.graph_def)
        renaming.rename(graph_def, suffix)
        if accelerate:
            reduce_loops.use_loops(graph_def)
            rewrites.use_onednn_pooling(graph_def)
        checks = find_finite_checks(graph_def) if check_finite else []

        def call(*args: tf.Tensor) -> list[tf.Tensor]:
            feeds = dict(zip(self.inputs, map(_read_as_it_is, args), strict=True))
            fetched = _import(graph_def, [*self.outputs, *checks], feeds)
            results = fetched[: len(self.outputs)]
            if check_finite:
                results = [*results, all_finite(results, fetched[len(self.outputs) :])]
            return results

        def initialize() -> list[tf.Tensor]:
            with tf.control_dependencies(_import(graph_def, [self.init_op], {})):
                return [tf.constant(True)]

        # Not `tf.function`: its shape inference does not take every loop that TFF's optimizer
        # leaves ("Missing src context").
        traced = [tf.compat.v1.wrap_function(call, self._signature(graph_def))]
        if self.has_state:
            traced.append(tf.compat.v1.wrap_function(initialize, []))
        return traced

    def _signature(self, graph_def: GraphDef) -> list[tf.TensorSpec]:
        nodes = {node.name: node for node in graph_def.node}
        attrs = [nodes[source_name(name)].attr for name in self.inputs]
        return [tf.TensorSpec(attr["shape"].shape, attr["dtype"].type) for attr in attrs]


class _PlainFunction:
    """A function as TensorFlow's public interface loads it; a call that runs cannot be ended."""

    def __init__(self, traced: Any):
        self._traced = traced

    def __call__(self, *args: Any, stop: Stop | None = None) -> Sequence[tf.Tensor]:
        if stop is not None and stop.is_set():
            raise tf.errors.CancelledError(None, None, "The round was stopped.")
        return self._traced(*map(tf.convert_to_tensor, args))

    def get_ready(self) -> None:
        """Does nothing: only a call gets it ready."""


class _RunAnew:
    """A function whose variables are set before each call."""

    def __init__(self, run: GraphFunction, initialize: GraphFunction):
        self._run, self._initialize = run, initialize

    def __call__(self, *args: Any, stop: Stop | None = None) -> Sequence[tf.Tensor]:
        self._initialize()
        return self._run(*args, stop=stop)

    def get_ready(self) -> None:
        self._initialize.get_ready()
        self._run.get_ready()


def _import(
    graph_def: GraphDef, fetches: Sequence[str], feeds: Mapping[str, tf.Tensor]
) -> list[Any]:
    """Puts what the fetches need into the graph that is being built; returns the fetched."""
    needed, waiting = set(), [source_name(name) for name in (*fetches, *feeds)]
    inputs = {node.name: [source_name(name) for name in node.input] for node in graph_def.node}
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += inputs[name]
    arguments = {f"^{source_name(name)}" for name in feeds}
    # Else TensorFlow runs, besides, whatever has a state: the variables' initializers.
    pruned = GraphDef(versions=graph_def.versions, library=graph_def.library)
    pruned.node.extend(node for node in graph_def.node if node.name in needed)
    for node in pruned.node:  # "beside that node", which may be gone; there is one device
        node.attr.pop("_class", None)
        # "After that argument", which always holds, and would ask for the placeholder's own value.
        remaining = [name for name in node.input if name not in arguments]
        del node.input[:]
        node.input.extend(remaining)
    return tf.graph_util.import_graph_def(pruned, feeds, list(fetches), name="piece")


def _read_as_it_is(arg: tf.Tensor) -> tf.Tensor:
    if arg.dtype != tf.variant:  # a dataset: TFF knows no other variants
        return arg
    # The dataset counts, not this spec of its elements.
    dataset = tf.data.experimental.from_variant(arg, tf.TensorSpec([], tf.variant))
    return tf.data.experimental.to_variant(dataset.with_options(_READ_AS_IT_IS))
