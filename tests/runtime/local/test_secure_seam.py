"""The local runtime hands a round's integers to a secure sum, and the state is the plain one's."""

import functools

import numpy as np
import pytest
import tensorflow_federated as tff
from google.protobuf.message import DecodeError
from helpers import tiny
from helpers.integers import check_equal, plain_sums
from helpers.tff_processes import (
    build_distributed_dp_aggregator,
    build_two_phases,
    distributed_dp,
    fed_avg,
    unweighted,
)

import fedlab
from fedlab import runtime
from fedlab.learning import leave_out_metrics
from fedlab.runtime.local import local_runner
from fedlab.runtime.local.local_runner import LocalClients, Round
from fedlab.secure.interface import ProtocolError, check_values
from fedlab.secure.secagg import SecAgg

learning = tff.learning
cut_once, cut_initialize_once = map(functools.cache, (runtime.cut, local_runner.cut_initialize))


@pytest.fixture(autouse=True)
def cut_each_process_once(monkeypatch):
    monkeypatch.setattr(local_runner, "cut", cut_once)
    monkeypatch.setattr(local_runner, "cut_initialize", cut_initialize_once)


class Spy:
    """A secure sum that adds in the clear, remembers all, and may have another beside it."""

    costs = None

    def __init__(self, other=None):
        self.other = other

    def begin_round(self, client_ids, specs):
        self.client_ids, self.specs, self.added = client_ids, specs, {}
        self.finished = False
        self.other_round = self.other and self.other.begin_round(client_ids, specs)
        return self

    def add(self, client_id, values):
        self.added[client_id] = check_values(client_id, values, self.specs)
        if self.other:
            self.other_round.add(client_id, values)

    def finish(self):
        self.finished = True
        sums = plain_sums(list(self.added.values()), self.specs)
        if self.other:
            check_equal(self.other_round.finish(), sums)
        return sums


@functools.cache
def secure_fed_avg():
    return fed_avg(
        aggregator=lambda: learning.secure_aggregator(zeroing=False, clipping=False),
        metrics_aggregator=leave_out_metrics,
    )


def spoil(cohort, *names):
    def to_nan(images, labels):
        return images * np.nan, labels

    return cohort | {name: cohort[name].map(to_nan) for name in names}


def test_the_secure_sum_gets_what_tff_hands_over_and_the_state_is_the_same():
    process, spy = secure_fed_avg(), Spy()
    secure, plain = runtime.compile(process, secure_sum=spy), runtime.compile(process)
    state = plain.initialize()
    found, expected = (one.next(state, tiny.create_cohort()) for one in (secure, plain))
    assert tiny.same_bits([found.state, found.metrics], [expected.state, expected.metrics])
    assert secure.secure_sum is spy and plain.secure_sum is None
    assert spy.client_ids == ["c0", "c1", "c2"] == list(spy.added)
    (weights,) = [one for one in spy.specs if one.shape == (784, 10)]
    assert (weights.dtype, weights.max_value, weights.modulus) == (np.int64, 2**32 - 1, None)


def test_who_is_dropped_has_not_added():
    process, spy = secure_fed_avg(), Spy()
    options = {"on_client_error": "drop"}
    secure = runtime.compile(process, secure_sum=spy, **options)
    plain = runtime.compile(process, **options)
    cohort, state = spoil(tiny.create_cohort(), "c1"), plain.initialize()
    found, expected = secure.next(state, cohort), plain.next(state, cohort)
    assert list(secure.dropped) == ["c1"]
    assert spy.client_ids == ["c0", "c1", "c2"]
    assert list(spy.added) == ["c0", "c2"]
    assert tiny.same_bits(found.state, expected.state)


@pytest.mark.parametrize("on_client_error", ["raise", "drop"])
def test_a_round_without_anyone_left_asks_for_no_sum(on_client_error):
    spy = Spy()
    runner = runtime.compile(secure_fed_avg(), secure_sum=spy, on_client_error=on_client_error)
    with pytest.raises(runtime.ClientError, match="'c0'"):
        runner.next(runner.initialize(), spoil(tiny.create_cohort(), "c0", "c1", "c2"))
    assert not spy.finished


INTEGERS = tff.FederatedType(np.int32, tff.CLIENTS)


@tff.federated_computation(tff.FederatedType(np.int32, tff.SERVER), INTEGERS)
def all_kinds_of_sums(state, values):
    modular = tff.backends.mapreduce.federated_secure_modular_sum
    return state, tff.federated_zip(
        (
            modular(values, np.int32(7)),
            modular(values, np.int32(64)),
            tff.federated_sum(values),
        )
    )


@tff.federated_computation(tff.FederatedType(np.int32, tff.SERVER), INTEGERS)
def bounded_sums(state, values):
    return state, tff.federated_zip(
        (
            tff.federated_secure_sum(values, np.int32(50)),
            tff.federated_secure_sum_bitwidth(values, 6),
        )
    )


