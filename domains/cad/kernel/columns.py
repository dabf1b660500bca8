"""Overlap of two closed meshes by straight columns: the estimate that no kernel failure can spoil.

Lines parallel to an axis cross both surfaces; between two crossings a line is inside a body or outside. With one line
in each cell of a grid over the joint box, at a random place of the cell (jittered sampling),

    IoU ~ sum of lengths inside both / sum of lengths inside either.

Whether a point is inside is the winding number of the surface along the line, so shells that overlap count once. Both
sums come from the same lines, so equal bodies have overlap 1 exactly. The standard error is that of a ratio estimator
with the variance of pairs of neighbouring cells (collapsed strata; Cochran, Sampling Techniques, sections 5A.12, 6.4).
Where next to no line meets a body, they are drawn in the box that both share, and the meshes give the volumes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.cad.kernel.mesh import Mesh

OPEN_SHARE = 0.02
"""Largest share of the columns through the bodies that may find a surface with a gap; such columns are left out."""

MIN_MET = 10
"""Fewest columns that must meet a body: a joint box of which one body fills next to nothing is mostly missed."""

_ROWS_AT_ONCE = 100_000
_ROUNDING = 1e-9


class OpenSurfaceError(ValueError):
    """A surface that encloses nothing: `body` is 0 for the first of two, 1 for the second."""

    def __init__(self, body: int, gaps: int, columns: int) -> None:
        super().__init__(f"the surface is not closed: {gaps} of {columns} columns find a gap")
        self.body = body


@dataclass(frozen=True)
class Estimate:
    """An overlap in [0, 1] and its standard error."""

    value: float
    error: float


def estimate_overlap(a: Mesh, b: Mesh, count: int, seed: int, axes: Sequence[int] = (0, 1, 2)) -> Estimate:
    """Return the estimated intersection over union of two closed meshes.

    Args:
        a, b: the bodies.
        count: columns altogether; they are shared out equally among `axes`.
        seed: of the places of the columns in their cells.
        axes: directions of the columns, 0 to 2.

    Raises:
        OpenSurfaceError: a surface that is not closed.
        ValueError: bodies without volume.

    Example: cubes of side 10 and 8 about one centre give 0.512, within a standard error of about 0.002 for 20,000.
    """
    rng = np.random.default_rng(seed)
    low = np.minimum(a.bounds[0], b.bounds[0])
    high = np.maximum(a.bounds[1], b.bounds[1])
    both = either = variance = 0.0
    crossings = []
    for axis in axes:
        grid = _Grid.over(low, high, axis, max(4, count // len(axes)), rng)
        crossings.append((grid.cell_area, *_lengths(a, b, grid)))
    if sum(np.count_nonzero(inside_either) for _, _, inside_either in crossings) < MIN_MET:
        return _estimate_in_common_box(a, b, max(4, count // len(axes)), axes, rng)
    for area, inside_both, inside_either in crossings:
        both += area * inside_both.sum()
        either += area * inside_either.sum()
    if either <= 0:
        raise ValueError("the bodies hold no volume")
    ratio = both / either
    for area, inside_both, inside_either in crossings:
        residual = area * (inside_both - ratio * inside_either)
        variance += float(((residual[:, 0::2] - residual[:, 1::2]) ** 2).sum())
    return Estimate(float(ratio), float(math.sqrt(variance) / either))


def _estimate_in_common_box(a: Mesh, b: Mesh, count: int, axes: Sequence[int], rng: np.random.Generator) -> Estimate:
    """Return the overlap with the common part measured in the box that both boxes share, and the volumes by the meshes.

    A part that reaches 90 m along each axis on arms of 2 um is met by none of a million columns over the joint box.
    Bodies that next to none meet even here are too thin to say anything of: a standard error of 1.
    """
    low, high = np.maximum(a.bounds[0], b.bounds[0]), np.minimum(a.bounds[1], b.bounds[1])
    volumes = a.volume + b.volume
    if not volumes > 0:
        raise ValueError("the bodies hold no volume")
    if (low >= high).any():
        return Estimate(0.0, 0.0)
    commons, variance, met = [], 0.0, 0
    for axis in axes:
        grid = _Grid.over(low, high, axis, count, rng)
        inside_both, inside_either = _lengths(a, b, grid)
        met += int(np.count_nonzero(inside_either))
        commons.append(grid.cell_area * float(inside_both.sum()))
        variance += float(((grid.cell_area * (inside_both[:, 0::2] - inside_both[:, 1::2])) ** 2).sum())
    common = min(sum(commons) / len(axes), a.volume, b.volume)
    # The slope of I / (V - I) at the common volume I is V / (V - I)^2.
    error = math.sqrt(variance) / len(axes) * volumes / (volumes - common) ** 2
    return Estimate(common / (volumes - common), error if met >= MIN_MET else 1.0)


@dataclass(frozen=True)
class _Grid:
    """Cells over two axes (u, v) of the joint box and one column in each: `u` and `v` are [rows, columns] in mm."""

    axis: int
    low: NDArray[np.float64]
    step: NDArray[np.float64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]

    @classmethod
    def over(
        cls, low: NDArray[np.float64], high: NDArray[np.float64], axis: int, count: int, rng: np.random.Generator
    ) -> _Grid:
        plane = [(axis + 1) % 3, (axis + 2) % 3]
        start, size = low[plane], np.maximum((high - low)[plane], 1e-300)
        rows = int(np.clip(round(math.sqrt(count * size[0] / size[1])), 1, count // 2))
        columns = 2 * max(1, round(count / rows / 2))  # even, so that neighbours pair up
        step = size / (rows, columns)
        place = rng.random((2, rows, columns))
        u = start[0] + (np.arange(rows)[:, None] + place[0]) * step[0]
        v = start[1] + (np.arange(columns)[None, :] + place[1]) * step[1]
        return cls(axis, start, step, u, v)

    @property
    def cell_area(self) -> float:
        return float(self.step.prod())


def _lengths(a: Mesh, b: Mesh, grid: _Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lengths inside both and inside either body along each column, [rows, columns] in mm."""
    hits = [_crossings(mesh, grid) for mesh in (a, b)]
    column = np.concatenate([hit[0] for hit in hits])
    height = np.concatenate([hit[1] for hit in hits])
    turns = np.zeros((len(column), 2), dtype=np.int64)
    turns[: len(hits[0][0]), 0] = hits[0][2]
    turns[len(hits[0][0]) :, 1] = hits[1][2]
    total = grid.u.size
    gapped = np.zeros(total, dtype=bool)
    for body, (numbers, _, steps) in enumerate(hits):
        gaps = np.bincount(numbers, weights=steps, minlength=total) != 0
        met = int(np.count_nonzero(np.bincount(numbers, minlength=total)))
        if gaps.sum() > OPEN_SHARE * met:
            raise OpenSurfaceError(body, int(gaps.sum()), met)
        gapped |= gaps
    kept = ~gapped[column]
    order = np.lexsort((height[kept], column[kept]))
    column, height, turns = column[kept][order], height[kept][order], turns[kept][order]
    # Each kept column's turns sum to zero, so one running sum serves all columns.
    inside = np.cumsum(turns, axis=0)[:-1] > 0
    spans = np.where(column[1:] == column[:-1], np.diff(height), 0.0)
    lengths = [
        np.bincount(column[:-1], weights=spans * mask, minlength=total).astype(np.float64).reshape(grid.u.shape)
        for mask in (inside.all(axis=1), inside.any(axis=1))
    ]
    return lengths[0], lengths[1]


