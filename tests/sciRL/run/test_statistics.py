"""Intervals against published values and their own coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciRL.run.statistics import bootstrap_interval, wilson_interval


def test_wilson_known_values() -> None:
    # Newcombe, Statistics in Medicine 17, 857 (1998), table I, method 3.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate(pair: tuple[int, int]) -> None:
    k, n = pair
    low, high = wilson_interval(k, n)
    assert 0 <= low <= k / n <= high <= 1


def test_wilson_rejects_impossible_counts() -> None:
    with pytest.raises(ValueError, match="k=3"):
        wilson_interval(3, 2)


def test_bootstrap_is_seeded_and_covers() -> None:
    values = np.random.default_rng(0).normal(1.0, 1.0, 200).tolist()
    low, high = bootstrap_interval(values, seed=1)
    assert (low, high) == bootstrap_interval(values, seed=1)
    assert low < np.mean(values) < high
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(200), rel=0.15)
    assert all(math.isnan(bound) for bound in bootstrap_interval([], seed=0))
