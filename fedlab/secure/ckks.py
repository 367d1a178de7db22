"""The sum of a round under homomorphic encryption, with TenSEAL: the server adds ciphertexts.

Each client encrypts its integers and sends ciphertexts. The server adds the ciphertexts and sends the
encrypted sum to one client, which decrypts it and returns it. After rounding, the result equals the
plain sum exactly (see `fedlab.secure.ckks_parameters`).

Who has the key: all clients share one key pair, and the server has its public half. So the server
learns only the sum. But every client can decrypt every ciphertext that it obtains: one client that
colludes with the server opens all clients' values (`open_upload`). With threshold keys (Mouchet et
al. 2021) each client would have a share of a secret key that exists nowhere as a whole, and only a
fixed number of clients together could decrypt. No maintained package offers that on Python 3.11:
the wheel of OpenFHE cannot be imported there.

What a ciphertext does not prove: anybody can change a ciphertext, and it still decrypts to some
number. So each upload carries a tag (HMAC-SHA256) under a key that its client and the server share,
as they would share one in a TLS connection. The tag proves that these bytes come from this client, in
this round. It proves nothing about the encrypted numbers: a dishonest client may send values out of
bounds, and a dishonest server may present one client's ciphertexts as the sum. The client that
decrypts also sees the sum before it is taken modulo the modulus.

This is teaching code: all parties are in this process, and the server is honest but curious.
"""

import secrets
from collections.abc import Sequence

import numpy as np
import tenseal as ts

from fedlab.secure import ckks_parameters
from fedlab.secure.ckks_parameters import KeyHolder
from fedlab.secure.ckks_server import CkksServer, Upload
from fedlab.secure.interface import Attendance, Costs, IntegerSpec, check_cohort, check_values


class CkksRound:
    """The sum of one round under CKKS. It implements `fedlab.secure.interface.SecureRound`.

    Args:
        client_ids: The cohort, checked by `check_cohort`.
        specs: The tensors that each client adds, checked by `check_cohort`.
        key_holder: The key pair that all clients share.
        costs: The costs of the round so far, to which this round adds.

    Attributes:
        server: The server, with everything that it knows.
        key_holder: The key pair that all clients share.
        costs: The costs of the round so far. The client that decrypts the sum also bears the bytes of
            that step.
    """

    def __init__(
        self,
        client_ids: tuple[str, ...],
        specs: tuple[IntegerSpec, ...],
        key_holder: KeyHolder,
        costs: Costs,
    ):
        self.key_holder, self.costs = key_holder, costs
        self._attendance, self._specs = Attendance(client_ids), specs
        self._max_total = _max_total(specs, len(client_ids))
        self._scale = key_holder.parameters.scale(self._max_total)
        self._round_id = secrets.token_bytes(16)
        self._tag_keys = {client_id: secrets.token_bytes(32) for client_id in client_ids}
        size, slots = sum(spec.size for spec in specs), key_holder.parameters.num_slots
        self._sizes = [min(slots, size - start) for start in range(0, size, slots)]
        self.server = CkksServer(
            key_holder.public_context, self._round_id, self._sizes, self._scale, self._tag_keys
        )

    def add(self, client_id: str, values: Sequence[np.ndarray]) -> None:
        """Lets a client encrypt its integers and the server add them to the sum.

        Args:
            client_id: A client of the cohort.
            values: The client's integers, one array for each spec.

        Raises:
            ValueError: The client or a value is not as the round requires.
        """
        upload = self.encrypt(client_id, values)
        with self.costs.timed("add"):
            self.server.receive(upload)

    def encrypt(self, client_id: str, values: Sequence[np.ndarray]) -> Upload:
        """Returns the message of a client. The client needs only the public context for it.

        Args:
            client_id: A client of the cohort.
            values: The client's integers, one array for each spec.

        Raises:
            ValueError: The client is unknown or has added before, the round is over, or a value does
                not fit its spec.
        """
        with self._attendance.admit(client_id):
            arrays = check_values(client_id, values, self._specs)
            vector = np.concatenate([np.ravel(array).astype(np.float64) for array in arrays])
            with self.costs.timed("encrypt"):
                pieces = np.split(vector, np.cumsum(self._sizes)[:-1])
                context = ts.context_from(self.key_holder.public_context)
                ciphertexts = tuple(
                    ts.ckks_vector(context, piece, self._scale).serialize()
                    for piece in pieces
                    if piece.size
                )
                upload = Upload(client_id, self._round_id, ciphertexts)
                upload = upload.sign(self._tag_keys[client_id])
        self.costs.bytes_up[client_id] += upload.num_bytes
        return upload

    def finish(self) -> list[np.ndarray]:
        """Returns the sums. The first client whose ciphertexts arrived decrypts them.

        Raises:
            ValueError: No client has added, or the round is over.
            ProtocolError: The decrypted numbers cannot be a sum of values that the specs allow.
        """
        self._attendance.end()
        with self.costs.timed("add"):
            encrypted = self.server.total()
        num_clients, parameters = len(self.server.received), self.key_holder.parameters
        with self.costs.timed("decrypt"):
            sums = ckks_parameters.round_sums(
                self.key_holder.decrypt(encrypted),
                self._specs,
                num_clients,
                error_bound=parameters.error_bound(num_clients, self._max_total),
            )
        opener = self.server.received[0]
        self.costs.bytes_down[opener] += sum(map(len, encrypted))
        self.costs.bytes_up[opener] += sum(total.nbytes for total in sums)
        return sums


class CkksSum:
    """Sums under CKKS. It implements `fedlab.secure.interface.SecureSum`.

    The keys are drawn once for each choice of parameters and serve all later rounds.

    Attributes:
        costs: The costs of the last round, or `None` before the first round.
    """

    def __init__(self) -> None:
        self._key_holders: dict[ckks_parameters.CkksParameters, KeyHolder] = {}
        self.costs: Costs | None = None

    def begin_round(self, client_ids: Sequence[str], specs: Sequence[IntegerSpec]) -> CkksRound:
        """Starts a round.

        Args:
            client_ids: The cohort, at least one client.
            specs: The tensors that each client adds.

        Raises:
            ValueError: The cohort or the specs are not valid, or CKKS is not precise enough for them.
            TypeError: A client id is not a string.
        """
        cohort, tensors = check_cohort(client_ids, specs)
        parameters = ckks_parameters.choose_parameters(
            len(cohort), _max_total(tensors, len(cohort))
        )
        self.costs = Costs()
        if parameters not in self._key_holders:
            with self.costs.timed("keys"):
                self._key_holders[parameters] = KeyHolder(parameters)
        return CkksRound(cohort, tensors, self._key_holders[parameters], self.costs)


def open_upload(
    upload: Upload, key_holder: KeyHolder, specs: Sequence[IntegerSpec]
) -> list[np.ndarray]:
    """Decrypts the message of one client, as any client can to which the server gives it.

    Args:
        upload: The message.
        key_holder: The key pair that all clients share.
        specs: The tensors that each client adds.

    Returns:
        The client's integers, one array for each spec.

    Raises:
        ProtocolError: The message was encrypted under another key.
    """
    numbers = key_holder.decrypt(upload.ciphertexts)
    return ckks_parameters.round_sums(numbers, specs, num_clients=1, error_bound=0.5)


def _max_total(specs: Sequence[IntegerSpec], num_clients: int) -> int:
    return max(spec.max_total(num_clients) for spec in specs)
