"""The sum of a round by secret sharing among three servers: two servers open it, one alone cannot.

The method, its assumptions and its limits are described in `fedlab.secure.replicated_sharing`.
"""

from collections.abc import Sequence

import numpy as np

from fedlab.secure import masking
from fedlab.secure.interface import (
    Attendance,
    Costs,
    IntegerSpec,
    ProtocolError,
    RandomBytes,
    check_cohort,
    check_values,
    random_source,
)
from fedlab.secure.replicated_sharing import (
    NUM_SERVERS,
    Shares,
    SharesServer,
    combine,
    share,
)

_ROUND_ID_BYTES = 16


class SecretSharingRound:
    """The sum of one round. It implements `fedlab.secure.interface.SecureRound`.

    Args:
        client_ids: The cohort, checked by `check_cohort`.
        specs: The tensors that each client adds, checked by `check_cohort`.
        draw_bytes: Function from a number of bytes to that many random bytes.

    Attributes:
        servers: {index: server}. Delete an entry to simulate the failure of that server.
        blocks: The blocks of the round.
        costs: The costs of the round so far. Clients receive nothing, and the bytes that the servers
            send each other to open the sum are not counted.
    """

    def __init__(
        self,
        client_ids: tuple[str, ...],
        specs: tuple[IntegerSpec, ...],
        draw_bytes: RandomBytes,
    ):
        self.costs = Costs()
        self._attendance, self._specs, self._draw_bytes = Attendance(client_ids), specs, draw_bytes
        self.blocks = masking.build_blocks(specs, len(client_ids))
        self._round_id = draw_bytes(_ROUND_ID_BYTES)
        self.servers = {
            index: SharesServer(index, self._round_id, client_ids, self.blocks)
            for index in range(NUM_SERVERS)
        }

    def add(self, client_id: str, values: Sequence[np.ndarray]) -> None:
        """Lets a client share its integers among the servers.

        Args:
            client_id: A client of the cohort.
            values: The client's integers, one array for each spec.

        Raises:
            ValueError: The client or a value is not as the round requires.
        """
        messages = self.share(client_id, values)
        with self.costs.timed("add"):
            for index, server in self.servers.items():
                server.receive(messages[index])

    def share(self, client_id: str, values: Sequence[np.ndarray]) -> list[Shares]:
        """Returns the messages of a client, one for each server.

        Args:
            client_id: A client of the cohort.
            values: The client's integers, one array for each spec.

        Raises:
            ValueError: The client is unknown or has added before, the round is over, or a value does
                not fit its spec.
        """
        with self._attendance.admit(client_id):
            arrays = check_values(client_id, values, self._specs)
            vectors = masking.to_vectors(arrays, self.blocks)
            with self.costs.timed("share"):
                parts = share(vectors, self.blocks, self._draw_bytes)
        messages = []
        for index in range(NUM_SERVERS):
            others = {number: part for number, part in parts.items() if number != index}
            messages.append(Shares(client_id, self._round_id, others))
            self.costs.bytes_up[client_id] += messages[-1].num_bytes
        return messages

    def finish(self) -> list[np.ndarray]:
        """Returns the sums, opened by the servers that remain.

        Raises:
            ValueError: No client has added, or the round is over.
            ProtocolError: Fewer than two servers remain, they received from different clients, or
                their sums of a part differ.
        """
        self._attendance.end()
        if len({frozenset(server.received) for server in self.servers.values()}) > 1:
            raise ProtocolError(
                "The servers have received shares from different clients: some shares were lost. "
                "The sum is not opened."
            )
        with self.costs.timed("open"):
            server_parts = {index: server.sums for index, server in self.servers.items()}
            total = combine(server_parts, self.blocks)
        return masking.from_vectors(total, self.blocks, self._specs)


class SecretSharingSum:
    """Sums by secret sharing among three servers. It implements `fedlab.secure.interface.SecureSum`.

    Args:
        insecure_seed: Makes every key repeatable, and known to everybody who knows the seed: for
            tests and notebooks. Default: the operating system's random generator.

    Attributes:
        costs: The costs of the last round, or `None` before the first round.

    Raises:
        ValueError: The seed is negative.
        TypeError: The seed is not a whole number.
    """

    def __init__(self, *, insecure_seed: int | None = None):
        self._draw_bytes = random_source(insecure_seed)
        self.costs: Costs | None = None

    def begin_round(
        self, client_ids: Sequence[str], specs: Sequence[IntegerSpec]
    ) -> SecretSharingRound:
        """Starts a round.

        Args:
            client_ids: The cohort, at least one client.
            specs: The tensors that each client adds.

        Raises:
            ValueError: The cohort or the specs are not valid, or a modulus is neither a power of two
                nor at most 2**32.
            TypeError: A client id is not a string.
        """
        secure_round = SecretSharingRound(*check_cohort(client_ids, specs), self._draw_bytes)
        self.costs = secure_round.costs
        return secure_round
