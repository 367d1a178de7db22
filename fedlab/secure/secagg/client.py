"""A client's steps in secure aggregation. `fedlab.secure.secagg.protocol` describes the protocol."""

import secrets
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedlab.secure import masking
from fedlab.secure.interface import ProtocolError, check_values
from fedlab.secure.secagg import shamir
from fedlab.secure.secagg.messages import (
    EncryptedShares,
    MaskedInput,
    PublicKeys,
    PublicParameters,
    RevealedShares,
    SharePair,
    Steps,
    by_sender,
    check_enough,
)

_NONCE = bytes(12)  # constant, because each key encrypts only one message


class Client:
    """A client in one round: `advertise_keys`, `share_keys`, `mask`, `reveal_shares`.

    Args:
        client_id: The client, a member of the cohort.
        parameters: Parameters of the round.
        random_bytes: Function from a number of bytes to that many secret bytes. Default: the operating
            system's random generator.

    Attributes:
        share_pairs: {client_id: the shares of that client's two secrets that this client has}.

    Raises:
        ValueError: The client is not in the cohort.
    """

    def __init__(
        self,
        client_id: str,
        parameters: PublicParameters,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ):
        if client_id not in parameters.places:
            raise ValueError(f"Client {client_id!r} is not in this round's cohort.")
        self.client_id = client_id
        self.share_pairs: dict[str, SharePair] = {}
        self._parameters, self._round_id = parameters, parameters.round_id
        self._random_bytes = random_bytes
        steps = ("advertise_keys", "share_keys", "mask", "reveal_shares")
        self._steps = Steps(f"Client {client_id!r}", *steps)

    def advertise_keys(self) -> PublicKeys:
        """Makes the client's two key pairs and returns the public keys, for the server."""
        with self._steps.take("advertise_keys"):
            self._key_seed = self._random_bytes(shamir.SECRET_BYTES)
            self._mask_key = masking.create_mask_key(self._key_seed, self._round_id, self.client_id)
            self._encryption_key = X25519PrivateKey.from_private_bytes(self._random_bytes(32))
            self._public_keys = PublicKeys(
                self._round_id,
                self.client_id,
                encryption_key=masking.public_bytes(self._encryption_key),
                mask_key=masking.public_bytes(self._mask_key),
            )
            return self._public_keys

    def share_keys(self, advertised: Iterable[PublicKeys]) -> list[EncryptedShares]:
        """Splits the client's two secrets among all clients that take part.

        Args:
            advertised: The public keys of all clients, including this one, from the server.

        Returns:
            One message for each other client. The server passes it on.

        Raises:
            ProtocolError: There are too few clients, a key appears twice or is not valid, or this
                client's keys are not those that it sent.
        """
        with self._steps.take("share_keys"):
            self._keys = by_sender(advertised, self._round_id, self._parameters.places)
            self._check_keys()
            self._seed = self._random_bytes(shamir.SECRET_BYTES)
            seed_shares, key_shares = map(self._split, (self._seed, self._key_seed))
            messages = []
            for client_id in self._keys:
                place = self._parameters.places[client_id]
                shares = SharePair(seed_shares[place], key_shares[place])
                if client_id == self.client_id:
                    self.share_pairs[client_id] = shares
                else:
                    messages.append(self._encrypt(shares, client_id))
            return messages

    def mask(
        self, values: Sequence[np.ndarray], received: Iterable[EncryptedShares]
    ) -> MaskedInput:
        """Adds the client's masks to its integers.

        Args:
            values: The client's integers, one array for each `IntegerSpec` of the round.
            received: The messages of the other clients, from the server. This client shares a mask
                with each of their senders.

        Raises:
            ValueError: A value does not have its spec's dtype, shape or range.
            ProtocolError: There are too few messages, or one was changed after it was sent.
        """
        with self._steps.take("mask"):
            arrays = check_values(self.client_id, values, self._parameters.specs)
            shares = by_sender(received, self._round_id, set(self._keys) - {self.client_id})
            check_enough([*shares, self.client_id], self._parameters, "have shared keys")
            self.share_pairs |= {peer: self._decrypt(message) for peer, message in shares.items()}
            blocks = self._parameters.blocks
            vectors = masking.to_vectors(arrays, blocks)
            self_key = masking.self_mask_key(self._seed, self._round_id, self.client_id)
            masking.add_mask(vectors, blocks, self_key, 1)
            for peer in shares:
                key = masking.pairwise_mask_key(
                    self._mask_key, self._keys[peer].mask_key, self._round_id, self.client_id, peer
                )
                masking.add_mask(vectors, blocks, key, masking.sign(self.client_id, peer))
            return MaskedInput(self._round_id, self.client_id, masking.pack(vectors, blocks))

    def reveal_shares(self, survivors: Collection[str]) -> RevealedShares:
        """Returns the shares with which the server can remove the masks from the sum.

        With enough shares of both secrets of a client, the server could open that client's vector. So
        this client reveals only one of the two shares for each client, and answers only once.

        Args:
            survivors: The clients whose vectors the server has received, including this one.

        Raises:
            ProtocolError: There are too few survivors, or one of them has not shared keys.
        """
        with self._steps.take("reveal_shares"):
            check_enough(set(survivors), self._parameters, "have sent their vectors")
            if not {self.client_id} <= set(survivors) <= set(self.share_pairs):
                raise ProtocolError(
                    f"Client {self.client_id!r} reveals nothing: the survivors must be clients "
                    "that have shared keys, and this client must be one of them."
                )
            pairs = self.share_pairs.items()
            return RevealedShares(
                self._round_id,
                self.client_id,
                seed_shares={peer: pair.seed_share for peer, pair in pairs if peer in survivors},
                key_shares={peer: pair.key_share for peer, pair in pairs if peer not in survivors},
            )

    def _check_keys(self) -> None:
        check_enough(self._keys, self._parameters, "have advertised keys")
        if self._keys.get(self.client_id) != self._public_keys:
            raise ProtocolError(f"Client {self.client_id!r}: its keys came back changed.")
        messages = self._keys.values()
        keys = [key for sent in messages for key in (sent.encryption_key, sent.mask_key)]
        if len(set(keys)) < len(keys):
            raise ProtocolError("A public key was advertised twice; every key must be new.")

    def _split(self, secret: bytes) -> dict[int, bytes]:
        return shamir.split(secret, self._parameters.threshold, len(self._parameters.client_ids))

    def _encrypt(self, shares: SharePair, receiver: str) -> EncryptedShares:
        cipher, context = self._cipher(self.client_id, receiver)
        ciphertext = cipher.encrypt(_NONCE, shares.seed_share + shares.key_share, context)
        return EncryptedShares(self._round_id, self.client_id, receiver, ciphertext)

    def _decrypt(self, message: EncryptedShares) -> SharePair:
        cipher, context = self._cipher(message.sender, self.client_id)
        try:
            shares = cipher.decrypt(_NONCE, message.ciphertext, context)
        except InvalidTag:
            raise ProtocolError(
                f"The shares of {message.sender!r} for {self.client_id!r} were changed after they "
                "were sent, or are for another client."
            ) from None
        return SharePair(shares[: shamir.SECRET_BYTES], shares[shamir.SECRET_BYTES :])

    def _cipher(self, sender: str, receiver: str) -> tuple[AESGCM, bytes]:
        """Returns the cipher for one direction between two clients, and its associated data."""
        peer = receiver if sender == self.client_id else sender
        agreed = masking.agree(self._encryption_key, self._keys[peer].encryption_key)
        context = ("shares", self._round_id, sender, receiver)
        return AESGCM(masking.derive_key(agreed, *context)), masking.encode(*context)
