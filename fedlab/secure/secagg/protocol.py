"""Secure aggregation: the server learns the sum of the clients' integers, and not a client's integers.

The protocol of Bonawitz et al. 2017, "Practical Secure Aggregation for Privacy-Preserving Machine
Learning" (figure 4), against a server that is honest but curious:

    advertise keys   each client sends two public keys; the server sends all keys to all clients
    share keys       each client splits its two secrets into shares and encrypts each share for its
                     receiver; the server passes the shares on
    masked input     each client sends its vector plus masks: a self mask, and with each other client
                     a mask that the two share
    unmasking        each survivor reveals one share for each client: of the seed of the self mask if
                     that client has sent its vector, of the mask key if it has dropped out

This is teaching code: all parties are in one process. It omits the paper's defences against a server
that lies (keys signed under a public-key infrastructure, the consistency check of round 3), and it has
no defence against clients that lie. The server learns the sum itself, which may say a lot about a few
clients. Python does not erase keys from memory.
"""

import secrets
from collections.abc import Callable, Sequence

import numpy as np

from fedlab.checks import check_seed
from fedlab.secure.interface import Attendance, Costs, IntegerSpec
from fedlab.secure.secagg.client import Client
from fedlab.secure.secagg.messages import EncryptedShares, PublicKeys, PublicParameters, count_bytes
from fedlab.secure.secagg.server import Server


class SecAgg:
    """Secure aggregation. It implements `fedlab.secure.interface.SecureSum`.

    Args:
        threshold: How many clients must survive, more than half of the cohort. Default: two thirds of
            the cohort, rounded up.
        insecure_seed: Makes every key repeatable, and known to everybody who knows the seed, who can
            then remove every mask: for tests and notebooks. Default: the operating system's random
            generator.

    Attributes:
        threshold: The threshold, or `None` for the default.
        costs: The costs of the last round, or `None` before the first round.

    Raises:
        ValueError: The seed is negative.
        TypeError: The seed is not a whole number.
    """

    def __init__(self, threshold: int | None = None, *, insecure_seed: int | None = None):
        self.threshold = threshold
        self.costs: Costs | None = None
        self._random_bytes: Callable[[int], bytes] = secrets.token_bytes
        if insecure_seed is not None:
            seed = check_seed(insecure_seed, "insecure_seed")
            self._random_bytes = np.random.default_rng(seed).bytes

    def begin_round(self, client_ids: Sequence[str], specs: Sequence[IntegerSpec]) -> "SecAggRound":
        """Starts a round: its clients make keys and share them.

        Args:
            client_ids: The cohort, at least two clients.
            specs: The tensors that each client adds.

        Raises:
            ValueError: The threshold does not fit the cohort, the cohort or the specs are not valid, or
                a modulus is neither a power of two nor at most 2**32.
            TypeError: A client id is not a string.
        """
        round_id = self._random_bytes(16)
        parameters = PublicParameters(client_ids, specs, self.threshold, round_id)
        secure_round = SecAggRound(parameters, self._random_bytes)
        self.costs = secure_round.costs
        return secure_round


class SecAggRound:
    """One round. It implements `fedlab.secure.interface.SecureRound`.

    The clients that do not `add` have dropped out after they shared their keys.

    Args:
        parameters: Parameters of the round.
        random_bytes: Function from a number of bytes to that many secret bytes.

    Attributes:
        server: The server, with everything that it knows.
        clients: {client_id: client}. It is empty after the round, so that the keys are forgotten.
        costs: The costs of the round so far, by the phases of the protocol.
    """

    def __init__(self, parameters: PublicParameters, random_bytes: Callable[[int], bytes]):
        self.costs = Costs()
        self.server = Server(parameters)
        self.clients = {
            client_id: Client(client_id, parameters, random_bytes)
            for client_id in parameters.client_ids
        }
        self._attendance = Attendance(parameters.client_ids)
        self._received = self._share_keys(self._advertise_keys())

    def add(self, client_id: str, values: Sequence[np.ndarray]) -> None:
        """Lets a client mask its integers and send them.

        Args:
            client_id: A client of the cohort.
            values: The client's integers, one array for each spec.

        Raises:
            ValueError: The client is unknown or has added before, the round is over, or a value does
                not fit its spec.
        """
        with self.costs.timed("masked input"), self._attendance.admit(client_id):
            message = self.clients[client_id].mask(values, self._received[client_id])
            self.costs.bytes_up[client_id] += count_bytes(message)
            self.server.add_masked_input(message)

    def finish(self) -> list[np.ndarray]:
        """Removes the masks from the sum and forgets the clients' keys.

        Returns:
            One sum for each spec.

        Raises:
            ProtocolError: Fewer clients than the threshold have added.
            ValueError: No client has added, or the round is over.
        """
        with self.costs.timed("unmasking"):
            self._attendance.end()
            clients, self.clients = self.clients, {}
            survivors = self.server.end_input()
            revealed = []
            for client_id in survivors:
                self.costs.bytes_down[client_id] += count_bytes(survivors)
                revealed.append(clients[client_id].reveal_shares(survivors))
                self.costs.bytes_up[client_id] += count_bytes(revealed[-1])
            return self.server.unmask(revealed)

    def _advertise_keys(self) -> list[PublicKeys]:
        with self.costs.timed("advertise keys"):
            messages = [client.advertise_keys() for client in self.clients.values()]
            advertised = self.server.collect_keys(messages)
            for message in messages:
                self.costs.bytes_up[message.sender] += count_bytes(message)
                self.costs.bytes_down[message.sender] += count_bytes(advertised)
            return advertised

    def _share_keys(self, advertised: list[PublicKeys]) -> dict[str, list[EncryptedShares]]:
        with self.costs.timed("share keys"):
            messages = []
            for client_id, client in self.clients.items():
                sent = client.share_keys(advertised)
                self.costs.bytes_up[client_id] += count_bytes(sent)
                messages += sent
            received = self.server.route_shares(messages)
            for client_id, inbox in received.items():
                self.costs.bytes_down[client_id] += count_bytes(inbox)
            return received
