"""Small charts as inline SVG: lines, bars with intervals, grouped bars, histograms.

Colours are CSS variables of the page (`--ink`, `--grid`, `--series-1` ... `--series-8`), so that one chart
reads in light and in dark; `CHART_CSS` defines them. Every mark carries a `<title>` with its exact value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

CHART_CSS = """
:root { --ink: #1c2530; --soft: #5b6875; --grid: #e3e8ee; --paper: #ffffff; --series-1: #1f6fb2; --series-2: #d2691e;
  --series-3: #2e8b57; --series-4: #a23b9a; --series-5: #b8860b; --series-6: #c0392b; --series-7: #16808a;
  --series-8: #6b7280; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf2; --soft: #9fb0bf; --grid: #2c3742; --paper: #151c23;
  --series-1: #6cb4f0; --series-2: #f3a35f; --series-3: #63cf95; --series-4: #e08bd9; --series-5: #e5c05a;
  --series-6: #f0857a; --series-7: #5fd0da; --series-8: #a8b3bf; } }
svg.chart { width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg.chart text { fill: var(--soft); }
svg.chart text.title { fill: var(--ink); font-weight: 600; font-size: 12px; }
"""

Series = Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Bar:
    """A bar with an optional 95 % interval."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    series: int = 0


@dataclass(frozen=True)
class _Frame:
    """The plotting area inside a chart, and the map from values to pixels."""

    width: int
    height: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: int = 52
    right: int = 14
    top: int = 28
    bottom: int = 36

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.height - self.bottom - (value - low) / (high - low) * (self.height - self.top - self.bottom)


def line_chart(
    title: str, series: Series, x_label: str = "step", y_range: tuple[float, float] | None = None, width: int = 520
) -> str:
    """Return curves over a common x axis; each series is a list of (x, y), gaps where y is not finite."""
    finite = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in series.items()}
    everything = [point for points in finite.values() for point in points]
    if not everything:
        return empty_chart(title, width)
    x_range = _padded(min(x for x, _ in everything), max(x for x, _ in everything), 0.0)
    y_range = y_range or _padded(min(y for _, y in everything), max(y for _, y in everything), 0.06)
    legend = _legend(list(finite), width) if len(finite) > 1 else ""
    rows = _legend_rows(list(finite), width) if legend else 0
    frame = _Frame(width, 230 + 16 * rows, x_range, y_range, bottom=36 + 16 * rows)
    parts = [_axes(frame, x_label, [_tick_text(t) for t in ticks(*x_range)], ticks(*x_range))]
    for index, (name, points) in enumerate(finite.items()):
        path = " ".join(f"{frame.x(x):.1f},{frame.y(_clip(y, y_range)):.1f}" for x, y in points)
        tip = f"{name}: {points[-1][1]:.4g} at {points[-1][0]:g}" if points else name
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="var(--series-{index % 8 + 1})" stroke-width="1.8" '
            f'stroke-linejoin="round"><title>{escape(tip)}</title></polyline>'
        )
    return _svg(title, frame.width, frame.height, "".join(parts) + _moved(legend, frame.height - 16 * rows - 2))


