"""The sum of a round by secret sharing among three servers, of which any two open it and none alone.

Replicated sharing (Ito et al. 1987; Araki et al. 2016): a client draws two keys and cuts its vector v
into three parts that sum to it,

    part 0 = mask(key 0),   part 1 = mask(key 1),   part 2 = v - part 0 - part 1   (modulo),

and server j gets every part but part j. What one server holds is uniform, whatever v is. Each server
adds up what it gets. Any two hold all three parts of the sum, and no client's parts are ever put
together. A mask travels as its key, so a client uploads its vector twice, not six times.

Every part is held by two servers, whose sums of it must be equal: a share that was changed, or one
server of three that lies, is noticed at the opening, and nothing is opened. With one server lost the
other two still share one part; a lie about the other parts then goes unnoticed.

What it rests on: at most one server is in an adversary's hands (two of them open everyone,
`open_shares`), and each client has a private channel to each server, as TLS gives. Not checked: that
what a client shares is within its bounds. The sum is modulo each tensor's modulus from the beginning.
Shamir's shares over a prime field (as in MPyC) would open it before the modulus and show how often
it wrapped, which distributed differential privacy does not account for.

Teaching code: clients and servers live in this process.
"""

import dataclasses
import itertools
import secrets
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fedlab.data import sampling
from fedlab.secure import masking
from fedlab.secure.interface import Attendance, Costs, IntegerSpec, ProtocolError
from fedlab.secure.masking import Block, Vectors

NUM_SERVERS = 3
_ROUND_ID_BYTES = 16
_LAST = NUM_SERVERS - 1  # the part that is sent as it is; the others are sent as keys
DrawBytes = Callable[[int], bytes]


@dataclasses.dataclass(frozen=True)
class Shares:
    """What a client sends to one server.

    Attributes:
        client_id: Who sends it.
        round_id: 16 bytes, drawn for the round.
        parts: {number of the part: 16 bytes that are its key, or for part 2 its packed numbers}.
    """

    client_id: str
    round_id: bytes
    parts: Mapping[int, bytes] = dataclasses.field(repr=False)

    @property
    def num_bytes(self) -> int:
        """Bytes of the parts."""
        return sum(map(len, self.parts.values()))


def share(vectors: Vectors, blocks: Sequence[Block], draw_bytes: DrawBytes) -> dict[int, bytes]:
    """Cuts a client's vectors into three parts that sum to them.

    Args:
        vectors: One per block.
        blocks: What they are taken modulo.
        draw_bytes: Number of bytes -> so many random bytes.

    Returns:
        {number of the part: its key or numbers}; see `Shares`.
    """
    parts = {number: draw_bytes(masking.KEY_BYTES) for number in range(_LAST)}
    last = [vector.copy() for vector in vectors]
    for key in parts.values():
        masking.add_mask(last, blocks, key, -1)
    return {**parts, _LAST: masking.pack(last, blocks)}


def expand(parts: Mapping[int, bytes], blocks: Sequence[Block]) -> dict[int, Vectors]:
    """Returns the numbers of parts, whether sent as they are or as a key.

    Raises:
        ProtocolError: A part is not as long as it must be.
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


def combine(held: Mapping[int, Mapping[int, Vectors]], blocks: Sequence[Block]) -> Vectors:
    """Adds up the three parts that two or three servers hold together.

    Args:
        held: {server: {number of the part: its numbers}}.
        blocks: What they are taken modulo.

    Raises:
        ProtocolError: A part is missing, or two servers hold different numbers for one.
    """
    for one, other in itertools.combinations(held, 2):
        for number in held[one].keys() & held[other].keys():
            mine, others = (masking.pack(held[server][number], blocks) for server in (one, other))
            if mine != others:
                raise ProtocolError(
                    f"Servers {one} and {other} hold different sums of part {number}: a share was "
                    "changed on its way, or a server lies. The sum is not opened."
                )
    parts = {number: vectors for mine in held.values() for number, vectors in mine.items()}
    if len(parts) < NUM_SERVERS:
        raise ProtocolError(
            f"All three parts are needed, so two of the three servers. Found {len(held)} servers "
            f"with parts {sorted(parts)}."
        )
    total = masking.zeros(blocks)
    for vectors in parts.values():
        masking.add_vectors(total, vectors, blocks)
    return total


class SharesServer:
    """One of the three servers: it adds up the parts that it gets, as they come.

    Args:
        index: 0, 1 or 2; part `index` is what it never gets.
        round_id: Of the round.
        client_ids: The cohort.
        blocks: What is summed modulo what.

    Attributes:
        received: The clients whose parts are in its sums.
        sums: {number of the part: its sum}; what it discloses to open the sum.
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
        """Adds a client's parts.

        Raises:
            ProtocolError: The client is unknown or has sent before, the round is another, or the
                parts are not those that this server is to get.
        """
        who = f"Client {shares.client_id!r}"
        if shares.client_id not in self._client_ids:
            raise ProtocolError(f"{who} is not of this round.")
        if shares.client_id in self.received:
            raise ProtocolError(f"{who} has sent its shares already; once a round is all.")
        if shares.round_id != self._round_id:
            raise ProtocolError(f"{who} sent the shares of another round.")
        if shares.parts.keys() != self.sums.keys():
            raise ProtocolError(
                f"{who} must send parts {sorted(self.sums)}. Found {sorted(shares.parts)}."
            )
        for number, vectors in expand(shares.parts, self._blocks).items():
            masking.add_vectors(self.sums[number], vectors, self._blocks)
        self.received.append(shares.client_id)


