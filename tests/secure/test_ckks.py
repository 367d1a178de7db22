"""The server adds ciphertexts that it cannot open; the sum is exact; what does not fit is refused."""

import dataclasses

import numpy as np
import pytest
import tenseal as ts
from helpers.integers import CLIENTS, check_equal, draw, plain_sums

from fedlab.secure import ckks, ckks_parameters
from fedlab.secure.ckks import CkksSum
from fedlab.secure.ckks_server import CkksServer, Upload
from fedlab.secure.interface import IntegerSpec, ProtocolError

SPECS = {
    "32 bits, two ciphertexts": [IntegerSpec((700, 3), np.dtype(np.int64), 2**32 - 1)],
    "one full ciphertext": [IntegerSpec((2048,), np.dtype(np.int32), 2**16)],
    "modulus, a power of two": [IntegerSpec((50,), np.dtype(np.int32), 2**12 - 1, 2**12)],
    "odd modulus": [IntegerSpec((50,), np.dtype(np.int64), 100, 101)],
    "many tensors": [
        IntegerSpec((5, 2, 3), np.dtype(np.int64), 2**32 - 1),
        IntegerSpec((), np.dtype(np.int32), 1),
        IntegerSpec((0,), np.dtype(np.int32), 7),
        IntegerSpec((9,), np.dtype(np.int32), 2**16 - 1, 2**16),
        IntegerSpec((4,), np.dtype(np.uint8), 60),
    ],
    "more bits": [IntegerSpec((300,), np.dtype(np.int64), 2**40)],
    "nothing but zeros": [IntegerSpec((3,), np.dtype(np.int32), 0)],
    "no number": [IntegerSpec((0, 4), np.dtype(np.int32), 7)],
}
SPEC = SPECS["32 bits, two ciphertexts"][0]


def begin(specs=(SPEC,), clients=CLIENTS):
    return CkksSum().begin_round(clients, specs)


def run(secure_round, values):
    for client_id, mine in zip(CLIENTS, values, strict=False):
        secure_round.add(client_id, mine)
    return secure_round.finish()


@pytest.mark.parametrize("specs", SPECS.values(), ids=SPECS)
def test_equals_the_plain_sum(specs):
    values = [draw(specs, seed) for seed in range(4)]
    check_equal(run(begin(specs), values), plain_sums(values, specs))


@pytest.mark.parametrize("value", [0, SPEC.max_value])
def test_the_bounds_themselves_are_summed(value):
    values = [[np.full(SPEC.shape, value)]] * 4
    np.testing.assert_array_equal(run(begin(), values)[0], np.full(SPEC.shape, 4 * value))


def test_clients_that_drop_out_are_not_in_the_sum():
    values = [draw([SPEC], seed) for seed in range(2)]
    check_equal(run(begin(), values), plain_sums(values, [SPEC]))


def test_the_second_parameters_take_one_and_a_half_times_the_bytes():
    sizes = []
    for clients in (CLIENTS, [f"c{number}" for number in range(100)]):
        secure_round = begin(clients=clients)
        sizes.append(secure_round.encrypt(clients[0], draw([SPEC], 0)).num_bytes)
    assert 1.4 < sizes[1] / sizes[0] < 1.8


def test_what_cannot_be_exact_is_refused():
    with pytest.raises(ValueError, match="cannot sum 4 clients' integers up to a total of"):
        begin([IntegerSpec((3,), np.dtype(np.int64), 2**50)])


def reachable(thing, seen=None):
    """All objects that Python reaches from one, through attributes and containers."""
    seen = {} if seen is None else seen
    if id(thing) in seen:
        return seen
    seen[id(thing)] = thing
    if isinstance(thing, dict):
        inner = [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set):
        inner = thing
    else:
        inner = vars(thing).values() if hasattr(thing, "__dict__") else []
    for one in inner:
        reachable(one, seen)
    return seen


def test_the_server_holds_no_secret_key_and_cannot_decrypt():
    secure_round = begin()
    secure_round.add("a", draw([SPEC], 0))
    held = reachable(secure_round.server).values()
    contexts = [one for one in held if isinstance(one, ts.Context)]
    assert contexts and not any(one.is_private() or one.has_secret_key() for one in contexts)
    assert not any(isinstance(one, ckks_parameters.KeyHolder) for one in held)
    assert not ts.context_from(secure_round.key_holder.public_context).is_private()
    for vector in (one for one in held if isinstance(one, ts.CKKSVector)):
        with pytest.raises(ValueError, match="secret_key"):
            vector.decrypt()
    # The walk finds a secret key where there is one.
    found = reachable(secure_round).values()
    assert any(one.is_private() for one in found if isinstance(one, ts.Context))


