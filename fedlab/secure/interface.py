"""The interface of every secure sum: the integers that are summed, one round, and its costs.

A secure sum is any object with the methods of `SecureSum`. For each round it makes a `SecureRound`,
to which every client adds its integers and which returns their sum:

    secure_round = secure_sum.begin_round(["a", "b"], [IntegerSpec((2,), np.dtype(np.int32), 10)])
    secure_round.add("a", [np.array([1, 2], np.int32)])
    secure_round.add("b", [np.array([3, 4], np.int32)])
    secure_round.finish()  # [array([4, 6], dtype=int32)]
"""

import collections
import contextlib
import dataclasses
import math
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from fedlab.checks import (
    check_count,
    check_ids,
    check_instance,
    check_list,
    check_not_empty,
    check_seed,
    describe,
)
from fedlab.random_streams import random_stream

RandomBytes = Callable[[int], bytes]  # from a number of bytes to that many
_MAX_TOTAL = 2**64 - 1


@dataclasses.dataclass(frozen=True)
class IntegerSpec:
    """The shape and range of a tensor of integers that each client of a round adds.

    Attributes:
        shape: Shape of the tensor.
        dtype: Integer dtype of the tensor and of the sum.
        max_value: Largest value that a client may send. The smallest is 0.
        modulus: The sum is taken modulo this number, which is larger than `max_value`. Default: the
            sum itself.

    Raises:
        ValueError: The dtype is not an integer dtype, or a number does not fit into it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    max_value: int
    modulus: int | None = None

    def __post_init__(self) -> None:
        for length in check_list("shape", self.shape):
            check_count("shape", length, at_least=0)
        try:
            dtype = np.dtype(self.dtype)
        except TypeError:
            dtype = np.dtype(object)
        if self.dtype is None or not np.issubdtype(dtype, np.integer):
            raise ValueError(f"dtype must be an integer dtype. Found {describe(self.dtype)}.")
        largest = int(np.iinfo(dtype).max)
        check_count("max_value", self.max_value, at_least=0, at_most=largest)
        if self.modulus is not None:
            check_count("modulus", self.modulus, at_least=self.max_value + 1, at_most=largest + 1)

    @property
    def size(self) -> int:
        """Number of integers in the tensor."""
        return math.prod(self.shape)

    def max_total(self, num_clients: int) -> int:
        """Returns the largest sum, before the modulus, that this number of clients can reach."""
        return self.max_value * num_clients

    def working_modulus(self, num_clients: int) -> int:
        """Returns the number modulo which masks and shares of this tensor are computed.

        It is the tensor's own modulus, or else the smallest power of two above every possible sum.
        """
        return self.modulus or 1 << max(1, self.max_total(num_clients).bit_length())


class ProtocolError(RuntimeError):
    """A party stops a protocol, because a message is not as the protocol requires.

    No error text holds a key, a share or a client's value.
    """


@dataclasses.dataclass
class Costs:
    """The bytes and seconds that the secure sum of one round cost.

    Attributes:
        bytes_up: {client_id: bytes that the client sent}. Only contents are counted, no framing and
            no transport.
        bytes_down: {client_id: bytes that were sent to the client}, counted in the same way.
        seconds: {phase: seconds of all parties together}. The parties take turns in this process.
    """

    bytes_up: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    bytes_down: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the running time of a `with` block to a phase, also if the block fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start


class SecureRound(Protocol):
    """The secure sum of one round.

    Attributes:
        costs: The costs of the round so far.
    """

    costs: Costs

    def add(self, client_id: str, values: Sequence[np.ndarray]) -> None:
        """Lets a client send its integers, one array for each `IntegerSpec` of the round."""

    def finish(self) -> list[np.ndarray]:
        """Returns the sums. A client of the cohort that did not add has dropped out."""


class SecureSum(Protocol):
    """A method to sum the clients' integers. It starts a new `SecureRound` for every round.

    Attributes:
        costs: The costs of the last round, or `None` before the first round.
    """

    costs: Costs | None

    def begin_round(self, client_ids: Sequence[str], specs: Sequence[IntegerSpec]) -> SecureRound:
        """Starts a round of these clients, who add in this order."""


class Attendance:
    """Records which clients of a cohort have added in a round, and whether the round is over.

    Args:
        client_ids: The cohort.

    Attributes:
        added: The clients that have added, in the order in which they did.
    """

    def __init__(self, client_ids: Sequence[str]):
        self.added: list[str] = []
        self._client_ids = frozenset(client_ids)
        self._is_over = False

    @contextlib.contextmanager
    def admit(self, client_id: str) -> Iterator[None]:
        """Records that a client has added, once the `with` block has succeeded.

        Raises:
            ValueError: The client is not of the cohort or has added before, or the round is over.
        """
        self._check_is_open()
        if client_id not in self._client_ids:
            raise ValueError(f"Client {client_id!r} is not in this round's cohort.")
        if client_id in self.added:
            raise ValueError(f"Client {client_id!r} has added already. Let it add once a round.")
        yield
        self.added.append(client_id)

    def end(self) -> None:
        """Ends the round.

        Raises:
            ValueError: The round is over already, or no client has added.
        """
        self._check_is_open()
        if not self.added:
            raise ValueError("No client has added, so there is no sum.")
        self._is_over = True

    def _check_is_open(self) -> None:
        if self._is_over:
            raise ValueError("This round is over. Begin another with begin_round.")


def random_source(insecure_seed: int | None) -> RandomBytes:
    """Returns the function that draws a secure sum's keys.

    Args:
        insecure_seed: Makes every key repeatable, and known to everybody who knows the seed. `None`:
            the operating system's random generator.

    Raises:
        ValueError: The seed is negative.
        TypeError: The seed is not a whole number.
    """
    if insecure_seed is None:
        return secrets.token_bytes
    return random_stream("keys", check_seed(insecure_seed, "insecure_seed")).bytes


def check_cohort(
    client_ids: Sequence[str], specs: Sequence[IntegerSpec]
) -> tuple[tuple[str, ...], tuple[IntegerSpec, ...]]:
    """Returns the cohort and the specs of a round as tuples, checked.

    Args:
        client_ids: The clients of the round, each once.
        specs: The tensors that each client adds.

    Raises:
        ValueError: `client_ids` or `specs` is empty, a client appears twice, or a sum could be larger
            than its dtype or 64 bits can hold.
        TypeError: A client id is not a string.
    """
    client_ids, specs = check_ids("client_ids", client_ids), check_list("specs", specs)
    check_not_empty("specs", specs)
    for spec in specs:
        check_instance("specs", spec, IntegerSpec, "a list of IntegerSpec")
    for index, spec in enumerate(specs):
        largest = int(np.iinfo(spec.dtype).max) if spec.modulus is None else _MAX_TOTAL
        if spec.max_total(len(client_ids)) > largest:
            raise ValueError(
                f"Tensor {index}: the sum of {len(client_ids)} clients' values up to "
                f"{spec.max_value} may be larger than {largest}. Take fewer clients or a smaller "
                "max_value."
            )
    return tuple(client_ids), tuple(specs)


def check_values(
    client_id: str, values: Sequence[np.ndarray], specs: Sequence[IntegerSpec]
) -> list[np.ndarray]:
    """Returns a client's values as arrays, checked. Errors name the client, but never a value.

    Args:
        client_id: The client, for the errors.
        values: One array for each spec.
        specs: The tensors of the round.

    Raises:
        ValueError: There are more or fewer arrays than specs, or an array has another dtype, shape
            or range than its spec.
    """
    if len(values) != len(specs):
        raise ValueError(
            f"Client {client_id!r} must add {len(specs)} tensors. Found {len(values)}."
        )
    arrays = [np.asarray(value) for value in values]
    for index, (array, spec) in enumerate(zip(arrays, specs, strict=True)):
        place, dtype = f"Client {client_id!r}, tensor {index}", np.dtype(spec.dtype)
        if array.dtype != dtype:
            raise ValueError(f"{place}: the dtype must be {dtype}. Found {array.dtype}.")
        if array.shape != tuple(spec.shape):
            raise ValueError(
                f"{place}: the shape must be {tuple(spec.shape)}. Found {array.shape}."
            )
        if array.size and (array.min() < 0 or array.max() > spec.max_value):
            raise ValueError(
                f"{place}: values must be between 0 and {spec.max_value}. "
                "Found at least one that is not."
            )
    return arrays
