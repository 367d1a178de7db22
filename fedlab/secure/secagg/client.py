"""A client's steps in secure aggregation. `fedlab.secure.secagg.protocol` describes the protocol."""

import dataclasses
import secrets
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedlab.secure import masking
from fedlab.secure.interface import ProtocolError, RandomBytes, check_values
from fedlab.secure.secagg import authenticity, shamir
from fedlab.secure.secagg.messages import (
    EncryptedShares,
    MaskedInput,
    PublicKeys,
    RevealedShares,
    SharePair,
    Steps,
    SurvivorsSignature,
    by_sender,
)
from fedlab.secure.secagg.parameters import PublicParameters, check_enough

_NONCE = bytes(12)  # constant, because each key encrypts only one message


class Client:
    """A client in one round: `advertise_keys`, `share_keys`, `mask`, `sign_survivors`, `reveal_shares`.

    Without verification keys in the parameters the step `sign_survivors` is left out.

    Args:
        client_id: The client, a member of the cohort.
        parameters: Parameters of the round.
        random_bytes: Function from a number of bytes to that many secret bytes. Default: the operating
            system's random generator.
        signing_key: The client's private key, whose public half is registered in the parameters.
            `None` if the parameters have no verification keys.

    Attributes:
        share_pairs: {client_id: the shares of that client's two secrets that this client has}.

    Raises:
        ValueError: The client is not in the cohort, or its signing key is not the registered one.
    """

    def __init__(
        self,
        client_id: str,
        parameters: PublicParameters,
        random_bytes: RandomBytes = secrets.token_bytes,
        *,
        signing_key: Ed25519PrivateKey | None = None,
    ):
        if client_id not in parameters.places:
            raise ValueError(f"Client {client_id!r} is not in this round's cohort.")
        own_key = signing_key and signing_key.public_key().public_bytes_raw()
        registered = parameters.verification_keys
        if own_key != (registered and registered[client_id]):
            raise ValueError(
                f"signing_key of client {client_id!r} must be the private half of its key in "
                "verification_keys, or None if the parameters have no verification_keys."
            )
        self.client_id = client_id
        self.share_pairs: dict[str, SharePair] = {}
        self._parameters, self._round_id = parameters, parameters.round_id
        self._random_bytes, self._signing_key = random_bytes, signing_key
        steps = ["advertise_keys", "share_keys", "mask", "sign_survivors", "reveal_shares"]
        if signing_key is None:
            steps.remove("sign_survivors")
        self._steps = Steps(f"Client {client_id!r}", *steps)

    def advertise_keys(self) -> PublicKeys:
        """Makes the client's two key pairs and returns the public keys, for the server."""
        with self._steps.take("advertise_keys"):
            self._key_seed = self._random_bytes(shamir.SECRET_BYTES)
            self._mask_key = masking.create_mask_key(self._key_seed, self._round_id, self.client_id)
            self._encryption_key = X25519PrivateKey.from_private_bytes(self._random_bytes(32))
            self._seed = self._random_bytes(shamir.SECRET_BYTES)
            keys = PublicKeys(
                self._round_id,
                self.client_id,
                encryption_key=masking.public_bytes(self._encryption_key),
                mask_key=masking.public_bytes(self._mask_key),
                seed_commitment=authenticity.commit_seed(
                    self._seed, self._round_id, self.client_id
                ),
            )
            signature = self._sign(authenticity.keys_content(keys))
            self._public_keys = dataclasses.replace(keys, signature=signature)
            return self._public_keys

    def share_keys(self, advertised: Iterable[PublicKeys]) -> list[EncryptedShares]:
        """Splits the client's two secrets among all clients that take part.

        Args:
            advertised: The public keys of all clients, including this one, from the server.

        Returns:
            One message for each other client. The server passes it on.

        Raises:
            ProtocolError: There are too few clients, a client's keys do not carry its signature, a key
                appears twice or is not valid, or this client's keys are not those that it sent.
        """
        with self._steps.take("share_keys"):
            self._keys = by_sender(advertised, self._round_id, self._parameters.places)
            self._check_keys()
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
            ProtocolError: There are too few messages, one was changed after it was sent, or a share
                does not fit the commitment of its sender.
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

    def sign_survivors(self, survivors: Collection[str]) -> SurvivorsSignature:
        """Signs the list of survivors that the server shows to this client.

        Args:
            survivors: The clients whose vectors the server has received, including this one.

        Raises:
            ProtocolError: There are too few survivors, or one of them has not shared keys.
        """
        with self._steps.take("sign_survivors"):
            self._check_survivors(survivors)
            self._signed = self._survivors_content(survivors)
            return SurvivorsSignature(self._round_id, self.client_id, self._sign(self._signed))

    def reveal_shares(
        self, survivors: Collection[str], signatures: Iterable[SurvivorsSignature] = ()
    ) -> RevealedShares:
        """Returns the shares with which the server can remove the masks from the sum.

        With enough shares of both secrets of a client, the server could open that client's vector. So
        this client reveals only one of the two shares for each client, and answers only once.

        Args:
            survivors: The clients whose vectors the server has received, including this one: the list
                that this client has signed.
            signatures: The survivors' signatures of the list, from the server. None are needed if the
                parameters have no verification keys.

        Raises:
            ProtocolError: There are too few survivors, one of them has not shared keys, or too few
                survivors have signed this list.
        """
        with self._steps.take("reveal_shares"):
            self._check_survivors(survivors)
            if self._signing_key is not None:
                self._check_signatures(survivors, signatures)
            pairs = self.share_pairs.items()
            return RevealedShares(
                self._round_id,
                self.client_id,
                seed_shares={peer: pair.seed_share for peer, pair in pairs if peer in survivors},
                key_shares={peer: pair.key_share for peer, pair in pairs if peer not in survivors},
            )

    def _check_survivors(self, survivors: Collection[str]) -> None:
        check_enough(set(survivors), self._parameters, "have sent their vectors")
        if not {self.client_id} <= set(survivors) <= set(self.share_pairs):
            raise ProtocolError(
                f"Client {self.client_id!r} reveals nothing: the survivors must be clients "
                "that have shared keys, and this client must be one of them."
            )

    def _check_signatures(
        self, survivors: Collection[str], signatures: Iterable[SurvivorsSignature]
    ) -> None:
        """Raises `ProtocolError` unless at least `threshold` survivors have signed the same list."""
        content = self._survivors_content(survivors)
        if content != self._signed:
            raise ProtocolError(
                f"Client {self.client_id!r} reveals nothing: the server shows it another list of "
                "survivors than the one that it signed."
            )
        signed = by_sender(signatures, self._round_id, survivors)
        for signer, message in signed.items():
            if not authenticity.is_signed(message.signature, signer, self._parameters, content):
                raise ProtocolError(
                    f"Client {self.client_id!r} reveals nothing: {signer!r} has not signed the list "
                    "of survivors, keys and shares that the server shows to "
                    f"{self.client_id!r}. The server has shown different lists, or {signer!r} lies."
                )
        check_enough(signed, self._parameters, "have signed the list of survivors")

    def _survivors_content(self, survivors: Collection[str]) -> bytes:
        return authenticity.survivors_content(self._keys.values(), self.share_pairs, survivors)

    def _sign(self, content: bytes) -> bytes:
        if self._signing_key is None:
            return b""
        return authenticity.sign(self._signing_key, self._parameters, content)

    def _check_keys(self) -> None:
        check_enough(self._keys, self._parameters, "have advertised keys")
        if self._keys.get(self.client_id) != self._public_keys:
            raise ProtocolError(f"Client {self.client_id!r}: its keys came back changed.")
        owners: dict[bytes, str] = {}
        for sender, keys in self._keys.items():
            authenticity.check_keys(keys, self._parameters)
            for key in (keys.encryption_key, keys.mask_key):
                if key in owners:
                    raise ProtocolError(
                        f"A public key was advertised twice, by {owners[key]!r} and by {sender!r}. "
                        "Every key must be new."
                    )
                owners[key] = sender

    def _split(self, secret: bytes) -> dict[int, bytes]:
        return shamir.split(secret, self._parameters.threshold, len(self._parameters.client_ids))

    def _encrypt(self, shares: SharePair, receiver: str) -> EncryptedShares:
        parties = self.client_id, receiver
        commitments = authenticity.commit_shares(shares, self._round_id, *parties)
        cipher, context = self._cipher(*parties, commitments)
        ciphertext = cipher.encrypt(_NONCE, shares.seed_share + shares.key_share, context)
        return EncryptedShares(self._round_id, *parties, commitments, ciphertext)

    def _decrypt(self, message: EncryptedShares) -> SharePair:
        parties = message.sender, self.client_id
        cipher, context = self._cipher(*parties, message.commitments)
        try:
            plain = cipher.decrypt(_NONCE, message.ciphertext, context)
        except InvalidTag:
            raise ProtocolError(
                f"The shares of {message.sender!r} for {self.client_id!r} were changed after they "
                "were sent, or are for another client."
            ) from None
        shares = SharePair(plain[: shamir.SECRET_BYTES], plain[shamir.SECRET_BYTES :])
        fits = authenticity.commit_shares(shares, self._round_id, *parties) == message.commitments
        if not fits or len(plain) != 2 * shamir.SECRET_BYTES:
            raise ProtocolError(
                f"Client {message.sender!r} lies: the shares that it has dealt to "
                f"{self.client_id!r} do not fit its commitments. Begin a round without it."
            )
        return shares

    def _cipher(
        self, sender: str, receiver: str, commitments: tuple[bytes, bytes]
    ) -> tuple[AESGCM, bytes]:
        """Returns the cipher for one direction between two clients, and its associated data.

        The associated data contain the commitments, so that only the sender can choose them.
        """
        peer = receiver if sender == self.client_id else sender
        agreed = masking.agree(self._encryption_key, self._keys[peer].encryption_key, peer)
        context = ("shares", self._round_id, sender, receiver)
        key = masking.derive_key(agreed, *context)
        return AESGCM(key), masking.encode(*context, *commitments)
