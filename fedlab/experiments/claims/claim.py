"""A claim of the article, and a judgement of it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import scipy.stats

from fedlab.experiments.claims.evidence import Evidence

Verdict = Literal[
    "holds",
    "holds if",
    "does not hold",
    "cannot be tested here",
]


class Figure(NamedTuple):
    """A measured number, with its interval where there is one.

    Attributes:
        value: The number.
        low: The lower end of its 95% interval. None: it has none.
        high: The upper end.
        unit: What it is a number of, such as "points of accuracy".
        dataset: The data that it was measured on.
        source: The file that holds it.
    """

    value: float
    low: float | None
    high: float | None
    unit: str
    dataset: str
    source: str


def build_figure(ends: Sequence[float | None], unit: str, dataset: str, source: str) -> Figure:
    """Returns a figure of a number and the ends of its interval (or None)."""
    value, low, high = ends
    assert value is not None
    return Figure(value, low, high, unit, dataset, source)


class Judgement(NamedTuple):
    """What was found.

    Attributes:
        verdict: One of four.
        reason: The condition, for "holds if"; else the reason, in a sentence.
        figure: The number that decides. None: a check in a lesson decides.
    """

    verdict: Verdict
    reason: str
    figure: Figure | None = None


JudgeFn: TypeAlias = Callable[[Evidence], Judgement]


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of the article, in the course's own words.

    Attributes:
        id: A short name, different for each claim.
        part: The part of the article.
        kind: "concept", "statement", "code", "drawing", "suggestion", "figure" or "forecast".
        text: What the article says.
        judge_fn: Reads the evidence and decides.
        lesson: The lesson that shows it, a notebook's name without its ending. "": none does.
        cell: The id of the lesson's cell whose assert holds it. "": a stored result decides.
        shown: What this cell asserts: a part of a line that begins with "assert". Required with `cell`.
    """

    id: str
    part: str
    kind: str
    text: str
    judge_fn: JudgeFn
    lesson: str = ""
    cell: str = ""
    shown: str = ""

    def judge(self, evidence: Evidence) -> Judgement:
        """Returns the judgement.

        Args:
            evidence: The stored results and the lessons.

        Raises:
            FileNotFoundError: A results file or the lesson is missing.
            ValueError: A results file lacks a configuration, or the lesson the cell or this assert.
        """
        if self.lesson:
            evidence.check_lesson(self.lesson, self.cell, self.shown)
        return self.judge_fn(evidence)


def by_check(verdict: Verdict, reason: str) -> JudgeFn:
    """Returns a judge for a claim that a lesson's assert decides: the lesson fails if it is not so."""
    return lambda evidence: Judgement(verdict, reason)


def wilson(num_right: int, num_examples: int) -> tuple[float, float]:
    """Returns the ends of the 95% interval of a share (Wilson 1927).

    Args:
        num_right: At least 0, at most `num_examples`.
        num_examples: At least 1.
    """
    interval = scipy.stats.binomtest(num_right, num_examples).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