def bar_chart(title: str, bars: Sequence[Bar], x_range: tuple[float, float] | None = None, width: int = 620) -> str:
    """Return horizontal bars, one a row, with whiskers where an interval is given."""
    shown = [bar for bar in bars if math.isfinite(bar.value)]
    if not shown:
        return empty_chart(title, width)
    ends = [value for bar in shown for value in (bar.value, bar.low, bar.high) if value is not None]
    x_range = x_range or _padded(min(0.0, *ends), max(ends), 0.0)
    label_width = min(240, 12 + max(7 * len(bar.label) for bar in shown))
    row = 26
    frame = _Frame(width, 62 + row * len(shown), x_range, (0, 1), left=label_width, right=58)
    positions = ticks(*x_range)
    parts = [_vertical_grid(frame, positions)]
    for index, bar in enumerate(shown):
        y = frame.top + index * row + 5
        x0, x1 = sorted((frame.x(max(0.0, x_range[0])), frame.x(_clip(bar.value, x_range))))
        parts.append(
            f'<text x="{label_width - 8}" y="{y + 12}" text-anchor="end">{escape(bar.label)}</text>'
            f'<rect x="{x0:.1f}" y="{y}" width="{max(1.0, x1 - x0):.1f}" height="16" rx="2" '
            f'fill="var(--series-{bar.series % 8 + 1})" fill-opacity="0.82">'
            f"<title>{escape(_bar_tip(bar))}</title></rect>"
            f"{_whisker(frame, bar, y + 8)}"
            f'<text x="{width - 6}" y="{y + 12}" text-anchor="end">{bar.value:.3g}</text>'
        )
    return _svg(title, frame.width, frame.height, "".join(parts))


def histogram(
    title: str, samples: Mapping[str, Sequence[float]], bins: int = 24, x_label: str = "", width: int = 520
) -> str:
    """Return the distributions of several samples over common bins, each as a share of its sample."""
    finite = {name: [v for v in values if math.isfinite(v)] for name, values in samples.items()}
    everything = [value for values in finite.values() for value in values]
    if not everything:
        return empty_chart(title, width)
    low, high = _padded(min(everything), max(everything), 0.0)
    step = (high - low) / bins
    curves = {}
    for name, values in finite.items():
        shares = [0.0] * bins
        for value in values:
            shares[min(bins - 1, int((value - low) / step))] += 1 / len(values)
        edges = [(low + (index + side) * step, share) for index, share in enumerate(shares) for side in (0, 1)]
        curves[name] = [(low, 0.0), *edges, (high, 0.0)] if values else []
    top = max(share for points in curves.values() for _, share in points)
    return line_chart(title, curves, x_label, (0.0, top * 1.06), width)


def grouped_bars(title: str, groups: Mapping[str, Mapping[str, float]], width: int = 760) -> str:
    """Return vertical bars: `groups` maps a group (x axis) to the values of its series."""
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    values = [value for group in groups.values() for value in group.values() if math.isfinite(value)]
    if not values:
        return empty_chart(title, width)
    rows = _legend_rows(names, width)
    y_range = _padded(min(0.0, *values), max(values), 0.0)
    frame = _Frame(width, 250 + 16 * rows, (0, len(groups)), y_range, bottom=36 + 16 * rows)
    centres = [index + 0.5 for index in range(len(groups))]
    parts = [_axes(frame, "", [label[:18] for label in groups], centres)]
    slot = (frame.x(1) - frame.x(0)) * 0.8 / max(1, len(names))
    for position, (label, group) in enumerate(groups.items()):
        for name, value in group.items():
            if not math.isfinite(value):
                continue
            index = names.index(name)
            x = frame.x(position + 0.1) + index * slot
            y0, y1 = sorted((frame.y(value), frame.y(0)))
            tip = escape(f"{label}, {name}: {value:.4g}")
            parts.append(
                f'<rect x="{x:.1f}" y="{y0:.1f}" width="{slot * 0.92:.1f}" height="{max(0.8, y1 - y0):.1f}" '
                f'fill="var(--series-{index % 8 + 1})" fill-opacity="0.85"><title>{tip}</title></rect>'
            )
    legend = _moved(_legend(names, width), frame.height - 16 * rows - 2)
    return _svg(title, frame.width, frame.height, "".join(parts) + legend)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round positions within a range.

    Example:
        >>> ticks(0, 1)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    raw = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = 3 - math.floor(math.log10(step))
    return [round(index * step, digits) for index in range(first, last + 1)]


def empty_chart(title: str, width: int = 520) -> str:
    """Return a chart that says that there is nothing to draw."""
    return _svg(title, width, 70, f'<text x="{width / 2}" y="48" text-anchor="middle">no values</text>')


