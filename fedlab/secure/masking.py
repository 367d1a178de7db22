"""Masks that hide vectors of integers: key agreement, pseudorandom streams and modular sums.

All sums are modular. One client adds a mask to its vector and another client subtracts the same mask
from its own, so that the mask cancels in the sum of both. A vector plus a uniform mask is itself
uniform, whatever the vector holds (Bonawitz et al. 2017, section 3).
"""

import collections
import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedlab.secure.interface import IntegerSpec, ProtocolError

KEY_BYTES = 16
_MAX_ODD_MODULUS = 2**32
# A mask is made and added in pieces of this size, because a piece fits into the cache of a core.
_CHUNK_BYTES = 2**18
_ZEROS = memoryview(bytes(_CHUNK_BYTES))
_AES_BLOCK_BYTES = 16

Vectors = list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Block:
    """The tensors that are summed modulo the same number. They are handled as one vector.

    Attributes:
        modulus: A power of two up to 2**64, or any number up to 2**32.
        indices: Positions of the tensors in the round's list of specs.
        size: Number of integers in all of these tensors together.
    """

    modulus: int
    indices: tuple[int, ...]
    size: int

    @property
    def is_power_of_two(self) -> bool:
        """Whether the modulus is a power of two."""
        return not self.modulus & (self.modulus - 1)

    @property
    def dtype(self) -> np.dtype:
        """Unsigned dtype of the vector.

        The arithmetic of uint32 is modulo 2**32, so it is also correct modulo each smaller power of
        two, although higher bits remain in the vector until `reduce` removes them.
        """
        return np.dtype("<u4" if self.is_power_of_two and self.modulus <= 2**32 else "<u8")

    @property
    def bytes_per_number(self) -> int:
        """Bytes of one integer in a message."""
        return math.ceil((self.modulus - 1).bit_length() / 8)

    def reduce(self, vector: np.ndarray) -> np.ndarray:
        """Returns the vector modulo the modulus."""
        if self.is_power_of_two:
            return vector & vector.dtype.type(self.modulus - 1)
        return vector % np.uint64(self.modulus)


def build_blocks(specs: Sequence[IntegerSpec], num_clients: int) -> tuple[Block, ...]:
    """Groups tensors by the modulus of their sums, `IntegerSpec.working_modulus`.

    Args:
        specs: The tensors of the round.
        num_clients: Size of the cohort.

    Raises:
        ValueError: A modulus is neither a power of two nor at most 2**32.
    """
    groups = collections.defaultdict(list)
    for index, spec in enumerate(specs):
        groups[spec.working_modulus(num_clients)].append(index)
    blocks = [
        Block(modulus, tuple(indices), sum(specs[index].size for index in indices))
        for modulus, indices in groups.items()
    ]
    for block in blocks:
        if not block.is_power_of_two and block.modulus > _MAX_ODD_MODULUS:
            raise ValueError(
                "modulus must be a power of two, or at most 2**32: otherwise masks would not be "
                f"uniform. Found {block.modulus}."
            )
    return tuple(blocks)


def to_vectors(values: Sequence[np.ndarray], blocks: Sequence[Block]) -> Vectors:
    """Joins tensors into one vector for each block.

    Args:
        values: One array for each spec of the round, with values that its spec allows.
        blocks: The blocks of the round.
    """
    return [
        np.concatenate([np.ravel(values[index]).astype(block.dtype) for index in block.indices])
        for block in blocks
    ]


def from_vectors(
    vectors: Vectors, blocks: Sequence[Block], specs: Sequence[IntegerSpec]
) -> list[np.ndarray]:
    """Splits vectors into the tensors that `to_vectors` joined.

    Args:
        vectors: One vector for each block. They need not be reduced.
        blocks: The blocks of the round.
        specs: The specs of the round.

    Returns:
        One array for each spec, modulo the modulus of its block, with the spec's dtype and shape.
    """
    tensors: list[np.ndarray] = [np.empty(0)] * len(specs)
    for vector, block in zip(vectors, blocks, strict=True):
        ends = np.cumsum([specs[index].size for index in block.indices])
        parts = np.split(block.reduce(vector), ends[:-1])
        for index, part in zip(block.indices, parts, strict=True):
            tensors[index] = part.astype(specs[index].dtype).reshape(specs[index].shape)
    return tensors


def zeros(blocks: Sequence[Block]) -> Vectors:
    """Returns one vector of zeros for each block."""
    return [np.zeros(block.size, block.dtype) for block in blocks]


def add_vectors(sums: Vectors, vectors: Vectors, blocks: Sequence[Block]) -> None:
    """Adds one vector for each block to `sums`, in place."""
    for total, vector, block in zip(sums, vectors, blocks, strict=True):
        _add(total, vector, block, 1)


def add_mask(vectors: Vectors, blocks: Sequence[Block], key: bytes, sign: int) -> None:
    """Adds the mask of a key to vectors, or subtracts it, in place.

    The mask is the output of AES in counter mode under the key. Its integers are uniform modulo a
    power of two. Modulo another number the probability of each integer differs from uniform by at
    most a factor of 1 + modulus / 2**64. The counter starts at 0, so one key has exactly one mask.

    Args:
        vectors: One vector for each block.
        blocks: The blocks of the round, in the same order for all parties.
        key: 16 bytes.
        sign: 1 to add, -1 to subtract.
    """
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(_AES_BLOCK_BYTES))).encryptor()
    buffer = bytearray(_CHUNK_BYTES + _AES_BLOCK_BYTES)
    for vector, block in zip(vectors, blocks, strict=True):
        step = _CHUNK_BYTES // vector.itemsize
        for start in range(0, block.size, step):
            part = vector[start : start + step]
            stream.update_into(_ZEROS[: part.nbytes], buffer)
            _add(part, np.frombuffer(buffer, part.dtype, len(part)), block, sign)


