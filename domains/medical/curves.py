"""Curves of the report: accuracy against the number of questions, as inline SVG.

Research software, not medical advice: the patients are simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from domains.medical.comparison import Course
from sciRL.run.charts import ticks
from sciRL.run.statistics import wilson_interval

WIDTH, HEIGHT = 900, 430
LABEL_STEP = 16.0
SERIES = 8
INK, SOFT, GRID, PAPER = "var(--ink,#1c2530)", "var(--soft,#5b6875)", "var(--grid,#e3e8ee)", "var(--paper,#fff)"
DASHES = {
    "ask nothing": "1 4",
    "random": "3 3",
    "fixed order": "7 3",
    "greedy information gain": "11 3 2 3",
    "oracle": "",
}
"""Of the scripted policies' grey lines."""


@dataclass(frozen=True)
class Frame:
    """A plotting area in pixels, whose y axis is a share from 0 to 1."""

    left: float
    right: float
    top: float
    base: float
    x_most: float

    def x(self, value: float) -> float:
        """Return the pixel of a value from 0 to `x_most`."""
        return self.left + (self.right - self.left) * (value / self.x_most if self.x_most else 0.5)

    def y(self, share: float) -> float:
        """Return the pixel of a share."""
        return self.base - (self.base - self.top) * share


def accuracy_chart(arms: Sequence[Course], references: Sequence[Course]) -> str:
    """Return a line with a 95 % Wilson band and a dot of the answers for each arm, and a grey line for each policy."""
    ends = [*references, *arms]
    labels = [f"{course.name}  {course.believed[-1] / course.total:.2f}" for course in ends]
    right = WIDTH - 34 - 6.6 * max(len(label) for label in labels)
    frame = Frame(50, right, 14, HEIGHT - 46, max(len(course.believed) for course in ends) - 1)
    # Bands lie under all lines, so that none is hidden.
    x_ticks = ticks(0.0, frame.x_most, min(10, int(frame.x_most))) if frame.x_most else [0.0]
    parts = [axes(frame, "questions asked", "share of patients", x_ticks)]
    parts += [_band(frame, course, series_color(index)) for index, course in enumerate(arms)]
    parts += [_line(frame, course, SOFT, 1.4, DASHES.get(course.name, "")) for course in references]
    parts += [_line(frame, course, series_color(index), 2.2, "") for index, course in enumerate(arms)]
    parts += [_answers(frame, course, series_color(index)) for index, course in enumerate(arms)]
    colors = [SOFT] * len(references) + [series_color(index) for index in range(len(arms))]
    heights = [frame.y(course.believed[-1] / course.total) for course in ends]
    for height, y, label, color in zip(heights, spread(heights, frame.base), labels, colors, strict=True):
        parts.append(_label(frame.right, height, y, label, color))
    return svg(WIDTH, HEIGHT, "".join(parts), "accuracy against the number of questions")


def series_color(index: int) -> str:
    """Return the page's colour of the arm at a position; a ninth arm begins again at the first."""
    return f"var(--series-{index % SERIES + 1},#1f6fb2)"


def spread(heights: Sequence[float], base: float) -> list[float]:
    """Return heights at least `LABEL_STEP` apart, in the same order and above `base` where they fit.

    Example: `spread([100.0, 104.0], 400.0)` gives [100.0, 116.0].
    """
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    placed = list(heights)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + LABEL_STEP)
    floor = base
    for index in reversed(order):
        placed[index] = min(placed[index], floor)
        floor = placed[index] - LABEL_STEP
    return placed


def axes(frame: Frame, x_label: str, y_label: str, x_ticks: Sequence[float]) -> str:
    """Return grid, labels and ticks; those of the y axis are round shares."""
    parts = []
    for share in ticks(0.0, 1.0):
        y = frame.y(share)
        parts.append(f'<path d="M{frame.left:g} {y:.1f}H{frame.right:.1f}" stroke="{GRID}"/>')
        parts.append(text(frame.left - 7, y + 4, f"{share:g}", "end"))
    for value in x_ticks:
        parts.append(f'<path d="M{frame.x(value):.1f} {frame.base:g}v4" stroke="{SOFT}"/>')
        parts.append(text(frame.x(value), frame.base + 17, f"{value:g}"))
    middle = (frame.top + frame.base) / 2
    parts.append(text((frame.left + frame.right) / 2, frame.base + 35, x_label, color=INK))
    turned = f'<g transform="translate(13 {middle:.0f}) rotate(-90)">{text(0, 0, y_label, color=INK)}</g>'
    return "".join([*parts, turned])


def text(x: float, y: float, words: str, anchor: str = "middle", color: str = SOFT) -> str:
    """Return a line of text; the words are escaped."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{escape(words)}</text>'


def whisker(x: float, top: float, bottom: float, color: str) -> str:
    """Return a vertical interval with end caps."""
    path = f"M{x - 4:.1f} {top:.1f}h8M{x:.1f} {top:.1f}V{bottom:.1f}M{x - 4:.1f} {bottom:.1f}h8"
    return f'<path d="{path}" stroke="{color}" stroke-width="1.4" fill="none"/>'


def svg(width: float, height: float, body: str, label: str) -> str:
    """Return a drawing that shrinks with the page."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}" '
        f'style="width:100%;max-width:{width:g}px;height:auto;font:12px system-ui,sans-serif">{body}</svg>'
    )


def _band(frame: Frame, course: Course, color: str) -> str:
    bounds = [wilson_interval(right, course.total) for right in course.believed]
    there = [f"{frame.x(asked):.1f},{frame.y(high):.1f}" for asked, (_, high) in enumerate(bounds)]
    back = [f"{frame.x(asked):.1f},{frame.y(low):.1f}" for asked, (low, _) in enumerate(bounds)]
    return f'<polygon points="{" ".join(there + back[::-1])}" fill="{color}" fill-opacity=".12"/>'


def _line(frame: Frame, course: Course, color: str, width: float, dashes: str) -> str:
    shares = [right / course.total for right in course.believed]
    points = " ".join(f"{frame.x(asked):.1f},{frame.y(share):.1f}" for asked, share in enumerate(shares))
    tip = f"{course.name}: {shares[0]:.3f} before the first question, {shares[-1]:.3f} at the end"
    style = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{width}"{style}>'
        f"<title>{escape(tip)}</title></polyline>"
    )


def _answers(frame: Frame, course: Course, color: str) -> str:
    low, high = wilson_interval(course.right, course.total)
    share, x = course.right / course.total, frame.x(course.questions)
    tip = f"{course.name}: {course.right} of {course.total} answers right after {course.questions:.2f} questions"
    return (
        f'{whisker(x, frame.y(high), frame.y(low), color)}<circle cx="{x:.1f}" cy="{frame.y(share):.1f}" r="5.5" '
        f'fill="{color}" stroke="{PAPER}" stroke-width="1.5"><title>{escape(tip)}</title></circle>'
    )


def _label(x: float, end: float, y: float, words: str, color: str) -> str:
    leader = f'<path d="M{x + 3:.1f} {end:.1f}L{x + 14:.1f} {y:.1f}h6" fill="none" stroke="{color}"/>'
    return leader + text(x + 24, y + 4, words, "start", INK)
