"""Masks are AES's own stream, uniform, gone when taken away, and the same on both sides."""

import itertools

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from helpers.integers import check_equal, draw
from scipy import stats

from fedlab.secure import masking
from fedlab.secure.interface import IntegerSpec, ProtocolError
from fedlab.secure.masking import Block

KEY, ROUND = bytes(range(16)), b"round"
MODULI = [2, 2**8, 2**20, 2**32, 2**33, 2**37, 2**64, 3, 2**20 - 1, 2**32 - 1]
SPECS = [
    IntegerSpec((3, 2), np.dtype(np.int64), 2**32 - 1),
    IntegerSpec((), np.dtype(np.int32), 1),
    IntegerSpec((4,), np.dtype(np.int32), 100, 101),
    IntegerSpec((0,), np.dtype(np.int32), 5),
    IntegerSpec((), np.dtype(np.int64), 2**32 - 1),
    IntegerSpec((7,), np.dtype(np.uint8), 1),
]


def blocks_of(modulus, size=1000):
    return (Block(modulus, (0,), size),)


def random_vectors(blocks, seed=0):
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, one.modulus - 1, one.size, np.uint64, endpoint=True).astype(one.dtype)
        for one in blocks
    ]


def same(first, second):
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def aes_of_the_counter(num_bytes):
    """The stream from its definition: each block is AES of the next number."""
    encryptor = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor()
    counters = b"".join(k.to_bytes(16, "big") for k in range(-(-num_bytes // 16)))
    return encryptor.update(counters)[:num_bytes]


# The mask


@pytest.mark.parametrize("size", [1, 1000, 70_001, 200_000])
@pytest.mark.parametrize("modulus", [2**32, 2**64])
def test_a_mask_is_aes_in_counter_mode_however_long(modulus, size):
    blocks = blocks_of(modulus, size)
    mask = masking.zeros(blocks)
    masking.add_mask(mask, blocks, KEY, 1)
    assert mask[0].tobytes() == aes_of_the_counter(mask[0].nbytes)


@pytest.mark.parametrize("modulus", MODULI)
def test_what_is_added_can_be_taken_away(modulus):
    blocks = blocks_of(modulus)
    expected = random_vectors(blocks)
    vectors = [one.copy() for one in expected]
    masking.add_mask(vectors, blocks, KEY, 1)
    assert np.mean(blocks[0].reduce(vectors[0]) == expected[0]) < 0.6  # modulo 2: half by chance
    masking.add_mask(vectors, blocks, KEY, -1)
    assert same([blocks[0].reduce(vectors[0])], expected)


@pytest.mark.parametrize("modulus", MODULI)
def test_a_masked_vector_is_uniform_whatever_it_holds(modulus):
    blocks = blocks_of(modulus, 20_000)
    vectors = [np.full(20_000, modulus - 1, blocks[0].dtype)]
    masking.add_mask(vectors, blocks, KEY, 1)
    found = blocks[0].reduce(vectors[0])
    assert max(map(int, found)) < modulus
    bins = np.floor(found.astype(np.float64) / modulus * min(modulus, 16)).astype(int)
    assert stats.chisquare(np.bincount(np.minimum(bins, 15))).pvalue > 1e-4


@pytest.mark.parametrize("modulus", [2**32, 2**64, 2**20 - 1])
def test_another_key_is_another_mask_and_no_part_of_it_comes_again(modulus):
    blocks = (Block(modulus, (0,), 500), Block(modulus, (1,), 500))
    first, second = masking.zeros(blocks), masking.zeros(blocks)
    masking.add_mask(first, blocks, KEY, 1)
    masking.add_mask(second, blocks, bytes(16), 1)
    for one, other in itertools.combinations([*first, *second], 2):
        assert np.mean(one == other) < 0.01


# Vectors


def test_tensors_of_one_modulus_share_a_block():
    blocks = masking.build_blocks(SPECS, num_clients=3)
    # 3 * (2**32 - 1) < 2**34, 3 * 1 < 2**2, 3 * 5 < 2**4.
    assert [(one.modulus, one.indices, one.size) for one in blocks] == [
        (2**34, (0, 4), 7),
        (2**2, (1, 5), 8),
        (101, (2,), 4),
        (2**4, (3,), 0),
    ]
    assert [one.bytes_per_number for one in blocks] == [5, 1, 1, 1]


def test_tensors_come_back_from_vectors():
    blocks = masking.build_blocks(SPECS, num_clients=3)
    values = draw(SPECS, seed=1)
    check_equal(masking.from_vectors(masking.to_vectors(values, blocks), blocks, SPECS), values)


@pytest.mark.parametrize("modulus", MODULI)
def test_packing_takes_no_more_bytes_than_the_modulus_needs(modulus):
    blocks = blocks_of(modulus, 30)
    vectors = random_vectors(blocks)
    packed = masking.pack(vectors, blocks)
    assert len(packed) == 30 * -(-len(f"{modulus - 1:b}") // 8)
    assert same(masking.unpack(packed, blocks), vectors)


def test_an_unreduced_sum_is_packed_reduced():
    blocks = blocks_of(2**20, 3)
    packed = masking.pack([np.array([2**20 + 5, 2**31, 7], np.uint32)], blocks)
    assert masking.unpack(packed, blocks)[0].tolist() == [5, 0, 7]


@pytest.mark.parametrize("change", [lambda one: one[:-1], lambda one: one + b"0", lambda one: b""])
def test_a_vector_of_another_length_is_refused(change):
    blocks = masking.build_blocks(SPECS, num_clients=3)
    packed = masking.pack(masking.zeros(blocks), blocks)
    with pytest.raises(ProtocolError, match=f"must have {len(packed)} bytes"):
        masking.unpack(change(packed), blocks)


@pytest.mark.parametrize("modulus", MODULI)
def test_sums_of_vectors(modulus):
    blocks = blocks_of(modulus)
    first, second = random_vectors(blocks, 1), random_vectors(blocks, 2)
    expected = (first[0].astype(object) + second[0].astype(object)) % modulus
    masking.add_vectors(first, second, blocks)
    assert blocks[0].reduce(first[0]).astype(object).tolist() == expected.tolist()


@pytest.mark.parametrize("modulus", [2**32 + 1, 2**62 - 1])
def test_a_modulus_whose_masks_would_not_be_uniform_is_refused(modulus):
    spec = IntegerSpec((2,), np.dtype(np.int64), 5, modulus)
    with pytest.raises(
        ValueError, match=f"modulus must be a power of two, or at most .* Found {modulus}"
    ):
        masking.build_blocks([spec], 2)


# Keys


def test_two_clients_find_the_same_key_and_opposite_signs():
    keys = {name: masking.create_mask_key(name.encode() * 16, ROUND, name) for name in "ab"}
    public = {name: masking.public_bytes(key) for name, key in keys.items()}
    a = masking.pairwise_mask_key(keys["a"], public["b"], ROUND, "a", "b")
    b = masking.pairwise_mask_key(keys["b"], public["a"], ROUND, "b", "a")
    assert a == b
    assert len(a) == masking.KEY_BYTES
    assert masking.sign("a", "b") == -masking.sign("b", "a")


def test_keys_of_other_rounds_clients_and_purposes_are_others():
    seed = bytes(16)
    private = masking.create_mask_key(seed, ROUND, "a")
    public = masking.public_bytes(masking.create_mask_key(seed, ROUND, "b"))
    keys = [
        masking.derive_key(seed, "purpose"),
        masking.derive_key(seed, "other purpose"),
        masking.derive_key(bytes(15) + b"1", "purpose"),
        masking.self_mask_key(seed, ROUND, "a"),
        masking.self_mask_key(seed, ROUND, "b"),
        masking.self_mask_key(seed, b"other", "a"),
        masking.pairwise_mask_key(private, public, ROUND, "a", "b"),
        masking.pairwise_mask_key(private, public, b"other", "a", "b"),
        masking.create_mask_key(seed, ROUND, "a").private_bytes_raw(),
        masking.create_mask_key(seed, ROUND, "b").private_bytes_raw(),
        masking.create_mask_key(seed, b"other", "a").private_bytes_raw(),
    ]
    assert len(set(keys)) == len(keys)


def test_parts_cannot_be_cut_in_another_way():
    cuts = [("a", "bc"), ("ab", "c"), ("abc",), ("abc", ""), ("", "abc")]
    assert len({masking.encode(*parts) for parts in cuts}) == len(cuts)


@pytest.mark.parametrize("public_key", [bytes(32), b"short", bytes(33), b"\1" + bytes(31)])
def test_a_public_key_that_nobody_honest_has_is_refused(public_key):
    with pytest.raises(ProtocolError, match="not a valid X25519 key"):
        masking.agree(X25519PrivateKey.generate(), public_key, "peer")