def _crossings(mesh: Mesh, grid: _Grid) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return where columns cross a mesh: number of the column, height (mm), and +1 entering or -1 leaving the body."""
    plane = [(grid.axis + 1) % 3, (grid.axis + 2) % 3]
    corners = mesh.corners
    flat, heights = corners[:, :, plane], corners[:, :, grid.axis]
    in_cells = (flat - grid.low) / grid.step
    found = []
    triangles, rows = _spread(np.arange(len(flat)), *_cells(in_cells[:, :, 0], grid.u.shape[0]))
    for part in _portions(len(triangles)):
        triangle, row = triangles[part], rows[part]
        low, high = _reach(in_cells[triangle], row)
        index, column = _spread(np.arange(len(row)), *_cells(np.stack([low, high], axis=1), grid.u.shape[1]))
        triangle, row = triangle[index], row[index]
        point = np.stack([grid.u[row, column], grid.v[row, column]], axis=1)
        found.append(_hits(flat, heights, triangle, row * grid.u.shape[1] + column, point))
    numbers, levels, turns = zip(*found, strict=True)
    return np.concatenate(numbers), np.concatenate(levels), np.concatenate(turns)


def _cells(places: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and last cell that places along one axis [N, K], in cells, reach over."""
    first, last = np.clip(np.floor([places.min(axis=1), places.max(axis=1)]), 0, count - 1).astype(np.int64)
    return first, last


