"""The server's part in secure aggregation, step by step; the whole is in `fedlab.secure.secagg.protocol`."""

import collections
from collections.abc import Iterable

import numpy as np

from fedlab.secure import masking
from fedlab.secure.interface import ProtocolError
from fedlab.secure.secagg import shamir
from fedlab.secure.secagg.messages import (
    EncryptedShares,
    MaskedInput,
    PublicKeys,
    PublicParameters,
    RevealedShares,
    Steps,
    by_sender,
    check_enough,
)


class Server:
    """The server's part in a round: `collect_keys`, `route_shares`, `add_masked_input`, `unmask`.

    It holds public keys, the running sum of masked vectors and, at the end, shares that take the
    masks off the sum. What would open one client's vector it never has.

    Args:
        parameters: Of the round.

    Attributes:
        survivors: Whose masked vectors it has added, in that order.
    """

    def __init__(self, parameters: PublicParameters):
        self.survivors: list[str] = []
        self._parameters, self._round_id = parameters, parameters.round_id
        self._sums = masking.zeros(parameters.blocks)
        self._steps = Steps("The server", "collect_keys", "route_shares", "end_input", "unmask")

    def collect_keys(self, messages: Iterable[PublicKeys]) -> list[PublicKeys]:
        """Takes the clients' public keys; returns what every client is told.

        Raises:
            ProtocolError: There are too few, or one is not of this round.
        """
        with self._steps.take("collect_keys"):
            self._keys = by_sender(messages, self._round_id, self._parameters.places)
            check_enough(self._keys, self._parameters, "have advertised keys")
            return list(self._keys.values())

    def route_shares(self, messages: Iterable[EncryptedShares]) -> dict[str, list[EncryptedShares]]:
        """Takes the clients' encrypted shares, which it cannot read.

        Returns:
            {client_id: what it is sent}, for those who have shared their keys.

        Raises:
            ProtocolError: There are too few senders, or one has not sent each other client its own.
        """
        with self._steps.take("route_shares"):
            sent = collections.defaultdict(list)
            for message in messages:
                sent[message.sender].append(message)
            for sender, own in sent.items():
                self._check_receivers(sender, own)
            check_enough(sent, self._parameters, "have shared keys")
            self._sharers = [client_id for client_id in self._keys if client_id in sent]
            received = {client_id: [] for client_id in self._sharers}
            for message in (one for sender in self._sharers for one in sent[sender]):
                if message.receiver in received:
                    received[message.receiver].append(message)
            return received

    def add_masked_input(self, message: MaskedInput) -> None:
        """Adds a client's masked vector to the sum.

        Raises:
            ProtocolError: It is of another round, of a client that has shared no keys or has sent
                before, or not of the right length; or the server does not wait for one.
        """
        self._steps.check("end_input")
        by_sender([message], self._round_id, self._sharers)
        if message.sender in self.survivors:
            raise ProtocolError(f"MaskedInput of {message.sender!r} came twice.")
        blocks = self._parameters.blocks
        masking.add_vectors(self._sums, masking.unpack(message.vector, blocks), blocks)
        self.survivors.append(message.sender)

    def end_input(self) -> list[str]:
        """Waits no longer; returns the survivors, whom it asks for shares.

        Raises:
            ProtocolError: There are too few.
        """
        with self._steps.take("end_input"):
            check_enough(self.survivors, self._parameters, "have sent their vectors")
            return list(self.survivors)

    def unmask(self, revealed: Iterable[RevealedShares]) -> list[np.ndarray]:
        """Takes the masks off the sum.

        Returns:
            One sum for each spec of the round.

        Raises:
            ProtocolError: There are too few, or they are not of what was asked for.
        """
        with self._steps.take("unmask"):
            answers = by_sender(revealed, self._round_id, self.survivors)
            check_enough(answers, self._parameters, "have revealed shares")
            dropped = [one for one in self._sharers if one not in self.survivors]
            sums = [vector.copy() for vector in self._sums]
            for client_id in self.survivors:
                seed = self._combine(client_id, answers, "seed_shares")
                key = masking.self_mask_key(seed, self._round_id, client_id)
                masking.add_mask(sums, self._parameters.blocks, key, -1)
            for client_id in dropped:
                self._remove_masks(client_id, self._combine(client_id, answers, "key_shares"), sums)
            return masking.from_vectors(sums, self._parameters.blocks, self._parameters.specs)

    def _remove_masks(self, dropped: str, seed: bytes, sums: masking.Vectors) -> None:
        """Takes off the masks that the survivors have in common with one that dropped out."""
        private_key = masking.create_mask_key(seed, self._round_id, dropped)
        if masking.public_bytes(private_key) != self._keys[dropped].mask_key:
            raise ProtocolError(f"The revealed shares of {dropped!r} do not give its key.")
        for client_id in self.survivors:
            key = masking.pairwise_mask_key(
                private_key, self._keys[client_id].mask_key, self._round_id, dropped, client_id
            )
            masking.add_mask(sums, self._parameters.blocks, key, masking.sign(dropped, client_id))

    def _combine(self, client_id: str, answers: dict[str, RevealedShares], kind: str) -> bytes:
        shares = {self._parameters.places[one]: getattr(it, kind) for one, it in answers.items()}
        if any(client_id not in held for held in shares.values()):
            raise ProtocolError(f"A client has not revealed its share of {client_id!r}.")
        own = {place: held[client_id] for place, held in shares.items()}
        return shamir.combine(own, self._parameters.threshold)

    def _check_receivers(self, sender: str, messages: list[EncryptedShares]) -> None:
        receivers = [message.receiver for message in messages]
        of_this_round = all(message.round_id == self._round_id for message in messages)
        if sender not in self._keys or not of_this_round:
            raise ProtocolError(f"EncryptedShares of {sender!r} do not belong to this round.")
        if sorted([sender, *receivers]) != sorted(self._keys):
            raise ProtocolError(f"{sender!r} must send shares to each other client, once.")
