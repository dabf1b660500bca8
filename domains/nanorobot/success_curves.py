"""Cumulative success over time: the share of all attempts that had reached a tumour by then, one curve an arm."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from domains.nanorobot.metrics import Search
from sciRL.domain import Figure
from sciRL.run.charts import ticks
from sciRL.run.statistics import wilson_interval

WIDTH, HEIGHT = 860, 400
LEFT, TOP, BASE = 52, 18, HEIGHT - 46
LABEL_STEP = 17.0
SERIES = 8
"""Colours of the page; a ninth arm begins again at the first, dashed."""


@dataclass(frozen=True)
class Curve:
    """An empirical distribution of arrival times.

    Attributes:
        name: of the arm.
        times: arrival times in s, ascending.
        attempts: of the arm; those without an arrival count in every share.
    """

    name: str
    times: tuple[float, ...]
    attempts: int

    def share(self, time: float) -> float:
        """Return the share of attempts that had arrived by a time."""
        return self.arrived(time) / self.attempts

    def arrived(self, time: float) -> int:
        """Return the number of attempts that had arrived by a time."""
        return bisect.bisect_right(self.times, time)


def curve_of(name: str, searches: Sequence[Search | None]) -> Curve:
    """Return the curve of an arm; None stands for an attempt without a readable record."""
    times = sorted(search.seconds for search in searches if search is not None and search.found)
    return Curve(name, tuple(times), len(searches))


def success_figure(curves: Sequence[Curve], duration: float) -> Figure:
    """Return the curves with pointwise 95 % Wilson bands.

    Args:
        curves: one an arm, in the order of the report.
        duration: length of an episode in s.
    """
    shown = [curve for curve in curves if curve.attempts]
    highest = max((wilson_interval(len(c.times), c.attempts)[1] for c in shown), default=1.0)
    top = next(level for level in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if level >= min(highest, 1.0) - 1e-9)
    labels = [f"{curve.name}  {curve.share(duration):.3f}" for curve in shown]
    right = WIDTH - 40 - round(6.6 * max((len(label) for label in labels), default=0))
    frame = _Frame(right, duration, top)
    parts = [_axes(frame)]
    # The bands lie under all curves, so that none is hidden.
    parts += [_band(frame, curve, index) for index, curve in enumerate(shown)]
    parts += [_line(frame, curve, index) for index, curve in enumerate(shown)]
    heights = spread_labels([frame.y(curve.share(duration)) for curve in shown])
    for index, (curve, label, y) in enumerate(zip(shown, labels, heights, strict=True)):
        parts.append(_label(frame, frame.y(curve.share(duration)), y, label, index))
    sizes = sorted({curve.attempts for curve in shown})
    attempts = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}" if sizes else "no"
    note = (
        f"Share of all attempts ({attempts} an arm) that had reached a tumour by each time; the number beside a curve "
        "is where it ends. Bands: 95 % Wilson intervals, for each time by itself."
    )
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="cumulative success over time" '
        f'style="width:100%;max-width:{WIDTH}px;height:auto;font:12px system-ui,sans-serif">{"".join(parts)}</svg>'
    )
    return Figure("Success over time", note, svg)


@dataclass(frozen=True)
class _Frame:
    right: float
    duration: float
    top: float

    def x(self, time: float) -> float:
        return LEFT + (self.right - LEFT) * min(1.0, time / self.duration)

    def y(self, share: float) -> float:
        return BASE - (BASE - TOP) * share / self.top


def spread_labels(heights: Sequence[float]) -> list[float]:
    """Return heights at least `LABEL_STEP` apart, in the same order and inside the chart where they fit.

    Example: `spread_labels([100.0, 104.0])` gives [100.0, 117.0].
    """
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    placed = list(heights)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + LABEL_STEP)
    floor = float(BASE)
    for index in reversed(order):
        placed[index] = min(placed[index], floor)
        floor = placed[index] - LABEL_STEP
    return placed


def _color(index: int) -> str:
    return f"var(--series-{index % SERIES + 1},#1f6fb2)"


def _corners(curve: Curve, duration: float) -> list[float]:
    return sorted({0.0, *(time for time in curve.times if time < duration), duration})


def _line(frame: _Frame, curve: Curve, index: int) -> str:
    path = f"M{frame.x(0):.1f} {frame.y(0):.1f}"
    for time in _corners(curve, frame.duration):
        path += f"H{frame.x(time):.1f}V{frame.y(curve.share(time)):.1f}"
    dashes = ' stroke-dasharray="6 3"' if index >= SERIES else ""
    tip = f"{curve.name}: {len(curve.times)} of {curve.attempts} within {frame.duration:g} s"
    return (
        f'<path d="{path}" fill="none" stroke="{_color(index)}" stroke-width="2"{dashes} stroke-linejoin="round">'
        f"<title>{escape(tip)}</title></path>"
    )


def _band(frame: _Frame, curve: Curve, index: int) -> str:
    times = _corners(curve, frame.duration)
    bounds = [wilson_interval(curve.arrived(time), curve.attempts) for time in times]
    upper, lower = "", ""
    for position, (time, (low, high)) in enumerate(zip(times, bounds, strict=True)):
        until = frame.x(times[min(position + 1, len(times) - 1)])
        upper += f"L{frame.x(time):.1f} {frame.y(min(high, frame.top)):.1f}H{until:.1f}"
        lower = f"L{until:.1f} {frame.y(low):.1f}H{frame.x(time):.1f}" + lower
    return f'<path d="M{upper[1:]}{lower}Z" fill="{_color(index)}" fill-opacity=".13"/>'


def _axes(frame: _Frame) -> str:
    parts = []
    for share in ticks(0.0, frame.top):
        y = frame.y(share)
        parts.append(
            f'<path d="M{LEFT} {y:.1f}H{frame.right}" stroke="var(--grid,#e3e8ee)"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="var(--soft,#5b6875)">{share:g}</text>'
        )
    for time in ticks(0.0, frame.duration, 6):
        x = frame.x(time)
        parts.append(
            f'<path d="M{x:.1f} {BASE}v5" stroke="var(--soft,#5b6875)"/>'
            f'<text x="{x:.1f}" y="{BASE + 19}" text-anchor="middle" fill="var(--soft,#5b6875)">{time:g}</text>'
        )
    middle = (LEFT + frame.right) / 2
    parts.append(f'<path d="M{LEFT} {BASE}H{frame.right}" stroke="var(--soft,#5b6875)"/>')
    parts.append(
        f'<text x="{middle:.0f}" y="{BASE + 38}" text-anchor="middle" fill="var(--ink,#1c2530)">time since the start '
        f'(s)</text><text transform="translate(13 {(TOP + BASE) / 2:.0f}) rotate(-90)" text-anchor="middle" '
        f'fill="var(--ink,#1c2530)">share that reached a tumour</text>'
    )
    return "".join(parts)


def _label(frame: _Frame, end: float, y: float, text: str, index: int) -> str:
    x = frame.right
    return (
        f'<path d="M{x + 2} {end:.1f}L{x + 14} {y:.1f}h6" fill="none" stroke="{_color(index)}" stroke-width="1.2"/>'
        f'<text x="{x + 25}" y="{y + 4:.1f}" fill="var(--ink,#1c2530)" style="white-space:pre">{escape(text)}</text>'
    )
