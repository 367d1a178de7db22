"""The sum of a round under homomorphic encryption, with TenSEAL: the server adds what it cannot read.

Each client encrypts its integers and sends ciphertexts. The server adds them up and hands the sum
to one client, which decrypts it and returns it: exactly the plain sum (see `fedlab.secure.ckks_parameters`).

Who holds the key. The clients share one key pair and the server has its public half. So the server
learns the sum alone, and a client can open whatever ciphertext it gets hold of: one client that
colludes with the server opens everyone (`open_upload`). With threshold keys (Mouchet et al. 2021)
each client would hold a share of a secret key that exists nowhere, and only a number of clients
fixed beforehand could open anything, together. No maintained package brings that to Python 3.11:
OpenFHE's wheel does not import there.

What a ciphertext does not prove. Anybody can change one and it still decrypts to something; hence
each upload carries a tag (HMAC-SHA256) under a key that its client and the server share, as over
TLS. It proves that these bytes are this client's, for this round. It proves nothing about what is
encrypted: a dishonest client may send values out of bounds, and a dishonest server may hand out one
client's ciphertexts as the sum. The client that opens also sees a sum before its modulus is applied.

Teaching code: all parties live in this process, and the server is honest but curious.
"""

import dataclasses
import secrets
from collections.abc import Sequence

import numpy as np
import tenseal as ts
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac

from fedlab.secure import ckks_parameters, interface
from fedlab.secure.interface import Attendance, Costs, IntegerSpec, ProtocolError


@dataclasses.dataclass(frozen=True)
class Upload:
    """What a client sends to the server.

    Attributes:
        client_id: Who sends it.
        round_id: 16 bytes, drawn for the round.
        ciphertexts: Serialised, each of `num_slots` numbers, the last one of what is left.
        tag: HMAC-SHA256 over all of the above.
    """

    client_id: str
    round_id: bytes
    ciphertexts: tuple[bytes, ...] = dataclasses.field(repr=False)
    tag: bytes = dataclasses.field(default=b"", repr=False)

    @property
    def num_bytes(self) -> int:
        """Bytes of ciphertexts and tag."""
        return sum(map(len, self.ciphertexts)) + len(self.tag)

    def sign(self, key: bytes) -> "Upload":
        """Returns it with its tag under a key."""
        return dataclasses.replace(self, tag=self._hmac(key).finalize())

    def is_signed(self, key: bytes) -> bool:
        """Returns whether its tag is that of its content under a key."""
        try:
            self._hmac(key).verify(self.tag)
        except InvalidSignature:
            return False
        return True

    def _hmac(self, key: bytes) -> hmac.HMAC:
        code = hmac.HMAC(key, hashes.SHA256())
        for part in (self.client_id.encode(), self.round_id, *self.ciphertexts):
            code.update(len(part).to_bytes(8, "big"))  # where one ends cannot be moved
            code.update(part)
        return code


class CkksServer:
    """Adds ciphertexts of one round as they come and keeps only their sum. It has no secret key.

    Args:
        public_context: Of the `KeyHolder`.
        round_id: Of the round.
        sizes: How many numbers each of a client's ciphertexts holds.
        scale: Of every ciphertext.
        tag_keys: 32 bytes for each client, shared with that client alone.

    Attributes:
        received: The clients whose uploads are in the sum.
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
            ProtocolError: The client is unknown or has sent before, the round is another, the upload was
                changed on its way, or it does not hold the ciphertexts of this round.
        """
        who = f"Client {upload.client_id!r}"
        if upload.client_id not in self._tag_keys:
            raise ProtocolError(f"{who} is not of this round.")
        if upload.client_id in self.received:
            raise ProtocolError(f"{who} has sent its ciphertexts already; once a round is all.")
        if upload.round_id != self._round_id:
            raise ProtocolError(f"{who} sent the ciphertexts of another round.")
        if not upload.is_signed(self._tag_keys[upload.client_id]):
            raise ProtocolError(f"{who}: the tag does not fit the ciphertexts; they were changed.")
        vectors = self._parse(who, upload.ciphertexts)
        for total, vector in zip(self._sum, vectors, strict=False):
            total.add_(vector)
        self._sum = self._sum or vectors
        self.received.append(upload.client_id)

    def total(self) -> list[bytes]:
        """Returns the sum, encrypted: serialised ciphertexts.

        Raises:
            ProtocolError: No upload has been received.
        """
        if not self.received:
            raise ProtocolError("No client's ciphertexts have arrived: there is nothing to open.")
        return [vector.serialize() for vector in self._sum]

    def _parse(self, who: str, ciphertexts: Sequence[bytes]) -> list[ts.CKKSVector]:
        if len(ciphertexts) != len(self._sizes):
            raise ProtocolError(
                f"{who} must send {len(self._sizes)} ciphertexts. Found {len(ciphertexts)}."
            )
        try:
            vectors = [ts.ckks_vector_from(self._context, one) for one in ciphertexts]
        except (RuntimeError, ValueError) as error:  # SEAL's and TenSEAL's
            raise ProtocolError(
                f"{who} sent what is no ciphertext of this round's keys."
            ) from error
        found = [(one.size(), [part.scale for part in one.ciphertext()]) for one in vectors]
        if found != [(size, [self._scale]) for size in self._sizes]:
            raise ProtocolError(f"{who} sent ciphertexts of another size or scale.")
        return vectors


