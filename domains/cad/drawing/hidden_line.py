"""Hidden-line drawing of a solid: isometric, top and front view at one scale in one SVG (needs cadquery).

The kernel removes hidden lines (`HLRBRep_Algo`); here its edges become short paths in the page's colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from domains.cad.drawing.overlay import millimetres
from domains.cad.drawing.view import FRONT, ISOMETRIC, TOP, View
from sciRL.errors import UserError

if TYPE_CHECKING:
    from cadquery import Shape

WIDTH, HEIGHT = 760, 440
ROOM = 24
"""Pixels between a view and its surroundings; dimensions stand in more."""

LEFT = 4 * ROOM
FONT = 15

DETAILS = (0.12, 0.4, 1.0, 2.5, 6.0, 15.0)
"""Deviations from the curve in pixels, from fine to coarse, tried until it fits; shorter edges are left out."""

HIDDEN_STYLE = 'stroke-width="0.8" stroke-dasharray="4 3" stroke-opacity="0.5"'
DIMENSION_STYLE = 'stroke-width="0.8" stroke-opacity="0.7"'
SEEN_STYLE = 'stroke-width="1.3"'

Points = NDArray[np.float64]


@dataclass(frozen=True)
class _Edges:
    """Edges of one view as the kernel gives them, in the plane of the drawing in mm, and their box [2, 2]."""

    view: View
    seen: Sequence[Shape]
    hidden: Sequence[Shape]
    box: Points


@dataclass(frozen=True)
class _Placed:
    """A view on the page: `scale` pixels a mm, its middle at `x`, `y`."""

    edges: _Edges
    scale: float
    x: float
    y: float

    def on_page(self, points: Points) -> Points:
        """Return points [n, 2] in mm as pixels, y down."""
        return (points - self.edges.box.mean(axis=0)) * [self.scale, -self.scale] + [self.x, self.y]

    @property
    def half(self) -> Points:
        """Half the width and height in pixels."""
        return np.asarray(self.scale * np.ptp(self.edges.box, axis=0) / 2)


def hidden_line_svg(
    shape: Shape, title: str = "part", max_bytes: int = 60_000, *, sizes: Sequence[float] | None = None
) -> str:
    """Return the drawing as an SVG for a page: top above front at the left, isometric at the right, box sizes in mm.

    Lines and text take the colour of the text around. Many-edged parts are drawn coarser until the drawing fits.

    Args:
        shape: a solid or compound of solids.
        title: what the picture is called for those who cannot see it.
        max_bytes: of the SVG in UTF-8.
        sizes: the box [x, y, z] in mm to write; by default the kernel's quick one, which is a little too large for
            round parts.

    Raises:
        UserError: a shape without extent, or `max_bytes` too small for any drawing.
    """
    box = shape.BoundingBox()
    x, y, z = (box.xlen, box.ylen, box.zlen) if sizes is None else sizes
    sizes = (x, y, z)
    if not all(np.isfinite(sizes)) or max(sizes) <= 0:
        raise UserError(f"drawing: the shape has no finite extent; its box is {sizes} mm")
    placed = _arranged([_project(shape, view, box.DiagonalLength) for view in (TOP, FRONT, ISOMETRIC)])
    dimensions = _dimensions(placed[0], placed[1], sizes)
    for detail in DETAILS:
        svg = _svg("".join(_drawn(view, detail) for view in placed) + dimensions, title)
        if len(svg.encode()) <= max_bytes:
            return svg
    raise UserError(f"drawing: does not fit into {max_bytes} bytes; the coarsest takes {len(svg.encode())}")


def _project(shape: Shape, view: View, diagonal: float) -> _Edges:
    from cadquery import Shape as AnyShape
    from OCP.BRepLib import BRepLib
    from OCP.gp import gp_Ax2, gp_Dir, gp_Pnt
    from OCP.HLRAlgo import HLRAlgo_Projector
    from OCP.HLRBRep import HLRBRep_Algo, HLRBRep_HLRToShape

    right, _, towards = view.axes().tolist()
    removal = HLRBRep_Algo()
    removal.Add(shape.wrapped)
    removal.Projector(HLRAlgo_Projector(gp_Ax2(gp_Pnt(), gp_Dir(*towards), gp_Dir(*right))))
    removal.Update()
    removal.Hide()
    found = HLRBRep_HLRToShape(removal)
    kinds: list[list[Shape]] = []
    # Sharp edges and outlines; seams and tangent edges are no lines of a technical drawing.
    for compounds in ((found.VCompound(), found.OutLineVCompound()), (found.HCompound(), found.OutLineHCompound())):
        edges: list[Shape] = []
        for compound in compounds:
            if compound is not None and not compound.IsNull():
                # The kernel gives edges without 3D curves, and reading those ends the process.
                BRepLib.BuildCurves3d_s(compound, 1e-6)
                edges += AnyShape(compound).Edges()
        kinds.append(edges)
    seen, hidden = kinds
    if not seen:
        raise UserError(f"drawing: the shape has no edge that the {view.name} view could show")
    everything = np.concatenate([_polyline(edge, 0.002 * diagonal) for edge in seen])
    return _Edges(view, seen, hidden, np.stack([everything.min(axis=0), everything.max(axis=0)]))


def _polyline(edge: Shape, deviation: float) -> Points:
    """Points [n, 2] on an edge in the plane of the drawing, at most `deviation` mm from it."""
    from OCP.BRepAdaptor import BRepAdaptor_Curve
    from OCP.GCPnts import GCPnts_QuasiUniformDeflection

    curve = BRepAdaptor_Curve(edge.wrapped)
    points = GCPnts_QuasiUniformDeflection(curve, deviation, curve.FirstParameter(), curve.LastParameter())
    if not points.IsDone():
        return np.zeros((0, 2))
    return np.array([(p.X(), p.Y()) for p in (points.Value(at + 1) for at in range(points.NbPoints()))])


def _arranged(views: Sequence[_Edges]) -> list[_Placed]:
    """Top above front, isometric beside them, at the largest scale at which all fit."""
    top, front, iso = (np.ptp(view.box, axis=0) for view in views)
    left = max(top[0], front[0])
    scale = min(
        (WIDTH - LEFT - 3 * ROOM) / (left + iso[0]),
        (HEIGHT - 5.5 * ROOM) / (top[1] + front[1]),
        (HEIGHT - 3 * ROOM) / iso[1],
    )
    left_x = LEFT + scale * left / 2
    spare = HEIGHT - 5.5 * ROOM - scale * (top[1] + front[1])
    top_y = 1.7 * ROOM + spare / 3 + scale * top[1] / 2
    front_y = HEIGHT - 2 * ROOM - spare / 3 - scale * front[1] / 2
    iso_x = (LEFT + scale * left + WIDTH) / 2
    places = ((left_x, top_y), (left_x, front_y), (iso_x, HEIGHT / 2))
    return [_Placed(view, scale, float(x), float(y)) for view, (x, y) in zip(views, places, strict=True)]


def _drawn(placed: _Placed, detail: float) -> str:
    """The lines of a view, with names below; hidden lines only where the drawing is fine."""
    x, y = placed.x, placed.y + placed.half[1] + FONT + 3
    name = _text(f'x="{x:.1f}" y="{y:.1f}" text-anchor="middle" opacity="0.6"', placed.edges.view.name)
    hidden = _path(placed, placed.edges.hidden, detail, HIDDEN_STYLE) if detail <= 1 else ""
    return hidden + _path(placed, placed.edges.seen, detail, SEEN_STYLE) + name


def _path(placed: _Placed, edges: Sequence[Shape], detail: float, style: str) -> str:
    pieces = dict.fromkeys(_piece(placed.on_page(_polyline(edge, detail / placed.scale)), detail) for edge in edges)
    body = "".join(pieces)
    return f'<path d="{body}" {style}/>' if body else ""


def _piece(points: Points, detail: float) -> str:
    """A polyline as path commands in tenths of a pixel: a start, then steps; nothing if it is too short to see."""
    tenths = np.rint(10 * points).astype(int)
    steps = np.diff(tenths, axis=0)
    steps = steps[steps.any(axis=1)] if len(steps) else steps
    if not len(steps) or np.ptp(tenths, axis=0).max() < 10 * detail:
        return ""
    # The way round does not matter: equal edges of two faces become equal text, and one of them goes.
    if tuple(tenths[-1]) < tuple(tenths[0]):
        tenths, steps = tenths[::-1], -steps[::-1]
    start = f"M{_tenth(tenths[0][0])} {_tenth(tenths[0][1])}l"
    return start + " ".join(f"{_tenth(x)} {_tenth(y)}" for x, y in steps)


def _tenth(value: int) -> str:
    """A number of tenths as text: 15 gives "1.5", 20 gives "2"."""
    whole, rest = divmod(abs(int(value)), 10)
    return ("-" if value < 0 else "") + (f"{whole}.{rest}" if rest else str(whole))


def _dimensions(top: _Placed, front: _Placed, sizes: tuple[float, float, float]) -> str:
    """X above and Y left of the top view, Z left of the front view."""
    x, y, z = (f"{axis} {millimetres(size)} mm" for axis, size in zip("XYZ", sizes, strict=True))
    return _measured_across(top, x) + _measured_up(top, y) + _measured_up(front, z)


def _measured_across(placed: _Placed, text: str) -> str:
    left, right, y = placed.x - placed.half[0], placed.x + placed.half[0], placed.y - placed.half[1] - 13
    ends = "".join(f"M{x:.1f} {y - 4:.1f}v8" for x in (left, right))
    line = f'<path d="M{left:.1f} {y:.1f}H{right:.1f}{ends}" {DIMENSION_STYLE}/>'
    return line + _text(f'x="{placed.x:.1f}" y="{y - 6:.1f}" text-anchor="middle"', text)


def _measured_up(placed: _Placed, text: str) -> str:
    x, upper, lower = placed.x - placed.half[0] - 13, placed.y - placed.half[1], placed.y + placed.half[1]
    ends = "".join(f"M{x - 4:.1f} {y:.1f}h8" for y in (upper, lower))
    line = f'<path d="M{x:.1f} {upper:.1f}V{lower:.1f}{ends}" {DIMENSION_STYLE}/>'
    if lower - upper >= 0.6 * FONT * len(text):
        place = f'transform="translate({x - 7:.1f} {placed.y:.1f})rotate(-90)" text-anchor="middle"'
    else:
        place = f'x="{x - 8:.1f}" y="{placed.y + 5:.1f}" text-anchor="end"'
    return line + _text(place, text)


def _text(place: str, text: str) -> str:
    return f'<text {place} fill="currentColor" stroke="none">{text}</text>'


def _svg(body: str, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title, quote=True)}" style="width:100%;max-width:{WIDTH}px;height:auto" fill="none" '
        f'stroke="currentColor" stroke-linecap="round" stroke-linejoin="round" font-size="{FONT}" '
        'font-family="system-ui,sans-serif">'
        f"{body}</svg>"
    )
