"""A unit cell as a static SVG: balls, bonds and cell edges, orthographic, painted from back to front."""

from __future__ import annotations

import math
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domains.crystal.element_facts import element_facts

if TYPE_CHECKING:
    from domains.crystal.crystal import Crystal

AZIMUTH, ELEVATION = math.radians(28.0), math.radians(16.0)
BALL = 0.42
"""Ball radius as a share of the covalent radius: small enough to see the atoms behind."""

BOND = 1.12
"""Atoms closer than this times the sum of their covalent radii are joined."""

MAX_DRAWN = 400
EDGE_PIECES = 10
"""Each cell edge is cut into pieces that are depth-sorted alone, so that it can pass in front of and behind balls."""

Array = NDArray[np.float64]


def element_color(symbol: str) -> str:
    """Return the Jmol colour of an element as #rrggbb."""
    from ase.data.colors import jmol_colors

    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in jmol_colors[element_facts()[symbol].z])


def draw_cell(crystal: Crystal, size: int = 210) -> str:
    """Return the conventional cell as an inline SVG of `size` pixels a side, with a legend of its elements.

    Atoms on faces, edges and corners are repeated on the opposite side.
    """
    frac, symbols = with_boundary(crystal.frac, crystal.species)
    if len(symbols) > MAX_DRAWN:
        frac, symbols = crystal.frac, crystal.species
    points = _view(frac @ crystal.lattice)
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=float)
    box = _view(corners @ crystal.lattice)
    facts = element_facts()
    radii = np.array([BALL * facts[symbol].radius for symbol in symbols])
    low = np.minimum((points[:, :2] - radii[:, None]).min(axis=0), box[:, :2].min(axis=0))
    high = np.maximum((points[:, :2] + radii[:, None]).max(axis=0), box[:, :2].max(axis=0))
    scale = (size - 8) / float((high - low).max())
    shift = size / 2 - scale * (low + high) / 2
    pieces = _edges(corners, box, scale, shift)
    pieces += _bonds(points, symbols, scale, shift)
    pieces += _balls(points, symbols, radii, scale, shift)
    body = "".join(markup for _, markup in sorted(pieces, key=lambda piece: piece[0]))
    legend = "".join(
        f'<circle cx="{10 + 38 * index}" cy="{size + 10}" r="6" fill="{element_color(symbol)}" stroke="#555"/>'
        f'<text x="{20 + 38 * index}" y="{size + 14}" font-size="12" fill="currentColor">{escape(symbol)}</text>'
        for index, symbol in enumerate(crystal.elements[:6])
    )
    return (
        f'<svg viewBox="0 0 {size} {size + 22}" width="{size}" height="{size + 22}" role="img" '
        f'aria-label="unit cell of {escape(crystal.reduced_formula)}">{body}{legend}</svg>'
    )


def with_boundary(frac: Array, symbols: list[str], tolerance: float = 0.02) -> tuple[Array, list[str]]:
    """Repeat atoms within `tolerance` (fraction of the cell) of a lower face on the upper face.

    Example: one atom at the origin becomes eight, one on each corner.
    """
    points: list[Array] = []
    names: list[str] = []
    for position, symbol in zip(np.asarray(frac) % 1.0, symbols, strict=True):
        position = np.where(position > 1 - tolerance, position - 1, position)
        axes = [(0.0, 1.0) if value < tolerance else (0.0,) for value in position]
        for shift in np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3):
            points.append(position + shift)
            names.append(symbol)
    return np.array(points), names


def _view(points: Array) -> Array:
    """Rotate Cartesian points [n,3] so that x is right, y down the page and z towards the reader."""
    x, y, z = points.T
    right = -x * math.sin(AZIMUTH) + y * math.cos(AZIMUTH)
    ahead = x * math.cos(AZIMUTH) + y * math.sin(AZIMUTH)
    up = z * math.cos(ELEVATION) - ahead * math.sin(ELEVATION)
    near = ahead * math.cos(ELEVATION) + z * math.sin(ELEVATION)
    return np.stack([right, -up, near], axis=1)


def _line(start: Array, end: Array, scale: float, shift: Array, color: str, width: float) -> str:
    (x1, y1), (x2, y2) = scale * start[:2] + shift, scale * end[:2] + shift
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{color}" stroke-width="{width}"/>'


def _edges(corners: Array, box: Array, scale: float, shift: Array) -> list[tuple[float, str]]:
    pieces = []
    for i in range(8):
        for j in range(i + 1, 8):
            if np.abs(corners[i] - corners[j]).sum() != 1:
                continue
            steps = np.linspace(box[i], box[j], EDGE_PIECES + 1)
            for start, end in pairwise(steps):
                pieces.append((float(start[2] + end[2]) / 2, _line(start, end, scale, shift, "#8a8f98", 1.2)))
    return pieces


def _bonds(points: Array, symbols: list[str], scale: float, shift: Array) -> list[tuple[float, str]]:
    facts = element_facts()
    covalent = np.array([facts[symbol].radius for symbol in symbols])
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    near = (distance < BOND * (covalent[:, None] + covalent[None])) & (distance > 0.1)
    pieces = []
    for i, j in zip(*np.nonzero(np.triu(near)), strict=True):
        middle = (points[i] + points[j]) / 2
        for end, symbol in ((points[i], symbols[i]), (points[j], symbols[j])):
            markup = _line(middle, end, scale, shift, element_color(symbol), 3)
            pieces.append((float(middle[2] + end[2]) / 2, markup))
    return pieces


def _balls(points: Array, symbols: list[str], radii: Array, scale: float, shift: Array) -> list[tuple[float, str]]:
    pieces: list[tuple[float, str]] = []
    order: dict[str, Any] = {symbol: element_color(symbol) for symbol in set(symbols)}
    for point, symbol, radius in zip(points, symbols, radii, strict=True):
        x, y = scale * point[:2] + shift
        r = scale * radius
        ball = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{order[symbol]}" stroke="#444" stroke-width=".7"/>'
        shine = f'<circle cx="{x - r / 3:.1f}" cy="{y - r / 3:.1f}" r="{r / 4:.1f}" fill="#fff" opacity=".55"/>'
        pieces.append((float(point[2]) + 1e-3, ball + shine))
    return pieces
