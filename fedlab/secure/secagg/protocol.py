"""Secure aggregation: the server learns the sum of the clients' integers and nothing else of them.

The protocol of Bonawitz et al. 2017, "Practical Secure Aggregation for Privacy-Preserving Machine
Learning" (figure 4), against a server that is honest but curious:

    advertise keys   each client: two public keys -> server -> all clients
    share keys       each client: its two secrets in shares, encrypted -> server -> the receivers
    masked input     each client: its vector behind masks, one with each peer and one of its own
    unmasking        each survivor: for a client that has sent its vector, a share of the seed of
                     its own mask; for one that has dropped out, a share of the key of the others

This is teaching code. All parties live in one process. Left out are what the paper has against a
server that lies (keys signed under a public-key infrastructure, the consistency check of round 3),
and any defence against clients that lie. The sum itself is told, and may say a lot about a few
clients. Python does not wipe keys from memory.
"""

import secrets
from collections.abc import Callable, Sequence

import numpy as np

from fedlab.secure.interface import Attendance, Costs, IntegerSpec
from fedlab.secure.secagg.client import Client
from fedlab.secure.secagg.messages import EncryptedShares, PublicKeys, PublicParameters, count_bytes
from fedlab.secure.secagg.server import Server


class SecAgg:
    """Sums by the protocol, all parties simulated in this process.

    Args:
        threshold: How many clients must survive: more than half of the cohort. Default: two thirds,
            rounded up.
        insecure_seed: INSECURE, for tests and lessons alone: makes keys repeatable, so that who
            knows the seed takes off every mask. Default: the operating system's generator.

    Attributes:
        costs: Of the last round.
    """

    def __init__(self, threshold: int | None = None, *, insecure_seed: int | None = None):
        self.threshold = threshold
        self.costs: Costs | None = None
        self._random_bytes = secrets.token_bytes
        if insecure_seed is not None:
            self._random_bytes = np.random.default_rng(insecure_seed).bytes

    def begin_round(self, client_ids: Sequence[str], specs: Sequence[IntegerSpec]) -> "SecAggRound":
        """Lets the clients of a round make and share keys.

        Args:
            client_ids: The cohort, at least two.
            specs: What each client adds.

        Raises:
            ValueError: The threshold is not for this cohort, or a spec not for this protocol.
        """
        round_id = self._random_bytes(16)
        parameters = PublicParameters(tuple(client_ids), tuple(specs), self.threshold, round_id)
        begun = SecAggRound(parameters, self._random_bytes)
        self.costs = begun.costs
        return begun


class SecAggRound:
    """One round: the clients that do not `add` have dropped out after they shared keys.

    Args:
        parameters: Of the round.
        random_bytes: (how many) -> secret bytes.

    Attributes:
        server: All that the server knows.
        costs: What the round has cost so far, by the protocol's phases.
    """

    def __init__(self, parameters: PublicParameters, random_bytes: Callable[[int], bytes]):
        self.costs = Costs()
        self.server = Server(parameters)
        self._attendance = Attendance(parameters.client_ids, parameters.specs)
        self._clients = {
            client_id: Client(client_id, parameters, random_bytes)
            for client_id in parameters.client_ids
        }
        advertised = self._advertise_keys()
        self._received = self._share_keys(advertised)

    def add(self, client_id: str, values: Sequence[np.ndarray]) -> None:
        """Lets a client send its integers, masked.

        Raises:
            ValueError: The client is unknown or has added before, or a value is not as its spec
                says.
        """
        with self.costs.timed("masked input"):
            self._attendance.admit(client_id, values)
            message = self._clients[client_id].mask(values, self._received[client_id])
            self.costs.bytes_up[client_id] += count_bytes(message)
            self.server.add_masked_input(message)

    def finish(self) -> list[np.ndarray]:
        """Unmasks the sum and forgets the clients' keys.

        Raises:
            ProtocolError: Fewer clients than the threshold have added.
            ValueError: The round is over.
        """
        with self.costs.timed("unmasking"):
            self._attendance.end()
            clients, self._clients = self._clients, {}
            survivors = self.server.end_input()
            revealed = []
            for client_id in survivors:
                self.costs.bytes_down[client_id] += count_bytes(survivors)
                revealed.append(clients[client_id].reveal_shares(survivors))
                self.costs.bytes_up[client_id] += count_bytes(revealed[-1])
            return self.server.unmask(revealed)

    def _advertise_keys(self) -> list[PublicKeys]:
        with self.costs.timed("advertise keys"):
            messages = [client.advertise_keys() for client in self._clients.values()]
            advertised = self.server.collect_keys(messages)
            for message in messages:
                self.costs.bytes_up[message.sender] += count_bytes(message)
                self.costs.bytes_down[message.sender] += count_bytes(advertised)
            return advertised

    def _share_keys(self, advertised: list[PublicKeys]) -> dict[str, list[EncryptedShares]]:
        with self.costs.timed("share keys"):
            messages = []
            for client_id, client in self._clients.items():
                own = client.share_keys(advertised)
                self.costs.bytes_up[client_id] += count_bytes(own)
                messages += own
            received = self.server.route_shares(messages)
            for client_id, own in received.items():
                self.costs.bytes_down[client_id] += count_bytes(own)
            return received
