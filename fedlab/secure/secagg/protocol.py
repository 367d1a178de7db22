"""Secure aggregation: the server learns the sum of the clients' integers, and not a client's integers.

The protocol of Bonawitz et al. 2017, "Practical Secure Aggregation for Privacy-Preserving Machine
Learning" (figure 4), in the variant against an active adversary (section 6), a server that lies and
the clients that collude with it:

    advertise keys      each client sends two public keys, signed, and a commitment to the seed of its
                        self mask; the server sends all of this to all clients, who verify it
    share keys          each client splits its two secrets into shares, encrypts each share for its
                        receiver and commits itself to it; the server passes the shares on
    masked input        each client sends its vector plus masks: a self mask, and with each other
                        client a mask that the two share
    consistency check   each survivor signs the list of survivors, and goes on only if `threshold`
                        survivors have signed the same list
    unmasking           each survivor reveals one share for each client: of the seed of the self mask
                        if that client has sent its vector, of the mask key if it has dropped out

What holds. Against a server that deviates from the protocol, together with fewer than
`2 * threshold - n` of the n clients, all that the server learns is one sum, of at least `threshold`
clients. The threshold is more than two thirds of the cohort, so any third of the clients may collude.
`adversary="honest-but-curious"` leaves out the signatures and the consistency check; then the server
must follow the protocol, fewer than `threshold` clients may give it their shares, and a threshold above
half of the cohort will do.

What a collusion means. Larger collusions open the vector of each other client: `2 * threshold - n`
clients by signing two lists of survivors for a server that lies, `threshold` clients by giving away
their shares. Clients that collude know their own vectors, so they do not hide the others in the sum.
The sum of two hides nothing from these two: a cohort of two is refused, and the threshold is at least
three.

Lying clients. A client that reveals another share than it was dealt is found by the commitment to that
share and named; the sum is opened without its shares if enough are left. A client that deals shares
that do not give its secret is named, and the round is lost. (The commitments are an addition to the
paper; with them a client sends 128 bytes and names to each other client.) A client that lies about its
own vector within the bounds, or adds wrong masks to it, spoils the sum unnoticed.

Signatures need a public-key infrastructure that the server does not control. Here the object `SecAgg`
plays it: it makes a signing key for each client and registers its public half before the client's
first round. A deployment needs a real one; without it, a server that invents clients opens vectors.

This is teaching code: all parties are in one process. The server learns the sum itself, which may say
a lot about a few clients. Python does not erase keys from memory.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedlab.checks import check_choice
from fedlab.secure.interface import Attendance, Costs, IntegerSpec, RandomBytes, random_source
from fedlab.secure.secagg.authenticity import create_signing_keys, verification_keys
from fedlab.secure.secagg.client import Client
from fedlab.secure.secagg.messages import (
    EncryptedShares,
    PublicKeys,
    SurvivorsSignature,
    count_bytes,
)
from fedlab.secure.secagg.parameters import PublicParameters
from fedlab.secure.secagg.server import Server

ADVERSARIES = ("active", "honest-but-curious")


class SecAgg:
    """Secure aggregation. It implements `fedlab.secure.interface.SecureSum`.

    Args:
        threshold: How many clients must survive, at least three: more than two thirds of the cohort
            against an active adversary, else more than half. Default: the smallest number above two
            thirds.
        adversary: What the server may do. "active": anything, together with fewer than a third of the
            clients. "honest-but-curious": it follows the protocol and only reads what it gets; keys
            are not signed, and there is no consistency check.
        insecure_seed: Makes every key repeatable, and known to everybody who knows the seed, who can
            then remove every mask: for tests and notebooks. Default: the operating system's random
            generator.

    Attributes:
        threshold: The threshold, or `None` for the default.
        costs: The costs of the last round, or `None` before the first round.

    Raises:
        ValueError: The adversary is unknown, or the seed is negative.
        TypeError: The seed is not a whole number.
    """

    def __init__(
        self,
        threshold: int | None = None,
        *,
        adversary: str = "active",
        insecure_seed: int | None = None,
    ):
        self.threshold = threshold
        self.costs: Costs | None = None
        self._signs = check_choice("adversary", adversary, ADVERSARIES) == "active"
        self._signing_keys: dict[str, Ed25519PrivateKey] = {}
        self._random_bytes = random_source(insecure_seed)

    def begin_round(self, client_ids: Sequence[str], specs: Sequence[IntegerSpec]) -> "SecAggRound":
        """Starts a round: its clients make keys and share them.

        Args:
            client_ids: The cohort, at least three clients.
            specs: The tensors that each client adds.

        Raises:
            ValueError: The threshold does not fit the cohort, the cohort or the specs are not valid, or
                a modulus is neither a power of two nor at most 2**32.
            TypeError: A client id is not a string, or the threshold is not a whole number.
        """
        round_id = self._random_bytes(16)
        registry = self._register(client_ids) if self._signs else None
        parameters = PublicParameters(
            client_ids, specs, self.threshold, round_id, verification_keys=registry
        )
        secure_round = SecAggRound(parameters, self._random_bytes, self._signing_keys)
        self.costs = secure_round.costs
        return secure_round

    def _register(self, client_ids: Sequence[str]) -> dict[str, bytes]:
        """Plays the public-key infrastructure: a client keeps its signing key in all rounds."""
        new = [name for name in client_ids if name not in self._signing_keys]
        self._signing_keys |= create_signing_keys(new, self._random_bytes)
        return verification_keys(self._signing_keys)


class SecAggRound:
    """One round. It implements `fedlab.secure.interface.SecureRound`.

    The clients that do not `add` have dropped out after they shared their keys.

    Args:
        parameters: Parameters of the round.
        random_bytes: Function from a number of bytes to that many secret bytes.
        signing_keys: {client_id: private key}, empty if the parameters have no verification keys.

    Attributes:
        server: The server, with everything that it knows.
        clients: {client_id: client}. It is empty after the round, so that the keys are forgotten.
        costs: The costs of the round so far, by the phases of the protocol.
    """

    def __init__(
        self,
        parameters: PublicParameters,
        random_bytes: RandomBytes,
        signing_keys: Mapping[str, Ed25519PrivateKey],
    ):
        self.costs = Costs()
        self.server = Server(parameters)
        self.clients = {
            name: Client(name, parameters, random_bytes, signing_key=signing_keys.get(name))
            for name in parameters.client_ids
        }
        self._signs = parameters.verification_keys is not None
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
            ProtocolError: Fewer clients than the threshold have added, or a party lies and the sum
                cannot be opened without it.
            ValueError: No client has added, or the round is over.
        """
        self._attendance.end()
        clients, self.clients = self.clients, {}
        survivors = self.server.end_input()
        for client_id in survivors:
            self.costs.bytes_down[client_id] += count_bytes(survivors)
        signatures = self._check_consistency(clients, survivors) if self._signs else []
        with self.costs.timed("unmasking"):
            revealed = []
            for client_id in survivors:
                self.costs.bytes_down[client_id] += count_bytes(signatures)
                revealed.append(clients[client_id].reveal_shares(survivors, signatures))
                self.costs.bytes_up[client_id] += count_bytes(revealed[-1])
            sums = self.server.unmask(revealed)
        if self.server.liars:
            names = ", ".join(map(repr, self.server.liars))
            warnings.warn(
                f"{names} revealed wrong shares. The sum was opened without them and is right.",
                RuntimeWarning,
                stacklevel=2,
            )
        return sums

    def _check_consistency(
        self, clients: Mapping[str, Client], survivors: list[str]
    ) -> list[SurvivorsSignature]:
        with self.costs.timed("consistency check"):
            messages = [clients[name].sign_survivors(survivors) for name in survivors]
            for message in messages:
                self.costs.bytes_up[message.sender] += count_bytes(message)
            return self.server.collect_signatures(messages)

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
