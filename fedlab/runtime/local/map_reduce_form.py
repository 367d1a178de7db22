"""TFF's compiler cuts a round into what the server runs and what a client runs."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
from google.protobuf.internal import api_implementation
from tensorflow_federated.proto.v0 import computation_pb2

from fedlab.runtime.computation_digest import find_tensorflow
from fedlab.runtime.graph_loading import disk_cache, renaming
from fedlab.runtime.local.compiler_log import without_optimizer_log
from fedlab.runtime.local.graphs import Graph, GraphFunction
from fedlab.runtime.local.values import flatten, pack
from fedlab.runtime.local.weight_positions import find_trainable, find_update
from fedlab.secure.interface import IntegerSpec

# Only what puts the functions of a graph into one: `Graph` reads and changes single nodes. All else
# TensorFlow does when it loads the graph. (TFF's default also saves memory, by computing again in the
# backward pass what the forward pass has had.)
_OPTIMIZE = tf.compat.v1.ConfigProto()
_REWRITE = _OPTIMIZE.graph_options.rewrite_options
_REWRITE.meta_optimizer_iterations = _REWRITE.ONE
_REWRITE.memory_optimization = _REWRITE.NO_MEM_OPT
for _name in """
    layout_optimizer constant_folding shape_optimization remapping arithmetic_optimization
    loop_optimization debug_stripper scoped_allocator_optimization auto_mixed_precision
    implementation_selector pin_to_host_optimization
""".split():
    setattr(_REWRITE, _name, _REWRITE.OFF)

_CutFn = Callable[[tff.Computation], list[tff.Computation]]
_PIECES = ["prepare", "work", "zero", "accumulate", "merge", "report", "update"]
_CONSTANTS = ["secure_sum_bitwidth", "secure_sum_max_input", "secure_modular_sum_modulus"]


class NoFormError(ValueError):
    """TFF's compiler cannot cut this computation into server's and clients' parts."""


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """One function out of a round: a TFF type, and a graph.

    Attributes:
        type_signature: TFF's type of the function; printed, it shows what goes in and comes out.
        graph: The TensorFlow graph.
    """

    type_signature: tff.FunctionType
    graph: Graph

    @classmethod
    def from_computation(cls, computation: tff.Computation) -> "Piece":
        """Takes a computation that is TensorFlow and nothing else.

        Raises:
            NoFormError: It is not.
        """
        # The computation's own type knows the Python containers, which a message forgets.
        proto = tff.framework.serialize_computation(computation)
        return cls._from_proto(proto, computation.type_signature)

    @classmethod
    def _from_proto(
        cls, proto: computation_pb2.Computation, type_signature: tff.FunctionType
    ) -> "Piece":
        if proto.WhichOneof("computation") != "tensorflow":
            raise NoFormError(f"This is not plain TensorFlow: {type_signature}.")
        function = proto.tensorflow
        graph_def = tf.compat.v1.GraphDef()
        function.graph_def.Unpack(graph_def)
        graph = Graph(
            graph_def.SerializeToString(deterministic=True),
            tuple(_tensor_names(function.parameter)),
            tuple(_tensor_names(function.result)),
            function.initialize_op,
        )
        return cls(type_signature, graph)

    def load(self, *, finite: Sequence[int] | None = None) -> GraphFunction:
        """Returns the piece as a function of flat tensors; implements `Graph.load`."""
        return self.graph.load(finite=finite)

    def __call__(self, *args: Any) -> Any:
        """Runs the piece on Python values, and returns Python values; it is loaded at the first call."""
        return self._function(*args)

    @functools.cached_property
    def _function(self) -> Callable:
        return self.as_function()

    def as_function(self, *, packed: bool = False) -> Callable:
        """Returns the piece as a function of Python values, loaded once.

        Args:
            packed: Whether the function takes several arguments as one structure, or `None`.
        """
        graph_fn = self.load()
        parameter, result = self.type_signature.parameter, self.type_signature.result

        def call(arg: Any = None) -> Any:
            leaves = [] if parameter is None else flatten(arg, parameter)
            return pack(graph_fn(*leaves), result)

        def call_with_args(*args: Any) -> Any:
            return call(args[0] if len(args) == 1 else tuple(args) or None)

        return call if packed else call_with_args


@dataclasses.dataclass(frozen=True, eq=False)
class Form:
    """A round, cut into pieces: Bonawitz et al. 2019 (section 4) as TFF's `MapReduceForm` has it.

    Attributes:
        prepare: At the server: the state -> what is broadcast.
        work: At a client: (its batches, what was broadcast) -> (update, three lists of integers that
            are to be summed securely; empty in most algorithms). All that a client runs, and its
            result all that it sends.
        zero: The sum of no updates.
        accumulate: (sum, update) -> sum.
        merge: (sum, sum) -> sum.
        report: The sum -> what the server takes.
        update: At the server: (state, (report, three secure sums)) -> (new state, what it tells).
        max_values: The largest that a client may send, one for each leaf of the secure sums.
        moduli: What the third secure sum is taken modulo, one for each of its leaves.
    """

    prepare: Piece
    work: Piece
    zero: Piece
    accumulate: Piece
    merge: Piece
    report: Piece
    update: Piece
    max_values: tuple[int, ...]
    moduli: tuple[int, ...]

    def weights_positions(self) -> tuple[int, ...]:
        """Returns where the trainable weights lie in what `prepare` returns."""
        return find_trainable(self.prepare.type_signature.result)

    def update_positions(self) -> tuple[int, ...]:
        """Returns where the update of the trainable weights lies in what `work` returns."""
        return find_update(self.work.type_signature.result[0], self.prepare.type_signature.result)

    def secure_specs(self) -> tuple[IntegerSpec, ...]:
        """Returns the tensors of the three secure sums, one after the other.

        Raises:
            ValueError: One is not of integers.
        """
        _, *parts = self.work.type_signature.result
        leaves = [leaf for part in parts for leaf in tff.structure.flatten(part)]
        moduli = [None] * (len(leaves) - len(self.moduli)) + list(self.moduli)
        return tuple(
            IntegerSpec(leaf.shape, leaf.dtype, min(largest, np.iinfo(leaf.dtype).max), modulus)
            for leaf, largest, modulus in zip(leaves, self.max_values, moduli, strict=True)
        )


