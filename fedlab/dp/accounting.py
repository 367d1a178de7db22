"""Privacy accounting of a run: the (epsilon, delta) of one client, with Google's `dp-accounting`.

All guarantees here are differential privacy of whole CLIENTS (McMahan et al. 2018) in the central
model: the server sees every update and is trusted, and whoever sees only the weights that the server
publishes in each round learns little about any single client. Only the clipped and noisy sums of the
rounds are counted. Training metrics that clients send in the clear are not covered. Runs on the same
clients add up: `fedlab.dp.ledger` does it.

The sampling of the cohort decides which guarantee holds, and the two guarantees must not be mixed:

- "poisson": each client takes part with the same probability, independently of the others. Neighbouring
  populations differ by ADDING OR REMOVING one client. `sampling.poisson` draws such cohorts.
- "fixed_size": each cohort has the same number of clients, drawn without replacement. Neighbouring
  populations differ by REPLACING one client, which changes the clipped sum by up to twice the clip, so
  the same noise gives a much larger epsilon. `sampling.uniform` draws such cohorts.

Both are computed from privacy loss distributions (Koskela et al. 2020; Doroshenko et al. 2022), which
are composed numerically and rounded up, and so give the smallest valid epsilon. Renyi accounting
(Mironov 2017) is also valid; for Poisson sampling its epsilon is about a sixth larger.
"""

import functools
import math
from collections.abc import Callable, Sequence

import dp_accounting
import pandas as pd
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from fedlab.checks import check_choice, check_count, check_list, check_not_empty, check_number
from fedlab.dp.fixed_size_sampling import FixedSizeAccountant
from fedlab.dp.plan_checks import largest_delta

Relation = dp_accounting.NeighboringRelation
NEIGHBOURS = {
    "poisson": Relation.ADD_OR_REMOVE_ONE,
    "fixed_size": Relation.REPLACE_ONE,
}
_FINEST = 3e-5  # smallest grid of privacy losses
_TOLERANCE = 1e-4  # of a noise multiplier
_NOISE_RANGE = (0.05, 10_000.0)  # of the search


def default_delta(population: int) -> float:
    """Returns `1 / (10 * population)`, the largest delta with which a plan states a guarantee.

    `fedlab.dp.plan_checks.largest_delta` says why. `fedlab.dp.delta_cost` computes what a smaller
    delta costs.

    Args:
        population: Number of clients that may be drawn, at least 2.

    Raises:
        ValueError: The population is smaller than 2.
        TypeError: The population is not a whole number.
    """
    return largest_delta(population)


def epsilon(
    noise_multiplier: float,
    *,
    num_clients: float,
    population: int,
    num_rounds: int,
    delta: float | None = None,
    sampling: str = "poisson",
) -> float:
    """Returns the epsilon of a run.

    Args:
        noise_multiplier: Standard deviation of the noise on a round's sum divided by the clip, at
            least 0. A constant by which the noisy sum is divided plays no role.
        num_clients: Clients per round, above 0 and at most the population: the expected number for
            "poisson", the exact number for "fixed_size".
        population: Number of clients that may be drawn, at least 2.
        num_rounds: Number of rounds, at least 1.
        delta: Delta of the guarantee, in (0, 1). Above `default_delta(population)`, the epsilon is
            right but promises too little, so `PrivacyPlan` refuses it. Default:
            `default_delta(population)`.
        sampling: How the cohort is drawn, and so which populations are neighbours: "poisson" or
            "fixed_size", as in the module's docstring.

    Returns:
        The smallest epsilon that the accountant guarantees. Without noise it is infinite.

    Raises:
        ValueError: A number is out of range, or `sampling` is unknown.
        TypeError: An argument is not a number.
    """
    noise_multiplier = check_number("noise_multiplier", noise_multiplier, at_least=0)
    delta = default_delta(population) if delta is None else delta
    num_clients, population, num_rounds, delta = check_run(
        num_clients, population, num_rounds, delta, sampling
    )
    return _epsilon(noise_multiplier, num_clients, population, num_rounds, delta, sampling)


