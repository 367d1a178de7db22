"""What every secure sum checks."""

import numpy as np
import pytest

from fedlab.secure.interface import Attendance, Costs, IntegerSpec, check_cohort, check_values

SPEC = IntegerSpec((2, 2), np.dtype(np.int32), 10)
VALUES = np.array([[0, 1], [7, 10]], np.int32)
SECRET_NUMBER = 987_654


# Which tensors are summed


@pytest.mark.parametrize(
    "arguments, message",
    [
        (((2,), np.dtype(np.float32), 5), "an integer dtype. Found .*float32"),
        (((2,), np.dtype(np.int32), -1), "max_value must be at least 0. Found -1"),
        (((2,), np.dtype(np.int8), 128), "max_value must be at most 127. Found 128"),
        (((2,), np.dtype(np.int32), 5, 5), "modulus must be at least 6. Found 5"),
        (((2,), np.dtype(np.int8), 5, 129), "modulus must be at most 128. Found 129"),
    ],
)
def test_a_spec_checks_itself(arguments, message):
    with pytest.raises(ValueError, match=message):
        IntegerSpec(*arguments)


@pytest.mark.parametrize(
    "max_value, modulus, num_clients, expected",
    [
        (0, None, 9, 2),
        (1, None, 1, 2),
        (1, None, 2, 4),
        (5, None, 3, 16),
        (2**32 - 1, None, 20, 2**37),
        (9, 10, 50, 10),
        (255, 256, 50, 256),
    ],
)
def test_no_sum_reaches_the_working_modulus(max_value, modulus, num_clients, expected):
    spec = IntegerSpec((), np.dtype(np.int64), max_value, modulus)
    assert spec.working_modulus(num_clients) == expected
    assert modulus or max_value * num_clients < expected


# Which clients add, and which values


SPOILT = {
    "floats": ([VALUES.astype(np.float32)], "dtype must be int32. Found float32"),
    "NaN": ([np.full((2, 2), np.nan)], "dtype must be int32. Found float64"),
    "another integer": ([VALUES.astype(np.int64)], "dtype must be int32. Found int64"),
    "truth": ([VALUES > 0], "dtype must be int32. Found bool"),
    "another shape": ([VALUES[:1]], r"shape must be \(2, 2\). Found \(1, 2\)"),
    "no shape": ([np.int32(3)], r"Found \(\)"),
    "too large": ([VALUES + 1], "between 0 and 10"),
    "far too large": ([VALUES + SECRET_NUMBER], "between 0 and 10"),
    "negative": ([VALUES - SECRET_NUMBER], "between 0 and 10"),
    "none": ([], "must add 1 tensors. Found 0"),
    "two": ([VALUES, VALUES], "must add 1 tensors. Found 2"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_values_are_checked_and_not_told(name):
    values, message = SPOILT[name]
    with pytest.raises(ValueError, match=message) as caught:
        check_values("c7", values, [SPEC])
    assert "'c7'" in str(caught.value)
    assert str(SECRET_NUMBER)[:3] not in str(caught.value)


def add(attendance, client_id, values=VALUES):
    with attendance.admit(client_id):
        check_values(client_id, [values], [SPEC])


def test_a_refused_client_may_still_add_and_a_client_that_has_added_may_not():
    attendance = Attendance(["a", "b"])
    with pytest.raises(ValueError, match="between 0 and 10"):
        add(attendance, "b", VALUES + 1)
    add(attendance, "b")
    assert attendance.added == ["b"]
    with pytest.raises(ValueError, match="'b' has added already"):
        add(attendance, "b")
    with pytest.raises(ValueError, match="'c' is not in this round"):
        add(attendance, "c")


def test_a_round_ends_once_and_not_before_a_client_has_added():
    attendance = Attendance(["a", "b"])
    with pytest.raises(ValueError, match="No client has added"):
        attendance.end()
    add(attendance, "a")
    attendance.end()
    for use in (attendance.end, lambda: add(attendance, "b")):
        with pytest.raises(ValueError, match="round is over"):
            use()


BYTE = IntegerSpec((), np.dtype(np.int8), 64)
WIDE = IntegerSpec((), np.dtype(np.uint64), 2**63 - 1, 2**63)


@pytest.mark.parametrize(
    "client_ids, specs, error, message",
    [
        ([], [SPEC], ValueError, "client_ids must name at least one client"),
        (["a", "b", "a"], [SPEC], ValueError, "client_ids must be different. Found 'a' twice"),
        (["a", 3], [SPEC], TypeError, "client_ids must be text. Found 3"),
        (["a"], [], ValueError, "specs must have at least one entry"),
        (["a", "b"], [SPEC, BYTE], ValueError, "Tensor 1: .* 2 clients' .* up to 64 .* than 127"),
        (["a", "b", "c"], [WIDE], ValueError, "Tensor 0: .* larger than 18446744073709551615"),
    ],
)
def test_a_cohort_and_its_specs_are_checked(client_ids, specs, error, message):
    with pytest.raises(error, match=message):
        check_cohort(client_ids, specs)


def test_as_much_as_the_dtype_holds_is_summed():
    assert check_cohort(["a"], [BYTE]) == (("a",), (BYTE,))
    assert check_cohort(["a", "b"], [WIDE]) == (("a", "b"), (WIDE,))


def test_phases_add_up_also_those_that_fail():
    costs = Costs()
    for _ in range(2):
        with pytest.raises(KeyError), costs.timed("phase"):
            raise KeyError
    assert list(costs.seconds) == ["phase"]
    assert costs.seconds["phase"] > 0
