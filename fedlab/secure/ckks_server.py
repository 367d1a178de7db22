"""The server of a sum under CKKS, and the message that each client sends to it."""

import dataclasses
from collections.abc import Sequence

import tenseal as ts
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac

from fedlab.secure.interface import ProtocolError


@dataclasses.dataclass(frozen=True)
class Upload:
    """The message of one client to the server.

    Attributes:
        client_id: The sender.
        round_id: 16 random bytes that identify the round.
        ciphertexts: Serialized ciphertexts. Each contains `CkksParameters.num_slots` numbers, except
            the last, which contains the rest.
        tag: HMAC-SHA256 over all fields above, 32 bytes.
    """

    client_id: str
    round_id: bytes
    ciphertexts: tuple[bytes, ...] = dataclasses.field(repr=False)
    tag: bytes = dataclasses.field(default=b"", repr=False)

    @property
    def num_bytes(self) -> int:
        """Bytes of the ciphertexts and the tag."""
        return sum(map(len, self.ciphertexts)) + len(self.tag)

    def sign(self, key: bytes) -> "Upload":
        """Returns this message with its tag under a key of 32 bytes."""
        return dataclasses.replace(self, tag=self._hmac(key).finalize())

    def is_signed(self, key: bytes) -> bool:
        """Returns whether the tag is valid for the message under a key of 32 bytes."""
        try:
            self._hmac(key).verify(self.tag)
        except InvalidSignature:
            return False
        return True

    def _hmac(self, key: bytes) -> hmac.HMAC:
        code = hmac.HMAC(key, hashes.SHA256())
        for part in (self.client_id.encode(), self.round_id, *self.ciphertexts):
            # With the lengths, bytes cannot be moved from one part to the next.
            code.update(len(part).to_bytes(8, "big"))
            code.update(part)
        return code


class CkksServer:
    """The server of one round: it adds ciphertexts as they arrive and stores only their sum.

    It does not have the secret key.

    Args:
        public_context: Serialized parameters and public key, from `KeyHolder.public_context`.
        round_id: Identifier of the round.
        sizes: How many numbers each ciphertext of a client contains.
        scale: Scale of every ciphertext.
        tag_keys: {client_id: 32 bytes that this client and the server share}.

    Attributes:
        received: The clients whose uploads are in the sum, in the order of arrival.
    """

    def __init__(
        self,
        public_context: bytes,
        round_id: bytes,
        sizes: Sequence[int],
        scale: float,
        tag_keys: dict[str, bytes],
    ):
        self._context = ts.context_from(public_context)
        self._round_id, self._sizes, self._scale = round_id, list(sizes), scale
        self._tag_keys = tag_keys
        self._sum: list[ts.CKKSVector] = []
        self.received: list[str] = []

    def receive(self, upload: Upload) -> None:
        """Adds a client's ciphertexts to the sum.

        Raises:
            ProtocolError: The client is unknown or has sent before, the upload belongs to another
                round, it was changed after it was signed, or it does not contain the ciphertexts that
                this round needs.
        """
        sender = f"Client {upload.client_id!r}"
        if upload.client_id not in self._tag_keys:
            raise ProtocolError(f"{sender} is not in this round's cohort.")
        if upload.client_id in self.received:
            raise ProtocolError(f"{sender} has sent its ciphertexts already in this round.")
        if upload.round_id != self._round_id:
            raise ProtocolError(f"{sender} sent the ciphertexts of another round.")
        if not upload.is_signed(self._tag_keys[upload.client_id]):
            raise ProtocolError(
                f"{sender}: the tag does not fit the ciphertexts; they were changed."
            )
        vectors = self._parse(sender, upload.ciphertexts)
        for total, vector in zip(self._sum, vectors, strict=False):
            total.add_(vector)
        self._sum = self._sum or vectors
        self.received.append(upload.client_id)

    def total(self) -> list[bytes]:
        """Returns the encrypted sum as serialized ciphertexts.

        Raises:
            ProtocolError: No upload has been received.
        """
        if not self.received:
            raise ProtocolError("No client's ciphertexts have arrived, so there is no sum.")
        return [vector.serialize() for vector in self._sum]

    def _parse(self, sender: str, ciphertexts: Sequence[bytes]) -> list[ts.CKKSVector]:
        if len(ciphertexts) != len(self._sizes):
            raise ProtocolError(
                f"{sender} must send {len(self._sizes)} ciphertexts. Found {len(ciphertexts)}."
            )
        try:
            vectors = [ts.ckks_vector_from(self._context, part) for part in ciphertexts]
        except (RuntimeError, ValueError) as error:  # raised by SEAL and by TenSEAL
            raise ProtocolError(
                f"{sender} sent bytes that are not a ciphertext under this round's keys."
            ) from error
        forms = [
            (vector.size(), [part.scale for part in vector.ciphertext()]) for vector in vectors
        ]
        if forms != [(size, [self._scale]) for size in self._sizes]:
            raise ProtocolError(f"{sender} sent ciphertexts of another size or scale.")
        return vectors
