"""Any `threshold` shares give the secret, and fewer leave every secret possible."""

import itertools
import os

import pytest

from fedlab.secure.secagg import shamir

SECRET = bytes(range(16))


def as_number(share):
    return int.from_bytes(share, "big")


def double(number):
    """Times x in GF(2**128), modulo x**128 + x**7 + x**2 + x + 1."""
    return (number << 1) ^ (0x87 | 1 << 128 if number >> 127 else 0)


def pick(shares, places):
    return {place: shares[place] for place in places}


@pytest.mark.parametrize("threshold, num_shares", [(2, 2), (2, 5), (3, 5), (5, 5)])
def test_any_shares_of_the_threshold_give_the_secret(threshold, num_shares):
    shares = shamir.split(SECRET, threshold, num_shares)
    assert list(shares) == list(range(1, num_shares + 1))
    for places in itertools.permutations(shares, threshold):
        assert shamir.combine(pick(shares, places), threshold) == SECRET


def test_more_shares_than_needed_give_the_same():
    assert shamir.combine(shamir.split(SECRET, 3, 7), 3) == SECRET


def test_a_line_worked_out_by_hand():
    # share(x) = secret + x * slope, where adding is XOR: so 2 * slope doubles, and 3 = 2 + 1.
    for _ in range(20):
        shares = {place: as_number(one) for place, one in shamir.split(SECRET, 2, 3).items()}
        slope = shares[1] ^ as_number(SECRET)
        assert shares[2] == as_number(SECRET) ^ double(slope)
        assert shares[3] == shares[1] ^ shares[2] ^ as_number(SECRET)


def test_fewer_shares_leave_every_secret_possible():
    shares = shamir.split(SECRET, 3, 5)
    # For two shares held, each value of a third is another secret: none is ruled out.
    secrets = {shamir.combine(pick(shares, [1, 2]) | {3: os.urandom(16)}, 3) for _ in range(50)}
    assert len(secrets) == 50
    assert SECRET not in secrets


def test_the_same_secret_has_other_shares_each_time():
    first, second = (shamir.split(SECRET, 2, 4) for _ in range(2))
    assert not set(first.values()) & set(second.values())


def test_a_share_that_does_not_belong_gives_another_secret_without_a_word():
    shares = shamir.split(SECRET, 3, 5) | {2: shamir.split(SECRET, 3, 5)[2]}
    assert shamir.combine(shares, 3) != SECRET


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((b"short", 2, 3), "must have 16 bytes. Found 5"),
        ((bytes(32), 2, 3), "must have 16 bytes. Found 32"),
        ((SECRET, 1, 3), "between 2 and 3 .* Found 1"),
        ((SECRET, 4, 3), "between 2 and 3 .* Found 4"),
        ((SECRET, 0, 0), "Found 0"),
    ],
)
def test_split_checks_its_arguments(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        shamir.split(*arguments)
    assert "short" not in str(caught.value)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda shares: pick(shares, [1, 5]), "3 shares are needed. Found 2"),
        (lambda shares: {}, "Found 0"),
        (lambda shares: shares | {2: b"short"}, "16 bytes. Found a share of another length"),
        (lambda shares: shares | {0: SECRET}, "from 1. Found 0"),
    ],
)
def test_combine_checks_its_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        shamir.combine(change(shamir.split(SECRET, 3, 5)), 3)
