"""Round holes and bosses of a solid, read from its cylindrical faces.

A hole is a full turn of cylindrical wall whose material lies outside; a boss is one whose material lies inside. Faces
of one axis and radius that follow each other without a gap are one feature, however booleans have cut them up. Walls
of less than a full turn (rounded corners, ends of slots) are neither. A counterbore is two holes on one axis, the wider
one blind; `coaxial` numbers the axes so that they can be put together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from OCP.BRepAdaptor import BRepAdaptor_Surface
from OCP.BRepTools import BRepTools
from OCP.GeomAbs import GeomAbs_Cylinder
from OCP.gp import gp_Dir, gp_Lin, gp_Pnt
from OCP.IntCurvesFace import IntCurvesFace_ShapeIntersector
from OCP.TopAbs import TopAbs_FACE, TopAbs_REVERSED
from OCP.TopoDS import TopoDS, TopoDS_Face, TopoDS_Shape

from domains.cad.kernel.solids import explore

AXIS_COSINE = 1e-6
"""Axes are parallel when the sine of their angle is below this."""
SAME_SHARE = 1e-4
"""Axes, radii and ends are the same when they differ by less than this share of the radius."""
FULL_TURN = 2 * math.pi - 0.02

_RING_POINTS = 8
_RING_RADIUS, _RING_STEP = 0.98, 0.05
"""Where the way out of a hole is probed, in radii: just inside its wall, and so far beyond its end that the cone which
a drill leaves (118 degrees, which narrows by 0.083 there) lies across it."""
_PROBE_TOLERANCE = 1e-7


@dataclass(frozen=True)
class Cylinder:
    """A round hole or boss.

    Attributes:
        d: diameter, mm.
        axis: unit vector along it, whose largest part is positive.
        position: the middle of its axis, mm.
        depth: length of the cylindrical wall, mm.
        through: whether both ends are open (a hole), or False (a boss).
        coaxial: number of its axis among those of the list, from 0.
    """

    d: float
    axis: tuple[float, float, float]
    position: tuple[float, float, float]
    depth: float
    through: bool
    coaxial: int

    def to_json(self) -> dict[str, Any]:
        """Return it as the meter reports it."""
        return {
            "d": self.d,
            "axis": list(self.axis),
            "position": list(self.position),
            "depth": self.depth,
            "through": self.through,
            "coaxial": self.coaxial,
        }


def find_holes(solid: TopoDS_Shape) -> list[Cylinder]:
    """Return the round holes of a solid, ordered by diameter, then by position.

    Example: a 40 x 30 x 5 mm plate with a 8 mm hole in the middle has
    ``Cylinder(d=8, axis=(0, 0, 1), position=(0, 0, 0), depth=5, through=True, coaxial=0)`` when centred.
    """
    return _features(solid, hollow=True)


def find_bosses(solid: TopoDS_Shape) -> list[Cylinder]:
    """Return the round bosses of a solid (shafts, pins, discs), ordered by diameter, then by position."""
    return _features(solid, hollow=False)


@dataclass(frozen=True)
class _Wall:
    """One cylindrical face: axis through `foot` (the axis point next to the origin), extent along and around it."""

    axis: NDArray[np.float64]
    foot: NDArray[np.float64]
    radius: float
    start: float
    end: float
    around: tuple[float, float]
    hollow: bool

    def shares_axis(self, other: _Wall) -> bool:
        near = SAME_SHARE * max(self.radius, other.radius)
        # The cheap question first: plates of hundreds of holes ask it of every pair.
        met = np.linalg.norm(self.foot - other.foot) < near
        return bool(met and np.linalg.norm(np.cross(self.axis, other.axis)) < AXIS_COSINE)

    def shares_wall(self, other: _Wall) -> bool:
        alike = abs(self.radius - other.radius) < SAME_SHARE * self.radius and self.hollow == other.hollow
        return alike and self.shares_axis(other)


def _features(solid: TopoDS_Shape, hollow: bool) -> list[Cylinder]:
    walls = [_wall(TopoDS.Face_s(face)) for face in explore(solid, TopAbs_FACE)]
    groups: list[list[_Wall]] = []
    for wall in walls:
        if wall is not None and wall.hollow == hollow:
            home = next((group for group in groups if group[0].shares_wall(wall)), None)
            if home is None:
                groups.append([wall])
            else:
                home.append(wall)
    runs = [run for group in groups for run in _runs(group) if _turn(run) >= FULL_TURN]
    runs.sort(key=lambda run: (run[0].radius, *_middle(run).round(9)))
    faces = IntCurvesFace_ShapeIntersector()
    faces.Load(solid, _PROBE_TOLERANCE)
    axes: list[_Wall] = []
    return [_feature(run, faces, axes) for run in runs]


def _feature(run: list[_Wall], faces: IntCurvesFace_ShapeIntersector, axes: list[_Wall]) -> Cylinder:
    first = run[0]
    number = next((i for i, known in enumerate(axes) if known.shares_axis(first)), len(axes))
    if number == len(axes):
        axes.append(first)
    start, end = min(wall.start for wall in run), max(wall.end for wall in run)
    middle = (start + end) / 2
    through = first.hollow and all(_is_open(first, middle, level, faces) for level in (start, end))
    return Cylinder(
        d=2 * first.radius,
        axis=_triple(first.axis),
        position=_triple(_middle(run)),
        depth=end - start,
        through=through,
        coaxial=number,
    )


def _wall(face: TopoDS_Face) -> _Wall | None:
    surface = BRepAdaptor_Surface(face)
    if surface.GetType() != GeomAbs_Cylinder:
        return None
    cylinder = surface.Cylinder()
    frame = cylinder.Position()
    across, upwards, axis = (
        np.array(direction.Coord()) for direction in (frame.XDirection(), frame.YDirection(), frame.Direction())
    )
    right_handed = bool(np.dot(np.cross(across, upwards), axis) > 0)
    origin = np.array(frame.Location().Coord())
    u0, u1, v0, v1 = BRepTools.UVBounds_s(face)
    ends = [float(np.dot(origin, axis)) + v for v in (v0, v1)]
    # The normal of the surface points away from the axis in a right-handed frame; a reversed face turns it over.
    hollow = (face.Orientation() == TopAbs_REVERSED) == right_handed
    foot = origin - np.dot(origin, axis) * axis
    along = _canonical(axis)
    flipped = bool(np.dot(along, axis) < 0)
    if flipped:
        ends = [-ends[1], -ends[0]]
    around = _around(along, across, upwards, u0, u1)
    return _Wall(along, foot, float(cylinder.Radius()), ends[0], ends[1], around, hollow)


def _around(
    axis: NDArray[np.float64], across: NDArray[np.float64], upwards: NDArray[np.float64], u0: float, u1: float
) -> tuple[float, float]:
    """Return where a wall starts (in [0, 2 pi)) and how far it turns, in an angle that all walls of an axis share."""
    helper = np.eye(3)[int(np.argmin(np.abs(axis)))]
    zero = np.cross(axis, helper)
    zero /= np.linalg.norm(zero)
    quarter = np.cross(axis, zero)
    turns_with = float(np.dot(np.cross(across, upwards), axis)) > 0
    offset = math.atan2(float(np.dot(across, quarter)), float(np.dot(across, zero)))
    begin = offset + u0 if turns_with else offset - u1
    return begin % (2 * math.pi), u1 - u0


def _runs(group: Sequence[_Wall]) -> list[list[_Wall]]:
    """Split walls of one axis and radius where there is a gap along the axis."""
    ordered = sorted(group, key=lambda wall: wall.start)
    runs, reach = [[ordered[0]]], ordered[0].end
    for wall in ordered[1:]:
        if wall.start > reach + SAME_SHARE * wall.radius:
            runs.append([])
        runs[-1].append(wall)
        reach = max(reach, wall.end)
    return runs


def _turn(run: Sequence[_Wall]) -> float:
    """Return how much of the circle walls cover at the level where they cover most, in radians.

    Walls that never face each other are none of a hole: two halves of one, drilled from either side, turn by half.
    """
    levels = sorted({level for wall in run for level in (wall.start, wall.end)})
    middles = ((low + high) / 2 for low, high in pairwise(levels))
    met = ([wall for wall in run if wall.start <= middle <= wall.end] for middle in middles)
    return max(map(_covered, met), default=0.0)


def _covered(walls: Sequence[_Wall]) -> float:
    """Return how much of the circle walls of one level cover together, in radians."""
    full = 2 * math.pi
    spans = []
    for start, length in (wall.around for wall in walls):
        end = start + min(length, full)
        spans += [(start, min(end, full)), (0.0, end - full)] if end > full else [(start, end)]
    covered, reach = 0.0, 0.0
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reach))
        reach = max(reach, end)
    return covered


def _middle(run: Sequence[_Wall]) -> NDArray[np.float64]:
    start, end = min(wall.start for wall in run), max(wall.end for wall in run)
    return run[0].foot + 0.5 * (start + end) * run[0].axis


def _is_open(wall: _Wall, middle: float, end: float, faces: IntCurvesFace_ShapeIntersector) -> bool:
    """Whether at least half of a ring just inside the wall can leave the middle of a hole by one end.

    A face lies across the way of those that cannot: the bottom of the hole or a film, however thin.
    """
    across = np.cross(wall.axis, np.eye(3)[int(np.argmin(np.abs(wall.axis)))])
    across /= np.linalg.norm(across)
    other = np.cross(wall.axis, across)
    way = math.copysign(1.0, end - middle) * wall.axis
    length = abs(end - middle) + _RING_STEP * wall.radius
    barred = 0
    for angle in np.arange(_RING_POINTS) * (2 * math.pi / _RING_POINTS) + 0.1:
        ring = _RING_RADIUS * wall.radius * (math.cos(angle) * across + math.sin(angle) * other)
        place = wall.foot + middle * wall.axis + ring
        faces.Perform(gp_Lin(gp_Pnt(*place.tolist()), gp_Dir(*way.tolist())), 0.0, length)
        barred += faces.NbPnt() > 0
    return barred <= _RING_POINTS // 2


def _canonical(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = int(np.argmax(np.round(np.abs(axis), 9)))
    return axis if axis[largest] > 0 else -axis


def _triple(vector: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(part) + 0.0 for part in vector)
    return x, y, z
