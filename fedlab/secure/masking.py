"""Masks that hide vectors of integers: agreed keys, streams of uniform numbers, modular sums.

Arithmetic is modulo: what a mask adds on one client's vector, another mask takes away in the sum,
and a vector with a uniform mask is itself uniform (Bonawitz et al. 2017, section 3).
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
# A stream is made and added piece by piece: what fits a core's own cache is fast.
_CHUNK_BYTES = 2**18
_ZEROS = memoryview(bytes(_CHUNK_BYTES))
_AES_BLOCK_BYTES = 16

Vectors = list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Block:
    """The tensors that are summed modulo the same number, as one vector.

    Attributes:
        modulus: A power of two, or up to 2**32.
        indices: Which tensors.
        size: How many numbers they hold.
    """

    modulus: int
    indices: tuple[int, ...]
    size: int

    @property
    def dtype(self) -> np.dtype:
        """Of the vector; sums modulo a power of two may run over and stay right."""
        return np.dtype("<u4" if self.wraps and self.modulus <= 2**32 else "<u8")

    @property
    def wraps(self) -> bool:
        """Whether the modulus is a power of two."""
        return not self.modulus & (self.modulus - 1)

    @property
    def bytes_per_number(self) -> int:
        """On the way between two parties."""
        return math.ceil((self.modulus - 1).bit_length() / 8)

    def reduce(self, vector: np.ndarray) -> np.ndarray:
        """Returns the vector modulo the modulus."""
        if self.wraps:
            return vector & vector.dtype.type(self.modulus - 1)
        return vector % np.uint64(self.modulus)


def build_blocks(specs: Sequence[IntegerSpec], num_clients: int) -> tuple[Block, ...]:
    """Groups tensors by what their sums are taken modulo; see `IntegerSpec.working_modulus`.

    Raises:
        ValueError: A modulus is neither a power of two nor up to 2**32.
    """
    groups = collections.defaultdict(list)
    for index, spec in enumerate(specs):
        groups[spec.working_modulus(num_clients)].append(index)
    blocks = [
        Block(modulus, tuple(indices), sum(specs[index].size for index in indices))
        for modulus, indices in groups.items()
    ]
    for block in blocks:
        if not block.wraps and block.modulus > _MAX_ODD_MODULUS:
            raise ValueError(
                "A modulus must be a power of two, or at most 2**32: else masks would not be "
                f"uniform. Found {block.modulus}."
            )
    return tuple(blocks)


def to_vectors(values: Sequence[np.ndarray], blocks: Sequence[Block]) -> Vectors:
    """Returns tensors as one vector per block."""
    return [
        np.concatenate([np.ravel(values[index]) for index in block.indices]).astype(block.dtype)
        for block in blocks
    ]


def from_vectors(
    vectors: Vectors, blocks: Sequence[Block], specs: Sequence[IntegerSpec]
) -> list[np.ndarray]:
    """Returns what `to_vectors` has joined: the tensors, modulo, of their dtypes and shapes."""
    tensors: list[np.ndarray] = [np.empty(0)] * len(specs)
    for vector, block in zip(vectors, blocks, strict=True):
        ends = np.cumsum([specs[index].size for index in block.indices])
        parts = np.split(block.reduce(vector), ends[:-1])
        for index, part in zip(block.indices, parts, strict=True):
            tensors[index] = part.astype(specs[index].dtype).reshape(specs[index].shape)
    return tensors


def zeros(blocks: Sequence[Block]) -> Vectors:
    """Returns the sum of no vectors."""
    return [np.zeros(block.size, block.dtype) for block in blocks]


def add_vectors(sums: Vectors, vectors: Vectors, blocks: Sequence[Block]) -> None:
    """Adds vectors to sums, in place."""
    for total, vector, block in zip(sums, vectors, blocks, strict=True):
        _add(total, vector, block, 1)


def add_mask(vectors: Vectors, blocks: Sequence[Block], key: bytes, sign: int) -> None:
    """Adds a mask, or takes it away, in place.

    The mask is the key's stream of AES in counter mode. Its numbers are uniform modulo a power of
    two, and within modulus / 2**64 of it else. The counter begins at 0: one key, one mask.

    Args:
        vectors: One per block.
        blocks: The same as the other parties'.
        key: 16 bytes.
        sign: 1 or -1.
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
    if block.wraps:
        (np.add if sign > 0 else np.subtract)(total, vector, out=total)
        return
    vector = block.reduce(vector)
    total += vector if sign > 0 else np.uint64(block.modulus) - vector
    total %= np.uint64(block.modulus)


