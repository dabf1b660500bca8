"""Intervals for rates and means: how far a figure of a finite sample may be from the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def wilson_interval(k: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson score interval of a rate (Wilson, JASA 22, 209 (1927)); `n` 0 gives (0, 1).

    Args:
        k: successes, 0 <= k <= n.
        n: attempts.
        z: normal quantile; the default gives 95 %.

    Raises:
        ValueError: when k is not within 0..n.

    Example:
        >>> [round(bound, 4) for bound in wilson_interval(5, 10)]
        [0.2366, 0.7634]
    """
    if not 0 <= k <= n:
        raise ValueError(f"needs 0 <= k <= n; found k={k}, n={n}")
    if n == 0:
        return 0.0, 1.0
    rate = k / n
    scale = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / scale
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / scale
    # At the ends the bound is the rate itself up to rounding.
    return (0.0 if k == 0 else centre - half), (1.0 if k == n else centre + half)


def bootstrap_interval(
    values: Sequence[float], seed: int, level: float = 0.95, draws: int = 2000
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean of `values`; no values gives (nan, nan).

    Args:
        values: the sample.
        seed: of the resampling; equal seeds give equal intervals.
        level: coverage.
        draws: resamples.
    """
    sample = np.asarray(values, dtype=float)
    if sample.size == 0:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    means = np.array([sample[generator.integers(0, sample.size, sample.size)].mean() for _ in range(draws)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