def _svg(title: str, width: int, height: int, body: str) -> str:
    return (
        f'<svg class="chart" role="img" aria-label="{escape(title, quote=True)}" viewBox="0 0 {width} {height}" '
        f'style="max-width:{width}px">'
        f'<text class="title" x="4" y="14">{escape(title)}</text>{body}</svg>'
    )


def _axes(frame: _Frame, x_label: str, labels: Sequence[str], positions: Sequence[float]) -> str:
    base = frame.height - frame.bottom
    parts = []
    for tick in ticks(*frame.y_range):
        y = frame.y(tick)
        parts.append(
            f'<line x1="{frame.left}" x2="{frame.width - frame.right}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--grid)"/>'
            f'<text x="{frame.left - 6}" y="{y + 4:.1f}" text-anchor="end">{_tick_text(tick)}</text>'
        )
    for label, position in zip(labels, positions, strict=True):
        x = frame.x(position)
        parts.append(f'<text x="{x:.1f}" y="{base + 15}" text-anchor="middle">{escape(label)}</text>')
    middle = (frame.left + frame.width - frame.right) / 2
    parts.append(f'<text x="{middle:.0f}" y="{base + 29}" text-anchor="middle">{escape(x_label)}</text>')
    return "".join(parts)


def _vertical_grid(frame: _Frame, positions: Sequence[float]) -> str:
    bottom = frame.height - 26
    return "".join(
        f'<line x1="{frame.x(tick):.1f}" x2="{frame.x(tick):.1f}" y1="{frame.top}" y2="{bottom}" stroke="var(--grid)"/>'
        f'<text x="{frame.x(tick):.1f}" y="{bottom + 14}" text-anchor="middle">{_tick_text(tick)}</text>'
        for tick in positions
    )


def _whisker(frame: _Frame, bar: Bar, y: float) -> str:
    if bar.low is None or bar.high is None:
        return ""
    x0, x1 = frame.x(_clip(bar.low, frame.x_range)), frame.x(_clip(bar.high, frame.x_range))
    return (
        f'<path d="M{x0:.1f} {y - 4}v8M{x0:.1f} {y}H{x1:.1f}M{x1:.1f} {y - 4}v8" stroke="var(--ink)" '
        'stroke-width="1.4" fill="none"/>'
    )


def _bar_tip(bar: Bar) -> str:
    interval = f" (95 % {bar.low:.4g} to {bar.high:.4g})" if bar.low is not None and bar.high is not None else ""
    return f"{bar.label}: {bar.value:.4g}{interval}"


def _legend_places(names: Sequence[str], width: int) -> list[tuple[int, int]]:
    places, x, row = [], 8, 0
    for name in names:
        needed = 26 + 7 * len(name)
        if x + needed > width and x > 8:
            x, row = 8, row + 1
        places.append((x, row))
        x += needed
    return places


def _legend_rows(names: Sequence[str], width: int) -> int:
    return _legend_places(names, width)[-1][1] + 1 if names else 0


def _legend(names: Sequence[str], width: int) -> str:
    return "".join(
        f'<rect x="{x}" y="{row * 16 - 9}" width="10" height="10" rx="2" fill="var(--series-{index % 8 + 1})"/>'
        f'<text x="{x + 15}" y="{row * 16}">{escape(name)}</text>'
        for index, (name, (x, row)) in enumerate(zip(names, _legend_places(names, width), strict=True))
    )


def _moved(body: str, y: int) -> str:
    return f'<g transform="translate(0,{y + 8})">{body}</g>' if body else ""


def _padded(low: float, high: float, share: float) -> tuple[float, float]:
    if high - low <= 1e-12 * max(1.0, abs(low), abs(high)):
        pad = max(abs(low) * 0.1, 0.5)
        return low - pad, high + pad
    return low - share * (high - low), high + share * (high - low)


def _clip(value: float, limits: tuple[float, float]) -> float:
    return min(max(value, limits[0]), limits[1])


def _tick_text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"