def cut(computation: tff.Computation | tff.templates.IterativeProcess) -> Form:
    """Cuts a round into the functions that the server and the clients run.

    Args:
        computation: An `IterativeProcess` such as a `LearningProcess` (its `next` is cut), or a computation from a server's state
            and the clients' data to a new state and a result at the server.

    Returns:
        The `Form`.

    Raises:
        NoFormError: TFF's compiler cannot cut it.
    """
    computation = getattr(computation, "next", computation)
    pieces = _remember_pieces("form", computation, _PIECES + _CONSTANTS, _cut)
    constants = [_read_constants(pieces.pop(name)) for name in _CONSTANTS]
    pieces["update"] = _typed_as_result(pieces["update"], computation)
    bitwidths, max_inputs, moduli = constants
    max_values = *(2**bits - 1 for bits in bitwidths), *max_inputs, *(m - 1 for m in moduli)
    return Form(**pieces, max_values=max_values, moduli=moduli)


def cut_initialize(initialize: tff.Computation) -> Piece:
    """Returns the function that makes the server's first state.

    Raises:
        NoFormError: TFF's compiler cannot make it.
    """
    pieces = _remember_pieces("state", initialize, ["initialize"], _cut_initialize)
    return _typed_as_result(pieces["initialize"], initialize)


def _cut(computation: tff.Computation) -> list[tff.Computation]:
    form = tff.backends.mapreduce.get_map_reduce_form_for_computation(
        computation, grappler_config=_OPTIMIZE
    )
    return [getattr(form, name) for name in _PIECES + _CONSTANTS]


def _cut_initialize(initialize: tff.Computation) -> list[tff.Computation]:
    return [
        tff.backends.mapreduce.get_state_initialization_computation(
            initialize, grappler_config=_OPTIMIZE
        )
    ]


def _remember_pieces(
    kind: str, computation: tff.Computation, names: Sequence[str], cut_fn: _CutFn
) -> dict[str, Piece]:
    """Lets TFF's compiler cut, unless it has cut the same computation before, in any session."""
    try:
        proto = tff.framework.serialize_computation(computation)
    except TypeError as error:
        raise NoFormError(f"{type(error).__name__}: {error}") from error
    key = [tff.__version__.encode(), _without_counted_names(proto)]
    stored = disk_cache.remember(lambda: _cut_to_bytes(computation, names, cut_fn), kind, *key)
    return {
        element.name: Piece._from_proto(
            element.value, tff.framework.deserialize_computation(element.value).type_signature
        )
        for element in computation_pb2.Struct.FromString(stored).element
    }


def _without_counted_names(proto: computation_pb2.Computation) -> bytes:
    """Returns what two builds of one computation have in common, whatever was built before them."""
    numbered = computation_pb2.Computation()
    numbered.CopyFrom(proto)
    for part in find_tensorflow(numbered):
        graph_def = tf.compat.v1.GraphDef()
        part.graph_def.Unpack(graph_def)
        renaming.number_functions(graph_def)
        part.graph_def.value = graph_def.SerializeToString(deterministic=True)
    return numbered.SerializeToString(deterministic=True)


def _cut_to_bytes(computation: tff.Computation, names: Sequence[str], cut_fn: _CutFn) -> bytes:
    try:
        with without_optimizer_log():
            pieces = cut_fn(computation)
    except Exception as error:  # the compiler has many, some of no common kind
        raise NoFormError(f"{type(error).__name__}: {error}") from error
    elements = [
        computation_pb2.Struct.Element(name=name, value=tff.framework.serialize_computation(piece))
        for name, piece in zip(names, pieces, strict=True)
    ]
    return computation_pb2.Struct(element=elements).SerializeToString(deterministic=True)


def _typed_as_result(piece: Piece, computation: tff.Computation) -> Piece:
    """The compiler forgets the Python containers of the result."""
    result = computation.type_signature.result
    if isinstance(result, tff.FederatedType):
        result = result.member
    typed = tff.FunctionType(piece.type_signature.parameter, result)
    return dataclasses.replace(piece, type_signature=typed)


def _read_constants(piece: Piece) -> tuple[int, ...]:
    return tuple(int(value) for value in piece.load()()) if piece.graph.outputs else ()


@contextlib.contextmanager
def oversize_messages() -> Iterator[None]:
    """Lets TFF build, inside, what nests deeper than protobuf reads by default.

    `tff.learning.ddp_secure_aggregator` does: without this, building a process with it fails with
    a `DecodeError` (TFF 0.87).
    """
    # Not among protobuf's public names; the implementation in pure Python has no such limit.
    module = getattr(api_implementation, "_c_module", None)
    allow = getattr(module, "SetAllowOversizeProtos", lambda allowed: None)
    allow(True)
    try:
        yield
    finally:
        allow(False)


def _tensor_names(binding: Any) -> Iterator[str]:
    kind = binding.WhichOneof("binding")
    if kind == "tensor":
        yield binding.tensor.tensor_name
    elif kind == "sequence":
        yield binding.sequence.variant_tensor_name
    elif kind == "struct":
        for element in binding.struct.element:
            yield from _tensor_names(element)
