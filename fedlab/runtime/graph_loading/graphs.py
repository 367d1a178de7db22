"""TensorFlow graphs as functions of this process. No TFF in here: a remote worker needs it not."""

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

# Not among TensorFlow's public names (2.15).
from tensorflow.core.framework import dataset_options_pb2, function_pb2

from fedlab.runtime.graph_loading import disk_cache, rewrites
from fedlab.runtime.graph_loading.functions import LoadedFunction

# Takes and returns flat lists of eager tensors. `manager=`, a `cancellation.CancellationManager`, ends the
# call from another thread, with an error.
FlatFn = Callable[..., Sequence[tf.Tensor]]

_NUMBERS = itertools.count()

# TensorFlow rewrites a dataset's graph each time that somebody begins to read it, and starts a thread
# that tunes its buffers. Neither changes what is read, and a client's few batches hardly repay it
# (benchmarks/below_the_floor.py). What else a dataset asks for is kept.
_READ_AS_IT_IS = dataset_options_pb2.Options(
    autotune_options=dataset_options_pb2.AutotuneOptions(enabled=False),
    optimization_options=dataset_options_pb2.OptimizationOptions(apply_default_optimizations=False),
).SerializeToString()


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
        graph_def = tf.compat.v1.GraphDef.FromString(self.graph_def)
        return any({"seed", "seed2"} <= set(node.attr) for node in _all_nodes(graph_def))

    def load(self, *, check_finite: bool = False) -> FlatFn:
        """Returns the graph as a function of flat tensors, in TensorFlow's table.

        Each that is loaded has variables and streams of random numbers of its own.

        Args:
            check_finite: Whether to append one result: bool (), whether all floats among the
                results are finite, and nothing was replaced because it was not. (TFF's clients set
                an update that is not finite to zero; their own check is read here.)
        """
        found = disk_cache.remember(
            lambda: self._trace(check_finite), "function", *self._identity(check_finite)
        )
        library = tf.compat.v1.GraphDef(library=function_pb2.FunctionDefLibrary.FromString(found))
        suffix = f"_{next(_NUMBERS)}"
        _rename_functions(library, suffix)
        _rename_resources(library, suffix)
        if not self.has_state:
            return LoadedFunction(library.library.function)
        run, initialize, *called = library.library.function
        return _RunAnew(LoadedFunction([run, *called]), LoadedFunction([initialize, *called]))

    def _identity(self, check_finite: bool) -> Iterator[bytes]:
        yield self.graph_def
        rewritten = rewrites.has_onednn_pooling()
        yield repr((self.inputs, self.outputs, self.init_op, check_finite, rewritten)).encode()

    def _trace(self, check_finite: bool) -> bytes:
        """Returns a `FunctionDefLibrary`: the function, one that initializes if need be, and others."""
        graph_def = tf.compat.v1.GraphDef.FromString(self.graph_def)
        digest = hashlib.sha256(b"".join(self._identity(check_finite))).hexdigest()
        suffix = f"_{digest[:32]}"
        # Two graphs may define different functions under one name, and TensorFlow has one table.
        _rename_functions(graph_def, suffix)
        _rename_resources(graph_def, suffix)
        rewrites.use_onednn_pooling(graph_def)
        checks = _finite_checks(graph_def) if check_finite else []
        fetches = [*self.outputs, *checks]

        def call(*args):
            args = map(_read_as_it_is, args)
            found = _import(graph_def, fetches, dict(zip(self.inputs, args, strict=True)))
            results = found[: len(self.outputs)]
            if check_finite:
                results = [*results, _all_finite(results, found[len(self.outputs) :])]
            return results

        def initialize():
            with tf.control_dependencies(_import(graph_def, [self.init_op], {})):
                return tf.constant(True)

        # Not `tf.function`: its shape inference does not take every loop that TFF's optimizer
        # leaves ("Missing src context").
        traced = {"run": tf.compat.v1.wrap_function(call, self._signature(graph_def))}
        if self.has_state:
            traced["initialize"] = tf.compat.v1.wrap_function(initialize, [])
        library = function_pb2.FunctionDefLibrary()
        for name, function in traced.items():
            library.function.add().CopyFrom(function.function_def)
            library.function[-1].signature.name = f"fedlab_{name}{suffix}"
        called = {
            one.signature.name: one
            for function in traced.values()
            for one in function.graph.as_graph_def().library.function
        }
        library.function.extend(called.values())
        return library.SerializeToString(deterministic=True)

    def _signature(self, graph_def) -> list[tf.TensorSpec]:
        nodes = {node.name: node for node in graph_def.node}
        placeholders = [nodes[_source(name)].attr for name in self.inputs]
        return [tf.TensorSpec(one["shape"].shape, one["dtype"].type) for one in placeholders]


