"""The privacy loss of cohorts of a fixed size, tighter than `dp-accounting` has it."""

import math

import dp_accounting
import numpy as np
from dp_accounting.pld import pld_pmf, privacy_loss_distribution
from scipy.stats import norm

_TAIL = 9.0  # standard deviations; what lies beyond has a probability of 1e-19


class FixedSizeAccountant(dp_accounting.PrivacyAccountant):
    """Privacy loss of clipped sums over cohorts of a fixed size; neighbours replace one client.

    The library has this event in Renyi accounting alone, for a noise in units of the SENSITIVITY,
    which here is twice the clip, and about three times looser.

    One round: Balle, Barthe and Gaboardi 2018, theorem 9, turns the Gaussian mechanism's exact
    delta (Balle and Wang 2018, theorem 8, with the sensitivity of two clips) into that of the sample,
    for every epsilon of at least 0. As neighbours are so both ways, it holds below 0 too, and a
    bound at every epsilon may be composed (Zhu, Dong and Wang 2022, theorem 10).

    Args:
        grid: Distance of the privacy losses that are told apart.
    """

    def __init__(self, grid: float = 1e-4):
        super().__init__(dp_accounting.NeighboringRelation.REPLACE_ONE)
        self._grid = grid
        self._loss = privacy_loss_distribution.identity(value_discretization_interval=grid)

    def get_epsilon(self, target_delta: float) -> float:
        """Returns the epsilon of all that was composed."""
        return self._loss.get_epsilon_for_delta(target_delta)

    def _maybe_compose(self, event, count: int, do_compose: bool):
        if isinstance(event, dp_accounting.SelfComposedDpEvent):
            return self._maybe_compose(event.event, event.count * count, do_compose)
        if not isinstance(event, dp_accounting.SampledWithoutReplacementDpEvent):
            details = dp_accounting.PrivacyAccountant.CompositionErrorDetails
            return details(event, "Only sampling without replacement is known here.")
        if do_compose:
            share = event.sample_size / event.source_dataset_size
            loss = self._round_loss(share, event.event.noise_multiplier)
            with np.errstate(over="ignore"):  # a bound on the tails that is not used then
                self._loss = self._loss.compose(loss.self_compose(count))
        return None

    def _round_loss(self, share: float, noise: float):
        shift = 2 / noise  # by how many standard deviations the other client moves the sum
        largest = np.logaddexp(0, math.log(share) + shift * (shift / 2 + _TAIL))
        num_steps = math.ceil(largest / self._grid)
        losses = self._grid * np.arange(num_steps + 1)
        above = np.clip(_sampled_delta(losses, share, shift), 0, 1)
        below = -np.expm1(-losses[1:]) + np.exp(-losses[1:]) * above[1:]
        deltas = np.minimum.accumulate([*below[::-1], *above])  # rounding must not make it rise
        return privacy_loss_distribution.PrivacyLossDistribution(
            pld_pmf.create_pmf_pessimistic_connect_dots_fixed_gap(
                self._grid, -num_steps, num_steps, deltas
            )
        )


def _sampled_delta(losses: np.ndarray, share: float, shift: float) -> np.ndarray:
    """Delta of one sampled round at epsilons of at least 0; `shift` in standard deviations."""
    whole = losses - math.log(share) + np.log1p(-(1 - share) * np.exp(-losses))
    left = norm.cdf(shift / 2 - whole / shift)
    return share * (left - np.exp(whole + norm.logcdf(-shift / 2 - whole / shift)))
