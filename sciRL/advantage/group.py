"""Group-relative advantages: GRPO, Dr.GRPO, RLOO, OPO and the REINFORCE++ baseline.

With R_i the outcome of row i and its group's mean and sample standard deviation (ddof=1):

    grpo       A_i = (R_i - mean) / (std + 1e-6)      DeepSeekMath, arXiv 2402.03300
    dr_grpo    A_i = R_i - mean                        arXiv 2503.20783
    rloo       A_i = n / (n - 1) * (R_i - mean)        arXiv 2402.14740
    opo        A_i = R_i - sum(len R) / sum(len)       length-weighted optimal baseline
    reinforce_baseline   R_i - mean, then whitened over all trained tokens of the batch

Rows whose verifier failed, and rows that no loss trains on (weight 0: cut off and filtered), are absent from all
statistics and get advantage 0. A group without spread has advantage exactly 0, and so has one of which a single
row is left; a group that is one row to begin with has no baseline (mean 0, std 1).
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from sciRL.advantage.base import AdvantageContext
from sciRL.trajectory import TrajectoryBatch

Estimator: TypeAlias = Literal["grpo", "dr_grpo", "rloo", "opo", "reinforce_baseline"]


def row_advantages(batch: TrajectoryBatch, estimator: Estimator) -> Tensor:
    """Return the advantage of every row [N] (before any whitening).

    Example: outcomes [1, 0, 0, 1] in one group give GRPO advantages [0.8660, -0.8660, -0.8660, 0.8660].
    """
    counted = counted_rows(batch)
    outcome = torch.where(counted, batch.outcome, torch.zeros_like(batch.outcome)).double()
    n = len(batch)
    count = batch.spread(batch.segment_count("group", n, counted), "group", n)
    if estimator == "opo":
        length = batch.segment_sum(batch.action.double(), "row")
        weighted = batch.segment_sum(length * outcome, "group", counted) / batch.segment_sum(
            length, "group", counted
        ).clamp(min=1)
        baseline = batch.spread(weighted, "group", n)
    else:
        baseline = batch.spread(batch.segment_mean(outcome, "group", counted), "group", n)
    alone = batch.spread(batch.segment_count("group", n), "group", n) == 1
    advantage = outcome - torch.where(alone, torch.zeros_like(baseline), baseline)
    if estimator == "grpo":
        std = batch.spread(batch.segment_std(outcome, "group", counted), "group", n)
        advantage = torch.where(alone, advantage, advantage / (std + 1e-6))
    elif estimator == "rloo":
        advantage = torch.where(alone, advantage, advantage * count / (count - 1).clamp(min=1))
    spread = has_spread(batch, outcome) | alone
    return torch.where(counted & spread, advantage, torch.zeros_like(advantage)).float()


def counted_rows(batch: TrajectoryBatch) -> Tensor:
    """Whether a row takes part in its group's statistics: its verifier gave a value and a loss trains on it [N]."""
    trained = batch.segment_sum((batch.action & (batch.weight > 0)).float(), "row") > 0
    return batch.scorable & trained


def has_spread(batch: TrajectoryBatch, outcome: Tensor) -> Tensor:
    """Whether a row's group holds two different outcomes among its counted rows [N]."""
    index = batch.group_index
    size = int(index.max()) + 1 if len(index) else 0
    kept = counted_rows(batch)
    lowest = torch.full((size,), float("inf"), dtype=outcome.dtype)
    highest = torch.full((size,), float("-inf"), dtype=outcome.dtype)
    lowest.scatter_reduce_(0, index[kept], outcome[kept], "amin")
    highest.scatter_reduce_(0, index[kept], outcome[kept], "amax")
    return (highest > lowest)[index]


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Return (x - mean) / sqrt(var + 1e-8) with mean and sample variance over `mask`; 0 elsewhere."""
    kept = x[mask].double()
    if len(kept) < 2:
        return torch.zeros_like(x)
    white = (x.double() - kept.mean()) / (kept.var() + 1e-8).sqrt()
    return torch.where(mask, white, torch.zeros_like(white)).to(x.dtype)


class GroupAdvantage:
    """Broadcasts a row's group-relative advantage over its action tokens."""

    reads: ClassVar[frozenset[str]] = frozenset({"outcome", "group", "status", "role", "weight"})
    writes: ClassVar[frozenset[str]] = frozenset({"advantage"})
    needs: frozenset[str] = frozenset()

    def __init__(self, estimator: Estimator) -> None:
        if estimator not in get_args(Estimator):
            raise ValueError(f"unknown estimator {estimator!r}; allowed: {', '.join(get_args(Estimator))}")
        self.estimator = estimator

    def apply(self, batch: TrajectoryBatch, context: AdvantageContext) -> dict[str, Tensor]:
        """Return the token column `advantage`."""
        advantage = batch.spread(row_advantages(batch, self.estimator), "row") * batch.action
        if self.estimator == "reinforce_baseline":
            advantage = whiten(advantage, batch.action & (batch.weight > 0))
        return {"advantage": advantage}
