"""What a run of rounds gives away about one client: (epsilon, delta), on Google's `dp-accounting`.

All here is differential privacy of whole CLIENTS (McMahan et al. 2018) in the central model: the
server sees every update and is trusted; whoever sees only the weights that it publishes, of every
round, learns little about any one client. What it counts are the clipped and noised sums of the
rounds and nothing else: not the training metrics, which TFF's clients send in the clear.

How the cohort is drawn decides what is promised, and the two promises are not to be mixed:

- "poisson": each client takes part by a coin of its own. Neighbours differ by ADDING OR REMOVING
  one client. `sampling.poisson` draws so.
- "fixed_size": always as many clients, without replacement. Neighbours differ by REPLACING one
  client by another, which moves the clipped sum by up to twice the clip, so the same noise protects
  half as well to begin with. `sampling.uniform` draws so.

Both by privacy loss distributions (Koskela et al. 2020; Doroshenko et al. 2022): composed
numerically and rounded up, they give the smallest epsilon that is still an upper bound. Renyi
accounting (Mironov 2017) is also valid and about a sixth larger for Poisson sampling.
"""

import math
from collections.abc import Callable, Sequence

import dp_accounting
import pandas as pd
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from fedlab.dp.fixed_size_sampling import FixedSizeAccountant

Relation = dp_accounting.NeighboringRelation
NEIGHBOURS = {
    "poisson": Relation.ADD_OR_REMOVE_ONE,
    "fixed_size": Relation.REPLACE_ONE,
}
_FINEST = 3e-5  # grid of privacy losses
_TOLERANCE = 1e-4  # of a noise multiplier
_NOISE_RANGE = (0.05, 10_000.0)  # of the search


