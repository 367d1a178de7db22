"""How a value appears in an error: short, whatever it is."""

from typing import Any

_MAX_LENGTH = 80


def describe(value: Any) -> str:
    """Returns a value for an error, in at most 80 characters; of an array its dtype and its shape.

    Args:
        value: Any object.
    """
    kind = type(value).__name__
    shape = () if isinstance(value, type) else getattr(value, "shape", ())
    if shape:
        text = f"{kind} {getattr(value, 'dtype', '')} {tuple(shape)}".replace("  ", " ")
    else:
        try:
            text = " ".join(repr(value).split())
        except Exception:  # such as an int of more than 4,300 digits, which Python does not print
            text = f"an object of type {kind}"
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."
