"""Three servers sum what none of them can see; any two open it; what does not fit is not opened."""

import numpy as np
import pytest
from helpers.integers import CLIENTS, check_equal, draw, plain_sums
from scipy import stats

from fedlab.secure import masking, replicated_sharing
from fedlab.secure.interface import IntegerSpec, ProtocolError
from fedlab.secure.secret_sharing import SecretSharingSum

SPECS = {
    "32 bits": [IntegerSpec((700, 3), np.dtype(np.int64), 2**32 - 1)],
    "modulus, a power of two": [IntegerSpec((50,), np.dtype(np.int32), 2**12 - 1, 2**12)],
    "odd modulus": [IntegerSpec((50,), np.dtype(np.int64), 100, 101)],
    "many tensors": [
        IntegerSpec((5, 2, 3), np.dtype(np.int64), 2**32 - 1),
        IntegerSpec((), np.dtype(np.int32), 1),
        IntegerSpec((0,), np.dtype(np.int32), 7),
        IntegerSpec((9,), np.dtype(np.int32), 2**16 - 1, 2**16),
        IntegerSpec((4,), np.dtype(np.uint8), 60),
        IntegerSpec((2,), np.dtype(np.int32), 0),
    ],
    "as large as 64 bits": [IntegerSpec((6,), np.dtype(np.int64), 2**61 - 1)],
}
SPEC = SPECS["32 bits"][0]


def begin(specs=(SPEC,), clients=CLIENTS, seed=0):
    return SecretSharingSum(insecure_seed=seed).begin_round(clients, specs)


def run(secure_round, values):
    for client_id, mine in zip(CLIENTS, values, strict=False):
        secure_round.add(client_id, mine)
    return secure_round.finish()