def test_the_server_keeps_one_sum_however_many_clients_send():
    secure_round = begin()
    for client_id in CLIENTS:
        secure_round.add(client_id, draw([SPEC], 0))
        held = reachable(secure_round.server).values()
        assert sum(isinstance(one, ts.CKKSVector) for one in held) == 2
        assert sum(len(one) for one in held if isinstance(one, bytes)) < 1000


def test_equal_vectors_give_unequal_ciphertexts_that_another_key_does_not_open():
    secure_round, values = begin(), draw([SPEC], 0)
    uploads = [secure_round.encrypt(client_id, values) for client_id in "ab"]
    assert uploads[0].ciphertexts[0] != uploads[1].ciphertexts[0]
    assert values[0].tobytes()[:16] not in b"".join(uploads[0].ciphertexts)
    other = ckks_parameters.KeyHolder(secure_round.key_holder.parameters)
    with pytest.raises(ProtocolError, match="made with another key"):
        ckks.open_upload(uploads[0], other, [SPEC])


def test_a_client_that_colludes_with_the_server_opens_another():
    secure_round, values = begin(), draw([SPEC], 0)
    upload = secure_round.encrypt("a", values)
    check_equal(ckks.open_upload(upload, secure_round.key_holder, [SPEC]), values)


def test_keys_are_drawn_once_and_ciphertexts_counted_as_they_are_sent():
    secure_sum = CkksSum()
    assert secure_sum.costs is None
    first = secure_sum.begin_round(CLIENTS, [SPEC])
    uploads = [first.encrypt(client_id, draw([SPEC], 0)) for client_id in "abc"]
    for upload in uploads:
        first.server.receive(upload)
    first.finish()
    sent = {upload.client_id: sum(map(len, upload.ciphertexts)) + 32 for upload in uploads}
    # The first client opens: it gets two ciphertexts and returns 2,100 numbers of 8 bytes.
    assert first.costs.bytes_up == {**sent, "a": sent["a"] + 8 * 2100}
    assert first.costs.bytes_down.keys() == {"a"}
    assert 0.9 < first.costs.bytes_down["a"] / sent["a"] < 1.1
    assert first.costs.seconds.keys() == {"keys", "encrypt", "add", "decrypt"}
    second = secure_sum.begin_round(CLIENTS, [SPEC])
    assert second.key_holder is first.key_holder and "keys" not in second.costs.seconds
    assert secure_sum.costs is second.costs


def flip(upload, position):
    first = bytearray(upload.ciphertexts[0])
    first[position] ^= 1
    return dataclasses.replace(upload, ciphertexts=(bytes(first), *upload.ciphertexts[1:]))


def test_the_server_refuses_what_is_not_this_rounds_and_its_sum_stays():
    secure_round, other_round, values = begin(), begin(), draw([SPEC], 0)
    secure_round.add("a", values)
    upload = secure_round.encrypt("b", values)
    first, second = upload.ciphertexts
    moved = (first + second[:1], second[1:])  # the same bytes, cut elsewhere
    for changed, reason in [
        (flip(upload, 20_000), "'b': the tag does not fit the ciphertexts; they were changed"),
        (dataclasses.replace(upload, ciphertexts=upload.ciphertexts[:1]), "tag does not fit"),
        (dataclasses.replace(upload, ciphertexts=upload.ciphertexts[::-1]), "tag does not fit"),
        (dataclasses.replace(upload, ciphertexts=moved), "tag does not fit"),
        (dataclasses.replace(upload, tag=b""), "tag does not fit"),
        (dataclasses.replace(upload, client_id="c"), "'c': the tag does not fit"),
        (dataclasses.replace(upload, client_id="x"), "'x' is not in this round"),
        (dataclasses.replace(upload, client_id="a"), "'a' has sent its ciphertexts already"),
        (other_round.encrypt("b", values), "'b' sent the ciphertexts of another round"),
    ]:
        with pytest.raises(ProtocolError, match=reason):
            secure_round.server.receive(changed)
    secure_round.server.receive(upload)
    with pytest.raises(ProtocolError, match="'b' has sent its ciphertexts already"):
        secure_round.server.receive(upload)
    check_equal(secure_round.finish(), plain_sums([values, values], [SPEC]))


