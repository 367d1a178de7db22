"""Images kept as bytes are the same, bit for bit; many clients' examples become two arrays."""

import numpy as np
import pytest
from helpers import tiny
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fedlab import data
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.data.grey_levels import compress

BYTES = np.arange(3 * 28 * 28).reshape(3, 28, 28) % 256
AS_LEAF_MAKES_THEM = (BYTES / 255).astype(np.float32)
INVERTED = np.float32(1) - AS_LEAF_MAKES_THEM
LABELS = np.arange(3, dtype=np.int32)


def changed(pixels, value):
    pixels = pixels.copy()
    pixels[2, 5, 7] = value
    return pixels


@pytest.mark.parametrize("pixels", [AS_LEAF_MAKES_THEM, INVERTED], ids=["bytes", "inverted"])
def test_grey_levels_take_a_quarter_of_the_memory(pixels):
    compressed = compress(pixels)
    assert compressed.levels.nbytes == pixels.nbytes / 4
    assert tiny.same_bits(compressed.expand(), pixels)


@pytest.mark.parametrize(
    "value", [np.nextafter(np.float32(1), np.float32(0)), np.float32(-0.0)], ids=["257th", "-0.0"]
)
def test_a_value_that_has_no_byte_of_its_own_is_not_lost(value):
    pixels = changed(AS_LEAF_MAKES_THEM, value)
    assert compress(pixels) is None
    stored = MemoryClientData(["a"], lambda _: Examples(pixels, LABELS), compact=True)
    assert tiny.same_bits(stored.examples("a").pixels, pixels)


@given(arrays.arrays(np.float32, (2, 3, 4, 2), elements=st.floats(0, 1, width=32)))
def test_what_is_compressed_is_whole(pixels):
    compressed = compress(pixels)
    assert compressed is None or tiny.same_bits(compressed.expand(), pixels)


def test_compact_data_are_read_once_and_are_the_same_whoever_selects_them():
    calls = []

    def read(client_id):
        calls.append(client_id)
        return Examples(AS_LEAF_MAKES_THEM, LABELS)

    stored = MemoryClientData(["a", "b"], read, compact=True)
    for chosen in (stored.select(["b"]), stored, stored.select(["b", "a"])):
        assert tiny.same_bits(chosen.examples("b"), Examples(AS_LEAF_MAKES_THEM, LABELS))
        assert chosen.num_examples("b") == 3
    with pytest.raises(ValueError, match="There is no client 'a'"):
        stored.select(["b"]).examples("a")
    assert calls == ["b"]


@pytest.mark.parametrize("max_examples", [None, 3])
def test_pool_is_all_clients_examples_in_order(max_examples):
    clients = tiny.create_data(2, 7, 3)
    expected = [clients.examples(client_id) for client_id in ("c0", "c1", "c2")]
    pooled = data.pool(clients, max_examples)
    for whole, parts in zip(pooled, zip(*expected, strict=True), strict=True):
        assert tiny.same_bits(whole, np.concatenate([part[:max_examples] for part in parts]))


@pytest.mark.parametrize("rows", [[11, 0, 2, 1, 8, 2], [5], range(12)])
def test_take_is_the_rows_of_the_pool(rows):
    clients = tiny.create_data(2, 7, 3)
    taken = data.take(clients, list(rows))
    assert tiny.same_bits(taken, Examples(*(array[list(rows)] for array in data.pool(clients))))


@pytest.mark.parametrize("row", [-1, 12])
def test_take_names_a_row_that_is_not_there(row):
    with pytest.raises(ValueError, match=f"rows must lie between 0 and 11. Found {row}"):
        data.take(tiny.create_data(2, 7, 3), [0, row])
