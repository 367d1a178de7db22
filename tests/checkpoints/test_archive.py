"""What is saved comes back with the same bits and types; damage is seen; nothing is executed."""

import collections
import io
import json
import random
import typing
import zipfile

import attrs
import ml_dtypes
import numpy as np
import pytest
import tensorflow_federated as tff

from fedlab.checkpoints import archive
from fedlab.checkpoints.archive import DamagedError, OtherStateError, SavedRun
from fedlab.checkpoints.leaves import map_leaves


class Pair(typing.NamedTuple):
    first: typing.Any
    second: typing.Any


@attrs.define
class Weights:
    trainable: typing.Any


LEAVES = {
    "0-d array": np.array(1.5, np.float32),
    "scalar": np.int64(2**62 + 1),
    "truth value": np.array([True, False]),
    "no entries": np.zeros((0, 3), np.float32),
    "NaN": np.array([np.nan, -0.0, np.inf], np.float64),
    "half": np.arange(4, dtype=np.float16).reshape(2, 2),
    "bfloat16": np.arange(3, dtype=np.float32).astype(ml_dtypes.bfloat16),
    "scalar bfloat16": ml_dtypes.bfloat16(0.5),
    "complex": np.array([1 + 2j], np.complex64),
    "column order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "every second": np.arange(10)[::2],
    "bytes": b"GaussianDpEvent\0\0",
    "no bytes": b"",
    "text": "ünï\0",
    "array of bytes": np.array([b"a\0", b""], object),
    "array of text": np.array(["a", "é"], object),
    "text of one length": np.array(["a", "éé"]),
    "int": 3,
    "float": 0.1,
    "bool": True,
}
CONTAINERS = {
    "mapping": collections.OrderedDict(z=(np.float32(1), ()), a=[np.int32(2)]),
    "classes": Pair(Weights((np.ones(2), np.zeros(1))), {"b": np.int8(1), "a": np.int8(2)}),
    "struct": tff.structure.Struct(
        [(None, np.float32(1)), ("x", tff.structure.Struct([(None, (np.ones(2),))]))]
    ),
    "alone": np.float32(3),
    "nothing": (),
}


def write(state, **changes) -> bytes:
    run = SavedRun(3, state, [{"round_num": 3, "loss": float("nan")}], {"process": "1"})
    file = io.BytesIO()
    archive.write(file, run._replace(**changes))
    return file.getvalue()


def assert_same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        if expected.dtype == object:
            assert list(found.ravel()) == list(expected.ravel())
        else:
            assert found.tobytes() == expected.tobytes()
            assert found.flags.writeable
    else:
        assert repr(found) == repr(expected)


@pytest.mark.parametrize("name", LEAVES)
def test_every_kind_of_leaf_comes_back(name):
    leaf = LEAVES[name]
    found = archive.read(write((leaf, np.float32(1))), (leaf, np.float32(1)))
    assert_same(found.state[0], leaf)


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_come_back(name):
    state = CONTAINERS[name]
    example = map_leaves(lambda path, leaf: np.zeros_like(leaf)[()], state)
    found = archive.read(write(state), example).state
    assert repr(found) == repr(state)


def test_text_may_be_of_another_length_than_the_example_s():
    assert archive.read(write((b"a longer one",)), (b"short",)).state == (b"a longer one",)


def test_round_records_and_description_come_back():
    records = [{"round_num": 3, "loss": np.float32(0.1), "note": "é", "shares": [1, 2]}]
    found = archive.read(write((), records=records, description={"a": {"b": None}}), ())
    assert found == (3, (), [{**records[0], "loss": float(np.float32(0.1))}], {"a": {"b": None}})


@pytest.mark.parametrize("leaf", [None, object(), np.array([b"a", 1], object)])
def test_a_state_of_something_else_is_refused(leaf):
    with pytest.raises(TypeError, match=r"holds numbers and text. Found .* at 'a.0'"):
        write({"a": (leaf,)})


def test_a_record_of_something_else_is_refused():
    with pytest.raises(TypeError, match="record that is saved .* Found set"):
        write((), records=[{"round_num": 1, "seen": {1}}])


STATE = {"weights": (np.arange(12, dtype=np.float32), np.int64(7)), "event": b"noise"}


def test_the_file_is_a_plain_npz_that_executes_nothing():
    with np.load(io.BytesIO(write(STATE)), allow_pickle=False) as arrays:
        assert set(arrays) == {"0", "1", "2", "metadata"}
        metadata = json.loads(arrays["metadata"].tobytes())
    assert metadata["state_type"] == ["event bytes[]", "weights.0 float32[12]", "weights.1 int64[]"]