def run_sums(computation, spy, values, drop=False):
    form = runtime.cut(computation)
    one_round = Round(form, LocalClients(form, secure_sum=spy))
    (_, sums), dropped = one_round.run(0, values, drop=drop)
    return tuple(sums), dropped


def test_modular_sums_take_any_integer():
    spy = Spy()
    values = [40, -30, 45, 100]
    assert run_sums(all_kinds_of_sums, spy, values)[0] == (155 % 7, 155 % 64, 155)
    assert [(one.max_value, one.modulus) for one in spy.specs] == [(6, 7), (63, 64)]


def test_bounded_sums_have_their_bounds():
    spy = Spy()
    assert run_sums(bounded_sums, spy, [40, 30, 45, 0])[0] == (115, 115)
    assert sorted((one.max_value, one.modulus) for one in spy.specs) == [(50, None), (63, None)]


@pytest.mark.parametrize("value", [51, -1])
def test_a_client_outside_the_bounds_has_failed(value):
    with pytest.raises(runtime.ClientError, match="'#1' failed.*between 0 and") as caught:
        run_sums(bounded_sums, Spy(), [40, value, 45])
    assert caught.value.client_id == "#1"
    sums, dropped = run_sums(bounded_sums, Spy(), [40, value, 45], drop=True)
    assert sums == (85, 85)
    assert list(dropped) == ["#1"]


@functools.cache
def plain_round():
    """Four clients, one of whom fails."""
    plain = runtime.compile(secure_fed_avg(), on_client_error="drop")
    state, cohort = plain.initialize(), spoil(tiny.create_cohort(12, 4, 8, 5), "c2")
    return state, cohort, plain.next(state, cohort)


@pytest.mark.parametrize("secure", ["secagg", "ckks", "shares"])
def test_a_round_is_the_plain_round_bit_for_bit_also_with_a_dropout(secure):
    state, cohort, expected = plain_round()
    runner = fedlab.compile(secure_fed_avg(), secure_sum=secure, on_client_error="drop")
    found = runner.next(state, cohort)
    assert list(runner.dropped) == ["c2"]
    assert tiny.same_bits([found.state, found.metrics], [expected.state, expected.metrics])
    assert not tiny.same_bits(found.state, state)
    costs = runner.secure_sum.costs
    assert min(costs.bytes_up[one] for one in ("c0", "c1", "c3")) > 4 * 7850
    assert sum(costs.seconds.values()) > 0


def test_the_sum_under_distributed_dp_is_the_plain_sum():
    # Its clients draw noise anew in every round, so one round has both sums.
    spy = Spy(SecAgg())
    runner = runtime.compile(distributed_dp(), secure_sum=spy)
    found = runner.next(runner.initialize(), tiny.create_cohort())
    assert spy.finished
    assert all(np.all(np.isfinite(one)) for one in runner.get_model_weights(found.state).trainable)
    (vector,) = [one for one in spy.specs if one.size > 7850]
    assert (vector.shape, vector.dtype, vector.max_value) == ((8192,), np.int32, 2**20 - 1)


def test_distributed_dp_runs_without_a_secure_sum_too():
    runner = runtime.compile(distributed_dp())
    found = runner.next(runner.initialize(), tiny.create_cohort())
    assert all(np.all(np.isfinite(one)) for one in runner.get_model_weights(found.state).trainable)


def test_too_few_survivors_end_the_round_and_leave_the_state():
    state, cohort, _ = plain_round()
    runner = runtime.compile(
        secure_fed_avg(), secure_sum=SecAgg(threshold=4), on_client_error="drop"
    )
    with pytest.raises(ProtocolError, match="Only 3 of 4 .* threshold is 4"):
        runner.next(state, cohort)
    whole = tiny.create_cohort(12, 4, 8, 5)
    plain = runtime.compile(secure_fed_avg())
    assert tiny.same_bits(runner.next(state, whole), plain.next(state, whole))


# Bad input


@pytest.mark.parametrize(
    "options, message",
    [
        ({"secure_sum": "rot13"}, "plain, secagg, ckks, shares, or have .* Found 'rot13'"),
        ({"secure_sum": 3}, "Found 3"),
        ({"secure_sum": None}, "Found None"),
        ({"secure_sum": "secagg", "runtime": "tff"}, "runtime='local' alone. Found 'tff'"),
        ({"secure_sum": Spy(), "runtime": "ray"}, "runtime='local' alone. Found 'ray'"),
        ({"secure_sum": "secagg"}, r"Build it with .* tff.learning.secure_aggregator\(\)"),
    ],
)
def test_compile_checks_the_secure_sum(options, message):
    with pytest.raises(ValueError, match=message):
        runtime.compile(fed_avg(), **options)


def test_a_process_without_a_form_has_no_secure_sum():
    with pytest.raises(ValueError, match="MapReduceForm, and this one has none"):
        runtime.compile(build_two_phases(), secure_sum=Spy())


def test_large_messages_are_allowed_inside_alone():
    distributed_dp()  # allowed, and over
    with pytest.raises(DecodeError):
        unweighted(lambda: build_distributed_dp_aggregator())  # not the one that was built
