"""The pair builder that needs nothing but scores."""

from __future__ import annotations

import torch

from sciRL.algorithms.pairs import best_vs_rest, best_vs_worst
from sciRL.trajectory import RowStatus, TrajectoryBatch


def test_best_vs_worst_skips_failures_and_ties() -> None:
    batch = TrajectoryBatch.from_rows([[1]] * 5, [[2]] * 5, [0, 0, 0, 1, 1])
    batch.outcome = torch.tensor([0.2, float("nan"), 0.9, 0.5, 0.5])
    batch.status[1] = int(RowStatus.ERROR)
    assert best_vs_worst(batch, seed=0) == [(2, 0)]


def test_as_many_pairs_as_the_rarer_side_has() -> None:
    batch = TrajectoryBatch.from_rows([[1]] * 4, [[2]] * 4, [0] * 4)
    batch.outcome = torch.tensor([1.0, 0.0, 0.0, 1.0])
    pairs = best_vs_worst(batch, seed=0)
    assert sorted(a for a, _ in pairs) == [0, 3]
    assert sorted(b for _, b in pairs) == [1, 2]


def test_best_vs_rest_rejects_the_nearly_good_too() -> None:
    batch = TrajectoryBatch.from_rows([[1]] * 4, [[2]] * 4, [0, 0, 0, 0])
    batch.outcome = torch.tensor([0.5, 1.0, 0.5, 0.0])
    rejected = {best_vs_rest(batch, seed)[0][1] for seed in range(40)}
    assert rejected == {0, 2, 3}
    assert {best_vs_worst(batch, seed)[0] for seed in range(40)} == {(1, 3)}
