"""A client's part in secure aggregation, step by step; the whole is in `fedlab.secure.secagg.protocol`."""

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
    HeldShares,
    MaskedInput,
    PublicKeys,
    PublicParameters,
    RevealedShares,
    Steps,
    by_sender,
    check_enough,
)

_NONCE = bytes(12)  # need not be random: each key encrypts one message


class Client:
    """One client's part in one round: `advertise_keys`, `share_keys`, `mask`, `reveal_shares`.

    Args:
        client_id: Its name, of the cohort.
        parameters: Of the round.
        random_bytes: (how many) -> secret bytes. Default: the operating system's generator.

    Attributes:
        held_shares: {client_id: what this client holds of its two secrets}.

    Raises:
        ValueError: The client is not of the cohort.
    """

    def __init__(
        self,
        client_id: str,
        parameters: PublicParameters,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ):
        if client_id not in parameters.places:
            raise ValueError(f"Client {client_id!r} is not of this round.")
        self.client_id = client_id
        self.held_shares: dict[str, HeldShares] = {}
        self._parameters, self._round_id = parameters, parameters.round_id
        self._random_bytes = random_bytes
        names = ("advertise_keys", "share_keys", "mask", "reveal_shares")
        self._steps = Steps(f"Client {client_id!r}", *names)

    def advertise_keys(self) -> PublicKeys:
        """Makes the client's two key pairs; returns the public halves, for the server."""
        with self._steps.take("advertise_keys"):
            self._key_seed = self._random_bytes(shamir.SECRET_BYTES)
            self._mask_key = masking.create_mask_key(self._key_seed, self._round_id, self.client_id)
            self._encryption_key = X25519PrivateKey.from_private_bytes(self._random_bytes(32))
            self._own_keys = PublicKeys(
                self._round_id,
                self.client_id,
                encryption_key=masking.public_bytes(self._encryption_key),
                mask_key=masking.public_bytes(self._mask_key),
            )
            return self._own_keys

    def share_keys(self, advertised: Iterable[PublicKeys]) -> list[EncryptedShares]:
        """Splits the client's two secrets among all who take part.

        Args:
            advertised: Everybody's public keys, its own too, as the server tells them.

        Returns:
            One message for each other client, for the server to pass on.

        Raises:
            ProtocolError: There are too few clients, a key is there twice or is not valid, or the
                client's own keys are not what it sent.
        """
        with self._steps.take("share_keys"):
            self._keys = by_sender(advertised, self._round_id, self._parameters.places)
            self._check_keys()
            self._seed = self._random_bytes(shamir.SECRET_BYTES)
            seed_shares, key_shares = map(self._split, (self._seed, self._key_seed))
            messages = []
            for client_id in self._keys:
                place = self._parameters.places[client_id]
                shares = HeldShares(seed_shares[place], key_shares[place])
                if client_id == self.client_id:
                    self.held_shares[client_id] = shares
                else:
                    messages.append(self._encrypt(shares, client_id))
            return messages

    def mask(
        self, values: Sequence[np.ndarray], received: Iterable[EncryptedShares]
    ) -> MaskedInput:
        """Hides the client's integers behind its masks.

        Args:
            values: One array for each `IntegerSpec` of the round.
            received: The other clients' shares for this one, as the server passes them on. With
                each of their senders it has a mask in common.

        Raises:
            ValueError: A value is not of its spec's dtype, shape or range.
            ProtocolError: There are too few shares, or one was changed on its way.
        """
        with self._steps.take("mask"):
            values = check_values(self.client_id, values, self._parameters.specs)
            shares = by_sender(received, self._round_id, set(self._keys) - {self.client_id})
            check_enough([*shares, self.client_id], self._parameters, "have shared keys")
            self.held_shares |= {one: self._decrypt(message) for one, message in shares.items()}
            blocks = self._parameters.blocks
            vectors = masking.to_vectors(values, blocks)
            own_key = masking.self_mask_key(self._seed, self._round_id, self.client_id)
            masking.add_mask(vectors, blocks, own_key, 1)
            for peer in shares:
                key = masking.pairwise_mask_key(
                    self._mask_key, self._keys[peer].mask_key, self._round_id, self.client_id, peer
                )
                masking.add_mask(vectors, blocks, key, masking.sign(self.client_id, peer))
            return MaskedInput(self._round_id, self.client_id, masking.pack(vectors, blocks))

    def reveal_shares(self, survivors: Collection[str]) -> RevealedShares:
        """Gives the server what it needs to take the masks off the sum, and no more.

        Of one client both shares are never told, for enough of them open its vector; so this is
        answered once.

        Args:
            survivors: The clients whose vectors the server has, this one among them.

        Raises:
            ProtocolError: They are too few, or one of them has not shared keys.
        """
        with self._steps.take("reveal_shares"):
            check_enough(set(survivors), self._parameters, "have sent their vectors")
            if not {self.client_id} <= set(survivors) <= set(self.held_shares):
                raise ProtocolError(
                    f"Client {self.client_id!r} reveals nothing: the survivors must be clients "
                    "that have shared keys, itself among them."
                )
            held = self.held_shares.items()
            return RevealedShares(
                self._round_id,
                self.client_id,
                seed_shares={one: it.seed_share for one, it in held if one in survivors},
                key_shares={one: it.key_share for one, it in held if one not in survivors},
            )

    def _check_keys(self) -> None:
        check_enough(self._keys, self._parameters, "have advertised keys")
        if self._keys.get(self.client_id) != self._own_keys:
            raise ProtocolError(f"Client {self.client_id!r}: its own keys came back changed.")
        keys = [key for one in self._keys.values() for key in (one.encryption_key, one.mask_key)]
        if len(set(keys)) < len(keys):
            raise ProtocolError("A public key was advertised twice; every one must be new.")

    def _split(self, secret: bytes) -> dict[int, bytes]:
        return shamir.split(secret, self._parameters.threshold, len(self._parameters.client_ids))

    def _encrypt(self, shares: HeldShares, receiver: str) -> EncryptedShares:
        cipher, context = self._cipher(self.client_id, receiver)
        ciphertext = cipher.encrypt(_NONCE, shares.seed_share + shares.key_share, context)
        return EncryptedShares(self._round_id, self.client_id, receiver, ciphertext)

    def _decrypt(self, message: EncryptedShares) -> HeldShares:
        cipher, context = self._cipher(message.sender, self.client_id)
        try:
            shares = cipher.decrypt(_NONCE, message.ciphertext, context)
        except InvalidTag:
            raise ProtocolError(
                f"The shares of {message.sender!r} for {self.client_id!r} were changed on their "
                "way, or are for somebody else."
            ) from None
        return HeldShares(shares[: shamir.SECRET_BYTES], shares[shamir.SECRET_BYTES :])

    def _cipher(self, sender: str, receiver: str) -> tuple[AESGCM, bytes]:
        """The cipher for one direction between two clients, and what it is bound to."""
        peer = receiver if sender == self.client_id else sender
        agreed = masking.agree(self._encryption_key, self._keys[peer].encryption_key)
        context = ("shares", self._round_id, sender, receiver)
        return AESGCM(masking.derive_key(agreed, *context)), masking.encode(*context)
