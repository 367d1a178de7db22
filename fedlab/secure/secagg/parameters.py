"""The public parameters of a round of secure aggregation: the cohort, the tensors and the threshold."""

import dataclasses
import functools
import secrets
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from cryptography.hazmat.primitives import hashes

from fedlab.checks import check_count
from fedlab.secure import masking
from fedlab.secure.interface import IntegerSpec, ProtocolError, check_cohort

MIN_SURVIVORS = 3  # in the sum of two, each of the two would find the other's vector
_KEY_BYTES = 32


def default_threshold(num_clients: int) -> int:
    """Returns the smallest number above two thirds of a cohort: the threshold unless another is given.

    It is also the smallest threshold that is safe against a server that lies (Bonawitz et al. 2017).
    """
    return 2 * num_clients // 3 + 1


@dataclasses.dataclass(frozen=True, init=False)
class PublicParameters:
    """The parameters of a round that all parties know before it begins.

    Attributes:
        client_ids: The cohort, at least three clients.
        specs: The tensors that each client adds.
        threshold: How many clients must survive, and how many shares reveal a secret.
        round_id: Bytes that identify the round. Keys and messages are bound to them.
        verification_keys: {client_id: Ed25519 public key that verifies the client's signatures}, or
            `None` in the variant without signatures.
    """

    client_ids: tuple[str, ...]
    specs: tuple[IntegerSpec, ...]
    threshold: int
    round_id: bytes = dataclasses.field(repr=False)
    verification_keys: Mapping[str, bytes] | None = dataclasses.field(repr=False, hash=False)

    def __init__(
        self,
        client_ids: Sequence[str],
        specs: Sequence[IntegerSpec],
        threshold: int | None = None,
        round_id: bytes | None = None,
        *,
        verification_keys: Mapping[str, bytes] | None,
    ):
        """Checks the parameters.

        Args:
            client_ids: The cohort, at least three clients.
            specs: The tensors that each client adds.
            threshold: How many clients must survive, at least three: with verification keys more
                than two thirds of the cohort, without them more than half. Default: the smallest
                number above two thirds.
            round_id: Bytes that no other round has. Default: 16 bytes from the operating system's
                random generator.
            verification_keys: {client_id: Ed25519 public key, 32 bytes}, for each client of the
                cohort, from a registry that the server does not control. `None`: keys are not signed
                and survivors not agreed on, which is safe only if the server follows the protocol.

        Raises:
            ValueError: A parameter is out of range, or a client has no key of its own.
            TypeError: A client id is not a string, or the threshold is not a whole number.
        """
        cohort, tensors = check_cohort(client_ids, specs)
        num_clients = len(cohort)
        if num_clients < MIN_SURVIVORS:
            raise ValueError(
                f"client_ids must name at least {MIN_SURVIVORS} clients: in the sum of two, each "
                f"finds the other's vector. Found {num_clients}."
            )
        lowest, share = default_threshold(num_clients), "two thirds"
        if verification_keys is None:
            lowest, share = max(MIN_SURVIVORS, num_clients // 2 + 1), "half"
        if threshold is None:
            threshold = default_threshold(num_clients)
        threshold = check_count("threshold", threshold, at_least=MIN_SURVIVORS)
        if not lowest <= threshold <= num_clients:
            raise ValueError(
                f"threshold must be between {lowest} (more than {share} of the cohort) and "
                f"{num_clients}. Found {threshold}."
            )
        if round_id is None:
            round_id = secrets.token_bytes(16)
        elif not isinstance(round_id, bytes) or not round_id:
            raise ValueError("round_id must be bytes, at least one. Pass None for random ones.")
        object.__setattr__(self, "client_ids", cohort)
        object.__setattr__(self, "specs", tensors)
        object.__setattr__(self, "threshold", threshold)
        object.__setattr__(self, "round_id", round_id)
        object.__setattr__(self, "verification_keys", _check_registry(cohort, verification_keys))

    @functools.cached_property
    def digest(self) -> bytes:
        """SHA-256 of all parameters. Every signature of the round contains it."""
        registry = self.verification_keys or {}
        cohort = masking.encode(*self.client_ids)
        keys = masking.encode(*(registry.get(name, b"") for name in self.client_ids))
        tensors = [
            f"{tuple(spec.shape)} {np.dtype(spec.dtype).str} {spec.max_value} {spec.modulus}"
            for spec in self.specs
        ]
        digest = hashes.Hash(hashes.SHA256())
        digest.update(
            masking.encode(
                "fedlab.secure.secagg", self.round_id, str(self.threshold), cohort, keys, *tensors
            )
        )
        return digest.finalize()

    @functools.cached_property
    def blocks(self) -> tuple[masking.Block, ...]:
        """The tensors, grouped by the modulus of their sums."""
        return masking.build_blocks(self.specs, len(self.client_ids))

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """{client_id: its position in the cohort, from 1}. The position numbers its shares."""
        return {client_id: place for place, client_id in enumerate(self.client_ids, start=1)}


def _check_registry(
    cohort: tuple[str, ...], verification_keys: Mapping[str, bytes] | None
) -> dict[str, bytes] | None:
    """Returns the cohort's part of a registry of verification keys, checked."""
    if verification_keys is None:
        return None
    registered = {name: verification_keys.get(name, b"") for name in cohort}
    for name, key in registered.items():
        if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
            raise ValueError(
                f"verification_keys must have {_KEY_BYTES} bytes for client {name!r}. Register its "
                "Ed25519 public key."
            )
    if len(set(registered.values())) < len(registered):
        raise ValueError("verification_keys must be different for different clients.")
    return registered


def check_enough(client_ids: Collection[str], parameters: PublicParameters, action: str) -> None:
    """Raises `ProtocolError` if there are fewer clients than the threshold.

    Args:
        client_ids: The clients.
        parameters: Parameters of the round.
        action: What these clients have done, for the error.
    """
    if len(client_ids) < parameters.threshold:
        raise ProtocolError(
            f"Only {len(client_ids)} of {len(parameters.client_ids)} clients {action}, and the "
            f"threshold is {parameters.threshold}. The round is lost; begin another."
        )
