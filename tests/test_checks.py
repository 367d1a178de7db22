"""The shared checks: what they let through, and what their errors name."""

import math

import numpy as np
import pytest

from fedlab.checks import (
    check_choice,
    check_count,
    check_not_empty,
    check_number,
    check_seed,
    describe,
)


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int64(1)])
def test_every_kind_of_number_becomes_a_float(value):
    number = check_number("rate", value, above=0, at_most=1)
    assert number == 1 and type(number) is float


@pytest.mark.parametrize(
    "value, bounds, message",
    [
        (0, {"above": 0}, r"rate must be a finite number above 0. Found 0\."),
        (-1, {"at_least": 0}, r"of at least 0. Found -1\."),
        (1, {"at_least": 0, "below": 1}, r"a number in \[0, 1\). Found 1\."),
        (2, {"above": 0, "at_most": 1}, r"a number in \(0, 1\]. Found 2\."),
        (2, {"below": 2}, r"a finite number below 2. Found 2\."),
        (math.nan, {}, r"a finite number. Found nan\."),
        (math.inf, {"above": 0}, r"above 0. Found inf\."),
    ],
)
def test_a_number_out_of_bounds_is_named(value, bounds, message):
    with pytest.raises(ValueError, match=message):
        check_number("rate", value, **bounds)


@pytest.mark.parametrize("value", [True, np.True_, "5", None, [1.0], 1j])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match="rate must be a number. Found"):
        check_number("rate", value)
    with pytest.raises(TypeError, match="num_rounds must be a whole number. Found"):
        check_count("num_rounds", value)


@pytest.mark.parametrize("value", [3, np.int32(3)])
def test_every_kind_of_integer_becomes_an_int(value):
    count = check_count("num_rounds", value, at_most=3)
    assert count == 3 and type(count) is int


def test_a_count_out_of_bounds_is_named():
    with pytest.raises(TypeError, match=r"num_rounds must be a whole number. Found 2\.0"):
        check_count("num_rounds", 2.0)
    with pytest.raises(ValueError, match=r"num_rounds must be at least 1. Found 0\."):
        check_count("num_rounds", 0)
    with pytest.raises(ValueError, match=r"num_rounds must be at most 4. Found 5\."):
        check_count("num_rounds", 5, at_most=4)


def test_a_seed_may_be_zero_but_not_less():
    assert check_seed(0) == 0
    with pytest.raises(ValueError, match=r"seed must be at least 0. Found -1\."):
        check_seed(-1)


def test_the_nearest_choice_is_named():
    assert check_choice("runtime", "local", ["local", "tff"]) == "local"
    with pytest.raises(ValueError, match="one of local, tff. Found 'lokal'. Did you mean 'local'"):
        check_choice("runtime", "lokal", ["local", "tff"])
    with pytest.raises(ValueError, match=r"one of local, tff. Found None\.$"):
        check_choice("runtime", None, ["local", "tff"])


def test_an_empty_collection_is_named():
    check_not_empty("client_ids", ["a"])
    with pytest.raises(ValueError, match="client_ids must have at least one entry"):
        check_not_empty("client_ids", [])


@pytest.mark.parametrize(
    "value", ["x" * 500, list(range(500)), 10**9000, {"a": "\n" * 200}], ids=type
)
def test_a_value_in_an_error_is_short(value):
    text = describe(value)
    assert len(text) <= 80 and "\n" not in text


def test_an_array_in_an_error_is_its_dtype_and_shape():
    assert describe(np.zeros((3, 2))) == "ndarray float64 (3, 2)"
