"""CKKS (Cheon et al. 2017) for sums of integers: parameters, the error they leave, the clients' keys.

CKKS computes with approximate numbers. Parameters are chosen here such that a sum is within 1/4 of
its integer, so that rounding gives it exactly. That is also what keeps the key safe: a decryption that
is published with its error gives the key away (Li and Micciancio 2021); a rounded one holds no error.

SEAL, below TenSEAL, draws keys and noise from the operating system's generator and takes no seed here:
ciphertexts differ from run to run, the sums in them do not.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import tenseal as ts

from fedlab.secure import interface
from fedlab.secure.interface import IntegerSpec, ProtocolError

_LARGEST_ERROR = 0.25  # a half would still round correctly
# -log of the chance that a sum of many small errors is larger than the bound takes it to be: with
# a million numbers the bound fails with a probability below 1e-8.
_IMPROBABLE = 35.0
_DOUBLE = 2.0**-48  # error of SEAL's encoding in doubles, relative to the largest number


@dataclasses.dataclass(frozen=True)
class CkksParameters:
    """Parameters of CKKS; SEAL refuses any with less than 128 bits of security.

    Attributes:
        degree: Of the polynomials, a power of two. A ciphertext holds half as many numbers.
        modulus_bits: Bits of the primes whose product the coefficients are taken modulo. The last
            prime is used up by encryption itself.
    """

    degree: int
    modulus_bits: tuple[int, ...]

    @property
    def num_slots(self) -> int:
        """How many numbers a ciphertext holds."""
        return self.degree // 2

    def scale(self, max_total: int) -> float:
        """Returns what numbers are multiplied by: the most that leaves room for the sum."""
        room = sum(self.modulus_bits[:-1]) - 3  # a sign, a prime below its power of two, a margin
        return 2.0 ** (room - max_total.bit_length())

    def error_bound(self, num_clients: int, max_total: int) -> float:
        """Returns how far a decrypted sum is from its integer at most, before it is rounded.

        A fresh ciphertext's error is that of rounding two polynomials of N coefficients, one of
        them times the secret, whose coefficients are -1, 0 or 1. In a slot, n clients sum to at
        most sqrt(n N L / 12) (1 + sqrt(2 N L / 3)) / scale, but for a chance of about exp(-L).

        Args:
            num_clients: How many ciphertexts are added.
            max_total: Largest sum.
        """
        rounding = math.sqrt(num_clients * self.degree * _IMPROBABLE / 12)
        secret = math.sqrt(2 * self.degree * _IMPROBABLE / 3)
        return rounding * (1 + secret) / self.scale(max_total) + max_total * _DOUBLE


# The second takes about 1.6 times the bytes.
PARAMETERS = (CkksParameters(4096, (60, 49)), CkksParameters(4096, (50, 39, 20)))


def choose_parameters(num_clients: int, max_total: int) -> CkksParameters:
    """Returns the cheapest of `PARAMETERS` with which a sum is exact once it is rounded.

    Args:
        num_clients: How many ciphertexts are added.
        max_total: Largest sum.

    Raises:
        ValueError: None is precise enough.
    """
    for parameters in PARAMETERS:
        if parameters.error_bound(num_clients, max_total) <= _LARGEST_ERROR:
            return parameters
    raise ValueError(
        f"CKKS cannot sum {num_clients} clients' integers up to a total of {max_total} exactly. "
        "Take a smaller max_value (fewer bits), fewer clients, or another secure sum."
    )


class KeyHolder:
    """The key pair that the clients share; each client holds it, the server never does.

    How clients agree on it without the server is outside this code.

    Attributes:
        parameters: Of the keys.
        public_context: Parameters and public key, serialised: all that is needed to encrypt and add.
    """

    def __init__(self, parameters: CkksParameters):
        self.parameters = parameters
        bits = list(parameters.modulus_bits)
        self._secret_context = ts.context(ts.SCHEME_TYPE.CKKS, parameters.degree, -1, bits)
        self.public_context: bytes = self._secret_context.serialize(
            save_secret_key=False, save_galois_keys=False, save_relin_keys=False
        )

    def decrypt(self, ciphertexts: Sequence[bytes]) -> np.ndarray:
        """Returns the numbers in serialised ciphertexts: float64, one after the other."""
        opened = [ts.ckks_vector_from(self._secret_context, one).decrypt() for one in ciphertexts]
        return np.concatenate([np.empty(0), *opened])


def round_sums(
    decrypted: np.ndarray, specs: Sequence[IntegerSpec], num_clients: int, *, error_bound: float
) -> list[np.ndarray]:
    """Returns the integers that decrypted sums stand for, as the specs have them.

    Args:
        decrypted: float64, the numbers of all tensors.
        specs: The tensors.
        num_clients: How many clients' values are in the sums.
        error_bound: See `CkksParameters.error_bound`.

    Raises:
        ProtocolError: These are not sums of values that the clients may send, within the bound.
    """
    nearest = np.rint(decrypted)
    is_sum = bool((np.abs(decrypted - nearest) <= error_bound).all())
    sums = interface.split(nearest, specs)
    for total, spec in zip(sums, specs, strict=True):
        is_sum = is_sum and bool(((total >= 0) & (total <= spec.max_total(num_clients))).all())
    if not is_sum:
        raise ProtocolError(
            "What was decrypted is not a sum of integers within the bounds: a ciphertext was made "
            "with another key, or holds values out of bounds. The round is not opened."
        )
    return interface.finish_sums(sums, specs)
