"""Calls a function with one wrong argument, and says how it ended."""

import contextlib
import signal
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
from helpers.border.calls import Call
from helpers.border.kinds import Kind

import fedlab

PACKAGE = str(Path(fedlab.__file__).parent)
SECONDS = 20  # a call that takes longer hangs
PLAIN = (str, bytes, bool, int, float, complex, type(None), np.generic)
SETTINGS = hypothesis.settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=5,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


class Hang(BaseException):
    pass


def _stop(*_):
    raise Hang


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def drawn(kind: Kind) -> list[Any]:
    """Returns the values that hypothesis draws, the same in every run."""
    values = []

    @SETTINGS
    @hypothesis.given(kind.drawn)
    def draw(value):
        values.append(value)

    draw()
    return values


def bad_values(kind: Kind) -> list[Any]:
    return [*kind.bad, *drawn(kind)]


def attempt(case: Call, name: str, value: Any) -> tuple[str, str]:
    """Returns "clear", "unclear", "accepted" or "hang", and the text of the error.

    A clear error is a ValueError or TypeError that fedlab raises and that names the parameter, or
    the entry of it, and the value.
    """
    try:
        with time_limit():
            case.function(**case.good | {name: value})
    except Hang:
        return "hang", ""
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        is_ours = traceback.extract_tb(error.__traceback__)[-1].filename.startswith(PACKAGE)
        is_clear = (
            is_ours
            and isinstance(error, ValueError | TypeError)
            and is_named(str(error), name, value)
            and is_shown(str(error), value)
        )
        return ("clear" if is_clear else "unclear"), text
    return "accepted", ""


def is_named(text: str, name: str, value: Any) -> bool:
    entries = value if isinstance(value, Mapping | pd.DataFrame) else ()
    return name in text or any(repr(key) in text for key in entries)


def is_shown(text: str, value: Any) -> bool:
    if isinstance(value, PLAIN):
        return any(form in text for form in (repr(value)[:40], str(value)[:40]) if form)
    return "Found" in text or repr(value)[:40] in text


def good_calls(case: Call) -> Iterator[dict[str, Any]]:
    """Yields changes of the good arguments that mean the same."""
    yield {}
    variants = {
        name: kind.variants(value) + ([None] if kind.is_optional else [])
        for name, (value, kind) in case.parameters.items()
        if kind is not None and value is not None
    }
    if case.is_slow:  # the first form of all parameters, and the last
        for place in (0, -1):
            yield {name: forms[place] for name, forms in variants.items() if forms}
    else:
        for name, forms in variants.items():
            yield from ({name: form} for form in forms)
