"""What every secure sum of a round has in common: which integers are summed, and who adds them."""

import collections
import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

_MAX_TOTAL = 2**64 - 1


@dataclasses.dataclass(frozen=True)
class IntegerSpec:
    """One tensor of integers that each client of a round adds.

    Attributes:
        shape: Of the tensor.
        dtype: Integer dtype of the tensor and of the sum.
        max_value: Largest value that a client may send; the smallest is 0.
        modulus: What the sum is taken modulo, or `None` for the sum itself.

    Raises:
        ValueError: A value is out of range.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    max_value: int
    modulus: int | None = None

    def __post_init__(self):
        if not np.issubdtype(self.dtype, np.integer):
            raise ValueError(f"dtype must be an integer's. Found {np.dtype(self.dtype)}.")
        largest = int(np.iinfo(self.dtype).max)
        if not 0 <= self.max_value <= largest:
            raise ValueError(
                f"max_value must be between 0 and {largest}, the largest {np.dtype(self.dtype)}. "
                f"Found {self.max_value}."
            )
        if self.modulus is not None and not self.max_value < self.modulus <= largest + 1:
            raise ValueError(
                f"modulus must be between {self.max_value + 1} (max_value + 1) and {largest + 1}. "
                f"Found {self.modulus}."
            )

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    def max_total(self, num_clients: int) -> int:
        """Returns the largest sum, before the modulus, that so many clients may reach."""
        return self.max_value * num_clients

    def working_modulus(self, num_clients: int) -> int:
        """Returns what shares and masks of this tensor are taken modulo.

        The tensor's own modulus, or the smallest power of two that no sum reaches.
        """
        return self.modulus or 1 << max(1, self.max_total(num_clients).bit_length())


class ProtocolError(RuntimeError):
    """A party of a protocol refuses to go on: what it was sent is not as it must be.

    No message holds a key, a share or a client's value.
    """


@dataclasses.dataclass
class Costs:
    """What the secure sum of one round cost.

    Attributes:
        bytes_up: {client_id: bytes that it sent}, contents alone: no framing, no transport.
        bytes_down: {client_id: bytes that it was sent}, as above.
        seconds: {phase: seconds}, of all parties, who take turns in this process.
    """

    bytes_up: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    bytes_down: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    seconds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the time spent inside to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - start


class SecureRound(Protocol):
    """The secure sum of one round.

    Attributes:
        costs: What it has cost so far.
    """

    costs: Costs

    def add(self, client_id: str, values: Sequence[np.ndarray]) -> None:
        """Lets a client send its integers, one array per `IntegerSpec`."""

    def finish(self) -> list[np.ndarray]:
        """Returns the sums; clients of the round that did not add have dropped out."""


class SecureSum(Protocol):
    """A way to sum; it begins every round anew.

    Attributes:
        costs: What the last round cost, or `None` before the first.
    """

    costs: Costs | None

    def begin_round(self, client_ids: Sequence[str], specs: Sequence[IntegerSpec]) -> SecureRound:
        """Begins a round of these clients, who add in this order."""


class Attendance:
    """Who is in a round and what each may send. No message of its errors holds a client's value.

    Args:
        client_ids: The cohort.
        specs: What each client adds.

    Attributes:
        client_ids: The cohort, in its order.
        specs: What each client adds.
        added: Who has added, in the order in which they did.

    Raises:
        ValueError: The cohort or the specs are empty, a client is named twice, or a sum may be
            larger than its dtype or 64 bits hold.
        TypeError: A client's name is not a string.
    """

    def __init__(self, client_ids: Sequence[str], specs: Sequence[IntegerSpec]):
        self.client_ids = check_client_ids(client_ids)
        self.specs = check_specs(specs, len(client_ids))
        self.added: list[str] = []
        self._is_over = False

    @property
    def dropped(self) -> list[str]:
        """The clients that have not added, in the cohort's order."""
        added = set(self.added)
        return [client_id for client_id in self.client_ids if client_id not in added]

    def admit(self, client_id: str, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Checks what a client sends and notes that it did.

        Returns:
            One uint64 array for each spec, of its shape.

        Raises:
            ValueError: The client is unknown or has added before, the round is over, or a value is
                not of its spec's dtype, shape or range.
        """
        self._check_is_open()
        if client_id not in self.client_ids:
            raise ValueError(f"Client {client_id!r} is not of this round.")
        if client_id in self.added:
            raise ValueError(f"Client {client_id!r} has added already; once a round is all.")
        checked = check_values(client_id, values, self.specs)
        self.added.append(client_id)
        return checked

    def end(self) -> None:
        """Ends the round; nobody adds after it, and it cannot end again.

        Raises:
            ValueError: The round is over already, or nobody has added.
        """
        self._check_is_open()
        if not self.added:
            raise ValueError("No client has added: there is nothing to sum.")
        self._is_over = True

    def _check_is_open(self) -> None:
        if self._is_over:
            raise ValueError("This round is over. Begin another with begin_round.")


def check_client_ids(client_ids: Sequence[str]) -> tuple[str, ...]:
    """Returns the cohort, checked.

    Raises:
        ValueError: It is empty, or a client is named twice.
        TypeError: A name is not a string.
    """
    if not len(client_ids):
        raise ValueError("A round must have at least one client. Found none.")
    seen = set()
    for client_id in client_ids:
        if not isinstance(client_id, str):
            raise TypeError(f"client_ids must be strings. Found {type(client_id).__name__}.")
        if client_id in seen:
            raise ValueError(f"Client {client_id!r} is in the cohort twice; name each once.")
        seen.add(client_id)
    return tuple(client_ids)


def check_specs(specs: Sequence[IntegerSpec], num_clients: int) -> tuple[IntegerSpec, ...]:
    """Returns the specs, checked against the number of clients.

    Raises:
        ValueError: There are none, or a sum may be larger than its dtype or 64 bits hold.
    """
    if not len(specs):
        raise ValueError("There must be at least one tensor to sum. Found none.")
    for index, spec in enumerate(specs):
        largest = int(np.iinfo(spec.dtype).max) if spec.modulus is None else _MAX_TOTAL
        if spec.max_total(num_clients) > largest:
            raise ValueError(
                f"Tensor {index}: the sum of {num_clients} clients' values up to {spec.max_value} "
                f"may be larger than {largest}. Take fewer clients or a smaller max_value."
            )
    return tuple(specs)


def check_values(
    client_id: str, values: Sequence[np.ndarray], specs: Sequence[IntegerSpec]
) -> list[np.ndarray]:
    """Returns a client's values as uint64, checked. Errors name the client, never a value.

    Raises:
        ValueError: Their number, or a dtype, shape or range, is not that of the specs.
    """
    who = f"Client {client_id!r}"
    if len(values) != len(specs):
        raise ValueError(f"{who} must add {len(specs)} tensors. Found {len(values)}.")
    return [
        _check_tensor(f"{who}, tensor {index}", value, spec)
        for index, (value, spec) in enumerate(zip(values, specs, strict=True))
    ]


def _check_tensor(what: str, value: np.ndarray, spec: IntegerSpec) -> np.ndarray:
    value, dtype = np.asarray(value), np.dtype(spec.dtype)
    if value.dtype != dtype:
        raise ValueError(f"{what}: the dtype must be {dtype}. Found {value.dtype}.")
    if value.shape != tuple(spec.shape):
        raise ValueError(f"{what}: the shape must be {tuple(spec.shape)}. Found {value.shape}.")
    if value.size and (value.min() < 0 or value.max() > spec.max_value):
        raise ValueError(
            f"{what}: values must be between 0 and {spec.max_value}. Found some that are not."
        )
    return value.astype(np.uint64)


def finish_sums(sums: Sequence[np.ndarray], specs: Sequence[IntegerSpec]) -> list[np.ndarray]:
    """Returns sums as the specs have them: each modulo its modulus, of its dtype and shape.

    Args:
        sums: Non-negative integers, one array per spec, of its size; no larger than 64 bits.
        specs: The tensors.
    """
    finished = []
    for total, spec in zip(sums, specs, strict=True):
        total = np.asarray(total, np.uint64)
        if spec.modulus is not None:
            total = reduce_modulo(total, spec.modulus)
        finished.append(total.astype(spec.dtype).reshape(spec.shape))
    return finished


def concatenate(values: Sequence[np.ndarray]) -> np.ndarray:
    """Returns tensors as one vector, one after the other: uint64 (total size,)."""
    return np.concatenate([np.ravel(value).astype(np.uint64) for value in values])


def split(vector: np.ndarray, specs: Sequence[IntegerSpec]) -> list[np.ndarray]:
    """Returns the vector's parts, one per spec, of its shape: what `concatenate` has joined.

    Raises:
        ValueError: The vector is of another size.
    """
    sizes = [spec.size for spec in specs]
    if vector.shape != (sum(sizes),):
        raise ValueError(f"The vector must hold {sum(sizes)} numbers. Found {vector.shape}.")
    parts = np.split(vector, np.cumsum(sizes)[:-1])
    return [part.reshape(spec.shape) for part, spec in zip(parts, specs, strict=True)]


def reduce_modulo(values: np.ndarray, modulus: int) -> np.ndarray:
    """Returns uint64 values modulo `modulus`, between 1 and 2**64; fast for powers of two."""
    if modulus & (modulus - 1):
        return values % np.uint64(modulus)
    return values & np.uint64(modulus - 1)