def pack(vectors: Vectors, blocks: Sequence[Block]) -> bytes:
    """Returns vectors as bytes, each number in as few whole bytes as its modulus needs."""
    packed = []
    for vector, block in zip(vectors, blocks, strict=True):
        numbers = block.reduce(vector).view(np.uint8).reshape(block.size, vector.itemsize)
        packed.append(numbers[:, : block.bytes_per_number].tobytes())
    return b"".join(packed)


def unpack(packed: bytes, blocks: Sequence[Block]) -> Vectors:
    """Returns what `pack` has packed.

    Raises:
        ProtocolError: The bytes are not as many as the blocks need.
    """
    expected = sum(block.size * block.bytes_per_number for block in blocks)
    if len(packed) != expected:
        raise ProtocolError(f"A masked vector must have {expected} bytes. Found {len(packed)}.")
    vectors, start = [], 0
    for block in blocks:
        end = start + block.size * block.bytes_per_number
        numbers = np.zeros((block.size, block.dtype.itemsize), np.uint8)
        found = np.frombuffer(packed, np.uint8)[start:end]
        numbers[:, : block.bytes_per_number] = found.reshape(block.size, block.bytes_per_number)
        vectors.append(numbers.view(block.dtype).reshape(block.size))
        start = end
    return vectors


def derive_key(secret: bytes, *context: str | bytes, num_bytes: int = KEY_BYTES) -> bytes:
    """Returns a key for one purpose: HKDF with SHA-256 (RFC 5869).

    Args:
        secret: What the key is made of; uniform or, as from `agree`, not.
        *context: What the key is for. Another context gives an unrelated key.
        num_bytes: Length of the key.
    """
    kdf = HKDF(hashes.SHA256(), num_bytes, salt=None, info=encode(*context))
    return kdf.derive(secret)


def encode(*parts: str | bytes) -> bytes:
    """Returns parts as bytes, each behind its length: other parts give other bytes."""
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def create_mask_key(seed: bytes, round_id: bytes, client_id: str) -> X25519PrivateKey:
    """Returns the private key of a client's masks with its peers, which 16 secret bytes stand for."""
    secret = derive_key(seed, "mask key", round_id, client_id, num_bytes=32)
    return X25519PrivateKey.from_private_bytes(secret)


def pairwise_mask_key(
    private_key: X25519PrivateKey, public_key: bytes, round_id: bytes, one: str, other: str
) -> bytes:
    """Returns the key of the mask that two clients have in common; both find the same.

    Args:
        private_key: Of the masks of one of them.
        public_key: Of the masks of the other.
        round_id: Of the round.
        one: The one's `client_id`.
        other: The other's.
    """
    agreed = agree(private_key, public_key)
    return derive_key(agreed, "pairwise mask", round_id, *sorted((one, other)))


def self_mask_key(seed: bytes, round_id: bytes, client_id: str) -> bytes:
    """Returns the key of a client's own mask."""
    return derive_key(seed, "self mask", round_id, client_id)


def sign(client_id: str, peer: str) -> int:
    """Returns whether a client adds (1) the mask in common with a peer, or takes it away (-1)."""
    return 1 if client_id < peer else -1


def public_bytes(private_key: X25519PrivateKey) -> bytes:
    """Returns the public key of a private one: 32 bytes."""
    return private_key.public_key().public_bytes_raw()


def agree(private_key: X25519PrivateKey, public_key: bytes) -> bytes:
    """Returns what two parties share, each by its private key and the other's public one.

    Returns:
        32 bytes, not uniform: for `derive_key`.

    Raises:
        ProtocolError: The public key is none that an honest party has.
    """
    try:
        return private_key.exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError:
        raise ProtocolError("A public key is not a valid X25519 key.") from None
