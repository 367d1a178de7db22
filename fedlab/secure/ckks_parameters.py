"""CKKS (Cheon et al. 2017) for sums of integers: parameters, error bound, and the clients' keys.

CKKS computes with approximate numbers. The parameters are chosen such that a decrypted sum differs
from the exact integer by at most 1/4, so that rounding gives the exact integer. Rounding also
protects the key: whoever sees decrypted numbers with their errors can compute the secret key from
them (Li and Micciancio 2021), and a rounded number contains no error.

SEAL, the library below TenSEAL, draws keys and noise from the operating system's random generator and
takes no seed here. So ciphertexts differ from run to run, and the decrypted sums do not.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import tenseal as ts

from fedlab.secure.interface import IntegerSpec, ProtocolError

_LARGEST_ERROR = 0.25  # any error below 1/2 would still be rounded correctly
# Minus the logarithm of the probability that an error exceeds the bound. For a million numbers, the
# bound fails with a probability below 1e-8.
_IMPROBABLE = 35.0
_DOUBLE = 2.0**-48  # error of SEAL's encoding in float64, relative to the largest number


@dataclasses.dataclass(frozen=True)
class CkksParameters:
    """Parameters of CKKS. SEAL refuses parameters with less than 128 bits of security.

    Attributes:
        degree: Degree of the polynomials, a power of two.
        modulus_bits: Bits of the primes whose product is the modulus of the coefficients. Encryption
            itself uses up the last prime.
    """

    degree: int
    modulus_bits: tuple[int, ...]

    @property
    def num_slots(self) -> int:
        """How many numbers one ciphertext contains."""
        return self.degree // 2

    def scale(self, max_total: int) -> float:
        """Returns the largest factor by which numbers can be multiplied before they are encoded.

        Args:
            max_total: Largest sum that must still fit into the modulus.
        """
        # Three bits are for the sign, for a prime below its power of two, and a margin.
        room = sum(self.modulus_bits[:-1]) - 3
        return 2.0 ** (room - max_total.bit_length())

    def error_bound(self, num_clients: int, max_total: int) -> float:
        """Returns the largest difference between a decrypted sum and its integer, before rounding.

        The error of a fresh ciphertext comes from rounding two polynomials of N coefficients, one of
        which is multiplied by the secret, whose coefficients are -1, 0 or 1. The errors of n clients
        add up to at most sqrt(n N L / 12) (1 + sqrt(2 N L / 3)) / scale in a slot, except with a
        probability of about exp(-L).

        Args:
            num_clients: Number of ciphertexts that are added.
            max_total: Largest sum.
        """
        rounding = math.sqrt(num_clients * self.degree * _IMPROBABLE / 12)
        secret = math.sqrt(2 * self.degree * _IMPROBABLE / 3)
        return rounding * (1 + secret) / self.scale(max_total) + max_total * _DOUBLE


# Ciphertexts with the second parameters have about 1.6 times as many bytes.
PARAMETERS = (CkksParameters(4096, (60, 49)), CkksParameters(4096, (50, 39, 20)))


def choose_parameters(num_clients: int, max_total: int) -> CkksParameters:
    """Returns the cheapest of `PARAMETERS` with which every sum is exact after rounding.

    Args:
        num_clients: Number of ciphertexts that are added.
        max_total: Largest sum.

    Raises:
        ValueError: None of them is precise enough.
    """
    for parameters in PARAMETERS:
        if parameters.error_bound(num_clients, max_total) <= _LARGEST_ERROR:
            return parameters
    raise ValueError(
        f"CKKS cannot sum {num_clients} clients' integers up to a total of {max_total} exactly. "
        "Take a smaller max_value (fewer bits), fewer clients, or another secure sum."
    )


class KeyHolder:
    """The key pair that all clients share. The server has only its public half.

    How the clients agree on the key pair without the server is not part of this code.

    Args:
        parameters: Parameters of the keys.

    Attributes:
        parameters: Parameters of the keys.
        public_context: Parameters and public key, serialized. They suffice to encrypt and to add.
    """

    def __init__(self, parameters: CkksParameters):
        self.parameters = parameters
        bits = list(parameters.modulus_bits)
        self._secret_context = ts.context(ts.SCHEME_TYPE.CKKS, parameters.degree, -1, bits)
        self.public_context: bytes = self._secret_context.serialize(
            save_secret_key=False, save_galois_keys=False, save_relin_keys=False
        )

    def decrypt(self, ciphertexts: Sequence[bytes]) -> np.ndarray:
        """Returns the numbers in serialized ciphertexts, concatenated: float64 (num_numbers,)."""
        vectors = [ts.ckks_vector_from(self._secret_context, part) for part in ciphertexts]
        return np.concatenate([np.empty(0), *(vector.decrypt() for vector in vectors)])


def round_sums(
    decrypted: np.ndarray, specs: Sequence[IntegerSpec], num_clients: int, *, error_bound: float
) -> list[np.ndarray]:
    """Rounds decrypted sums to integers and returns one array for each spec.

    Args:
        decrypted: float64, the numbers of all tensors, concatenated.
        specs: The tensors.
        num_clients: Number of clients whose values are in the sums.
        error_bound: Largest difference from an integer, from `CkksParameters.error_bound`.

    Raises:
        ProtocolError: The numbers cannot be a sum of values that the specs allow.
    """
    nearest = np.rint(decrypted)
    is_sum = bool((np.abs(decrypted - nearest) <= error_bound).all())
    totals = np.split(nearest, np.cumsum([spec.size for spec in specs])[:-1])
    for total, spec in zip(totals, specs, strict=True):
        is_sum = is_sum and total.size == spec.size
        is_sum = is_sum and bool(((total >= 0) & (total <= spec.max_total(num_clients))).all())
    if not is_sum:
        raise ProtocolError(
            "The decrypted numbers are not a sum of integers within the bounds: a ciphertext was made "
            "with another key, or contains values out of bounds. The sum is not opened."
        )
    # These float64 integers are below 2**53, so the remainder and the conversion are exact.
    reduced = [
        total if spec.modulus is None else total % float(spec.modulus)
        for total, spec in zip(totals, specs, strict=True)
    ]
    return [
        total.astype(spec.dtype).reshape(spec.shape)
        for total, spec in zip(reduced, specs, strict=True)
    ]
