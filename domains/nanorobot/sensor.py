"""The counting sensor: from a true concentration to a noisy one, and to the log reading.

N ~ Poisson(4 pi D a c T),  c^ = N / (4 pi D a T),  y = ln(c^ + 0.05)       (Berg and Purcell 1977)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from domains.nanorobot import physics

LOG_OFFSET = 0.05
"""Added to a concentration before its logarithm, in molecules/um^3."""

SMALL_COUNT = 12.0
"""Mean count below which the exact Poisson quantile is used."""

MOST_SMALL_COUNTS = 64
"""Largest count of the exact quantile: beyond one in 10^20 at a mean of SMALL_COUNT."""


def poisson(mean: Tensor, normal: Tensor, small: bool) -> Tensor:
    """Return Poisson counts [...] of the given means, made from standard normals of the same shape.

    Above a mean of `SMALL_COUNT` by the Cornish-Fisher expansion of the quantile, mu + sqrt(mu) z + (z^2 - 1) / 6,
    rounded; below it by the exact quantile at Phi(z).

    Args:
        mean: expected counts.
        normal: standard normals.
        small: whether any mean may be below `SMALL_COUNT`.
    """
    count = (normal * normal).mul_(1 / 6).add_(mean).add_(1 / 3)
    count.addcmul_(mean.sqrt(), normal).floor_().clamp_(min=0.0)
    return torch.where(mean < SMALL_COUNT, _small_poisson(mean, normal), count) if small else count


def _small_poisson(mean: Tensor, normal: Tensor) -> Tensor:
    quantile = torch.special.ndtr(normal)
    term = torch.exp(-mean)
    cumulative = term.clone()
    count = torch.zeros_like(mean)
    for k in range(1, MOST_SMALL_COUNTS):
        count += quantile > cumulative
        term = term * mean / k
        cumulative += term
    return count


class Sensor:
    """A reading of the concentration.

    Args:
        counts_per_concentration: mean count of the absorber at 1 molecule/um^3, 4 pi D a T times the receptor share.
        kind: absorber (Poisson counts), monitor (normal with sqrt(12 / 5) times the absorber's error), exact.
        least: smallest concentration that can occur, in molecules/um^3.

    Example: 125.664 counts at 1 molecule/um^3 have a relative error of 0.0892.
    """

    def __init__(self, counts_per_concentration: float, kind: str, least: float) -> None:
        self.counts = counts_per_concentration
        self.kind = kind
        self.small = least * counts_per_concentration < SMALL_COUNT

    def estimate(self, concentration: Tensor, normal: Tensor) -> Tensor:
        """Return the estimated concentration of the same shape, at least 0."""
        if self.kind == "exact":
            return concentration.clone()
        if self.kind == "monitor":
            spread = concentration.sqrt().mul_(physics.MONITOR_FACTOR / math.sqrt(self.counts))
            return torch.addcmul(concentration, spread, normal).clamp_(min=0.0)
        return poisson(concentration * self.counts, normal, self.small).mul_(1 / self.counts)

    def log_reading(self, concentration: Tensor, normal: Tensor) -> Tensor:
        """Return y = ln(c^ + 0.05) of the same shape."""
        return self.estimate(concentration, normal).add_(LOG_OFFSET).log_()

    def largest(self, concentration: float) -> float:
        """Return a bound of the estimate at a true concentration (normals stay below 8 standard deviations)."""
        if self.kind == "exact":
            return concentration
        count = concentration * self.counts
        return (count + 16 * math.sqrt(count) + MOST_SMALL_COUNTS) / self.counts
