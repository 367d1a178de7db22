"""How to call a public function rightly, and the kind of each of its parameters."""

import dataclasses
from collections.abc import Callable
from typing import Any

from helpers.border.kinds import Kind


@dataclasses.dataclass(frozen=True)
class Call:
    """A function with good arguments.

    Attributes:
        function: The function or class.
        parameters: From a parameter to a good value and its kind. A kind of None: the parameter is
            not tried, because another test has its wrong values.
        name: What a report calls it.
        is_slow: Whether a call with good arguments takes long. Then all parameters are varied at
            the same time, in a few calls.
    """

    function: Callable[..., Any]
    parameters: dict[str, tuple[Any, Kind | None]]
    name: str = ""
    is_slow: bool = False

    @property
    def label(self) -> str:
        module = self.function.__module__.removeprefix("fedlab.")
        return self.name or f"{module}.{self.function.__qualname__}"

    @property
    def good(self) -> dict[str, Any]:
        return {name: value for name, (value, _) in self.parameters.items()}


def call(function: Callable[..., Any], /, **parameters: tuple[Any, Kind | None]) -> Call:
    return Call(function, parameters)


def slow(function: Callable[..., Any], /, **parameters: tuple[Any, Kind | None]) -> Call:
    return Call(function, parameters, is_slow=True)


def named(
    name: str, function: Callable[..., Any], /, **parameters: tuple[Any, Kind | None]
) -> Call:
    """A method, or what a function returns."""
    return Call(function, parameters, name)
