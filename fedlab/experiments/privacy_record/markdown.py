"""Markdown of the record of a run: tables alone, in which no user's text is markup."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")


def escape(value: Any) -> str:
    """Returns text for one cell of a table: on one line, each sign of markup with a backslash.

    Args:
        value: Text or a number.
    """
    text = "".join(each if each.isprintable() else " " for each in to_text(value))
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def to_text(value: Any) -> str:
    """Returns a number as people read it: 7,012,352 or 0.607240; anything else as it is.

    Args:
        value: Text or a number. The JSON has the number with all its digits.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def render(title: str, sections: Mapping[str, Any]) -> str:
    """Returns a document with one heading and one table for each section.

    Args:
        title: The first line's text.
        sections: From a heading to a dictionary of values, a list of dictionaries with equal keys,
            or text.
    """
    parts = [f"# {escape(title)}"]
    for heading, content in sections.items():
        parts.append(f"## {escape(heading[:1].upper() + heading[1:])}")
        parts.append(_render_section(content))
    return "\n\n".join(parts) + "\n"


def _render_section(content: Any) -> str:
    if isinstance(content, Mapping):
        return _table(["field", "value"], [[name, content[name]] for name in content])
    if isinstance(content, list):
        return _table(list(content[0]), [list(row.values()) for row in content])
    return escape(content)


def _table(header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    cells = [
        [each if number == 1 else escape(each) for each in line]
        for number, line in enumerate(lines)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
