"""The protocol sums exactly, whoever drops out when, as long as enough are left."""

import itertools

import numpy as np
import pytest
from helpers.integers import check_equal, draw, plain_sums
from helpers.protocol import SPECS, Walk, names, parameters_of, values_of

from fedlab.secure.interface import IntegerSpec, ProtocolError
from fedlab.secure.secagg import SecAgg, count_bytes
from fedlab.secure.secagg.messages import RevealedShares

NUM_LEARNER_PARAMETERS = 693_962


def run(secagg, values, specs=SPECS, dropped=()):
    secure_round = secagg.begin_round(list(values), specs)
    for name, own in values.items():
        if name not in dropped:
            secure_round.add(name, own)
    return secure_round.finish()


# The sum


@pytest.mark.parametrize("num_clients", [3, 4, 7, 12])
@pytest.mark.parametrize("adversary", ["active", "honest-but-curious"])
def test_equals_the_plain_sum(num_clients, adversary):
    values = values_of(names(num_clients))
    found = run(SecAgg(adversary=adversary), values)
    check_equal(found, plain_sums(values.values(), SPECS))


@pytest.mark.parametrize("value", ["largest", 0])
def test_the_bounds_themselves_are_summed(value):
    own = [
        np.full(one.shape, one.max_value if value == "largest" else 0, one.dtype) for one in SPECS
    ]
    values = dict.fromkeys(names(5), own)
    check_equal(run(SecAgg(), values), plain_sums(values.values(), SPECS))


@pytest.mark.parametrize("dropped", [["c0"], ["c9"], ["c3", "c4"], ["c0", "c5", "c9"]])
def test_clients_that_drop_out_before_they_send_are_recovered(dropped):
    values = values_of(names(10))
    found = run(SecAgg(), values, dropped=dropped)
    left = [own for name, own in values.items() if name not in dropped]
    check_equal(found, plain_sums(left, SPECS))


@pytest.mark.parametrize("when", list(itertools.product([0, 1], repeat=5)))
def test_clients_may_drop_out_at_every_step(when):
    gone = {step: [f"c{step}"] if leaves else [] for step, leaves in enumerate(when)}
    walk = Walk(16, absent=gone[0]).share(absent=gone[1]).mask(absent=gone[2])
    found = walk.server.unmask(walk.reveal(absent=gone[4], absent_before=gone[3]))
    assert len(walk.server.survivors) == 16 - sum(when[:3])
    assert walk.server.liars == []
    check_equal(found, walk.expected())


def test_the_order_in_which_clients_send_is_free():
    values = values_of(names(6))
    secure_round = SecAgg().begin_round(list(values), SPECS)
    for name in reversed(values):
        secure_round.add(name, values[name])
    check_equal(secure_round.finish(), plain_sums(values.values(), SPECS))


def test_a_model_of_the_course_with_a_third_of_its_clients_gone():
    spec = IntegerSpec((NUM_LEARNER_PARAMETERS,), np.dtype(np.int64), 2**32 - 1)
    values = values_of(names(20), [spec])
    found = run(SecAgg(), values, [spec], dropped=names(6))
    expected = np.sum([own[0] for own in list(values.values())[6:]], axis=0)
    np.testing.assert_array_equal(found[0], expected)


# Thresholds


@pytest.mark.parametrize(
    "num_clients, expected", [(3, 3), (4, 3), (5, 4), (6, 5), (9, 7), (10, 7), (20, 14)]
)
@pytest.mark.parametrize("signed", [True, False])
def test_more_than_two_thirds_must_survive_unless_told_otherwise(num_clients, expected, signed):
    assert parameters_of(num_clients, signed=signed).threshold == expected


@pytest.mark.parametrize(
    "adversary, num_clients, lowest",
    [
        ("active", 3, 3),
        ("active", 5, 4),
        ("active", 9, 7),
        ("active", 10, 7),
        ("honest-but-curious", 3, 3),
        ("honest-but-curious", 4, 3),
        ("honest-but-curious", 5, 3),
        ("honest-but-curious", 10, 6),
    ],
)
def test_the_adversary_sets_the_lowest_threshold(adversary, num_clients, lowest):
    for threshold in (lowest - 1, 2, 0, -1, num_clients + 1):
        allowed = f"between {lowest} .* and {num_clients}" if threshold > 2 else "at least 3"
        with pytest.raises(ValueError, match=f"threshold must be {allowed}. Found {threshold}"):
            SecAgg(threshold, adversary=adversary).begin_round(names(num_clients), SPECS)
    values = values_of(names(num_clients))
    dropped = names(num_clients)[lowest:]
    found = run(SecAgg(lowest, adversary=adversary), values, dropped=dropped)
    check_equal(found, plain_sums(list(values.values())[:lowest], SPECS))


