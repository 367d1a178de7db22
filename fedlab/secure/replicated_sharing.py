"""Replicated secret sharing among three servers: parts of a vector, and one server's sums of them.

Replicated secret sharing (Ito et al. 1987; Araki et al. 2016): a client draws two keys and splits its
vector v into three parts that sum to v,

    part 0 = mask(key 0),   part 1 = mask(key 1),   part 2 = v - part 0 - part 1   (modulo),

and server j receives all parts except part j. The parts that one server receives are uniform, whatever
v is. Each server sums what it receives. Two servers together have all three parts of the sum, and the
parts of a single client are never brought together. A part that is a mask is sent as its key, so a
client uploads its vector twice and not six times.

Each part is sent to two servers, whose sums of it must be equal. So a share that was changed, or one
dishonest server of three, is detected when the sum is opened, and the sum is not opened. When one
server is lost, the other two still have one part in common; a lie about the other parts then remains
undetected.

Assumptions: an adversary controls at most one server (two servers together open every client's
vector, see `open_shares`), and each client has a private channel to each server, as TLS provides.
Nobody checks that the values that a client shares are within their bounds. The sum is modulo each
tensor's modulus throughout. Shamir's shares over a prime field (as in MPyC) would open the sum before
the modulus and so reveal how often it wrapped, which distributed differential privacy does not
account for.

This is teaching code: clients and servers are in this process.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from fedlab.secure import masking
from fedlab.secure.interface import IntegerSpec, ProtocolError, RandomBytes
from fedlab.secure.masking import Block, Vectors

NUM_SERVERS = 3
_LAST = NUM_SERVERS - 1  # this part is sent as numbers, the other parts as keys


@dataclasses.dataclass(frozen=True)
class Shares:
    """The message of one client to one server.

    Attributes:
        client_id: The sender.
        round_id: 16 random bytes that identify the round.
        parts: {number of the part: its 16-byte key, or for part 2 its packed numbers}.
    """

    client_id: str
    round_id: bytes
    parts: Mapping[int, bytes] = dataclasses.field(repr=False)

    @property
    def num_bytes(self) -> int:
        """Bytes of the parts."""
        return sum(map(len, self.parts.values()))


def share(vectors: Vectors, blocks: Sequence[Block], draw_bytes: RandomBytes) -> dict[int, bytes]:
    """Splits a client's vectors into three parts that sum to them.

    Args:
        vectors: One vector for each block.
        blocks: The blocks of the round.
        draw_bytes: Function from a number of bytes to that many random bytes.

    Returns:
        {number of the part: its key or its packed numbers}, as in `Shares.parts`.
    """
    parts = {number: draw_bytes(masking.KEY_BYTES) for number in range(_LAST)}
    last = [vector.copy() for vector in vectors]
    for key in parts.values():
        masking.add_mask(last, blocks, key, -1)
    return {**parts, _LAST: masking.pack(last, blocks)}


def expand(parts: Mapping[int, bytes], blocks: Sequence[Block]) -> dict[int, Vectors]:
    """Returns the numbers of parts, which are sent as numbers or as keys.

    Args:
        parts: {number of the part: its key or its packed numbers}, as in `Shares.parts`.
        blocks: The blocks of the round.

    Returns:
        {number of the part: one vector for each block}.

    Raises:
        ProtocolError: A part has the wrong number of bytes.
    """
    expanded = {}
    for number, sent in parts.items():
        if number == _LAST:
            expanded[number] = masking.unpack(sent, blocks)
            continue
        if len(sent) != masking.KEY_BYTES:
            raise ProtocolError(f"A key must have {masking.KEY_BYTES} bytes. Found {len(sent)}.")
        expanded[number] = masking.zeros(blocks)
        masking.add_mask(expanded[number], blocks, sent, 1)
    return expanded


def combine(server_parts: Mapping[int, Mapping[int, Vectors]], blocks: Sequence[Block]) -> Vectors:
    """Adds the three parts that two or three servers have together.

    Args:
        server_parts: {index of the server: {number of the part: one vector for each block}}.
        blocks: The blocks of the round.

    Returns:
        One vector for each block. It is not reduced.

    Raises:
        ProtocolError: A part is missing, or two servers have different numbers for the same part.
    """
    for first, second in itertools.combinations(server_parts, 2):
        for number in server_parts[first].keys() & server_parts[second].keys():
            versions = {
                masking.pack(server_parts[server][number], blocks) for server in (first, second)
            }
            if len(versions) > 1:
                raise ProtocolError(
                    f"Servers {first} and {second} have different sums of part {number}: a share was "
                    "changed after it was sent, or a server lies. The sum is not opened."
                )
    all_parts = {
        number: vectors for parts in server_parts.values() for number, vectors in parts.items()
    }
    if len(all_parts) < NUM_SERVERS:
        raise ProtocolError(
            "All three parts are needed, from at least two of the three servers. "
            f"Found {len(server_parts)} servers with parts {sorted(all_parts)}."
        )
    total = masking.zeros(blocks)
    for vectors in all_parts.values():
        masking.add_vectors(total, vectors, blocks)
    return total


class SharesServer:
    """One of the three servers. It adds the parts that it receives as they arrive.

    Args:
        index: 0, 1 or 2. The server never receives the part with this number.
        round_id: Identifier of the round.
        client_ids: The cohort.
        blocks: The blocks of the round.

    Attributes:
        received: The clients whose parts are in the sums, in the order of arrival.
        sums: {number of the part: its sum}. The server discloses it when the total is opened.
    """

    def __init__(
        self, index: int, round_id: bytes, client_ids: Sequence[str], blocks: Sequence[Block]
    ):
        self._round_id, self._client_ids, self._blocks = round_id, set(client_ids), blocks
        self.received: list[str] = []
        self.sums = {
            number: masking.zeros(blocks) for number in range(NUM_SERVERS) if number != index
        }

    def receive(self, shares: Shares) -> None:
        """Adds a client's parts to the sums.

        Raises:
            ProtocolError: The client is unknown or has sent before, the message belongs to another
                round, or the parts are not those for this server.
        """
        sender = f"Client {shares.client_id!r}"
        if shares.client_id not in self._client_ids:
            raise ProtocolError(f"{sender} is not in this round's cohort.")
        if shares.client_id in self.received:
            raise ProtocolError(f"{sender} has sent its shares already in this round.")
        if shares.round_id != self._round_id:
            raise ProtocolError(f"{sender} sent the shares of another round.")
        if shares.parts.keys() != self.sums.keys():
            raise ProtocolError(
                f"{sender} must send parts {sorted(self.sums)}. Found {sorted(shares.parts)}."
            )
        for number, vectors in expand(shares.parts, self._blocks).items():
            masking.add_vectors(self.sums[number], vectors, self._blocks)
        self.received.append(shares.client_id)


def open_shares(
    messages: Mapping[int, Shares], blocks: Sequence[Block], specs: Sequence[IntegerSpec]
) -> list[np.ndarray]:
    """Returns the integers of one client, as two colluding servers can compute them.

    Args:
        messages: {index of the server: the client's message to it}, for two or three servers.
        blocks: The blocks of the round.
        specs: The tensors that each client adds.

    Raises:
        ProtocolError: The messages do not contain all three parts, or contradict each other.
    """
    server_parts = {server: expand(message.parts, blocks) for server, message in messages.items()}
    return masking.from_vectors(combine(server_parts, blocks), blocks, specs)
