"""The privacy loss of cohorts of a fixed size, with a tighter bound than `dp-accounting` has."""

import math

import dp_accounting
import numpy as np
from dp_accounting.pld import pld_pmf, privacy_loss_distribution
from scipy.stats import norm

_TAIL = 9.0  # standard deviations; a Gaussian exceeds them with a probability of 1e-19


class FixedSizeAccountant(dp_accounting.PrivacyAccountant):
    """Privacy loss of clipped sums over cohorts of a fixed size; neighbours replace one client.

    `dp-accounting` supports this event only in Renyi accounting, for noise in units of the SENSITIVITY,
    which here is twice the clip. Its bound is about three times looser.

    One round: the exact delta of the Gaussian mechanism with a sensitivity of two clips (Balle and Wang
    2018, theorem 8) gives the delta of the sampled round for every epsilon of at least 0 (Balle, Barthe
    and Gaboardi 2018, theorem 9). Replacing a client is symmetric, so the deltas at negative epsilons
    follow from those at positive epsilons. A bound at every epsilon may be composed (Zhu, Dong and Wang
    2022, theorem 10).

    Args:
        grid: Distance between neighbouring privacy losses, above 0.
    """

    def __init__(self, grid: float = 1e-4):
        super().__init__(dp_accounting.NeighboringRelation.REPLACE_ONE)
        self._grid = grid
        self._loss = privacy_loss_distribution.identity(value_discretization_interval=grid)

    def get_epsilon(self, target_delta: float) -> float:
        """Returns the epsilon of all composed events at a delta in (0, 1)."""
        return self._loss.get_epsilon_for_delta(target_delta)

    def _maybe_compose(
        self, event: dp_accounting.DpEvent, count: int, do_compose: bool
    ) -> dp_accounting.PrivacyAccountant.CompositionErrorDetails | None:
        if isinstance(event, dp_accounting.SelfComposedDpEvent):
            return self._maybe_compose(event.event, event.count * count, do_compose)
        if not isinstance(event, dp_accounting.SampledWithoutReplacementDpEvent):
            details = dp_accounting.PrivacyAccountant.CompositionErrorDetails
            return details(event, "This accountant supports only sampling without replacement.")
        if do_compose:
            share = event.sample_size / event.source_dataset_size
            loss = self._round_loss(share, event.event.noise_multiplier)
            with np.errstate(over="ignore"):  # in a bound on the tails that is then not used
                self._loss = self._loss.compose(loss.self_compose(count))
        return None

    def _round_loss(
        self, share: float, noise: float
    ) -> privacy_loss_distribution.PrivacyLossDistribution:
        shift = 2 / noise  # change of the sum by the other client, in standard deviations
        largest = np.logaddexp(0, math.log(share) + shift * (shift / 2 + _TAIL))
        num_steps = math.ceil(largest / self._grid)
        losses = self._grid * np.arange(num_steps + 1)
        above = np.clip(_sampled_delta(losses, share, shift), 0, 1)
        below = -np.expm1(-losses[1:]) + np.exp(-losses[1:]) * above[1:]
        deltas = np.minimum.accumulate(
            [*below[::-1], *above]
        )  # despite rounding errors, delta must fall
        return privacy_loss_distribution.PrivacyLossDistribution(
            pld_pmf.create_pmf_pessimistic_connect_dots_fixed_gap(
                self._grid, -num_steps, num_steps, deltas
            )
        )


def _sampled_delta(losses: np.ndarray, share: float, shift: float) -> np.ndarray:
    """Returns the delta of one sampled round.

    Args:
        losses: float64 (n,), the epsilons, each at least 0.
        share: Cohort size divided by the population, in (0, 1].
        shift: Largest change of the sum by one client, in standard deviations of the noise.
    """
    whole = losses - math.log(share) + np.log1p(-(1 - share) * np.exp(-losses))
    left = norm.cdf(shift / 2 - whole / shift)
    return share * (left - np.exp(whole + norm.logcdf(-shift / 2 - whole / shift)))
