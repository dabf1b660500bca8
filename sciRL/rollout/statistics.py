"""Metrics of a scored batch; every share is over all attempts."""

from __future__ import annotations

import torch

from sciRL.advantage.group import has_spread
from sciRL.trajectory import RowStatus, TrajectoryBatch


def batch_metrics(batch: TrajectoryBatch) -> dict[str, float]:
    """Return reward, its parts, pass rate, statuses, lengths and the share of groups without spread.

    Of conversations also the turns of a row, and what all its turns earned together.
    """
    n = len(batch)
    scorable = batch.scorable
    outcome = batch.outcome[scorable]
    passed = [bool(score.measurements.get("passed", False)) for score in batch.rows["score"]]
    metrics = {
        "reward/mean": float(outcome.mean()) if len(outcome) else float("nan"),
        "reward/std": float(outcome.std()) if len(outcome) > 1 else 0.0,
        "pass_rate": sum(passed) / n,
        "malformed": float((batch.status == RowStatus.MALFORMED).sum()) / n,
        "verifier_failures": float((~scorable).sum()) / n,
        "length/mean": float(batch.action.sum()) / n,
        "truncated": float(batch.truncated.float().mean()),
        "groups_without_spread": 1.0 - float(has_spread(batch, torch.nan_to_num(batch.outcome)).float().mean()),
    }
    for column, name in enumerate(batch.component_names):
        metrics[f"reward/part/{name}"] = float(batch.components[:, column].mean())
    if batch.turns:
        metrics["turns/mean"] = len(batch.turns["reward"]) / n
        metrics["turns/reward"] = float(batch.turns["reward"].sum()) / n
    return metrics
