"""What a parameter may be: for each kind the wrong values, and the other ways to write a right one.

`bad` values are tried one by one; `drawn` is a hypothesis strategy for more. `variants` gets a good
value and returns others that mean the same, such as `np.float32(0.5)` and `Fraction(1, 2)` for 0.5.
"""

import dataclasses
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

NAN, INF, HUGE = math.nan, math.inf, 2**70


@dataclasses.dataclass(frozen=True)
class Kind:
    bad: tuple[Any, ...]
    drawn: st.SearchStrategy
    variants: Callable[[Any], list[Any]] = lambda good: []
    is_optional: bool = False

    def without(self, *right: Any) -> "Kind":
        """Some of these values are right here."""
        shown = [repr(value) for value in right]
        bad = tuple(value for value in self.bad if repr(value) not in shown)
        drawn = self.drawn.filter(lambda value: repr(value) not in shown)
        return dataclasses.replace(self, bad=bad, drawn=drawn)


class Thing:
    """An object of no kind at all."""

    def __repr__(self):
        return "<a thing>"


THING = Thing()
# No number, text, flag, collection or object of the package.
NOTHING = (None, THING, 1j)


def optional(kind: Kind) -> Kind:
    """None is allowed, too."""
    bad = tuple(value for value in kind.bad if value is not None)
    return dataclasses.replace(kind, bad=bad, is_optional=True)


def number(*, above=None, at_least=None, below=None, at_most=None) -> Kind:
    edges = [value for value in (above, below) if value is not None]
    edges += [] if at_least is None else [at_least - 0.125, -1]
    edges += [] if at_most is None else [at_most + 0.125]

    def is_within(value):
        return (
            (above is None or value > above)
            and (at_least is None or value >= at_least)
            and (below is None or value < below)
            and (at_most is None or value <= at_most)
        )

    outside = st.floats(allow_nan=False, allow_infinity=False) | st.integers()
    return Kind(
        bad=(
            *(*NOTHING, True, np.True_, "5", "", b"5", [], [0.5], {}, NAN, INF, -INF, 10**400),
            *(np.float32(NAN), Decimal("NaN"), np.array([0.25, 0.5]), pd.NaT, *edges),
        ),
        drawn=st.text(max_size=8)
        | st.complex_numbers()
        | st.lists(st.floats(), max_size=3)
        | outside.filter(lambda value: not is_within(value)),
        variants=lambda good: [
            *([int(good), np.int64(good)] if good == int(good) else []),
            *([np.float32(good)] if np.float32(good) == good else []),
            *(np.float64(good), np.array(good), Fraction(good), Decimal(good)),
        ],
    )


def count(*, at_least=1, at_most=2**31 - 1) -> Kind:
    return Kind(
        bad=(
            *(*NOTHING, True, np.False_, "5", "", b"5", [], [3], {}, NAN, INF, -INF, 2.5, 2.0),
            *(np.float32(2), Fraction(5, 2), np.array([3, 4]), at_least - 1, -7, at_most + 1, HUGE),
        ),
        drawn=st.text(max_size=8)
        | st.floats()
        | st.booleans()
        | st.integers(max_value=at_least - 1)
        | st.integers(min_value=at_most + 1),
        variants=lambda good: [np.int64(good), np.int32(good), np.array(good)],
    )


NUMBER, POSITIVE, NOT_NEGATIVE = number(), number(above=0), number(at_least=0)
FRACTION = number(above=0, below=1)  # neither nothing nor all
SHARE = number(above=0, at_most=1)
ZERO_TO_ONE = number(at_least=0, at_most=1)
BELOW_ONE = number(at_least=0, below=1)
COUNT = count()
SEED = Kind(
    bad=(
        *(*NOTHING, True, np.False_, "5", "", b"5", [], [1, 2], {1}, {}, NAN, INF, 2.5, 2.0, -1),
        *(np.array([1, 2]), np.random.default_rng(0), pd.NaT),
    ),
    drawn=st.text(max_size=8) | st.floats() | st.lists(st.integers()) | st.integers(max_value=-1),
    variants=lambda good: [np.int64(good), np.uint8(good), np.array(good)],
)
FLAG = Kind(
    bad=(
        *NOTHING,
        "False",
        "no",
        "",
        "True",
        0,
        1,
        1.0,
        NAN,
        [],
        [True],
        {},
        b"",
        np.array([True]),
    ),
    drawn=st.text(max_size=8) | st.integers() | st.floats(),
    variants=lambda good: [np.bool_(good), np.array(good)],
)
TEXT = Kind(
    bad=(*NOTHING, 5, True, NAN, b"a", [], ["a"], {"a"}, {}, np.array(["a"])),
    drawn=st.integers() | st.floats() | st.binary() | st.lists(st.text()),
    variants=lambda good: [np.str_(good)],
)
CALLABLE = Kind(
    bad=(*NOTHING, 5, True, "f", "", [], {}, NAN), drawn=st.text() | st.integers() | st.floats()
)
AXES = optional(CALLABLE)
PATH = Kind(
    bad=(*NOTHING, 5, True, "", b"a", [], {}, NAN, ["a"]), drawn=st.integers() | st.floats()
)


