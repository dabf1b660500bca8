"""Charts of how arms did: where answers failed, how well parts overlap, how far sizes are off, what each verifier paid.

Arms keep their order and with it their colour, as in the report's own charts (`sciRL.run.charts`). Shares are of all
attempts: an answer that built no part counts against its arm.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from html import escape

from sciRL.errors import UserError
from sciRL.run.charts import empty_chart, grouped_bars, line_chart, ticks

FAILURE_ORDER = (
    "ok", "no_code", "policy", "syntax", "import_denied", "exec_error", "timeout", "memory", "crash", "exit",
    "no_result", "not_a_shape", "too_big", "not_solid", "invalid", "multi_solid", "meter_timeout", "sandbox_error",
)  # fmt: skip
"""Codes in the order in which an answer can meet them; others follow."""

SIZE_STEPS = (0.001, 0.01, 0.05, 0.1, 0.5)
"""Relative errors at which `size_error_chart` counts."""

CURVE_STEPS = 200
WIDTH = 760
BAR, GAP, RIGHT = 11, 9, 64


def failure_histogram(counts: Mapping[str, Mapping[str, int]], title: str = "Outcome of each attempt") -> str:
    """Return horizontal bars: for each code, the share of an arm's attempts that ended with it, in %.

    Args:
        counts: attempts by code, by arm; an arm's attempts are the sum of its counts.
        title: of the chart.

    Raises:
        UserError: a negative count.

    Example: `{"trained": {"ok": 6, "syntax": 2}}` gives bars of 75 % and 25 %.
    """
    for arm, codes in counts.items():
        for code, count in codes.items():
            if count < 0:
                raise UserError(f"{title}: the count of {code!r} in {arm!r} must be >= 0; found {count}")
    found = {code for codes in counts.values() for code, count in codes.items() if count}
    ordered = [code for code in FAILURE_ORDER if code in found] + sorted(found.difference(FAILURE_ORDER))
    labels = {arm: f"{arm} (n = {sum(codes.values())})" for arm, codes in counts.items()}
    rows = {
        code: {
            labels[arm]: 100 * codes.get(code, 0) / sum(codes.values())
            for arm, codes in counts.items()
            if any(codes.values())
        }
        for code in ordered
    }
    top = max((value for row in rows.values() for value in row.values()), default=0.0)
    return _rows_chart(title, rows, "share of attempts (%)", max(top, 1.0), 1, list(labels.values()))


def overlap_curves(
    overlaps: Mapping[str, Sequence[float]],
    attempts: Mapping[str, int] | None = None,
    title: str = "Share of attempts that reach an overlap",
) -> str:
    """Return, for each arm, the share of attempts whose overlap (IoU) with the reference is at least x.

    This is one minus the distribution function, so that higher is better, the value at 0.99 is the share that a strict
    rule accepts, and the area under the curve is the mean overlap with failures as 0.

    Args:
        overlaps: of the parts that were measured, in 0 ... 1, by arm.
        attempts: by arm, failures included; by default the number of overlaps.
        title: of the chart.

    Raises:
        UserError: fewer attempts than overlaps, or an overlap outside 0 ... 1.

    Example: overlaps 0.5 and 1.0 of 4 attempts give 0.5 up to x = 0.5 and 0.25 up to x = 1.
    """
    curves = {}
    for arm, values in overlaps.items():
        total = _attempts(arm, values, attempts, title)
        if any(not 0 <= value <= 1 for value in values):
            raise UserError(f"{title}: overlaps must be in 0 ... 1; {arm!r} has {min(values)} to {max(values)}")
        ordered = sorted(values)
        grid = [step / CURVE_STEPS for step in range(CURVE_STEPS + 1)]
        curves[f"{arm} (n = {total})"] = [
            (x, (len(ordered) - bisect_left(ordered, x - 1e-9)) / total) for x in grid if total
        ]
    return line_chart(title, curves, "overlap with the reference, intersection over union", (0.0, 1.0), WIDTH)


def size_error_chart(
    measure: str, errors: Mapping[str, Sequence[float]], attempts: Mapping[str, int] | None = None
) -> str:
    """Return bars: for each arm, the share of attempts whose relative error is at most 0.1, 1, 5, 10 and 50 %.

    Args:
        measure: what was measured, such as "length along X" or "volume".
        errors: relative errors |found - wanted| / wanted, 0.01 for 1 %, of the parts that were measured, by arm.
        attempts: by arm, failures included; by default the number of errors.

    Raises:
        UserError: fewer attempts than errors, or a negative error.
    """
    title = f"Error of {measure}: share of attempts within a tolerance (%)"
    groups: dict[str, dict[str, float]] = {f"≤ {100 * step:g} %": {} for step in SIZE_STEPS}
    for arm, values in errors.items():
        total = _attempts(arm, values, attempts, title)
        if any(not value >= 0 for value in values):
            raise UserError(f"{title}: errors must be >= 0; {arm!r} has {min(values)}")
        for group, step in zip(groups.values(), SIZE_STEPS, strict=True):
            # The margin keeps an error of exactly 1 % within 1 % whatever its last bit.
            within = sum(value <= step * (1 + 1e-9) for value in values)
            group[f"{arm} (n = {total})"] = 100 * within / total if total else math.nan
    return grouped_bars(title, groups, WIDTH)


def reward_bars(components: Mapping[str, Mapping[str, float]], title: str = "Mean score of each verifier") -> str:
    """Return horizontal bars of 0 ... 1: for each verifier, the mean score of each arm.

    Args:
        components: mean scores by verifier, by arm; verifiers keep the order in which they are first met.
        title: of the chart.
    """
    names = dict.fromkeys(name for values in components.values() for name in values)
    rows = {
        name: {arm: values[name] for arm, values in components.items() if math.isfinite(values.get(name, math.nan))}
        for name in names
    }
    return _rows_chart(title, rows, "mean score (0 to 1)", 1.0, 2, list(components))


def _attempts(arm: str, values: Sequence[float], attempts: Mapping[str, int] | None, title: str) -> int:
    total = len(values) if attempts is None else attempts.get(arm, len(values))
    if total < len(values):
        raise UserError(f"{title}: {arm!r} has {len(values)} values of {total} attempts; attempts count failures too")
    return total


def _rows_chart(
    title: str,
    rows: Mapping[str, Mapping[str, float]],
    x_label: str,
    top: float,
    digits: int,
    series: Sequence[str] = (),
) -> str:
    """Horizontal bars from 0 to `top`: one group for each of `rows`, in it one bar a series."""
    names = list(dict.fromkeys([*series, *(name for row in rows.values() for name in row)]))
    if not any(rows.values()):
        return empty_chart(title, WIDTH)
    left = min(200, 16 + max(7 * len(label) for label in rows))
    scale = (WIDTH - left - RIGHT) / top
    group = len(names) * BAR + GAP
    legend, upper = _legend(names)
    lower = upper + len(rows) * group
    parts = [legend, _grid(left, scale, upper, lower, top, x_label)]
    for index, (label, row) in enumerate(rows.items()):
        y = upper + index * group
        parts.append(_text(left - 8, y + (group - GAP) / 2 + 4, label, "end"))
        for name, value in row.items():
            place = names.index(name)
            length = scale * min(max(value, 0.0), top)
            parts.append(
                _bar(left, y + place * BAR, length, place, f"{value:.{digits}f}", f"{label}, {name}: {value:.4g}")
            )
    return (
        f'<svg class="chart" role="img" aria-label="{escape(title, quote=True)}" viewBox="0 0 {WIDTH} {lower + 36}" '
        f'style="max-width:{WIDTH}px"><text class="title" x="4" y="14">{escape(title)}</text>{"".join(parts)}</svg>'
    )


def _grid(left: float, scale: float, upper: float, lower: float, top: float, x_label: str) -> str:
    """Lines from `upper` to `lower` at round values, with numbers and the axis' name below."""
    lines = [
        f'<path d="M{left + scale * tick:.1f} {upper - 4}V{lower}" stroke="var(--grid)"/>'
        + _text(left + scale * tick, lower + 14, f"{tick:g}", "middle")
        for tick in ticks(0.0, top)
    ]
    return "".join(lines) + _text(left + scale * top / 2, lower + 29, x_label, "middle")


def _bar(x: float, y: float, length: float, series: int, value: str, tip: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y}" width="{max(length, 0.8):.1f}" height="{BAR - 1}" fill="{_colour(series)}" '
        f'fill-opacity="0.85"><title>{escape(tip)}</title></rect>' + _text(x + length + 5, y + BAR - 2, value, "start")
    )


def _legend(names: Sequence[str]) -> tuple[str, int]:
    """Squares with the names of the series below the title, and the height at which the bars may begin."""
    parts, x, y = [], 8, 34
    for index, name in enumerate(names):
        needed = 26 + 7 * len(name)
        if x + needed > WIDTH and x > 8:
            x, y = 8, y + 16
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" rx="2" fill="{_colour(index)}"/>')
        parts.append(_text(x + 15, y, name, "start"))
        x += needed
    return "".join(parts), y + 16


def _colour(series: int) -> str:
    return f"var(--series-{series % 8 + 1})"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