def default_delta(population: int) -> float:
    """Returns `population ** -1.1`, well below the 1 / population that promises nothing.

    (A mechanism that publishes one client's data, chosen at random, has delta = 1 / population.)

    Raises:
        ValueError: The population is smaller than two.
    """
    if not population >= 2:
        raise ValueError(f"population must be at least 2. Found {population}.")
    return float(population) ** -1.1


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
        noise_multiplier: Standard deviation of the noise on a round's sum, in units of the clip; at
            least 0. What divides the sum afterwards plays no part.
        num_clients: Clients a round, above 0 and at most the population: expected ("poisson") or
            exactly ("fixed_size").
        population: Clients that may be drawn, at least 2.
        num_rounds: At least 1.
        delta: In (0, 1). Default: `default_delta(population)`.
        sampling: "poisson" or "fixed_size": how the cohort is drawn AND who is a neighbour, see the
            module.

    Returns:
        The smallest epsilon that the accountant vouches for; infinity without noise.

    Raises:
        ValueError: A number is out of range.
    """
    check_at_least_0("noise_multiplier", noise_multiplier)
    delta = default_delta(population) if delta is None else delta
    _check_run(num_clients, population, num_rounds, delta, sampling)
    if noise_multiplier == 0:
        return math.inf
    one_round = _round_event(noise_multiplier, num_clients, population, sampling)
    size = _rough_epsilon(noise_multiplier, num_clients / population, num_rounds, delta)
    accountant = _create_accountant(sampling, size)
    return float(accountant.compose(one_round, num_rounds).get_epsilon(delta))


def epsilon_curve(
    noise_multiplier: float, rounds: Sequence[int], **run: float | int | str | None
) -> pd.DataFrame:
    """Returns how epsilon grows with the rounds.

    Args:
        noise_multiplier: See `epsilon`.
        rounds: After which rounds, each at least 1.
        **run: num_clients, population, delta and sampling, as in `epsilon`.

    Returns:
        Columns `round_num` and `epsilon`.
    """
    found = [epsilon(noise_multiplier, num_rounds=one, **run) for one in rounds]
    return pd.DataFrame({"round_num": list(rounds), "epsilon": found})


def noise_for_epsilon(
    target_epsilon: float,
    *,
    num_clients: float,
    population: int,
    num_rounds: int,
    delta: float | None = None,
    sampling: str = "poisson",
) -> float:
    """Returns the least noise multiplier, to 1e-4, with which a run stays within an epsilon.

    Args:
        target_epsilon: Above 0.
        num_clients: As in `epsilon`, and so are the others.
        population: See there.
        num_rounds: See there.
        delta: See there.
        sampling: See there.

    Raises:
        ValueError: A number is out of range, or no noise in [0.05, 10000] has that epsilon.
    """
    if not 0 < target_epsilon < math.inf:
        raise ValueError(f"target_epsilon must be a number above 0. Found {target_epsilon}.")
    delta = default_delta(population) if delta is None else delta
    run = {"num_clients": num_clients, "population": population, "sampling": sampling}

    def excess(noise: float) -> float:
        return epsilon(noise, num_rounds=num_rounds, delta=delta, **run) - target_epsilon

    noise = dp_accounting.calibrate_dp_mechanism(
        lambda: _create_accountant(sampling, target_epsilon),
        lambda noise: dp_accounting.SelfComposedDpEvent(_round_event(noise, **run), num_rounds),
        target_epsilon,
        delta,
        dp_accounting.ExplicitBracketInterval(*_bracket(excess, target_epsilon)),
        tol=_TOLERANCE,
    )
    return noise if excess(noise) <= 0 else noise + _TOLERANCE  # another grid, a hair apart


def tree_epsilon(
    noise_multiplier: float, *, rounds_per_epoch: int, num_epochs: int, delta: float
) -> float:
    """Returns the epsilon of DP-FTRL with a new tree in every epoch (Kairouz et al. 2021, app. D).

    It holds if every client takes part at most ONCE in an epoch, in whatever order: no coins and no
    secret sampling, so none of the gain that these bring. Neighbours differ by one client whose
    updates are all zero ("zero-out"). Under Poisson sampling it does not hold.

    Args:
        noise_multiplier: Standard deviation of the noise of each NODE of the tree, in units of the
            clip; at least 0.
        rounds_per_epoch: Leaves of a tree, at least 1.
        num_epochs: Trees, at least 1.
        delta: In (0, 1).

    Raises:
        ValueError: A number is out of range.
    """
    check_at_least_0("noise_multiplier", noise_multiplier)
    _check_count("rounds_per_epoch", rounds_per_epoch)
    _check_count("num_epochs", num_epochs)
    _check_delta(delta)
    if noise_multiplier == 0:
        return math.inf
    # By name: with the two exchanged, the event gives another epsilon and says nothing.
    tree = dp_accounting.SingleEpochTreeAggregationDpEvent(
        noise_multiplier=noise_multiplier, step_counts=rounds_per_epoch
    )
    accountant = RdpAccountant(neighboring_relation=Relation.REPLACE_SPECIAL)
    return float(accountant.compose(tree, num_epochs).get_epsilon(delta))


def _round_event(noise_multiplier: float, num_clients: float, population: int, sampling: str):
    gaussian = dp_accounting.GaussianDpEvent(noise_multiplier)
    if sampling == "poisson":
        return dp_accounting.PoissonSampledDpEvent(num_clients / population, gaussian)
    return dp_accounting.SampledWithoutReplacementDpEvent(population, num_clients, gaussian)


def _create_accountant(sampling: str, size: float) -> dp_accounting.PrivacyAccountant:
    """Returns one whose grid is fine beside an epsilon of about `size`."""
    grid = max(_FINEST, 1e-4 * size)
    if sampling == "poisson":
        return PLDAccountant(NEIGHBOURS[sampling], value_discretization_interval=grid)
    return FixedSizeAccountant(grid)


def _rough_epsilon(noise: float, share: float, num_rounds: int, delta: float) -> float:
    event = dp_accounting.PoissonSampledDpEvent(share, dp_accounting.GaussianDpEvent(noise))
    return RdpAccountant().compose(event, num_rounds).get_epsilon(delta)


def _bracket(excess: Callable[[float], float], target: float) -> tuple[float, float]:
    """Returns a noise that is too low and twice that, which is enough."""
    high = 1.0
    while excess(high) > 0:
        high *= 2
        if high > _NOISE_RANGE[1]:
            raise ValueError(
                f"target_epsilon {target} cannot be reached: not even a noise_multiplier of "
                f"{_NOISE_RANGE[1]:g} does. Take a larger epsilon or delta, or fewer rounds."
            )
    while excess(high / 2) <= 0:
        high /= 2
        if high < _NOISE_RANGE[0]:
            raise ValueError(
                f"target_epsilon {target} protects nobody: a noise_multiplier of "
                f"{_NOISE_RANGE[0]:g} already has it. Take a smaller one."
            )
    return high / 2, high


def _check_run(
    num_clients: float, population: int, num_rounds: int, delta: float, sampling: str
) -> None:
    if sampling not in NEIGHBOURS:
        raise ValueError(f"sampling must be one of {', '.join(NEIGHBOURS)}. Found {sampling!r}.")
    _check_count("population", population)
    _check_count("num_rounds", num_rounds)
    _check_delta(delta)
    if not 0 < num_clients <= population:
        raise ValueError(
            f"num_clients must be above 0 and at most {population} (the population). "
            f"Found {num_clients}."
        )
    if sampling == "fixed_size":
        _check_count("num_clients", num_clients)


def check_at_least_0(name: str, value: float) -> None:
    """Raises ValueError for what is negative, infinite or not a number."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of at least 0. Found {value}.")


def _check_count(name: str, value: float) -> None:
    if not (value >= 1 and value == int(value)):
        raise ValueError(f"{name} must be a whole number of at least 1. Found {value}.")


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise ValueError(f"delta must be between 0 and 1, both excluded. Found {delta}.")
