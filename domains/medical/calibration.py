"""Calibration of stopping: how probable the chosen option was when it was chosen, against how often it was right.

Research software, not medical advice: the patients are simulated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from domains.medical.belief import OptionBelief
from domains.medical.consultation import Consultation
from domains.medical.curves import INK, PAPER, SOFT, Frame, axes, series_color, svg, text, whisker
from sciRL.run.charts import ticks
from sciRL.run.statistics import wilson_interval

TENTHS = 10
WIDTH, HEIGHT = 300, 290


@dataclass(frozen=True)
class Tenth:
    """Consultations whose belief in the chosen option fell into one tenth of [0, 1]: mean belief, number, and right."""

    belief: float
    total: int
    right: int


def stops(consultations: Iterable[Consultation], belief: OptionBelief) -> list[tuple[float, bool]]:
    """Return P(chosen option) when the answer came, and whether it was right, of every consultation that chose one."""
    found = []
    for one in consultations:
        if one.choice is not None:
            log_p = belief.option_logp(one.case, one.knowledge[-1:])[0]
            found.append((float(np.exp(log_p[one.case.labels.index(one.choice)])), one.correct))
    return found


def tenths(stopped: Sequence[tuple[float, bool]]) -> list[Tenth]:
    """Return the tenths of [0, 1] that hold any consultation, in ascending order; 1 belongs to the last.

    Example: `tenths([(0.92, True), (0.98, False)])` is one tenth of mean belief 0.95, one of two right.
    """
    kept: dict[int, list[tuple[float, bool]]] = {}
    for believed, right in stopped:
        kept.setdefault(min(TENTHS - 1, int(believed * TENTHS)), []).append((believed, right))
    return [
        Tenth(float(np.mean([p for p, _ in members])), len(members), sum(right for _, right in members))
        for _, members in sorted(kept.items())
    ]


def calibration_charts(arms: Mapping[str, Sequence[tuple[float, bool]]]) -> str:
    """Return one small chart an arm: dots on the diagonal are calibrated, dots below it answered too early."""
    charts = (_chart(name, tenths(stopped), index) for index, (name, stopped) in enumerate(arms.items()))
    cells = "".join(f'<div style="flex:0 1 {WIDTH}px">{chart}</div>' for chart in charts)
    return f'<div style="display:flex;flex-wrap:wrap;gap:14px 22px">{cells}</div>'


def _chart(name: str, points: Sequence[Tenth], index: int) -> str:
    frame, color = Frame(50, WIDTH - 10, 28, HEIGHT - 46, 1.0), series_color(index)
    total = sum(point.total for point in points)
    parts = [
        text(4, 14, f"{name[:34]} ({total} answers)", "start", INK),
        axes(frame, "belief", "share right", ticks(0, 1)),
    ]
    diagonal = f"M{frame.x(0):.1f} {frame.y(0):.1f}L{frame.x(1):.1f} {frame.y(1):.1f}"
    parts.append(f'<path d="{diagonal}" stroke="{SOFT}" stroke-dasharray="4 3"/>')
    for point in points:
        x, (low, high) = frame.x(point.belief), wilson_interval(point.right, point.total)
        parts.append(whisker(x, frame.y(high), frame.y(low), color))
    for point in points:
        # The least radius keeps a dot visible that stands for a single answer.
        radius = 3 + 7 * (point.total / total) ** 0.5
        parts.append(
            f'<circle cx="{frame.x(point.belief):.1f}" cy="{frame.y(point.right / point.total):.1f}" '
            f'r="{radius:.1f}" fill="{color}" stroke="{PAPER}"><title>belief {point.belief:.2f}: {point.right} of '
            f"{point.total} right</title></circle>"
        )
    return svg(WIDTH, HEIGHT, "".join(parts), f"calibration of {name}")
