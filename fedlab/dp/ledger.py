"""What several runs on the same clients cost together."""

import math
from typing import NamedTuple

import pandas as pd

from fedlab.checks import check_choice, check_count, check_number, check_text
from fedlab.dp import accounting
from fedlab.dp.plan_checks import check_delta


class _Run(NamedTuple):
    name: str
    noise_multiplier: float
    num_clients: float
    num_rounds: int


class PrivacyLedger:
    """Adds up the privacy that all runs on the same clients cost, each of them published.

    Every run counts, whether it is used or not: seeds that are tried, the runs of a search for a
    learning rate, a run that broke off, a round that was done again after a crash. The best of ten
    runs is chosen by looking at all ten.

    The sum holds if the noise, the cohorts and the numbers of rounds of all runs do not depend on
    earlier results (Rogers et al. 2016 treat runs that do).

    Example:
        ledger = PrivacyLedger(population=1000)
        for rate in (0.01, 0.1):
            ledger.add(f"rate {rate}", 1.0, num_clients=100, num_rounds=50)
        ledger.epsilon

    Args:
        population: Number of clients that may be drawn, at least 2, the same in all runs.
        delta: Delta of the guarantee for all runs together, above 0 and at most `1 / (10 * population)`,
            the default; see `fedlab.dp.plan_checks.largest_delta`.
        sampling: How all runs draw their cohorts: "poisson" or "fixed_size", as in
            `fedlab.dp.accounting`. The guarantees of the two do not add up.

    Raises:
        TypeError: A number is not of its type.
        ValueError: A number is out of range, or `sampling` is unknown.
    """

    def __init__(self, population: int, *, delta: float | None = None, sampling: str = "poisson"):
        self._population = check_count("population", population, at_least=2)
        delta = accounting.default_delta(population) if delta is None else delta
        self._delta = check_delta(delta, population)
        self._sampling = check_choice("sampling", sampling, accounting.NEIGHBOURS)
        self._runs: list[_Run] = []

    def add(
        self, name: str, noise_multiplier: float, *, num_clients: float, num_rounds: int
    ) -> None:
        """Adds a run.

        Args:
            name: What the run was, for the table.
            noise_multiplier: Noise of a round, as in `accounting.epsilon`.
            num_clients: Clients per round, as in `accounting.epsilon`.
            num_rounds: Number of rounds that were published, at least 1.

        Raises:
            TypeError: A number is not of its type.
            ValueError: A number is out of range.
        """
        noise_multiplier = check_number("noise_multiplier", noise_multiplier, at_least=0)
        num_clients, _, num_rounds, _ = accounting.check_run(
            num_clients, self._population, num_rounds, self._delta, self._sampling
        )
        name = check_text("name", name)
        self._runs.append(_Run(name, noise_multiplier, num_clients, num_rounds))

    @property
    def epsilon(self) -> float:
        """The epsilon of all runs together at the ledger's delta; 0 before the first."""
        return self._compose(self._runs)[-1] if self._runs else 0.0

    def to_frame(self) -> pd.DataFrame:
        """Returns a row for each run, in the order in which they were added.

        Returns:
            A table with the columns `name`, `noise_multiplier`, `num_clients`, `num_rounds`,
            `epsilon` (of this run alone), `total_epsilon` (of all runs up to it) and `delta` (of both).
        """
        frame = pd.DataFrame(
            self._runs, columns=["name", "noise_multiplier", "num_clients", "num_rounds"]
        )
        frame["epsilon"] = [self._compose([run])[0] for run in self._runs]
        frame["total_epsilon"] = self._compose(self._runs)
        frame["delta"] = self._delta
        return frame

    def _compose(self, runs: list[_Run]) -> list[float]:
        """Returns the epsilon of the first run, of the first two, and so on."""
        size = sum(self._rough_epsilon(run) for run in runs if run.noise_multiplier)
        accountant = accounting.create_accountant(self._sampling, size)
        epsilons: list[float] = []
        for run in runs:
            if run.noise_multiplier == 0:
                return [*epsilons, *[math.inf] * (len(runs) - len(epsilons))]
            event = accounting.round_event(
                run.noise_multiplier, run.num_clients, self._population, self._sampling
            )
            accountant.compose(event, run.num_rounds)
            epsilons.append(float(accountant.get_epsilon(self._delta)))
        return epsilons

    def _rough_epsilon(self, run: _Run) -> float:
        share = run.num_clients / self._population
        return accounting.rough_epsilon(run.noise_multiplier, share, run.num_rounds, self._delta)
