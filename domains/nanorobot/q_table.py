"""A Q-table as a readable picture: what the robot does in each cell of its observation, and by how much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domains.nanorobot.options import NanorobotOptions
from sciRL.domain import Figure
from sciRL.errors import UserError

ACTION_NAMES = {
    "run_tumble": ("run", "tumble"),
    "turn6": ("+x", "-x", "+y", "-y", "+z", "-z"),
    "steer": ("straight", "+x", "-x", "+y", "-y", "+z", "-z"),
    "scripted": ("hold", "gradient"),
}
CELL_WIDTH, CELL_HEIGHT, LEFT, TOP, GAP = 112, 58, 132, 62, 3
STRONGEST = 0.62
"""Opacity of the strongest colour: ink stays readable on it, in light and in dark."""


@dataclass(frozen=True)
class Grid:
    """How the cells of an observation set lie: `cells[row][column]` is the cell's number."""

    columns: tuple[str, ...]
    rows: tuple[str, ...]
    column_title: str
    row_title: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...]


def grid_of(options: NanorobotOptions) -> Grid:
    """Return the layout of the options' cells (see `observations`), the highest concentration on top."""
    if options.preset == "kavousinejad2024":
        return Grid(("farther than 8", "within 8"), ("all",), "distance to the cell", ("",), ((0, 1),))
    from domains.nanorobot.observations import DIFFERENCE_EDGES, LEVEL_EDGES

    levels = _bins(LEVEL_EDGES)
    columns, title = (
        _bins(DIFFERENCE_EDGES),
        "← falling      change of the log reading: fast - slow average      rising →",
    )
    if options.observation != "temporal":
        columns, title = ACTION_NAMES["turn6"], "strongest direction that the robot senses"
    rows = range(len(levels) - 1, -1, -1)
    return Grid(
        columns,
        tuple(levels[row] for row in rows),
        title,
        ("reading, in", "molecules/µm³"),
        tuple(tuple(column * len(levels) + row for column in range(len(columns))) for row in rows),
    )


def _bins(edges: Sequence[float]) -> tuple[str, ...]:
    texts = [f"{edge:g}".replace("-", "−") for edge in edges]
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    return (f"≤ {texts[0]}", *between, f"> {texts[-1]}")


def q_table_figure(q: Any, arm: str, options: NanorobotOptions | None = None, visits: Any = None) -> Figure:
    """Return the picture of a Q-table.

    Each cell names the greedy action (of equal ones the first). With two actions its colour is Q(second) - Q(first);
    with more, by how much the best action exceeds the second best.

    Args:
        q: [cells, actions] as a tensor, array or nested list.
        arm: whose table it is.
        options: whose observation and actions the table is for; by default those of `NanorobotOptions()`.
        visits: [cells] or [cells, actions], how often each was updated; a cell never visited is hatched.

    Raises:
        UserError: a table of another shape than the options', or values that are not finite.
    """
    options = options or NanorobotOptions()
    grid, actions = grid_of(options), ACTION_NAMES[options.actions]
    values = _array(q)
    shape = (sum(map(len, grid.cells)), len(actions))
    if values.shape != shape or not np.isfinite(values).all():
        raise UserError(f"q_table_figure: finite values [{shape[0]}, {shape[1]}] are needed; found {values.shape}")
    counts = None
    if visits is not None:
        counts = _array(visits).reshape(shape[0], -1).sum(1)
    two = len(actions) == 2
    ordered = np.sort(values, axis=1)
    margin = values[:, 1] - values[:, 0] if two else ordered[:, -1] - ordered[:, -2]
    best = values.argmax(1)
    known = np.ones(len(values), dtype=bool) if counts is None else counts > 0
    largest = float(np.abs(margin[known]).max()) if known.any() else 0.0
    picture = _Picture(grid, actions, margin, best, counts, largest or 1.0)
    what = f"Q({actions[1]}) - Q({actions[0]})" if two else "the best action's lead over the second best"
    note = (
        f"The greedy action of “{arm}” in each of the {shape[0]} cells of its observation; number and colour: "
        f"{what}." + (" n: updates in training; hatched cells were never visited." if counts is not None else "")
    )
    if options.preset != "kavousinejad2024":
        note += " 1 molecule/µm³ is 1.66 nM."
    return Figure(f"Q-table of {arm}", note, picture.svg(arm))


def _array(values: Any) -> NDArray[np.float64]:
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)