def _spread(
    items: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each item once for each cell from `first` to `last`, and that cell."""
    sizes = last - first + 1
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(items, sizes), np.repeat(first, sizes) + within


def _reach(corners: NDArray[np.float64], row: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far triangles [N, 3, 2], in cells, reach along v within the band of one row each."""
    low, high = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        u0, u1 = corners[:, start, 0], corners[:, end, 0]
        v0, v1 = corners[:, start, 1], corners[:, end, 1]
        steep = np.where(u0 == u1, 1.0, u1 - u0)
        # The part of the edge inside the band, as shares of its length; an edge along v is all inside or all outside.
        shares = np.sort(np.stack([(row - u0) / steep, (row + 1 - u0) / steep]), axis=0)
        enter, leave = np.clip(shares[0], 0, 1), np.clip(shares[1], 0, 1)
        flat = u0 == u1
        enter, leave = np.where(flat, 0.0, enter), np.where(flat, 1.0, leave)
        met = (np.minimum(u0, u1) <= row + 1) & (np.maximum(u0, u1) >= row)
        ends = np.stack([v0 + enter * (v1 - v0), v0 + leave * (v1 - v0)])
        low = np.where(met, np.minimum(low, ends.min(axis=0)), low)
        high = np.where(met, np.maximum(high, ends.max(axis=0)), high)
    # A triangle that only touches the band may be missed by rounding: it then reaches nowhere, but keeps one cell.
    missed = low > high
    middle = corners[:, 0, 1]
    return np.where(missed, middle, low) - _ROUNDING, np.where(missed, middle, high) + _ROUNDING


def _hits(
    flat: NDArray[np.float64],
    heights: NDArray[np.float64],
    triangle: NDArray[np.int64],
    number: NDArray[np.int64],
    point: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Keep the (triangle, column) candidates that meet, by the three signed areas a point cuts a triangle into."""
    to = flat[triangle] - point[:, None, :]
    areas = np.stack([_cross(to[:, 1], to[:, 2]), _cross(to[:, 2], to[:, 0]), _cross(to[:, 0], to[:, 1])], axis=1)
    hit = (areas > 0).all(axis=1) | (areas < 0).all(axis=1)
    areas = areas[hit]
    whole = areas.sum(axis=1)
    height = (areas * heights[triangle[hit]]).sum(axis=1) / whole
    # A triangle that turns counter-clockwise seen along the axis faces forwards: the column leaves the body there.
    return number[hit], height, np.where(whole > 0, -1, 1)


def _cross(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    return p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]


def _portions(count: int) -> list[slice]:
    """Split a long list into slices, so that memory stays small."""
    return [slice(start, start + _ROWS_AT_ONCE) for start in range(0, max(count, 1), _ROWS_AT_ONCE)]