class CkksRound:
    """One round; see `secure_sum.SecureRound`. `CkksSum.begin_round` begins it.

    Attributes:
        server: What the server is and all that it knows.
        key_holder: The key pair, which every client holds.
        costs: What the round has cost. The first client also bears the bytes of opening the sum.
    """

    def __init__(self, attendance: Attendance, key_holder: ckks_parameters.KeyHolder, costs: Costs):
        self._attendance, self.key_holder, self.costs = attendance, key_holder, costs
        self._scale = key_holder.parameters.scale(_max_total(attendance))
        self._round_id = secrets.token_bytes(16)
        self._tag_keys = {name: secrets.token_bytes(32) for name in attendance.client_ids}
        size, slots = sum(one.size for one in attendance.specs), key_holder.parameters.num_slots
        self._sizes = [min(slots, size - start) for start in range(0, size, slots)]
        self.server = CkksServer(
            key_holder.public_context, self._round_id, self._sizes, self._scale, self._tag_keys
        )

    def add(self, client_id: str, values: Sequence[np.ndarray]) -> None:
        """Lets a client encrypt its integers and send them, and the server add them to the sum.

        Raises:
            ValueError: See `secure_sum.Attendance.admit`.
        """
        upload = self.encrypt(client_id, values)
        with self.costs.timed("add"):
            self.server.receive(upload)

    def encrypt(self, client_id: str, values: Sequence[np.ndarray]) -> Upload:
        """Returns what a client is to send; the client needs the public context alone.

        Raises:
            ValueError: See `secure_sum.Attendance.admit`.
        """
        vector = interface.concatenate(self._attendance.admit(client_id, values))
        with self.costs.timed("encrypt"):
            pieces = np.split(vector.astype(np.float64), np.cumsum(self._sizes)[:-1])
            context = ts.context_from(self.key_holder.public_context)
            encrypted = [ts.ckks_vector(context, one, self._scale) for one in pieces if one.size]
            ciphertexts = tuple(one.serialize() for one in encrypted)
            upload = Upload(client_id, self._round_id, ciphertexts)
            upload = upload.sign(self._tag_keys[client_id])
        self.costs.bytes_up[client_id] += upload.num_bytes
        return upload

    def finish(self) -> list[np.ndarray]:
        """Returns the sums. The first client whose ciphertexts have arrived opens them.

        Raises:
            ValueError: Nobody has added, or the round is over.
            ProtocolError: What is opened cannot be a sum of what the clients may send.
        """
        self._attendance.end()
        with self.costs.timed("add"):
            encrypted = self.server.total()
        with self.costs.timed("decrypt"):
            sums = self._open(encrypted, len(self.server.received))
        opener = self.server.received[0]
        self.costs.bytes_down[opener] += sum(map(len, encrypted))
        self.costs.bytes_up[opener] += sum(one.nbytes for one in sums)
        return sums

    def _open(self, ciphertexts: Sequence[bytes], num_clients: int) -> list[np.ndarray]:
        error_bound = self.key_holder.parameters.error_bound(
            num_clients, _max_total(self._attendance)
        )
        decrypted = self.key_holder.decrypt(ciphertexts)
        specs = self._attendance.specs
        return ckks_parameters.round_sums(decrypted, specs, num_clients, error_bound=error_bound)


class CkksSum:
    """Sums under CKKS; see `secure_sum.SecureSum`. The keys are drawn once and serve all rounds.

    Attributes:
        costs: What the last round cost, or `None` before the first.
    """

    def __init__(self) -> None:
        self._key_holders: dict[ckks_parameters.CkksParameters, ckks_parameters.KeyHolder] = {}
        self.costs: Costs | None = None

    def begin_round(self, client_ids: Sequence[str], specs: Sequence[IntegerSpec]) -> CkksRound:
        """Begins a round of these clients.

        Raises:
            ValueError: See `secure_sum.Attendance` and `ckks.choose_parameters`.
        """
        attendance = Attendance(client_ids, specs)
        parameters = ckks_parameters.choose_parameters(len(client_ids), _max_total(attendance))
        self.costs = Costs()
        if parameters not in self._key_holders:
            with self.costs.timed("keys"):
                self._key_holders[parameters] = ckks_parameters.KeyHolder(parameters)
        return CkksRound(attendance, self._key_holders[parameters], self.costs)


def open_upload(
    upload: Upload, key_holder: ckks_parameters.KeyHolder, specs: Sequence[IntegerSpec]
) -> list[np.ndarray]:
    """Returns what another client has sent, as any client can that the server hands it to.

    Args:
        upload: Of the other client.
        key_holder: The key pair that all clients hold.
        specs: What each client adds.
    """
    numbers = key_holder.decrypt(upload.ciphertexts)
    return ckks_parameters.round_sums(numbers, specs, num_clients=1, error_bound=0.5)


def _max_total(attendance: Attendance) -> int:
    return max(spec.max_total(len(attendance.client_ids)) for spec in attendance.specs)
