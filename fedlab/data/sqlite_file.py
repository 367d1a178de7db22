"""Reads an SQLite file that a stranger may have made: in bounded time and memory, running nothing.

A file's schema may hold more than data: views that never end, computed columns, trees of pages that
repeat each other. See "Defense against the dark arts" in SQLite's documentation.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MAX_TEXT = 80  # characters of a file's own text in a message
_MAX_VALUE_BYTES = 2**20
# CPU seconds of one connection. All pages of a whole file take far less.
_MIN_SECONDS = 10.0
_BYTES_PER_SECOND = 10**7
_INSTRUCTIONS_PER_CHECK = 10_000
_LIMITS = ("trusted_schema = OFF", "cell_size_check = ON", "ignore_check_constraints = ON")


def shorten(text: str) -> str:
    """Returns text from a file as it may stand in a message: printable and not long."""
    printable = "".join(char if char.isprintable() else "?" for char in text[: MAX_TEXT + 1])
    return printable if len(printable) <= MAX_TEXT else printable[: MAX_TEXT - 1] + "…"


@contextlib.contextmanager
def open_read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Opens a file read-only, with bounds. Ctrl-C ends a query.

    Args:
        path: The file.

    Yields:
        The connection. Each of its errors becomes a ValueError that names the file.

    Raises:
        ValueError: The file is damaged, or takes longer to read than a file of its size can.
    """
    deadline = time.thread_time() + _MIN_SECONDS + path.stat().st_size / _BYTES_PER_SECOND
    is_late = False

    def check_time() -> bool:
        nonlocal is_late
        is_late = time.thread_time() > deadline
        return is_late

    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        ) as connection:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
            connection.set_progress_handler(check_time, _INSTRUCTIONS_PER_CHECK)
            for limit in _LIMITS:
                connection.execute(f"PRAGMA {limit}")
            yield connection
    except sqlite3.DatabaseError as error:
        if is_late:
            raise ValueError(
                f"{path} takes too long to read for its size: it is damaged, or made to do harm. "
                "Get the file again."
            ) from error
        # An exception in `check_time` does not come through. Only that of Ctrl-C can be one.
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        raise ValueError(
            f"{path} is damaged ({shorten(str(error))}). Get the file again."
        ) from error


def fetch(path: Path, query: str, values: Sequence[str]) -> list[tuple[Any, ...]]:
    """Returns the rows of a query, which are no larger than the file.

    Args:
        path: The file.
        query: The SQL text of one SELECT. It sorts nothing, so SQLite keeps no rows of its own.
        values: The values of its question marks.

    Raises:
        ValueError: The file is damaged or made to do harm. The message names it.
    """
    rows, left = [], path.stat().st_size
    with open_read_only(path) as connection:
        for row in connection.execute(query, values):
            left -= 1 + sum(len(value) for value in row if isinstance(value, str | bytes))
            if left < 0:
                raise ValueError(
                    f"{path} is damaged: it gives more than it contains. Get the file again."
                )
            rows.append(row)
    return rows


def check_whole(path: Path) -> None:
    """Checks that a file is an SQLite file and not cut off.

    SQLite's header contains the number of pages, so a file that was cut off is noticed at once.

    Raises:
        ValueError: The file is cut off or of another format. The message names it.
    """
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(b"SQLite format 3\0") or len(header) < 100:
        raise ValueError(f"{path} is not an SQLite file. Get the file again.")
    page_size = int.from_bytes(header[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size  # 65536 has no room in two bytes
    num_bytes, expected = path.stat().st_size, page_size * int.from_bytes(header[28:32], "big")
    if num_bytes < expected:
        raise ValueError(f"{path} is cut off: {num_bytes} of {expected} bytes. Get the file again.")


def check_tables(path: Path, required: Mapping[str, set[str]]) -> None:
    """Checks that a file has tables with columns that it stores, and does not compute.

    Raises:
        ValueError: The file is damaged, or something else has a table's name, such as a view or a
            virtual table, or a column is missing or computed. The message names it.
    """
    with open_read_only(path) as connection:
        for table, needed in required.items():
            kinds = connection.execute(
                "SELECT type = 'table' AND sql LIKE 'CREATE TABLE %' FROM sqlite_master "
                "WHERE name = ? COLLATE NOCASE",
                (table,),
            ).fetchmany(2)
            info = connection.execute(f"PRAGMA table_xinfo({table})").fetchmany(1000)
            if kinds not in ([], [(1,)]) or any(hidden for *_, hidden in info):
                raise ValueError(
                    f"{path} is not in the format of TFF's SqlClientData: its {table!r} is a view, a "
                    "virtual table or has computed columns. Only plain tables are read."
                )
            columns = {name for _, name, *_ in info}
            if not needed <= columns:
                raise ValueError(
                    f"{path} is not in the format of TFF's SqlClientData: its table {table!r} must have "
                    f"{', '.join(sorted(needed))}. Found {shorten(str(sorted(columns)))}."
                )


def check_pages(path: Path) -> None:
    """Checks a file's structure page by page.

    Raises:
        ValueError: The file is damaged. The message names it.
    """
    with open_read_only(path) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise ValueError(f"{path} is damaged ({shorten(str(verdict))}). Get the file again.")