@pytest.mark.parametrize("specs", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("lost", [None, 0, 1, 2])
def test_equals_the_plain_sum_whichever_server_is_lost(specs, lost):
    values = [draw(specs, seed) for seed in range(4)]
    secure_round = begin(specs)
    for client_id, mine in zip(CLIENTS, values, strict=True):
        secure_round.add(client_id, mine)
    secure_round.servers.pop(lost, None)
    check_equal(secure_round.finish(), plain_sums(values, specs))


@pytest.mark.parametrize("value", [0, SPEC.max_value])
def test_the_bounds_themselves_are_summed(value):
    values = [[np.full(SPEC.shape, value)]] * 4
    np.testing.assert_array_equal(run(begin(), values)[0], np.full(SPEC.shape, 4 * value))


def test_clients_that_drop_out_are_not_in_the_sum():
    values = [draw([SPEC], seed) for seed in range(2)]
    check_equal(run(begin(), values), plain_sums(values, [SPEC]))


def test_the_operating_systems_randomness_gives_the_same_sum_and_other_shares():
    values = [draw([SPEC], seed) for seed in range(4)]
    sums, sent = [], []
    for _ in range(2):
        secure_round = SecretSharingSum().begin_round(CLIENTS, [SPEC])
        sent.append(secure_round.share("d", values[3])[0].parts)
        secure_round = SecretSharingSum().begin_round(CLIENTS, [SPEC])
        sums.append(run(secure_round, values))
    check_equal(sums[0], sums[1])
    assert sent[0][1] != sent[1][1] and sent[0][2] != sent[1][2]


def test_a_seed_repeats_the_shares_and_no_two_rounds_or_clients_have_the_same_keys():
    def keys(secure_sum):
        found = []
        for _ in range(2):
            secure_round = secure_sum.begin_round(CLIENTS, [SPEC])
            for client_id in CLIENTS:
                messages = secure_round.share(client_id, draw([SPEC], 0))
                found += [messages[1].parts[0], messages[0].parts[1]]
        return found

    first = keys(SecretSharingSum(insecure_seed=7))
    assert first == keys(SecretSharingSum(insecure_seed=7))
    assert len(set(first)) == len(first) == 16
    assert not set(first) & set(keys(SecretSharingSum(insecure_seed=8)))


def uniform(numbers, modulus):
    """The p-value of the hypothesis that numbers are uniform from 0 up to a modulus."""
    return stats.kstest(numbers.astype(np.float64) / modulus, "uniform").pvalue


@pytest.mark.parametrize("value", [0, 1, SPEC.max_value])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_what_one_server_gets_is_uniform_whatever_the_vector(value, index):
    secure_round = begin()
    message = secure_round.share("a", [np.full(SPEC.shape, value)])[index]
    (block,) = secure_round.blocks
    one, other = (
        vectors[0] for vectors in replicated_sharing.expand(message.parts, [block]).values()
    )
    # Not the parts alone: had the vector but one mask, two parts would add up to it.
    for seen in (one, other, block.reduce(one + other), block.reduce(one - other)):
        assert uniform(block.reduce(seen), block.modulus) > 1e-3
        assert abs(np.corrcoef(seen[1:], seen[:-1])[0, 1]) < 0.1


def test_the_test_of_uniformity_sees_a_vector_that_is_not():
    masked = np.random.default_rng(0).integers(0, 2**34, 2100)
    assert uniform(masked, 2**34) > 1e-3
    assert uniform(masked // 2, 2**34) < 1e-9


def test_no_server_holds_a_clients_vector_or_the_part_that_it_is_not_to_have():
    secure_round, values = begin(), draw([SPEC], 0)
    messages = secure_round.share("a", values)
    parts = {number: part for message in messages for number, part in message.parts.items()}
    for index, message in enumerate(messages):
        secure_round.servers[index].receive(message)
        assert set(message.parts) == {0, 1, 2} - {index}
        assert parts[index] not in message.parts.values()
        for vectors in secure_round.servers[index].sums.values():
            assert not np.array_equal(vectors[0].reshape(SPEC.shape), values[0])


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_servers_that_collude_open_one_client(pair):
    secure_round, values = begin(), draw([SPEC], 0)
    messages = secure_round.share("a", values)
    opened = replicated_sharing.open_shares(
        {i: messages[i] for i in pair}, secure_round.blocks, [SPEC]
    )
    check_equal(opened, values)


def test_one_server_alone_opens_nothing():
    secure_round = begin()
    messages = secure_round.share("a", draw([SPEC], 0))
    with pytest.raises(ProtocolError, match=r"Found 1 servers with parts \[1, 2\]"):
        replicated_sharing.open_shares({0: messages[0]}, secure_round.blocks, [SPEC])
    with pytest.raises(ProtocolError, match="All three parts are needed"):
        replicated_sharing.open_shares(
            {0: messages[0], 1: messages[0]}, secure_round.blocks, [SPEC]
        )


def test_the_round_needs_two_of_the_servers():
    secure_round = begin()
    secure_round.add("a", draw([SPEC], 0))
    del secure_round.servers[0], secure_round.servers[1]
    with pytest.raises(ProtocolError, match="at least two of the three servers. Found 1 servers"):
        secure_round.finish()


def test_costs_are_the_bytes_of_the_vector_twice_and_of_four_keys():
    secure_sum = SecretSharingSum()
    assert secure_sum.costs is None
    secure_round = secure_sum.begin_round(CLIENTS, [SPEC])
    run(secure_round, [draw([SPEC], seed) for seed in range(3)])
    assert secure_sum.costs is secure_round.costs
    # Four values of 32 bits need 34 bits: 5 bytes a number.
    assert secure_sum.costs.bytes_up == dict.fromkeys("abc", 2 * 5 * 2100 + 4 * 16)
    assert not secure_sum.costs.bytes_down
    assert secure_sum.costs.seconds.keys() == {"share", "add", "open"}


def tamper(message, number):
    changed = bytearray(message.parts[number])
    changed[3] ^= 1
    parts = {**message.parts, number: bytes(changed)}
    return replicated_sharing.Shares(message.client_id, message.round_id, parts)


@pytest.mark.parametrize("index, number", [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)])
def test_a_tampered_share_is_noticed_and_nothing_is_opened(index, number):
    secure_round = begin()
    secure_round.add("a", draw([SPEC], 0))
    messages = secure_round.share("b", draw([SPEC], 1))
    messages[index] = tamper(messages[index], number)
    for server, message in zip(secure_round.servers.values(), messages, strict=True):
        server.receive(message)
    with pytest.raises(ProtocolError, match=f"different sums of part {number}.*not opened"):
        secure_round.finish()


def test_a_server_that_lies_about_its_sum_is_noticed():
    secure_round = begin()
    secure_round.add("a", draw([SPEC], 0))
    secure_round.servers[1].sums[2][0][17] += 1
    with pytest.raises(ProtocolError, match="Servers 0 and 1 have different sums of part 2"):
        secure_round.finish()


def test_shares_that_do_not_reach_all_servers_are_noticed():
    secure_round = begin()
    secure_round.add("a", draw([SPEC], 0))
    secure_round.servers[0].receive(secure_round.share("b", draw([SPEC], 1))[0])
    with pytest.raises(ProtocolError, match="received shares from different clients"):
        secure_round.finish()


def test_a_server_refuses_what_is_not_for_it_and_its_sums_stay():
    secure_round, other_round = begin(), begin(seed=1)
    values = draw([SPEC], 0)
    secure_round.add("a", values)
    server = secure_round.servers[0]
    before = {number: vectors[0].copy() for number, vectors in server.sums.items()}
    messages = secure_round.share("b", values)
    truncated = {**messages[0].parts, 2: messages[0].parts[2][:-1]}
    short_key = {**messages[0].parts, 1: b"short"}
    unknown, again = (
        replicated_sharing.Shares(name, messages[0].round_id, messages[0].parts) for name in "xa"
    )
    for message, reason in [
        (unknown, "'x' is not in this round"),
        (again, "'a' has sent its shares already"),
        (other_round.share("b", values)[0], "'b' sent the shares of another round"),
        (messages[1], r"must send parts \[1, 2\]. Found \[0, 2\]"),
        (
            replicated_sharing.Shares("b", messages[0].round_id, truncated),
            "must have 10500 bytes. Found 10499",
        ),
        (
            replicated_sharing.Shares("b", messages[0].round_id, short_key),
            "must have 16 bytes. Found 5",
        ),
    ]:
        with pytest.raises(ProtocolError, match=reason):
            server.receive(message)
    for number, vectors in server.sums.items():
        np.testing.assert_array_equal(vectors[0], before[number])
    for other, message in zip(secure_round.servers.values(), messages, strict=True):
        other.receive(message)
    check_equal(secure_round.finish(), plain_sums([values, values], [SPEC]))


def test_bad_input_is_refused_before_anything_is_sent():
    secure_round = begin()
    values = draw([SPEC], 0)
    secure_round.add("a", values)
    with pytest.raises(ValueError, match="'a' has added already"):
        secure_round.add("a", values)
    with pytest.raises(ValueError, match="'x' is not in this round"):
        secure_round.add("x", values)
    with pytest.raises(ValueError, match="between 0 and 4294967295. Found at least"):
        secure_round.add("b", [values[0] + 2**32])
    with pytest.raises(ValueError, match="the dtype must be int64. Found float64"):
        secure_round.add("b", [values[0].astype(np.float64)])
    check_equal(secure_round.finish(), values)
    with pytest.raises(ValueError, match="round is over"):
        secure_round.add("b", values)


def test_a_round_without_clients_and_a_negative_seed_are_refused():
    with pytest.raises(ValueError, match="No client has added"):
        begin().finish()
    with pytest.raises(ValueError, match="client_ids must name at least one client"):
        begin(clients=[])
    with pytest.raises(ValueError, match="insecure_seed must be at least 0. Found -1"):
        SecretSharingSum(insecure_seed=-1)


def test_messages_print_neither_keys_nor_numbers():
    message = begin().share("a", draw([SPEC], 0))[0]
    assert "parts" not in repr(message) and len(repr(message)) < 150


def test_parts_sum_to_the_vector_by_hand():
    block = masking.Block(modulus=16, indices=(0,), size=1)
    parts = replicated_sharing.share([np.array([5], np.uint32)], [block], iter_bytes())
    first, second, last = (
        vectors[0] for vectors in replicated_sharing.expand(parts, [block]).values()
    )
    # AES-128 in counter mode, key 00…00: the stream begins 66 e9 4b d4, so 0xd44be966, and 6 modulo 16.
    assert block.reduce(first) == [6]
    assert (6 + block.reduce(second) + block.reduce(last)) % 16 == [5]


def iter_bytes():
    keys = iter([bytes(16), bytes([1] * 16)])
    return lambda num_bytes: next(keys)