def _add(total: np.ndarray, vector: np.ndarray, block: Block, sign: int) -> None:
    if block.is_power_of_two:
        (np.add if sign > 0 else np.subtract)(total, vector, out=total)
        return
    vector = block.reduce(vector)
    total += vector if sign > 0 else np.uint64(block.modulus) - vector
    total %= np.uint64(block.modulus)


def pack(vectors: Vectors, blocks: Sequence[Block]) -> bytes:
    """Returns vectors as bytes for a message.

    Returns:
        The integers, each in `Block.bytes_per_number` bytes, the lowest byte first.
    """
    packed = []
    for vector, block in zip(vectors, blocks, strict=True):
        # Modulo other numbers every sum is reduced already; see `_add`.
        reduced = block.reduce(vector) if block.is_power_of_two else vector
        numbers = reduced.view(np.uint8).reshape(block.size, vector.itemsize)
        packed.append(numbers[:, : block.bytes_per_number].tobytes())
    return b"".join(packed)


def unpack(packed: bytes, blocks: Sequence[Block]) -> Vectors:
    """Returns the vectors that `pack` turned into bytes.

    Raises:
        ProtocolError: The number of bytes is not that of the blocks.
    """
    expected = sum(block.size * block.bytes_per_number for block in blocks)
    if len(packed) != expected:
        raise ProtocolError(f"A masked vector must have {expected} bytes. Found {len(packed)}.")
    vectors, start = [], 0
    for block in blocks:
        end = start + block.size * block.bytes_per_number
        numbers = np.zeros((block.size, block.dtype.itemsize), np.uint8)
        received = np.frombuffer(packed, np.uint8)[start:end]
        numbers[:, : block.bytes_per_number] = received.reshape(block.size, block.bytes_per_number)
        vectors.append(numbers.view(block.dtype).reshape(block.size))
        start = end
    return vectors


def derive_key(secret: bytes, *context: str | bytes, num_bytes: int = KEY_BYTES) -> bytes:
    """Derives a key for one purpose from a secret, by HKDF with SHA-256 (RFC 5869).

    Args:
        secret: The secret. It need not be uniform; the result of `agree` is not.
        *context: The purpose of the key. Different contexts give unrelated keys.
        num_bytes: Length of the key in bytes.
    """
    kdf = HKDF(hashes.SHA256(), num_bytes, salt=None, info=encode(*context))
    return kdf.derive(secret)


def encode(*parts: str | bytes) -> bytes:
    """Joins parts into bytes, each after its length, so that different parts give different bytes."""
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def create_mask_key(seed: bytes, round_id: bytes, client_id: str) -> X25519PrivateKey:
    """Returns the private key from which a client derives its pairwise masks.

    Args:
        seed: 16 secret bytes of the client. Whoever has them has the key.
        round_id: Identifier of the round.
        client_id: The client.
    """
    secret = derive_key(seed, "mask key", round_id, client_id, num_bytes=32)
    return X25519PrivateKey.from_private_bytes(secret)


def pairwise_mask_key(
    private_key: X25519PrivateKey, public_key: bytes, round_id: bytes, client_id: str, peer: str
) -> bytes:
    """Returns the key of the mask that two clients share. Both clients compute the same key.

    Args:
        private_key: Private mask key of one of the two clients.
        public_key: Public mask key of the other, 32 bytes.
        round_id: Identifier of the round.
        client_id: One of the two clients.
        peer: The other client.

    Raises:
        ProtocolError: The public key is not valid.
    """
    agreed = agree(private_key, public_key, peer)
    return derive_key(agreed, "pairwise mask", round_id, *sorted((client_id, peer)))


def self_mask_key(seed: bytes, round_id: bytes, client_id: str) -> bytes:
    """Returns the key of the mask that a client shares with no other client.

    Args:
        seed: 16 secret bytes of the client.
        round_id: Identifier of the round.
        client_id: The client.
    """
    return derive_key(seed, "self mask", round_id, client_id)


def sign(client_id: str, peer: str) -> int:
    """Returns 1 if a client adds the mask that it shares with a peer, and -1 if it subtracts it."""
    return 1 if client_id < peer else -1


def public_bytes(private_key: X25519PrivateKey) -> bytes:
    """Returns the public key of a private key, 32 bytes."""
    return private_key.public_key().public_bytes_raw()


def agree(private_key: X25519PrivateKey, public_key: bytes, peer: str) -> bytes:
    """Returns the secret that two parties share after X25519 key agreement.

    Args:
        private_key: Private key of one party.
        public_key: Public key of the other party, 32 bytes.
        peer: The other party, for the error.

    Returns:
        32 bytes. They are not uniform: pass them to `derive_key`.

    Raises:
        ProtocolError: The public key is not valid.
    """
    try:
        return private_key.exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError:
        raise ProtocolError(f"A public key of {peer!r} is not a valid X25519 key.") from None
