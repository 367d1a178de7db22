"""The server's steps in secure aggregation. `fedlab.secure.secagg.protocol` describes the protocol."""

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
    """The server in one round: `collect_keys`, `route_shares`, `add_masked_input`, `unmask`.

    It has public keys, the running sum of masked vectors and, at the end, shares that remove the masks
    from the sum. It never has the shares that would open the vector of a single client.

    Args:
        parameters: Parameters of the round.

    Attributes:
        survivors: The clients whose masked vectors are in the sum, in the order of arrival.
    """

    def __init__(self, parameters: PublicParameters):
        self.survivors: list[str] = []
        self._parameters, self._round_id = parameters, parameters.round_id
        self._sums = masking.zeros(parameters.blocks)
        self._steps = Steps("The server", "collect_keys", "route_shares", "end_input", "unmask")

    def collect_keys(self, messages: Iterable[PublicKeys]) -> list[PublicKeys]:
        """Receives the clients' public keys and returns the list that every client is sent.

        Raises:
            ProtocolError: There are too few messages, or one does not belong to this round.
        """
        with self._steps.take("collect_keys"):
            self._keys = by_sender(messages, self._round_id, self._parameters.places)
            check_enough(self._keys, self._parameters, "have advertised keys")
            return list(self._keys.values())

    def route_shares(self, messages: Iterable[EncryptedShares]) -> dict[str, list[EncryptedShares]]:
        """Receives the clients' encrypted shares, which the server cannot read.

        Returns:
            {client_id: the messages that are sent to it}, for the clients that have shared keys.

        Raises:
            ProtocolError: There are too few senders, or a sender has not sent exactly one message to
                each other client.
        """
        with self._steps.take("route_shares"):
            sent = collections.defaultdict(list)
            for message in messages:
                sent[message.sender].append(message)
            for sender, sender_messages in sent.items():
                self._check_receivers(sender, sender_messages)
            check_enough(sent, self._parameters, "have shared keys")
            self._sharers = [client_id for client_id in self._keys if client_id in sent]
            received: dict[str, list[EncryptedShares]] = {name: [] for name in self._sharers}
            for sender in self._sharers:
                for message in sent[sender]:
                    if message.receiver in received:
                        received[message.receiver].append(message)
            return received

    def add_masked_input(self, message: MaskedInput) -> None:
        """Adds a client's masked vector to the sum.

        Raises:
            ProtocolError: The message belongs to another round, its sender has shared no keys or has
                sent a vector before, the vector has another length, or it is not the time for it.
        """
        self._steps.check("end_input")
        by_sender([message], self._round_id, self._sharers)
        if message.sender in self.survivors:
            raise ProtocolError(f"MaskedInput of {message.sender!r} came twice.")
        blocks = self._parameters.blocks
        masking.add_vectors(self._sums, masking.unpack(message.vector, blocks), blocks)
        self.survivors.append(message.sender)

    def end_input(self) -> list[str]:
        """Stops waiting for vectors and returns the survivors, who are then asked for shares.

        Raises:
            ProtocolError: There are too few survivors.
        """
        with self._steps.take("end_input"):
            check_enough(self.survivors, self._parameters, "have sent their vectors")
            return list(self.survivors)

    def unmask(self, revealed: Iterable[RevealedShares]) -> list[np.ndarray]:
        """Removes the masks from the sum.

        Args:
            revealed: The shares that the survivors reveal.

        Returns:
            One sum for each spec of the round.

        Raises:
            ProtocolError: There are too few messages, or their shares are not those of this round.
        """
        with self._steps.take("unmask"):
            answers = by_sender(revealed, self._round_id, self.survivors)
            check_enough(answers, self._parameters, "have revealed shares")
            sums = [vector.copy() for vector in self._sums]
            for client_id in self.survivors:
                shares = {sender: answer.seed_shares for sender, answer in answers.items()}
                seed = self._combine(client_id, shares)
                key = masking.self_mask_key(seed, self._round_id, client_id)
                masking.add_mask(sums, self._parameters.blocks, key, -1)
            dropped = [name for name in self._sharers if name not in self.survivors]
            for client_id in dropped:
                shares = {sender: answer.key_shares for sender, answer in answers.items()}
                self._remove_masks(client_id, self._combine(client_id, shares), sums)
            return masking.from_vectors(sums, self._parameters.blocks, self._parameters.specs)

    def _remove_masks(self, dropped: str, seed: bytes, sums: masking.Vectors) -> None:
        """Removes from `sums` the masks that the survivors share with a client that dropped out."""
        private_key = masking.create_mask_key(seed, self._round_id, dropped)
        if masking.public_bytes(private_key) != self._keys[dropped].mask_key:
            raise ProtocolError(f"The revealed shares of {dropped!r} do not give its key.")
        for client_id in self.survivors:
            key = masking.pairwise_mask_key(
                private_key, self._keys[client_id].mask_key, self._round_id, dropped, client_id
            )
            masking.add_mask(sums, self._parameters.blocks, key, masking.sign(dropped, client_id))

    def _combine(self, client_id: str, shares: dict[str, dict[str, bytes]]) -> bytes:
        """Returns a secret of a client from {sender: {client_id: share}}."""
        if any(client_id not in revealed for revealed in shares.values()):
            raise ProtocolError(f"A client has not revealed its share of {client_id!r}.")
        places = self._parameters.places
        secret_shares = {places[sender]: shares[sender][client_id] for sender in shares}
        return shamir.combine(secret_shares, self._parameters.threshold)

    def _check_receivers(self, sender: str, messages: list[EncryptedShares]) -> None:
        receivers = [message.receiver for message in messages]
        in_this_round = all(message.round_id == self._round_id for message in messages)
        if sender not in self._keys or not in_this_round:
            raise ProtocolError(f"EncryptedShares of {sender!r} do not belong to this round.")
        if sorted([sender, *receivers]) != sorted(self._keys):
            raise ProtocolError(f"{sender!r} must send shares to each other client, once.")
