"""The lengths a drawing of a solid could state: between parallel plane faces, across cylinders, between their axes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from OCP.BRepAdaptor import BRepAdaptor_Surface
from OCP.GeomAbs import GeomAbs_Cylinder, GeomAbs_Plane
from OCP.gp import gp_Ax1, gp_Pln
from OCP.TopAbs import TopAbs_FACE
from OCP.TopoDS import TopoDS, TopoDS_Shape

from domains.cad.kernel.solids import explore

DIGITS = 6
"""Decimals to which directions are compared and lengths are told apart (mm)."""
MOST_FACES = 400
"""A solid of more plane or cylindrical faces is one of patterns, not of stated lengths: the first ones are read."""

Vector = NDArray[np.float64]


def find_lengths(solid: TopoDS_Shape) -> list[float]:
    """Return the different lengths of a solid in mm, ascending.

    These are distances between parallel plane faces, radii and diameters of cylinders, distances between parallel
    cylinder axes, and distances from such an axis to a plane along it.

    Example: a 60 x 40 x 8 plate with a 5 mm hole at (20, 12.5) from its centre has, among others, 60, 40, 8, 5, 2.5,
    and 10 (from the hole's axis to the nearer short side).
    """
    planes: dict[tuple[float, ...], set[float]] = defaultdict(set)
    axes: list[tuple[Vector, Vector]] = []
    lengths: set[float] = set()
    for face in explore(solid, TopAbs_FACE)[:MOST_FACES]:
        surface = BRepAdaptor_Surface(TopoDS.Face_s(face))
        if surface.GetType() == GeomAbs_Plane:
            normal, offset = _plane(surface.Plane())
            planes[normal].add(offset)
        elif surface.GetType() == GeomAbs_Cylinder:
            cylinder = surface.Cylinder()
            lengths |= {cylinder.Radius(), 2 * cylinder.Radius()}
            axes.append(_axis(cylinder.Axis()))
    for offsets in planes.values():
        lengths |= _differences(offsets)
    lengths |= _between(axes) | _to_planes(axes, planes)
    return sorted({round(length, DIGITS) for length in lengths if length > 10**-DIGITS})


def _plane(plane: gp_Pln) -> tuple[tuple[float, ...], float]:
    """Return the unit normal, turned so that its first part that is not 0 is positive, and the offset along it."""
    normal, foot = _axis(plane.Axis())
    return tuple(normal.round(DIGITS).tolist()), float(normal @ foot)


def _axis(axis: gp_Ax1) -> tuple[Vector, Vector]:
    """Return the direction of an axis, turned likewise, and a point on it."""
    direction, point = axis.Direction(), axis.Location()
    unit = np.array([direction.X(), direction.Y(), direction.Z()])
    leading = next(part for part in unit if abs(part) > 10**-DIGITS)
    return unit * math.copysign(1.0, leading), np.array([point.X(), point.Y(), point.Z()])


def _differences(offsets: Iterable[float]) -> set[float]:
    return {abs(a - b) for a, b in combinations(sorted(offsets), 2)}


def _between(axes: list[tuple[Vector, Vector]]) -> set[float]:
    found: set[float] = set()
    for (first, a), (second, b) in combinations(axes, 2):
        if float(np.linalg.norm(np.cross(first, second))) < 10**-DIGITS:
            gap = b - a
            found.add(float(np.linalg.norm(gap - (gap @ first) * first)))
    return found


def _to_planes(axes: list[tuple[Vector, Vector]], planes: dict[tuple[float, ...], set[float]]) -> set[float]:
    return {
        abs(float(np.array(normal) @ point) - offset)
        for direction, point in axes
        for normal, offsets in planes.items()
        if abs(float(np.array(normal) @ direction)) < 10**-DIGITS
        for offset in offsets
    }
