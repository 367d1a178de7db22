"""The privacy of several runs on the same clients adds up."""

import math

import pytest

from fedlab.dp import accounting
from fedlab.dp.ledger import PrivacyLedger

RUN = {"num_clients": 100, "num_rounds": 10}


def create_ledger(*noise_multipliers, **options):
    ledger = PrivacyLedger(200, **options)
    for number, noise_multiplier in enumerate(noise_multipliers):
        ledger.add(f"run {number}", noise_multiplier, **RUN)
    return ledger


@pytest.mark.parametrize("sampling", accounting.NEIGHBOURS)
def test_equal_runs_are_one_long_run(sampling):
    ledger = create_ledger(1.0, 1.0, 1.0, sampling=sampling)
    long_run = accounting.epsilon(
        1.0, num_clients=100, population=200, num_rounds=30, sampling=sampling
    )
    assert ledger.epsilon == pytest.approx(long_run, rel=1e-3)


def test_runs_cost_more_than_one_and_less_than_the_sum():
    ledger = create_ledger(1.0, 2.0)
    frame = ledger.to_frame()
    assert list(frame.name) == ["run 0", "run 1"]
    alone = [accounting.epsilon(noise, population=200, **RUN) for noise in (1.0, 2.0)]
    assert list(frame.epsilon) == pytest.approx(alone, rel=1e-3)
    assert max(alone) < ledger.epsilon < sum(alone)
    totals = [frame.epsilon[0], ledger.epsilon]
    assert frame.delta.unique() == [1 / 2000]
    assert list(frame.total_epsilon) == pytest.approx(totals, rel=1e-3)


def test_no_run_costs_nothing_and_one_without_noise_everything():
    assert PrivacyLedger(200).epsilon == 0
    assert PrivacyLedger(200).to_frame().empty
    assert create_ledger(1.0, 0.0).epsilon == math.inf


@pytest.mark.parametrize(
    "options, message",
    [
        ({"population": 1}, "population must be at least 2. Found 1"),
        ({"delta": 0.0}, "delta .* Found 0"),
        ({"delta": 0.001}, r"delta must be at most 1 / \(10 \* population\), 0.0005.* Found 0.001"),
        ({"sampling": "shuffled"}, "sampling must be one of"),
    ],
)
def test_what_is_no_ledger_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PrivacyLedger(**({"population": 200} | options))


@pytest.mark.parametrize(
    "noise_multiplier, options, message",
    [
        (-1.0, {}, "noise_multiplier .* Found -1"),
        (1.0, {"num_clients": 201}, "num_clients .* Found 201"),
        (1.0, {"num_rounds": 0}, "num_rounds must be at least 1. Found 0"),
    ],
)
def test_what_is_no_run_is_refused(noise_multiplier, options, message):
    ledger = PrivacyLedger(200)
    with pytest.raises(ValueError, match=message):
        ledger.add("a run", noise_multiplier, **(RUN | options))
    assert ledger.epsilon == 0