# An epsilon takes up to a second, and plans, curves and cells ask for the same one again and again.
@functools.lru_cache(maxsize=1024)
def _epsilon(
    noise: float, num_clients: float, population: int, num_rounds: int, delta: float, sampling: str
) -> float:
    if noise == 0:
        return math.inf
    one_round = round_event(noise, num_clients, population, sampling)
    size = rough_epsilon(noise, num_clients / population, num_rounds, delta)
    accountant = create_accountant(sampling, size)
    return float(accountant.compose(one_round, num_rounds).get_epsilon(delta))


def epsilon_curve(
    noise_multiplier: float,
    rounds: Sequence[int],
    *,
    num_clients: float,
    population: int,
    delta: float | None = None,
    sampling: str = "poisson",
) -> pd.DataFrame:
    """Returns the epsilon of a run after several numbers of rounds.

    Args:
        noise_multiplier: Noise of a round, as in `epsilon`.
        rounds: The numbers of rounds, each at least 1.
        num_clients: Clients per round, as in `epsilon`.
        population: Number of clients that may be drawn, at least 2.
        delta: Delta of the guarantee, in (0, 1). Default: `default_delta(population)`.
        sampling: "poisson" or "fixed_size", as in `epsilon`.

    Returns:
        A table with the columns `round_num`, `epsilon` and `delta`.

    Raises:
        ValueError: A number is out of range, or `sampling` is unknown.
        TypeError: An argument is not a number.
    """
    delta = default_delta(population) if delta is None else delta
    rounds = [check_count("rounds", each) for each in check_list("rounds", rounds)]
    check_not_empty("rounds", rounds)
    after = functools.partial(epsilon, noise_multiplier, delta=delta, sampling=sampling)
    epsilons = [
        after(num_rounds=each, num_clients=num_clients, population=population) for each in rounds
    ]
    return pd.DataFrame({"round_num": rounds, "epsilon": epsilons, "delta": delta})


def noise_for_epsilon(
    target_epsilon: float,
    *,
    num_clients: float,
    population: int,
    num_rounds: int,
    delta: float | None = None,
    sampling: str = "poisson",
) -> float:
    """Returns the smallest noise multiplier, up to 1e-4, with which a run has at most an epsilon.

    Args:
        target_epsilon: The epsilon that the run may have, above 0.
        num_clients: Clients per round, as in `epsilon`.
        population: Number of clients that may be drawn, at least 2.
        num_rounds: Number of rounds, at least 1.
        delta: Delta of the guarantee, as in `epsilon`. Default: `default_delta(population)`.
        sampling: "poisson" or "fixed_size", as in `epsilon`.

    Raises:
        ValueError: A number is out of range, `sampling` is unknown, or no noise multiplier in
            [0.05, 10000] gives this epsilon.
        TypeError: An argument is not a number.
    """
    target_epsilon = check_number("target_epsilon", target_epsilon, above=0)
    delta = default_delta(population) if delta is None else delta
    num_clients, population, num_rounds, delta = check_run(
        num_clients, population, num_rounds, delta, sampling
    )
    return _noise_for_epsilon(target_epsilon, num_clients, population, num_rounds, delta, sampling)


@functools.lru_cache(maxsize=256)
def _noise_for_epsilon(
    target: float, num_clients: float, population: int, num_rounds: int, delta: float, sampling: str
) -> float:
    def excess(noise: float) -> float:
        return _epsilon(noise, num_clients, population, num_rounds, delta, sampling) - target

    def build_event(noise: float) -> dp_accounting.DpEvent:
        one_round = round_event(noise, num_clients, population, sampling)
        return dp_accounting.SelfComposedDpEvent(one_round, num_rounds)

    noise = dp_accounting.calibrate_dp_mechanism(
        lambda: create_accountant(sampling, target),
        build_event,
        target,
        delta,
        dp_accounting.ExplicitBracketInterval(*_bracket(excess, target)),
        tol=_TOLERANCE,
    )
    # `_epsilon` uses another grid than this search, so the result may be slightly too small.
    return noise if excess(noise) <= 0 else noise + _TOLERANCE


