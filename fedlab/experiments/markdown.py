"""Markdown tables of results. `privacy_record.markdown` is another: its cells are a user's text."""

from collections.abc import Collection, Iterable, Sequence


def table(
    titles: Sequence[str], rows: Iterable[Sequence[object]], *, texts: Collection[str] = ()
) -> str:
    """Returns a table as Markdown; a stroke in a cell would end it and becomes a slash.

    Args:
        titles: The first line.
        rows: The cells of the other lines.
        texts: The titles of columns of text besides the first. The others, numbers, are flush right.
    """
    rule = ["---" if title in (titles[0], *texts) else "---:" for title in titles]
    return "\n".join(_line(cells) for cells in (titles, rule, *rows))


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"
