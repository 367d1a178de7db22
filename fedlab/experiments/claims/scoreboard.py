"""The table of all claims: a CSV file and a page, made from the evidence alone."""

from pathlib import Path

import pandas as pd

from fedlab.experiments import markdown
from fedlab.experiments.claims.catalogue import CLAIMS
from fedlab.experiments.claims.claim import Figure
from fedlab.experiments.claims.evidence import Evidence
from fedlab.experiments.report import cite_data
from fedlab.files import write_text

CSV_NAME, PAGE_NAME = "claims.csv", "claims.md"
_CSV_FIRST_LINE, _PAGE_FIRST_LINE = "^claim_id,part,kind,claim,verdict,", "^# The article's claims"
_DIGITS = 4


def build_table(evidence: Evidence) -> pd.DataFrame:
    """Judges all claims.

    Returns:
        A row for each claim: claim_id, part, kind, claim, verdict, reason; value, low, high, unit,
        dataset and source of the figure that decides, empty where a check in a lesson decides;
        lesson and cell.

    Raises:
        FileNotFoundError: A results file or a lesson is missing.
        ValueError: A results file or a lesson lacks what a claim is judged by.
    """
    rows = []
    for claim in CLAIMS:
        verdict, reason, figure = claim.judge(evidence)
        row: dict[str, object] = {
            "claim_id": claim.id,
            "part": claim.part,
            "kind": claim.kind,
            "claim": claim.text,
        }
        row |= {"verdict": verdict, "reason": reason}
        row |= figure._asdict() if figure else dict.fromkeys(Figure._fields)
        rows.append(row | {"lesson": claim.lesson, "cell": claim.cell})
    return pd.DataFrame(rows)


def to_csv(table: pd.DataFrame) -> str:
    """Returns the table as the text of the CSV file; numbers have four digits after the point."""
    return table.round(_DIGITS).to_csv(index=False)


def to_page(table: pd.DataFrame) -> str:
    """Returns the table as a Markdown page."""
    parts = ["# The article's claims", _explain(table)]
    for part, rows in table.groupby("part", sort=False):
        lines = []
        for _, row in rows.iterrows():
            lesson = row.lesson[:2].lstrip("0") or "0" if row.lesson else "–"
            lines.append((row.claim, f"**{row.verdict}**", row.reason, show_figure(row), lesson))
        titles = ("claim", "verdict", "why", "figure", "lesson")
        parts += [f"## {part[0].upper()}{part[1:]}", markdown.table(titles, lines, texts=titles)]
    parts.append(cite_data(table[table.dataset.fillna("") != ""]))
    parts.append(
        "Made by `python -m fedlab claims` from the stored results and the lessons' checks."
    )
    return "\n\n".join(parts) + "\n"


def _explain(table: pd.DataFrame) -> str:
    counts = ", ".join(f"{verdict}: {n}" for verdict, n in table.verdict.value_counts().items())
    return (
        f"{len(table)} claims, in our words. {counts[0].upper()}{counts[1:]}. In brackets: the 95% "
        "interval over seeds, or that of a share (Wilson). No figure: an assert in the lesson decides."
    )


def show_figure(row: pd.Series) -> str:
    """Returns the figure of a row as text, such as "+25.4 [+22.4, +28.8] points of accuracy"."""
    if pd.isna(row.value):
        return "–"
    sign = "+" if row.unit.startswith("points") else ""
    digits = 1 if row.unit.startswith(("points", "%")) else 2
    if abs(row.value) >= 1000:
        digits = 0
    text = f"{row.value:{sign},.{digits}f}"
    if pd.notna(row.low):
        text += f" [{row.low:{sign},.{digits}f}, {row.high:{sign},.{digits}f}]"
    return f"{text} {row.unit}; {row.dataset}".replace("-", "−")


def write(folder: Path, evidence: Evidence) -> pd.DataFrame:
    """Judges all claims, and writes claims.csv and claims.md.

    Args:
        folder: Where they go.
        evidence: The stored results and the lessons.

    Returns:
        The table.

    Raises:
        FileNotFoundError: A results file or a lesson is missing.
        ValueError: What a claim is judged by is missing, or a file there is not this program's own.
    """
    table = build_table(evidence)
    write_text(folder / CSV_NAME, to_csv(table), first_line=_CSV_FIRST_LINE)
    write_text(folder / PAGE_NAME, to_page(table), first_line=_PAGE_FIRST_LINE)
    return table
