"""Pair builders that need nothing but scores: the best answers of a prompt against its worst, or all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from sciRL.trajectory import TrajectoryBatch


def best_vs_worst(batch: TrajectoryBatch, seed: int) -> list[tuple[int, int]]:
    """Return (chosen, rejected) rows of every group whose scorable outcomes differ; ties are drawn by lot.

    Each group gives as many pairs as it has answers of its best outcome or of its worst, whichever is fewer.

    Example: outcomes [1, 0, 0, 1] in one group give two pairs, each with a 1 first and a 0 second.
    """
    return _pairs(batch, seed, lambda outcome: outcome == outcome.min())


def best_vs_rest(batch: TrajectoryBatch, seed: int) -> list[tuple[int, int]]:
    """As `best_vs_worst`, with rejected answers drawn from all that are worse than the best.

    With staged rewards this also sets a good answer against a nearly good one, which the worst never are.

    Example: outcomes [1, 0.5, 0.5, 0.5] in one group give one pair, a 1 first and a 0.5 second.
    """
    return _pairs(batch, seed, lambda outcome: outcome < outcome.max())


PAIR_BUILDERS: Mapping[str, Callable[[TrajectoryBatch, int], list[tuple[int, int]]]] = {
    "best_vs_worst": best_vs_worst,
    "best_vs_rest": best_vs_rest,
}


def _pairs(
    batch: TrajectoryBatch, seed: int, rejectable: Callable[[NDArray[np.float32]], NDArray[np.bool_]]
) -> list[tuple[int, int]]:
    generator = np.random.default_rng([seed, 0])
    outcome, scorable = batch.outcome.numpy(), batch.scorable.numpy()
    groups = batch.group.numpy()
    pairs: list[tuple[int, int]] = []
    for group in np.unique(groups):
        rows = np.flatnonzero((groups == group) & scorable)
        if len(rows) < 2 or outcome[rows].max() == outcome[rows].min():
            continue
        best = generator.permutation(rows[outcome[rows] == outcome[rows].max()])
        rejected = generator.permutation(rows[rejectable(outcome[rows])])
        pairs.extend((int(a), int(b)) for a, b in zip(best, rejected, strict=False))
    return pairs
