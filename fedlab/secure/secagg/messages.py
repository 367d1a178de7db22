"""The public parameters of secure aggregation, and the messages that its parties send."""

import contextlib
import dataclasses
import functools
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from fedlab.secure import masking
from fedlab.secure.interface import IntegerSpec, ProtocolError, check_cohort


@dataclasses.dataclass(frozen=True, init=False)
class PublicParameters:
    """The parameters of a round that all parties know before it begins.

    Attributes:
        client_ids: The cohort, at least two clients.
        specs: The tensors that each client adds.
        threshold: How many clients must survive, and how many shares reveal a secret.
        round_id: Bytes that identify the round. Keys and messages are bound to them.
    """

    client_ids: tuple[str, ...]
    specs: tuple[IntegerSpec, ...]
    threshold: int
    round_id: bytes = dataclasses.field(repr=False)

    def __init__(
        self,
        client_ids: Sequence[str],
        specs: Sequence[IntegerSpec],
        threshold: int | None = None,
        round_id: bytes | None = None,
    ):
        """Checks the parameters.

        Args:
            client_ids: The cohort, at least two clients.
            specs: The tensors that each client adds.
            threshold: How many clients must survive, more than half of the cohort. Default: two
                thirds of the cohort, rounded up.
            round_id: Bytes that no other round has. Default: 16 bytes from the operating system's
                random generator.

        Raises:
            ValueError: A parameter is out of range.
            TypeError: A client id is not a string.
        """
        cohort, tensors = check_cohort(client_ids, specs)
        num_clients = len(cohort)
        if num_clients < 2:
            raise ValueError("The sum of one client is its own vector. Take a cohort of 2 or more.")
        if threshold is None:
            threshold = -(-2 * num_clients // 3)
        if not num_clients < 2 * threshold <= 2 * num_clients:
            raise ValueError(
                f"threshold must be between {num_clients // 2 + 1} (more than half of the cohort) "
                f"and {num_clients}. Found {threshold}."
            )
        object.__setattr__(self, "client_ids", cohort)
        object.__setattr__(self, "specs", tensors)
        object.__setattr__(self, "threshold", threshold)
        object.__setattr__(self, "round_id", round_id or secrets.token_bytes(16))

    @functools.cached_property
    def blocks(self) -> tuple[masking.Block, ...]:
        """The tensors, grouped by the modulus of their sums."""
        return masking.build_blocks(self.specs, len(self.client_ids))

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """{client_id: its position in the cohort, from 1}. The position numbers its shares."""
        return {client_id: place for place, client_id in enumerate(self.client_ids, start=1)}


@dataclasses.dataclass(frozen=True)
class PublicKeys:
    """A client's two X25519 public keys, 32 bytes each: to the server, then to all clients.

    Attributes:
        round_id: Identifier of the round.
        sender: The client.
        encryption_key: For the encryption of shares between two clients.
        mask_key: For the agreement on the mask that two clients share.
    """

    round_id: bytes = dataclasses.field(repr=False)
    sender: str
    encryption_key: bytes = dataclasses.field(repr=False)
    mask_key: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class EncryptedShares:
    """A `SharePair` of the sender's secrets, encrypted: to the server, then to the receiver.

    Attributes:
        round_id: Identifier of the round.
        sender: The client whose secrets are shared.
        receiver: The client that can decrypt the shares.
        ciphertext: The two shares under AES-GCM, 48 bytes.
    """

    round_id: bytes = dataclasses.field(repr=False)
    sender: str
    receiver: str
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


def check_enough(client_ids: Collection[str], parameters: PublicParameters, action: str) -> None:
    """Raises `ProtocolError` if there are fewer clients than the threshold.

    Args:
        client_ids: The clients.
        parameters: Parameters of the round.
        action: What these clients have done, for the error.
    """
    if len(client_ids) < parameters.threshold:
        raise ProtocolError(
            f"Only {len(client_ids)} of {len(parameters.client_ids)} clients {action}, and the "
            f"threshold is {parameters.threshold}. The round is lost; begin another."
        )


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