PARAMETERS = ckks_parameters.PARAMETERS[0]
SCALE = 2.0**20


def serve(key_holder, *, size=5):
    """A server and a function that sends it what a dishonest client has encrypted and signed."""
    key = bytes(32)
    server = CkksServer(key_holder.public_context, bytes(16), [size], SCALE, {"a": key, "b": key})

    def send(client_id, *ciphertexts):
        server.receive(Upload(client_id, bytes(16), ciphertexts).sign(key))

    return server, send


def encrypt(key_holder, numbers, scale=SCALE):
    return ts.ckks_vector(ts.context_from(key_holder.public_context), numbers, scale).serialize()


def test_a_signed_upload_that_is_no_ciphertext_of_the_round_is_refused():
    key_holder = ckks_parameters.KeyHolder(PARAMETERS)
    good = encrypt(key_holder, [1.0] * 5)
    larger = ckks_parameters.KeyHolder(ckks_parameters.CkksParameters(8192, (60, 40, 60)))
    server, send = serve(key_holder)
    for sent, reason in [
        ([], "must send 1 ciphertexts. Found 0"),
        ([good, good], "must send 1 ciphertexts. Found 2"),
        ([good[:-1000]], "not a ciphertext under this round's keys"),
        ([b""], "another size or scale"),
        ([b"nonsense"], "not a ciphertext under this round's keys"),
        ([encrypt(larger, [1.0] * 5)], "not a ciphertext under this round's keys"),
        ([encrypt(key_holder, [1.0] * 4)], "another size or scale"),
        ([encrypt(key_holder, [1.0] * 5, 2.0**21)], "another size or scale"),
    ]:
        with pytest.raises(ProtocolError, match=reason):
            send("a", *sent)
    assert not server.received
    send("a", good)
    np.testing.assert_allclose(key_holder.decrypt(server.total()), 1.0, atol=0.1)


def test_a_foreign_ciphertext_is_noticed_when_the_sum_is_opened():
    key_holder, foreign = (
        ckks_parameters.KeyHolder(PARAMETERS),
        ckks_parameters.KeyHolder(PARAMETERS),
    )
    server, send = serve(key_holder, size=50)
    send("a", encrypt(key_holder, [1.0] * 50))
    send("b", encrypt(foreign, [1.0] * 50))
    spec = IntegerSpec((50,), np.dtype(np.int64), 2**32 - 1)
    with pytest.raises(ProtocolError, match="made with another key"):
        ckks_parameters.round_sums(key_holder.decrypt(server.total()), [spec], 2, error_bound=0.1)


def test_bad_input_is_refused_before_anything_is_sent():
    secure_round, values = begin(), draw([SPEC], 0)
    secure_round.add("a", values)
    with pytest.raises(ValueError, match="'a' has added already"):
        secure_round.add("a", values)
    with pytest.raises(ValueError, match="'x' is not in this round"):
        secure_round.add("x", values)
    with pytest.raises(ValueError, match="between 0 and 4294967295. Found at least"):
        secure_round.add("b", [values[0] - 2**32])
    with pytest.raises(ValueError, match="the dtype must be int64. Found float64"):
        secure_round.add("b", [np.full(SPEC.shape, np.nan)])
    check_equal(secure_round.finish(), values)
    with pytest.raises(ValueError, match="round is over"):
        secure_round.finish()


def test_a_round_in_which_nothing_arrives_is_refused():
    with pytest.raises(ValueError, match="No client has added"):
        begin().finish()
    with pytest.raises(ValueError, match="client_ids must name at least one client"):
        begin(clients=[])
    secure_round = begin()
    secure_round.encrypt("a", draw([SPEC], 0))  # and the upload is lost
    with pytest.raises(ProtocolError, match="No client's ciphertexts have arrived"):
        secure_round.finish()


def test_an_upload_does_not_print_its_ciphertexts():
    upload = begin().encrypt("a", draw([SPEC], 0))
    assert "ciphertexts" not in repr(upload) and len(repr(upload)) < 150