class _RunAnew:
    """A function whose variables are set before each call."""

    def __init__(self, run: LoadedFunction, initialize: LoadedFunction):
        self._run, self._initialize = run, initialize

    def __call__(self, *args, manager=None) -> Sequence[tf.Tensor]:
        self._initialize()
        return self._run(*args, manager=manager)

    def get_ready(self) -> None:
        self._initialize.get_ready()
        self._run.get_ready()


def _import(graph_def, fetches: Sequence[str], feeds: dict[str, tf.Tensor]) -> list:
    """Puts what the fetches need into the graph that is being built."""
    needed, waiting = set(), [_source(name) for name in (*fetches, *feeds)]
    inputs = {node.name: [_source(name) for name in node.input] for node in graph_def.node}
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += inputs[name]
    given = {f"^{_source(name)}" for name in feeds}
    # Else TensorFlow runs, besides, whatever has a state: the variables' initializers.
    pruned = tf.compat.v1.GraphDef(versions=graph_def.versions, library=graph_def.library)
    pruned.node.extend(node for node in graph_def.node if node.name in needed)
    for node in pruned.node:  # "beside that node", which may be gone; there is one device
        node.attr.pop("_class", None)
        # "After that argument", which always holds, and would ask for the placeholder's own value.
        kept = [name for name in node.input if name not in given]
        del node.input[:]
        node.input.extend(kept)
    return tf.graph_util.import_graph_def(pruned, feeds, list(fetches), name="piece")


def _read_as_it_is(arg: tf.Tensor) -> tf.Tensor:
    if arg.dtype != tf.variant:  # a dataset: TFF knows no other variants
        return arg
    return tf.raw_ops.OptionsDataset(
        input_dataset=arg,
        serialized_options=_READ_AS_IT_IS,
        output_types=[tf.variant],  # the dataset's own count, not these
        output_shapes=[None],
    )


def _all_finite(results, checks) -> tf.Tensor:
    floats = [one for one in results if one.dtype.is_floating]
    return tf.reduce_all([*checks, *(tf.reduce_all(tf.math.is_finite(one)) for one in floats)])


def _all_nodes(graph_def) -> Iterator:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _rename_functions(graph_def, suffix: str) -> None:
    names = {function.signature.name for function in graph_def.library.function}
    for function in graph_def.library.function:
        function.signature.name += suffix
    for node in _all_nodes(graph_def):
        if node.op in names:
            node.op += suffix
        for attr in node.attr.values():
            for one in (attr.func, *attr.list.func) if attr.HasField("func") else attr.list.func:
                if one.name in names:
                    one.name += suffix
    for gradient in graph_def.library.gradient:
        gradient.function_name += suffix
        if gradient.gradient_func in names:
            gradient.gradient_func += suffix


def _rename_resources(graph_def, suffix: str) -> None:
    """Variables and tables of the same name are the same one, in the whole process."""
    for node in _all_nodes(graph_def):
        if "shared_name" in node.attr:
            name = node.attr["shared_name"].s.decode() or node.name
            node.attr["shared_name"].s = (name + suffix).encode()


def _finite_checks(graph_def) -> list[str]:
    """Names of the tensors by which the graph itself asks whether all of something is finite."""
    nodes = {node.name: node for node in graph_def.node}
    asks = {node.name for node in graph_def.node if node.op == "IsFinite"}
    return [
        f"{node.name}:0"
        for node in graph_def.node
        if node.op == "All" and _source(node.input[0]) in asks and not _is_conditional(node, nodes)
    ]


def _source(name: str) -> str:
    return name.lstrip("^").split(":")[0]


def _is_conditional(node, nodes) -> bool:
    """Whether a node is inside a loop or a branch, so that it may never have a value."""
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop()
        if node.op in ("Switch", "RefSwitch", "Enter", "NextIteration", "LoopCond"):
            return True
        if node.op in ("Exit", "Merge"):  # the end of one
            continue
        for name in map(_source, node.input):
            if name not in seen:
                seen.add(name)
                waiting.append(nodes[name])
    return False
