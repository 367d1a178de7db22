"""Sums under CKKS are exact once they are rounded, and what is no such sum is refused."""

import numpy as np
import pytest
import tenseal as ts
from helpers.integers import check_equal

from fedlab.secure import ckks_parameters
from fedlab.secure.interface import IntegerSpec, ProtocolError


@pytest.mark.parametrize(
    "num_clients, max_total",
    [(1, 2**32), (10, 10 * 2**32), (40, 40 * 2**32), (10, 10), (100, 100 * 2**32), (8, 2**45)],
)
def test_the_error_before_rounding_is_within_the_bound(num_clients, max_total):
    parameters = ckks_parameters.choose_parameters(num_clients, max_total)
    bound = parameters.error_bound(num_clients, max_total)
    key_holder = ckks_parameters.KeyHolder(parameters)
    context = ts.context_from(key_holder.public_context)
    rng, scale = np.random.default_rng(0), parameters.scale(max_total)
    numbers = rng.integers(0, max_total // num_clients, (num_clients, parameters.num_slots))
    ciphertexts = [ts.ckks_vector(context, one.astype(float), scale) for one in numbers]
    total = ciphertexts[0]
    for ciphertext in ciphertexts[1:]:
        total.add_(ciphertext)
    error = np.abs(key_holder.decrypt([total.serialize()]) - numbers.sum(axis=0)).max()
    assert error <= bound <= 0.25
    if parameters == ckks_parameters.PARAMETERS[0]:
        assert error > bound / 100  # it is not so wide that it says nothing


@pytest.mark.parametrize(
    "num_clients, bits, chosen", [(10, 32, 0), (32, 32, 0), (33, 32, 1), (100, 24, 0)]
)
def test_the_parameters_with_more_bytes_are_taken_only_where_they_must_be(
    num_clients, bits, chosen
):
    parameters = ckks_parameters.choose_parameters(num_clients, num_clients * (2**bits - 1))
    assert parameters == ckks_parameters.PARAMETERS[chosen]


def test_what_cannot_be_exact_is_refused():
    with pytest.raises(ValueError, match="cannot sum 4 clients' integers up to a total of 2251"):
        ckks_parameters.choose_parameters(4, 2**51)


def test_parameters_that_are_not_safe_are_refused():
    with pytest.raises(ValueError, match="not set correctly"):
        ckks_parameters.KeyHolder(
            ckks_parameters.CkksParameters(4096, (60, 50))
        )  # 110 bits; 109 are safe


@pytest.mark.parametrize("value", [9.0, -1.0, 0.5, np.nan])
def test_a_sum_that_no_values_within_the_bounds_have_is_refused(value):
    spec = IntegerSpec((3,), np.dtype(np.int32), 4)
    check_equal(
        ckks_parameters.round_sums(np.array([0.01, 3.9, 8.0]), [spec], 2, error_bound=0.1 + 1e-9),
        [np.array([0, 4, 8], np.int32)],
    )
    with pytest.raises(ProtocolError, match="not a sum of integers within the bounds") as caught:
        ckks_parameters.round_sums(np.array([0.0, 4.0, value]), [spec], 2, error_bound=0.1)
    assert str(value) not in str(caught.value)


def test_sums_are_split_into_tensors_and_taken_modulo_what_each_spec_says():
    specs = [
        IntegerSpec((2, 2), np.dtype(np.int32), 10),
        IntegerSpec((0,), np.dtype(np.int64), 5),
        IntegerSpec((3,), np.dtype(np.uint8), 6, 7),
        IntegerSpec((), np.dtype(np.uint64), 6, 2**64),
    ]
    numbers = np.array([0, 1, 19, 20, 6, 7, 12, 11], np.float64)
    expected = [
        np.array([[0, 1], [19, 20]], np.int32),
        np.empty(0, np.int64),
        np.array([6, 0, 5], np.uint8),
        np.array(11, np.uint64),
    ]
    check_equal(ckks_parameters.round_sums(numbers, specs, 2, error_bound=0.1), expected)
    for wrong in (numbers[1:], np.append(numbers, 0.0)):
        with pytest.raises(ProtocolError):
            ckks_parameters.round_sums(wrong, specs, 2, error_bound=0.1)
