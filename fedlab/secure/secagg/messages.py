"""What the parties of secure aggregation agree on, and what they send each other."""

import contextlib
import dataclasses
import functools
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from fedlab.secure import masking
from fedlab.secure.interface import IntegerSpec, ProtocolError, check_client_ids, check_specs

_hidden = functools.partial(dataclasses.field, repr=False)


@dataclasses.dataclass(frozen=True)
class PublicParameters:
    """What all parties of a round know before it begins.

    Attributes:
        client_ids: The cohort, at least two; a client's place in it, from 1, numbers its shares.
        specs: What each client adds.
        threshold: How many clients must survive, and how many shares open a secret: more than half
            of the cohort. Default: two thirds, rounded up.
        round_id: Bytes that no other round has; keys and messages are bound to them. Default: 16
            from the operating system's generator.

    Raises:
        ValueError: One of them is out of range.
    """

    client_ids: tuple[str, ...]
    specs: tuple[IntegerSpec, ...]
    threshold: int | None = None
    round_id: bytes = _hidden(default_factory=functools.partial(secrets.token_bytes, 16))

    def __post_init__(self):
        num_clients = len(check_client_ids(self.client_ids))
        if num_clients < 2:
            raise ValueError("The sum of one client is its own vector. Take a cohort of 2 or more.")
        threshold = -(-2 * num_clients // 3) if self.threshold is None else self.threshold
        if not num_clients < 2 * threshold <= 2 * num_clients:
            raise ValueError(
                f"threshold must be between {num_clients // 2 + 1} (more than half of the cohort) "
                f"and {num_clients}. Found {threshold}."
            )
        object.__setattr__(self, "threshold", threshold)
        object.__setattr__(self, "client_ids", tuple(self.client_ids))
        object.__setattr__(self, "specs", check_specs(self.specs, num_clients))

    @functools.cached_property
    def blocks(self) -> tuple[masking.Block, ...]:
        """Which tensors are summed modulo which number."""
        return masking.build_blocks(self.specs, len(self.client_ids))

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """The number of each client's shares."""
        return {client_id: place for place, client_id in enumerate(self.client_ids, start=1)}


@dataclasses.dataclass(frozen=True)
class PublicKeys:
    """Advertise keys, up and down: a client's two X25519 public keys, 32 bytes each."""

    round_id: bytes = _hidden()
    sender: str
    encryption_key: bytes = _hidden()
    mask_key: bytes = _hidden()


@dataclasses.dataclass(frozen=True)
class EncryptedShares:
    """Share keys, up and down: one share of each of the sender's two secrets, under AES-GCM."""

    round_id: bytes = _hidden()
    sender: str
    receiver: str
    ciphertext: bytes = _hidden()


@dataclasses.dataclass(frozen=True)
class MaskedInput:
    """Masked input, up: a client's vector behind its masks."""

    round_id: bytes = _hidden()
    sender: str
    vector: bytes = _hidden()


@dataclasses.dataclass(frozen=True)
class RevealedShares:
    """Unmasking, up: one share of each other client, never both of one.

    Attributes:
        round_id: Of the round.
        sender: Whose shares these were.
        seed_shares: {who has sent its vector: share of the seed of its own mask}.
        key_shares: {who has dropped out: share of the key of its masks with its peers}.
    """

    round_id: bytes = _hidden()
    sender: str
    seed_shares: Mapping[str, bytes] = _hidden()
    key_shares: Mapping[str, bytes] = _hidden()


@dataclasses.dataclass(frozen=True)
class HeldShares:
    """What a client holds of another, or of itself: one share of each secret, 16 bytes each."""

    seed_share: bytes = _hidden()
    key_share: bytes = _hidden()


class Steps:
    """Holds a party to its steps: each once, in order. One that fails has not been taken."""

    def __init__(self, party: str, *names: str):
        self._party, self._names, self._num_done = party, names, 0

    def check(self, name: str) -> None:
        """Raises `ProtocolError` unless a step is next."""
        if self._names[self._num_done :][:1] != (name,):
            raise ProtocolError(
                f"{self._party} cannot {name} now. It is for one round, each step once, in the "
                f"order {', '.join(self._names)}; another round needs another."
            )

    @contextlib.contextmanager
    def take(self, name: str) -> Iterator[None]:
        """Does a step inside; raises `ProtocolError` unless it is next."""
        self.check(name)
        yield
        self._num_done += 1


def by_sender(messages: Iterable[Any], round_id: bytes, expected: Collection[str]) -> dict:
    """Returns messages by their senders, checked.

    Args:
        messages: Of one kind.
        round_id: Of the round that they must belong to.
        expected: Who may have sent them.

    Raises:
        ProtocolError: One is of another round, or of an unexpected sender, or its sender's second.
    """
    found = {}
    for message in messages:
        kind = type(message).__name__
        if message.round_id != round_id:
            raise ProtocolError(f"{kind} of {message.sender!r} belong to another round.")
        if message.sender not in expected:
            raise ProtocolError(f"{kind} came from {message.sender!r}, who is not expected.")
        if message.sender in found:
            raise ProtocolError(f"{kind} of {message.sender!r} came twice.")
        found[message.sender] = message
    return found


def check_enough(client_ids: Collection[str], parameters: PublicParameters, what: str) -> None:
    """Raises `ProtocolError` if clients are fewer than the threshold."""
    if len(client_ids) < parameters.threshold:
        raise ProtocolError(
            f"Only {len(client_ids)} of {len(parameters.client_ids)} clients {what}, and the "
            f"threshold is {parameters.threshold}. The round is lost; begin another."
        )


def count_bytes(part: Any) -> int:
    """Returns how many bytes a message holds: keys, names, numbers; no framing, no transport."""
    if isinstance(part, str | bytes):
        return len(part.encode() if isinstance(part, str) else part)
    if dataclasses.is_dataclass(part):
        return sum(count_bytes(getattr(part, one.name)) for one in dataclasses.fields(part))
    if isinstance(part, Mapping):
        return count_bytes(list(part)) + count_bytes(list(part.values()))
    return sum(map(count_bytes, part))