@dataclass(frozen=True)
class _Picture:
    grid: Grid
    actions: tuple[str, ...]
    margin: NDArray[np.float64]
    best: NDArray[np.int64]
    counts: NDArray[np.float64] | None
    largest: float

    def svg(self, arm: str) -> str:
        columns, rows = len(self.grid.columns), len(self.grid.rows)
        width, height = LEFT + columns * CELL_WIDTH + 8, TOP + rows * CELL_HEIGHT + 54
        parts = [self._hatch(), *self._heads(columns)]
        for row, cells in enumerate(self.grid.cells):
            parts += [self._cell(row, column, cell) for column, cell in enumerate(cells)]
        parts.append(self._scale(TOP + rows * CELL_HEIGHT + 18))
        return (
            f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(f"Q-table of {arm}", quote=True)}" '
            f'style="width:100%;max-width:{width}px;height:auto;font:12px system-ui,sans-serif">{"".join(parts)}</svg>'
        )

    @staticmethod
    def _hatch() -> str:
        return (
            '<defs><pattern id="q-never" width="6" height="6" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><path d="M0 0V6" stroke="var(--soft,#5b6875)" stroke-opacity=".45"/>'
            "</pattern></defs>"
        )

    def _heads(self, columns: int) -> list[str]:
        middle = LEFT + columns * CELL_WIDTH / 2
        parts = [_text(middle, 18, self.grid.column_title, "ink")]
        for column, label in enumerate(self.grid.columns):
            parts.append(_text(LEFT + (column + 0.5) * CELL_WIDTH, TOP - 12, label))
        for line, title in enumerate(self.grid.row_title):
            parts.append(_text(LEFT - 14, TOP - 28 + 16 * line, title, "ink", "end"))
        for row, label in enumerate(self.grid.rows):
            parts.append(_text(LEFT - 14, TOP + (row + 0.5) * CELL_HEIGHT + 4, label, anchor="end"))
        return parts

    def _cell(self, row: int, column: int, cell: int) -> str:
        x, y = LEFT + column * CELL_WIDTH, TOP + row * CELL_HEIGHT
        wide, high = CELL_WIDTH - GAP, CELL_HEIGHT - GAP
        count = None if self.counts is None else int(self.counts[cell])
        frame = f'x="{x}" y="{y}" width="{wide}" height="{high}" rx="3"'
        middle = x + wide / 2
        if count == 0:
            return f'<rect {frame} fill="url(#q-never)"/>' + _text(middle, y + high / 2 + 4, "never visited")
        margin = float(self.margin[cell])
        opacity = STRONGEST * math.sqrt(min(1.0, abs(margin) / self.largest))
        name = self.actions[int(self.best[cell])]
        tip = f"{self.grid.columns[column]}, {self.grid.rows[row]}: {name}, {margin:+.4g}"
        amount = f"{margin:+.3f}".replace("-", "−") if abs(margin) >= 0.0005 else "≈ 0"
        lines = [amount] + ([f"n = {count:,}"] if count is not None else [])
        first = y + high / 2 + 4 - 7.5 * len(lines)
        return (
            f'<g class="q-cell" data-cell="{cell}"><title>{escape(tip)}</title>'
            f'<rect {frame} fill="{self._color(margin)}" fill-opacity="{opacity:.3f}" stroke="var(--grid,#e3e8ee)"/>'
            + _text(middle, first, name, "ink", weight=600)
            + "".join(_text(middle, first + 15 * (line + 1), text, "ink") for line, text in enumerate(lines))
            + "</g>"
        )

    def _color(self, margin: float) -> str:
        return "var(--series-2,#d2691e)" if margin > 0 else "var(--series-1,#1f6fb2)"

    def _scale(self, y: float) -> str:
        """The key: from the first action's colour to the second's, or from equal to the largest lead."""
        steps, wide = 41, 6
        low = -self.largest if len(self.actions) == 2 else 0.0
        parts = []
        for step in range(steps):
            value = low + (self.largest - low) * step / (steps - 1)
            opacity = STRONGEST * math.sqrt(abs(value) / self.largest)
            parts.append(
                f'<rect x="{LEFT + step * wide}" y="{y}" width="{wide}" height="11" fill="{self._color(value)}" '
                f'fill-opacity="{opacity:.3f}"/>'
            )
        ends: list[tuple[float, float]] = [(LEFT, low), (LEFT + steps * wide, self.largest)]
        if len(self.actions) == 2:
            ends.insert(1, (LEFT + steps * wide / 2, 0.0))
        texts = [f"{value:+.2g}".replace("-", "−") if value else "0" for _, value in ends]
        if len(self.actions) == 2:
            texts[0], texts[2] = f"{self.actions[0]} {texts[0]}", f"{texts[2]} {self.actions[1]}"
        anchors = ["start", "middle", "end"] if len(ends) == 3 else ["start", "end"]
        labels = (
            _text(x, y + 26, text, anchor=anchor) for (x, _), text, anchor in zip(ends, texts, anchors, strict=True)
        )
        return "".join([*parts, *labels])


def _text(x: float, y: float, text: str, color: str = "soft", anchor: str = "middle", weight: int = 400) -> str:
    fallback = {"ink": "#1c2530", "soft": "#5b6875"}[color]
    bold = f' font-weight="{weight}"' if weight != 400 else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="var(--{color},{fallback})"{bold} '
        f'style="white-space:pre">{escape(text)}</text>'
    )