def test_no_bit_can_be_changed_unseen():
    content = write(STATE)
    expected = archive.read(content, STATE)
    rng = random.Random(0)
    seen = 0
    for _ in range(1000):
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        try:
            found = archive.read(bytes(changed), STATE)
        except DamagedError:
            seen += 1
        else:  # in what nobody reads, such as a file's date
            assert repr(found) == repr(expected)
    assert seen > 500


def test_a_file_that_was_cut_is_damaged():
    content = write(STATE)
    for length in range(0, len(content), 37):
        with pytest.raises(DamagedError):
            archive.read(content[:length], STATE)


def rebuild(content: bytes, compression=zipfile.ZIP_STORED, **members: bytes) -> bytes:
    """Writes the members anew, some of them changed: the zip's own sums are right."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(file, "w", compression) as new,
    ):
        for name in old.namelist():
            new.writestr(name, members.get(name.removesuffix(".npy"), old.read(name)))
    return file.getvalue()


def npy(array, **options) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), **options)
    return file.getvalue()


def metadata(content: bytes, **changes) -> bytes:
    with np.load(io.BytesIO(content)) as arrays:
        changed = json.loads(arrays["metadata"].tobytes()) | changes
    return npy(np.frombuffer(json.dumps(changed).encode(), np.uint8))


CONTENT = write(STATE)
HUGE = npy(np.zeros(12, np.float32)).replace(b"(12,), }      ", b"(2000000000,)}")
HOSTILE = {
    "other numbers": {"1": npy(np.ones(12, np.float32))},
    "other dtype": {"1": npy(np.arange(12, dtype=np.float64))},
    "other shape": {"1": npy(np.arange(12, dtype=np.float32).reshape(3, 4))},
    "pickled": {"1": npy(np.array([print], object), allow_pickle=True)},
    "huge": {"1": HUGE},
    "code in a header": {"1": npy(np.zeros(12)).replace(b"{'descr'", b"[print()")},
    "no round": {"metadata": metadata(CONTENT, round_num="4")},
    "records of numbers": {"metadata": metadata(CONTENT, records=[5])},
    "another round": {"metadata": metadata(CONTENT, round_num=4)},
    "another member": {"metadata": metadata(CONTENT, command="rm")},
    "deep": {"metadata": npy(np.frombuffer(b"[" * 100_000, np.uint8))},
    "no JSON": {"metadata": npy(np.zeros(9, np.uint8))},
    "a list": {"metadata": npy(np.frombuffer(b"[]", np.uint8))},
    "bad lengths": {"0": npy(np.frombuffer(np.int64(-5).tobytes() + b"noise", np.uint8))},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_was_made_by_hand_is_damaged(name):
    with pytest.raises(DamagedError):
        archive.read(rebuild(CONTENT, **HOSTILE[name]), STATE)


def test_what_is_compressed_is_not_unpacked():
    assert archive.read(rebuild(CONTENT), STATE).round_num == 3
    bomb = rebuild(CONTENT, zipfile.ZIP_DEFLATED, **{"1": bytes(2**24)})
    with pytest.raises(DamagedError, match="is compressed"):
        archive.read(bomb, STATE)


def test_too_little_memory_is_no_damage(monkeypatch):
    def fail(*args, **options):
        raise MemoryError

    monkeypatch.setattr(np.lib.format, "read_array", fail)
    with pytest.raises(MemoryError):
        archive.read(CONTENT, STATE)


def test_a_file_far_larger_than_the_state_is_not_read():
    with pytest.raises(
        OtherStateError, match="it has 1099511627776 bytes, this process's state 61"
    ):
        archive.check_size(2**40, STATE)
    archive.check_size(2**20, STATE)


@pytest.mark.parametrize(
    "example, difference",
    [
        (
            STATE | {"weights": (np.zeros(12), np.int64(0))},
            "float32.12., this process weights.0 float64.12.",
        ),
        (STATE | {"weights": (np.zeros(3, np.float32), np.int64(0))}, "weights.0 float32.3."),
        (STATE | {"more": np.int8(1)}, "this process holds more int8.., too"),
        ({"weights": STATE["weights"]}, "it holds event bytes.., this process does not"),
    ],
)
def test_another_state_is_told_with_its_difference(example, difference):
    with pytest.raises(OtherStateError, match=difference):
        archive.read(CONTENT, example)


def test_another_format_is_no_damage():
    with pytest.raises(OtherStateError, match="its format is 2, this program's 1"):
        archive.read(rebuild(CONTENT, metadata=metadata(CONTENT, format=2)), STATE)