class SecretSharingRound:
    """One round; see `secure_sum.SecureRound`. `SecretSharingSum.begin_round` begins it.

    Attributes:
        servers: {index: server}. A server that fails is one that is taken out.
        blocks: What is summed modulo what.
        costs: What the round has cost. Nothing is sent to clients; what servers send to open the
            sum is not a client's and not counted.
    """

    def __init__(self, attendance: Attendance, draw_bytes: DrawBytes, costs: Costs):
        self._attendance, self._draw_bytes, self.costs = attendance, draw_bytes, costs
        client_ids = attendance.client_ids
        self.blocks = masking.build_blocks(attendance.specs, len(client_ids))
        self._round_id = draw_bytes(_ROUND_ID_BYTES)
        self.servers = {
            index: SharesServer(index, self._round_id, client_ids, self.blocks)
            for index in range(NUM_SERVERS)
        }

    def add(self, client_id: str, values: Sequence[np.ndarray]) -> None:
        """Lets a client share its integers among the servers.

        Raises:
            ValueError: See `secure_sum.Attendance.admit`.
        """
        messages = self.share(client_id, values)
        with self.costs.timed("add"):
            for index, server in self.servers.items():
                server.receive(messages[index])

    def share(self, client_id: str, values: Sequence[np.ndarray]) -> list[Shares]:
        """Returns what a client is to send, one message for each server.

        Raises:
            ValueError: See `secure_sum.Attendance.admit`.
        """
        vectors = masking.to_vectors(self._attendance.admit(client_id, values), self.blocks)
        with self.costs.timed("share"):
            parts = share(vectors, self.blocks, self._draw_bytes)
        messages = []
        for index in range(NUM_SERVERS):
            others = {number: part for number, part in parts.items() if number != index}
            messages.append(Shares(client_id, self._round_id, others))
            self.costs.bytes_up[client_id] += messages[-1].num_bytes
        return messages

    def finish(self) -> list[np.ndarray]:
        """Returns the sums, opened by the servers that are left.

        Raises:
            ValueError: Nobody has added, or the round is over.
            ProtocolError: Fewer than two servers are left, they have not heard from the same
                clients, or what they hold does not fit together.
        """
        self._attendance.end()
        heard = {frozenset(server.received) for server in self.servers.values()}
        if len(heard) > 1:
            raise ProtocolError(
                "The servers have not heard from the same clients: shares were lost on their way. "
                "The sum is not opened."
            )
        with self.costs.timed("open"):
            held = {index: server.sums for index, server in self.servers.items()}
            total = combine(held, self.blocks)
        return masking.from_vectors(total, self.blocks, self._attendance.specs)


class SecretSharingSum:
    """Sums by secret sharing among three servers; see `secure_sum.SecureSum`.

    Args:
        insecure_seed: Makes every key repeatable, and open to whoever knows it: for tests and
            notebooks. Default: the operating system's generator.

    Attributes:
        costs: What the last round cost, or `None` before the first.

    Raises:
        ValueError: The seed is negative.
    """

    def __init__(self, *, insecure_seed: int | None = None):
        self._draw_bytes: DrawBytes = secrets.token_bytes
        if insecure_seed is not None:
            sampling.check_seed(insecure_seed)
            self._draw_bytes = np.random.default_rng(insecure_seed).bytes
        self.costs: Costs | None = None

    def begin_round(
        self, client_ids: Sequence[str], specs: Sequence[IntegerSpec]
    ) -> SecretSharingRound:
        """Begins a round of these clients.

        Raises:
            ValueError: See `secure_sum.Attendance` and `masking.build_blocks`.
        """
        attendance = Attendance(client_ids, specs)
        self.costs = Costs()
        return SecretSharingRound(attendance, self._draw_bytes, self.costs)


def open_shares(
    messages: Mapping[int, Shares], blocks: Sequence[Block], specs: Sequence[IntegerSpec]
) -> list[np.ndarray]:
    """Returns what one client has shared, as two servers that collude can.

    Args:
        messages: {server: what the client sent to it}, of two servers or three.
        blocks: Of the round.
        specs: What each client adds.

    Raises:
        ProtocolError: See `combine`.
    """
    held = {server: expand(message.parts, blocks) for server, message in messages.items()}
    return masking.from_vectors(combine(held, blocks), blocks, specs)
