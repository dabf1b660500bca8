"""Pair builder that needs nothing but scores: the best against the worst answer of each prompt."""

from __future__ import annotations

import numpy as np

from sciRL.trajectory import TrajectoryBatch


def best_vs_worst(batch: TrajectoryBatch, seed: int) -> list[tuple[int, int]]:
    """Return (chosen, rejected) rows of every group whose scorable outcomes differ; ties are drawn by lot.

    Each group gives as many pairs as it has answers of its best outcome or of its worst, whichever is fewer.

    Example: outcomes [1, 0, 0, 1] in one group give two pairs, each with a 1 first and a 0 second.
    """
    generator = np.random.default_rng([seed, 0])
    outcome, scorable = batch.outcome.numpy(), batch.scorable.numpy()
    groups = batch.group.numpy()
    pairs: list[tuple[int, int]] = []
    for group in np.unique(groups):
        rows = np.flatnonzero((groups == group) & scorable)
        if len(rows) < 2 or outcome[rows].max() == outcome[rows].min():
            continue
        best = generator.permutation(rows[outcome[rows] == outcome[rows].max()])
        worst = generator.permutation(rows[outcome[rows] == outcome[rows].min()])
        pairs.extend((int(a), int(b)) for a, b in zip(best, worst, strict=False))
    return pairs