def choice(*names: str) -> Kind:
    """One of these names."""
    bad = (*TEXT.bad, "", "nobody", f"{names[0]} ", f"{names[0]}, {names[0]}")
    drawn = TEXT.drawn | st.text(max_size=8).filter(lambda text: text not in names)
    return Kind(bad, drawn, TEXT.variants)


def instance(*others: Any) -> Kind:
    """An object of the package or of TFF; the others are near it and wrong."""
    return Kind((*NOTHING, 5, True, "a", "", [], {}, NAN, *others), CALLABLE.drawn)


def ids(good: list[str], *, must_exist=False, may_repeat=False, may_be_empty=False) -> Kind:
    """A list of distinct names."""
    wrong = (None, NAN, 3, True, "", b"a", ("a",), THING, pd.NaT)
    rest = good[1:]
    bad = [*NOTHING, 5, NAN, "writer", "", b"writer", np.array([rest, rest]), np.array(3)]
    bad += [[*rest, value] for value in wrong]
    bad += [] if may_repeat else [[*rest, *rest], set(good), frozenset(good)]
    bad += [["nobody", *rest]] if must_exist else []
    bad += [] if may_be_empty else [[], {}]
    return Kind(
        tuple(bad),
        st.tuples(st.integers(0, len(rest)), st.none() | st.integers() | st.floats() | st.binary())
        .map(lambda pair: [*rest[: pair[0]], pair[1], *rest[pair[0] :]])
        .filter(lambda names: len(names) == len(good)),
        lambda good: [tuple(good), np.array(good), pd.Index(good), np.array(good, object)],
    )


def labels(good: np.ndarray, *, num_classes: int | None = None) -> Kind:
    """Whole numbers (n,)."""
    good = np.asarray(good)
    one_hot = np.eye(10, dtype=int)[good]
    bad = [*NOTHING, 5, "0123", [], {}, one_hot, good[:, None], good + 0.5, good == 1]
    bad += [good.astype(str), good.astype(complex), np.where(good == good[0], NAN, good)]
    bad += [np.array([*good[1:], None], object), good[1:] if num_classes else good - 100.5]
    bad += [np.ma.masked_array(good, good == good[0])]
    bad += [good - 1 - good.min(), good + num_classes] if num_classes else []
    return Kind(
        tuple(bad),
        st.floats().map(lambda value: np.array([*good[1:], value])),
        lambda good: [np.asarray(good, t) for t in (np.int64, np.int32, np.uint8)] + [list(good)],
    )


def array(good: Any, *, at_least=None, at_most=None, is_finite=True) -> Kind:
    """Numbers in an array with this number of dimensions."""
    good = np.asarray(good, float)
    first = np.arange(good.size).reshape(good.shape) == 0
    bad = [*NOTHING, 5, "a", [], {}, good[None], good.astype(complex), good.astype(str)]
    bad += [good.astype("datetime64[s]"), good.astype(object) + np.where(first, 1j, 0)]
    bad += [np.where(first, NAN, good), np.ma.masked_array(good, first), good[:0], good > 0.5]
    bad += [np.where(first, value, good) for value in ((INF, -INF) if is_finite else ())]
    bad += [] if at_least is None else [np.where(first, at_least - 0.25, good)]
    bad += [] if at_most is None else [np.where(first, at_most + 0.25, good)]
    drawn = st.text(max_size=3) | st.binary(max_size=3) | st.none()
    return Kind(
        tuple(bad),
        drawn.map(lambda value: np.where(first, np.array(value, object), good)),
        lambda good: [np.asarray(good, np.float32), np.asarray(good).tolist()],
    )


def pixels(good: np.ndarray) -> Kind:
    """Images with values in [0, 1]."""
    kind = array(good, at_least=0, at_most=1)
    wrong = (good[..., 0], np.round(200 * good + 3).astype(np.uint8))
    return dataclasses.replace(kind, bad=(*kind.bad, *wrong))


def bools(good: Any) -> Kind:
    """Truth values (n,)."""
    good = np.asarray(good, bool)
    bad = [*NOTHING, 5, "False", [], {}, good.astype(str), np.where(good, 0.5, 0), good[None]]
    bad += [np.where(good, NAN, 0), np.where(good, 2, 0), good[1:], good.astype(complex)]
    bad += [np.where(good, None, False), good.astype(str).tolist()]
    return Kind(
        tuple(bad),
        st.floats().filter(lambda v: v not in (0, 1)).map(lambda v: np.where(good, v, 0)),
        lambda good: [np.asarray(good).tolist(), np.asarray(good, int)],
    )


def mapping(good: Any, *entries: Any) -> Kind:
    """From names to something; `entries` are wrong for the first name."""
    first = next(iter(good), None)
    bad = [*NOTHING, 5, "a", "", [], {}, [3], {"a"}]
    bad += [dict(good) | {first: entry} for entry in entries]
    drawn = (st.text() | st.integers() | st.floats()).map(lambda value: [value])
    return Kind(tuple(bad), drawn)


def table(good: pd.DataFrame, *required: str) -> Kind:
    """A table with these columns."""
    bad = [*NOTHING, 5, "a", [], {}, good[:0], good.to_numpy()]
    bad += [good.drop(columns=name) for name in required]
    return Kind(tuple(bad), CALLABLE.drawn)