def tree_epsilon(
    noise_multiplier: float, *, rounds_per_epoch: int, num_epochs: int, delta: float
) -> float:
    """Returns the epsilon of DP-FTRL with a new tree in every epoch (Kairouz et al. 2021, app. D).

    It holds if every client takes part at most ONCE in an epoch, in any order. Sampling need not be
    random or secret, and so it does not reduce epsilon either. Neighbouring populations differ by one
    client whose updates are replaced by zeros ("zero-out"). The result does not hold for Poisson
    sampling.

    Args:
        noise_multiplier: Standard deviation of the noise of each NODE of the tree divided by the clip,
            at least 0.
        rounds_per_epoch: Number of leaves of a tree, at least 1.
        num_epochs: Number of trees, at least 1.
        delta: Delta of the guarantee, in (0, 1).

    Returns:
        The epsilon, from Renyi accounting. Without noise it is infinite.

    Raises:
        ValueError: A number is out of range.
        TypeError: An argument is not a number.
    """
    noise_multiplier = check_number("noise_multiplier", noise_multiplier, at_least=0)
    rounds_per_epoch = check_count("rounds_per_epoch", rounds_per_epoch)
    num_epochs = check_count("num_epochs", num_epochs)
    delta = check_number("delta", delta, above=0, below=1)
    if noise_multiplier == 0:
        return math.inf
    # The event accepts its arguments in the wrong order and then gives a wrong epsilon: name them.
    tree = dp_accounting.SingleEpochTreeAggregationDpEvent(
        noise_multiplier=noise_multiplier, step_counts=rounds_per_epoch
    )
    accountant = RdpAccountant(neighboring_relation=Relation.REPLACE_SPECIAL)
    return float(accountant.compose(tree, num_epochs).get_epsilon(delta))


def round_event(
    noise_multiplier: float, num_clients: float, population: int, sampling: str
) -> dp_accounting.DpEvent:
    """Returns one round as `dp_accounting` takes it; the arguments are those of `epsilon`."""
    gaussian = dp_accounting.GaussianDpEvent(noise_multiplier)
    if sampling == "poisson":
        return dp_accounting.PoissonSampledDpEvent(num_clients / population, gaussian)
    return dp_accounting.SampledWithoutReplacementDpEvent(population, num_clients, gaussian)


def create_accountant(sampling: str, size: float) -> dp_accounting.PrivacyAccountant:
    """Returns an accountant whose grid is fine compared with an epsilon of about `size`."""
    grid = max(_FINEST, 1e-4 * size)
    if sampling == "poisson":
        return PLDAccountant(NEIGHBOURS[sampling], value_discretization_interval=grid)
    return FixedSizeAccountant(grid)


def rough_epsilon(noise: float, share: float, num_rounds: int, delta: float) -> float:
    """Returns an epsilon of about the right size, fast, from Renyi accounting."""
    event = dp_accounting.PoissonSampledDpEvent(share, dp_accounting.GaussianDpEvent(noise))
    return RdpAccountant().compose(event, num_rounds).get_epsilon(delta)


def _bracket(excess: Callable[[float], float], target: float) -> tuple[float, float]:
    """Returns two noise multipliers: one that is too low, and its double, which is enough."""
    high = 1.0
    while excess(high) > 0:
        high *= 2
        if high > _NOISE_RANGE[1]:
            raise ValueError(
                f"target_epsilon cannot be reached even by a noise_multiplier of "
                f"{_NOISE_RANGE[1]:g}. Take a larger epsilon or delta, or fewer rounds. Found {target}."
            )
    while excess(high / 2) <= 0:
        high /= 2
        if high < _NOISE_RANGE[0]:
            raise ValueError(
                f"target_epsilon is too large to protect anybody: a noise_multiplier of "
                f"{_NOISE_RANGE[0]:g} reaches it. Take a smaller target_epsilon. Found {target}."
            )
    return high / 2, high


def check_run(
    num_clients: float, population: int, num_rounds: int, delta: float, sampling: str
) -> tuple[float, int, int, float]:
    """Returns the arguments of `epsilon`, converted, or raises what `epsilon` raises."""
    check_choice("sampling", sampling, NEIGHBOURS)
    population = check_count("population", population, at_least=2)
    if sampling == "fixed_size":
        num_clients = check_count("num_clients", num_clients, at_most=population)
    else:
        num_clients = check_number("num_clients", num_clients, above=0, at_most=population)
    num_rounds = check_count("num_rounds", num_rounds)
    return num_clients, population, num_rounds, check_number("delta", delta, above=0, below=1)
