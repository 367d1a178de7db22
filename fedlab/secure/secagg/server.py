"""The server's steps in secure aggregation. `fedlab.secure.secagg.protocol` describes the protocol."""

import collections
from collections.abc import Iterable

import numpy as np

from fedlab.secure import masking
from fedlab.secure.interface import ProtocolError
from fedlab.secure.secagg import authenticity, shamir
from fedlab.secure.secagg.messages import (
    EncryptedShares,
    MaskedInput,
    PublicKeys,
    RevealedShares,
    Steps,
    SurvivorsSignature,
    by_sender,
)
from fedlab.secure.secagg.parameters import PublicParameters, check_enough

_CIPHERTEXT_BYTES = 2 * shamir.SECRET_BYTES + 16  # with the tag of AES-GCM
_COMMITMENT_SIZES = [authenticity.COMMITMENT_BYTES] * 2


class Server:
    """The server in one round: its methods in the order in which they stand here.

    It has public keys, the running sum of masked vectors and, at the end, shares that remove the masks
    from the sum. It never has the shares that would open the vector of a single client. Without
    verification keys in the parameters the step `collect_signatures` is left out.

    Args:
        parameters: Parameters of the round.

    Attributes:
        survivors: The clients whose masked vectors are in the sum, in the order of arrival.
        liars: The clients whose revealed shares were not those that had been dealt to them. The sum
            was opened without their shares.
    """

    def __init__(self, parameters: PublicParameters):
        self.survivors: list[str] = []
        self.liars: list[str] = []
        self._parameters, self._round_id = parameters, parameters.round_id
        self._sums = masking.zeros(parameters.blocks)
        self._commitments: dict[tuple[str, str], tuple[bytes, bytes]] = {}
        steps = ["collect_keys", "route_shares", "end_input", "collect_signatures", "unmask"]
        if parameters.verification_keys is None:
            steps.remove("collect_signatures")
        self._steps = Steps("The server", *steps)

    def collect_keys(self, messages: Iterable[PublicKeys]) -> list[PublicKeys]:
        """Receives the clients' public keys and returns the list that every client is sent.

        Raises:
            ProtocolError: There are too few messages, or one does not belong to this round or does not
                carry its sender's signature.
        """
        with self._steps.take("collect_keys"):
            self._keys = by_sender(messages, self._round_id, self._parameters.places)
            for keys in self._keys.values():
                authenticity.check_keys(keys, self._parameters)
            check_enough(self._keys, self._parameters, "have advertised keys")
            return list(self._keys.values())

    def route_shares(self, messages: Iterable[EncryptedShares]) -> dict[str, list[EncryptedShares]]:
        """Receives the clients' encrypted shares, which the server cannot read.

        Returns:
            {client_id: the messages that are sent to it}, for the clients that have shared keys.

        Raises:
            ProtocolError: There are too few senders, or a sender has not sent exactly one message of
                the right size to each other client.
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
                    self._commitments[sender, message.receiver] = message.commitments
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

    def collect_signatures(
        self, messages: Iterable[SurvivorsSignature]
    ) -> list[SurvivorsSignature]:
        """Receives the signatures of the list of survivors, which every signer is then sent.

        Raises:
            ProtocolError: There are too few messages, one does not belong to this round, or a
                signature is not valid.
        """
        with self._steps.take("collect_signatures"):
            signed = by_sender(messages, self._round_id, self.survivors)
            content = authenticity.survivors_content(
                self._keys.values(), self._sharers, self.survivors
            )
            for signer, message in signed.items():
                if not authenticity.is_signed(message.signature, signer, self._parameters, content):
                    raise ProtocolError(
                        f"The signature of {signer!r} does not fit the list of survivors that it was "
                        "sent. Go on without its message."
                    )
            check_enough(signed, self._parameters, "have signed the list of survivors")
            return list(signed.values())

    def unmask(self, revealed: Iterable[RevealedShares]) -> list[np.ndarray]:
        """Removes the masks from the sum.

        Shares that do not fit the commitments of those who dealt them are not used, and their senders
        are listed in `liars`.

        Args:
            revealed: The shares that the survivors reveal.

        Returns:
            One sum for each spec of the round.

        Raises:
            ProtocolError: There are too few messages with true shares, or a client has dealt shares
                that do not give the secret that it has committed itself to. The error names the liars.
        """
        with self._steps.take("unmask"):
            answers = by_sender(revealed, self._round_id, self.survivors)
            dropped = [name for name in self._sharers if name not in self.survivors]
            self.liars = [name for name in answers if not self._is_true(answers[name], dropped)]
            true = {name: answer for name, answer in answers.items() if name not in self.liars}
            action = "have revealed shares"
            if self.liars:
                lie = ", ".join(map(repr, self.liars))
                action += f" that they were dealt (not so: {lie})"
            check_enough(true, self._parameters, action)
            sums = [vector.copy() for vector in self._sums]
            for client_id in self.survivors:
                shares = {sender: answer.seed_shares[client_id] for sender, answer in true.items()}
                self._remove_self_mask(client_id, self._combine(client_id, shares), sums)
            for client_id in dropped:
                shares = {sender: answer.key_shares[client_id] for sender, answer in true.items()}
                self._remove_pairwise_masks(client_id, self._combine(client_id, shares), sums)
            return masking.from_vectors(sums, self._parameters.blocks, self._parameters.specs)

    def _remove_self_mask(self, survivor: str, seed: bytes, sums: masking.Vectors) -> None:
        commitment = authenticity.commit_seed(seed, self._round_id, survivor)
        if commitment != self._keys[survivor].seed_commitment:
            raise _dealt_wrongly(survivor)
        key = masking.self_mask_key(seed, self._round_id, survivor)
        masking.add_mask(sums, self._parameters.blocks, key, -1)

    def _remove_pairwise_masks(self, dropped: str, seed: bytes, sums: masking.Vectors) -> None:
        """Removes from `sums` the masks that the survivors share with a client that dropped out."""
        private_key = masking.create_mask_key(seed, self._round_id, dropped)
        if masking.public_bytes(private_key) != self._keys[dropped].mask_key:
            raise _dealt_wrongly(dropped)
        for client_id in self.survivors:
            key = masking.pairwise_mask_key(
                private_key, self._keys[client_id].mask_key, self._round_id, dropped, client_id
            )
            masking.add_mask(sums, self._parameters.blocks, key, masking.sign(dropped, client_id))

    def _is_true(self, answer: RevealedShares, dropped: list[str]) -> bool:
        """Returns whether a client has revealed the shares that it was asked for and had been dealt.

        The server has no commitment to the share that a client keeps of its own secret; see `_combine`.
        """
        asked = {"seed": set(self.survivors), "key": set(dropped)}
        revealed = {"seed": answer.seed_shares, "key": answer.key_shares}
        if {kind: set(shares) for kind, shares in revealed.items()} != asked:
            return False
        return all(
            self._was_dealt(kind, share, dealer, answer.sender)
            for kind, shares in revealed.items()
            for dealer, share in shares.items()
        )

    def _was_dealt(self, kind: str, share: bytes, dealer: str, holder: str) -> bool:
        if not isinstance(share, bytes) or len(share) != shamir.SECRET_BYTES:
            return False
        if dealer == holder:
            return True
        commitment = authenticity.commit_share(kind, share, self._round_id, dealer, holder)
        return commitment in self._commitments[dealer, holder]

    def _combine(self, dealer: str, shares: dict[str, bytes]) -> bytes:
        """Returns a secret of a client from {sender: share}.

        The client's own share comes last: if the secret is then wrong, only the client can have lied.
        """
        senders = sorted(shares, key=lambda sender: sender == dealer)
        places = self._parameters.places
        secret_shares = {places[sender]: shares[sender] for sender in senders}
        return shamir.combine(secret_shares, self._parameters.threshold)

    def _check_receivers(self, sender: str, messages: list[EncryptedShares]) -> None:
        receivers = [message.receiver for message in messages]
        in_this_round = all(message.round_id == self._round_id for message in messages)
        if sender not in self._keys or not in_this_round:
            raise ProtocolError(f"EncryptedShares of {sender!r} do not belong to this round.")
        if sorted([sender, *receivers]) != sorted(self._keys):
            raise ProtocolError(f"{sender!r} must send shares to each other client, once.")
        for message in messages:
            sizes = [len(commitment) for commitment in message.commitments]
            if sizes != _COMMITMENT_SIZES or len(message.ciphertext) != _CIPHERTEXT_BYTES:
                raise ProtocolError(
                    f"EncryptedShares of {sender!r} must have two commitments of "
                    f"{authenticity.COMMITMENT_BYTES} bytes and {_CIPHERTEXT_BYTES} bytes of shares."
                )


def _dealt_wrongly(dealer: str) -> ProtocolError:
    return ProtocolError(
        f"Client {dealer!r} lies: the shares of its secret do not give the secret that it has "
        "committed itself to. The round is lost; begin another without it."
    )
