"""The messages of secure aggregation, and what every party checks about them."""

import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from fedlab.secure.interface import ProtocolError


@dataclasses.dataclass(frozen=True)
class PublicKeys:
    """A client's two X25519 public keys, 32 bytes each: to the server, then to all clients.

    Attributes:
        round_id: Identifier of the round.
        sender: The client.
        encryption_key: For the encryption of shares between two clients.
        mask_key: For the agreement on the mask that two clients share.
        seed_commitment: Commitment to the seed of the client's self mask, 32 bytes.
        signature: The sender's signature of all of this, 64 bytes, or b"" without signatures.
    """

    round_id: bytes = dataclasses.field(repr=False)
    sender: str
    encryption_key: bytes = dataclasses.field(repr=False)
    mask_key: bytes = dataclasses.field(repr=False)
    seed_commitment: bytes = dataclasses.field(repr=False)
    signature: bytes = dataclasses.field(default=b"", repr=False)


@dataclasses.dataclass(frozen=True)
class EncryptedShares:
    """A `SharePair` of the sender's secrets, encrypted: to the server, then to the receiver.

    Attributes:
        round_id: Identifier of the round.
        sender: The client whose secrets are shared.
        receiver: The client that can decrypt the shares.
        commitments: Commitments to the share of the seed and to that of the key, 32 bytes each. The
            server keeps them, to check the shares that the receiver reveals.
        ciphertext: The two shares under AES-GCM, 48 bytes. It is bound to the commitments.
    """

    round_id: bytes = dataclasses.field(repr=False)
    sender: str
    receiver: str
    commitments: tuple[bytes, bytes] = dataclasses.field(repr=False)
    ciphertext: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class MaskedInput:
    """A client's vector plus its masks: to the server.

    Attributes:
        round_id: Identifier of the round.
        sender: The client.
        vector: The masked vectors of all blocks, from `masking.pack`.
    """

    round_id: bytes = dataclasses.field(repr=False)
    sender: str
    vector: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class SurvivorsSignature:
    """A client's signature of the list of survivors: to the server, then to the other signers.

    Attributes:
        round_id: Identifier of the round.
        sender: The client that signs.
        signature: 64 bytes.
    """

    round_id: bytes = dataclasses.field(repr=False)
    sender: str
    signature: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class RevealedShares:
    """For each client one share, but never both shares of the same client: to the server.

    Attributes:
        round_id: Identifier of the round.
        sender: The client that reveals the shares.
        seed_shares: {client that has sent its vector: share of the seed of its self mask}.
        key_shares: {client that has dropped out: share of the seed of its mask key}.
    """

    round_id: bytes = dataclasses.field(repr=False)
    sender: str
    seed_shares: Mapping[str, bytes] = dataclasses.field(repr=False)
    key_shares: Mapping[str, bytes] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class SharePair:
    """One share of each of a client's two secrets, 16 bytes each.

    Attributes:
        seed_share: Share of the seed of the client's self mask.
        key_share: Share of the seed of the client's mask key.
    """

    seed_share: bytes = dataclasses.field(repr=False)
    key_share: bytes = dataclasses.field(repr=False)


class Steps:
    """Makes a party take its steps in order, each once. A step that fails may be tried again.

    Args:
        party: The party, for the errors.
        *names: The steps in order.
    """

    def __init__(self, party: str, *names: str):
        self._party, self._names, self._num_done = party, names, 0

    def check(self, name: str) -> None:
        """Raises `ProtocolError` unless the step with this name is next."""
        if self._names[self._num_done :][:1] != (name,):
            raise ProtocolError(
                f"{self._party} cannot {name} now. Each step is taken once, in the order "
                f"{', '.join(self._names)}; another round needs a new object."
            )

    @contextlib.contextmanager
    def take(self, name: str) -> Iterator[None]:
        """Takes a step in a `with` block. Raises `ProtocolError` unless the step is next."""
        self.check(name)
        yield
        self._num_done += 1


def by_sender(messages: Iterable[Any], round_id: bytes, senders: Collection[str]) -> dict[str, Any]:
    """Returns messages by their senders, checked.

    Args:
        messages: Messages of one class.
        round_id: Identifier of the round to which they must belong.
        senders: The clients that may have sent them.

    Returns:
        {client_id: its message}.

    Raises:
        ProtocolError: A message belongs to another round, its sender is not expected, or its sender
            has sent a message before.
    """
    messages_of: dict[str, Any] = {}
    for message in messages:
        kind = type(message).__name__
        if message.round_id != round_id:
            raise ProtocolError(f"{kind} of {message.sender!r} belong to another round.")
        if message.sender not in senders:
            raise ProtocolError(f"{kind} came from {message.sender!r}, who is not expected.")
        if message.sender in messages_of:
            raise ProtocolError(f"{kind} of {message.sender!r} came twice.")
        messages_of[message.sender] = message
    return messages_of


def count_bytes(part: Any) -> int:
    """Returns the bytes of a message's contents: keys, names and numbers, without framing.

    Args:
        part: A message, bytes, text, or a collection of these.
    """
    if isinstance(part, str | bytes):
        return len(part.encode() if isinstance(part, str) else part)
    if dataclasses.is_dataclass(part):
        return sum(count_bytes(getattr(part, field.name)) for field in dataclasses.fields(part))
    if isinstance(part, Mapping):
        return count_bytes(list(part)) + count_bytes(list(part.values()))
    return sum(map(count_bytes, part))
