"""Metrics of an evaluation: what became of all attempts, and how well the sound parts fit."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from sciRL.domain import Record


def summarize(records: Sequence[Record]) -> dict[str, float]:
    """Return rates over all attempts and size errors over sound parts.

    `mean_reward` is the mean value of all attempts that the verifiers could judge, by the rubric of the evaluation.
    `executable_rate`, `solid_rate`, `mean_iou` and `spec_met` count an attempt that failed as 0, so nothing is gained
    by leaving out the hard ones; `median_iou_of_solids` and the size errors are over sound parts, whose number is
    `solids`. `fail/CODE` are shares of all attempts.
    """
    if not records:
        return {}
    total = len(records)
    measured = [record.score.measurements for record in records]
    solids = [m for m in measured if m.get("code") == "ok"]
    codes = Counter(str(m.get("code", "unscored")) for m in measured)
    overlaps = [float(m["iou"]) for m in solids if "iou" in m]
    values = [record.score.value for record in records if record.score.value is not None]
    figures = {
        "mean_reward": statistics.fmean(values) if values else 0.0,
        "executable_rate": sum(record.score.components.get("executable", 0.0) for record in records) / total,
        "solid_rate": len(solids) / total,
        "solids": float(len(solids)),
        "mean_iou": sum(overlaps) / total,
        "spec_met": sum(float(m.get("spec_met", 0.0)) for m in solids) / total,
        "distinct_programs": len({record.answer for record in records}) / total,
    }
    if overlaps:
        figures["median_iou_of_solids"] = statistics.median(overlaps)
    errors = [m["size_errors"] for m in solids if "size_errors" in m]
    if errors:
        figures["median_box_error"] = statistics.median(max(e[axis] for axis in "xyz") for e in errors)
        figures["median_volume_error"] = statistics.median(e["volume"] for e in errors)
    return figures | {f"fail/{code}": count / total for code, count in sorted(codes.items()) if code != "ok"}