@pytest.mark.parametrize("num_clients", [1, 2])
@pytest.mark.parametrize("adversary", ["active", "honest-but-curious"])
def test_two_clients_would_read_each_other_and_are_refused(num_clients, adversary):
    with pytest.raises(ValueError, match=f"at least 3 clients: .* Found {num_clients}"):
        SecAgg(adversary=adversary).begin_round(names(num_clients), SPECS)


@pytest.mark.parametrize("num_left, is_enough", [(7, True), (6, False), (1, False)])
def test_too_few_survivors_are_refused_and_their_keys_gone(num_left, is_enough):
    values = values_of(names(9))
    secure_round = SecAgg().begin_round(list(values), SPECS)
    for name in names(num_left):
        secure_round.add(name, values[name])
    if is_enough:
        secure_round.finish()
    else:
        with pytest.raises(ProtocolError, match=f"Only {num_left} of 9 .* threshold is 7"):
            secure_round.finish()
    assert not secure_round.clients
    with pytest.raises(ValueError, match="round is over"):
        secure_round.finish()


def test_too_few_at_any_step_are_refused():
    with pytest.raises(ProtocolError, match="Only 3 of 5 clients have advertised keys"):
        Walk(absent=["c0", "c1"]).advertise()
    with pytest.raises(ProtocolError, match="Only 3 of 5 clients have shared keys"):
        Walk().share(absent=["c0", "c1"])
    with pytest.raises(ProtocolError, match="Only 3 of 5 clients have signed"):
        Walk().share().mask().agree(absent=["c0", "c1"])
    walk = Walk().share().mask()
    answers = walk.reveal()
    with pytest.raises(ProtocolError, match="Only 3 of 5 clients have revealed"):
        walk.server.unmask(answers[2:])
    check_equal(walk.server.unmask(answers), walk.expected())  # they came in the end


# Seeds and costs


def masked_by(secagg):
    """What the server receives from c0 in a new round."""
    secure_round, sent = secagg.begin_round(names(3), SPECS), []
    secure_round.server.add_masked_input = sent.append
    secure_round.add("c0", draw(SPECS, 0))
    return sent[0].vector


def test_a_seed_makes_masks_repeatable_and_without_one_they_are_not():
    assert masked_by(SecAgg(insecure_seed=1)) == masked_by(SecAgg(insecure_seed=1))
    assert masked_by(SecAgg(insecure_seed=1)) != masked_by(SecAgg(insecure_seed=2))
    assert masked_by(SecAgg()) != masked_by(SecAgg())


def test_rounds_of_one_seed_have_other_keys():
    secagg = SecAgg(insecure_seed=1)
    assert masked_by(secagg) != masked_by(secagg)


@pytest.mark.parametrize("adversary", ["active", "honest-but-curious"])
@pytest.mark.parametrize("num_dropped", [0, 1])
def test_bytes_are_counted_as_worked_out_by_hand(num_dropped, adversary):
    spec = IntegerSpec((100,), np.dtype(np.int64), 2**32 - 1)
    values = values_of(["a", "b", "c", "d"], [spec])
    secagg = SecAgg(threshold=3, adversary=adversary)
    run(secagg, values, [spec], dropped=["d"] * num_dropped)
    round_id, name, key, share, commitment = 16, 1, 32, 16, 32
    signature = 64 if adversary == "active" else 0
    keys = round_id + name + 2 * key + commitment + signature
    shares = round_id + 2 * name + 2 * share + 16 + 2 * commitment  # 16: the tag of AES-GCM
    agreement = (round_id + name + signature) if adversary == "active" else 0
    vector = round_id + name + 100 * 5  # 4 * (2**32 - 1) needs 34 bits
    revealed = round_id + name + 4 * (name + share)
    up, down = keys + 3 * shares, 4 * keys + 3 * shares
    for one in "abc":
        assert secagg.costs.bytes_up[one] == up + vector + agreement + revealed
        assert secagg.costs.bytes_down[one] == down + (4 - num_dropped) * (name + agreement)
    if num_dropped:
        assert (secagg.costs.bytes_up["d"], secagg.costs.bytes_down["d"]) == (up, down)
    phases = ["advertise keys", "share keys", "masked input", "consistency check", "unmasking"]
    if adversary != "active":
        phases.remove("consistency check")
    assert list(secagg.costs.seconds) == phases
    assert all(seconds > 0 for seconds in secagg.costs.seconds.values())


def test_a_message_s_bytes_are_its_contents():
    message = RevealedShares(b"1234", "ab", {"c": bytes(16)}, {"dé": bytes(16)})
    assert count_bytes(message) == 4 + 2 + 1 + 16 + 3 + 16
    assert count_bytes([message, message]) == 2 * count_bytes(message)
