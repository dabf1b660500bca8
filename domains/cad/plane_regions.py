"""Plane regions with exact areas: rectangles with rounded corners (discs among them) and polygons, in millimetres."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from domains.cad.design_features import Point2

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

EPSILON = 1e-9


class NotSimpleError(Exception):
    """Two shapes overlap in one that has no simple closed form."""


@dataclass(frozen=True)
class Rounded:
    """A rectangle with centre (u, v), sides a and b and corners of radius r; a disc is a = b = 2 r."""

    u: float
    v: float
    a: float
    b: float
    r: float = 0.0

    @property
    def area(self) -> float:
        """Area."""
        return self.a * self.b - (4 - math.pi) * self.r**2

    @property
    def bounds(self) -> tuple[Point2, Point2]:
        """Lowest and highest corner."""
        return (self.u - self.a / 2, self.v - self.b / 2), (self.u + self.a / 2, self.v + self.b / 2)

    def contains(self, u: Floats, v: Floats) -> Mask:
        """Return which points [N] lie inside: those within r of the rectangle shrunk by r."""
        du = np.maximum(np.abs(u - self.u) - (self.a / 2 - self.r), 0)
        dv = np.maximum(np.abs(v - self.v) - (self.b / 2 - self.r), 0)
        return np.hypot(du, dv) <= self.r + EPSILON

    def holds(self, other: Region) -> bool:
        """Return whether another region certainly lies inside."""
        if isinstance(other, Polygon):
            return bool(self.contains(*np.array(other.points).T).all())
        # Rounding the other's corners less only makes it larger, and never larger than its bounds.
        radius = min(self.r, other.r)
        du = max(abs(other.u - self.u) + (other.a / 2 - radius) - (self.a / 2 - self.r), 0)
        dv = max(abs(other.v - self.v) + (other.b / 2 - radius) - (self.b / 2 - self.r), 0)
        return math.hypot(du, dv) <= self.r - radius + EPSILON


@dataclass(frozen=True)
class Polygon:
    """A simple polygon by its corners."""

    points: tuple[Point2, ...]

    @property
    def area(self) -> float:
        """Area (shoelace formula)."""
        return abs(self._signed_area())

    @property
    def first_moment(self) -> float:
        """Area times the first coordinate of its centroid."""
        return math.copysign(1, self._signed_area()) * sum(
            (p[0] + q[0]) * (p[0] * q[1] - q[0] * p[1]) / 6 for p, q in self._edges()
        )

    @property
    def bounds(self) -> tuple[Point2, Point2]:
        """Lowest and highest corner."""
        us, vs = zip(*self.points, strict=True)
        return (min(us), min(vs)), (max(us), max(vs))

    def contains(self, u: Floats, v: Floats) -> Mask:
        """Return which points [N] lie inside: those whose ray crosses the outline an odd number of times."""
        inside = np.zeros(u.shape, dtype=bool)
        for (u0, v0), (u1, v1) in self._edges():
            if v0 != v1:
                crosses = (v0 > v) != (v1 > v)
                inside ^= crosses & (u < u0 + (v - v0) * (u1 - u0) / (v1 - v0))
        return inside

    def holds(self, other: Region) -> bool:
        """Return whether another region certainly lies inside; only a convex polygon is sure of it."""
        turn = math.copysign(1, self._signed_area())
        edges = self._edges()
        corners = [
            (q[0] - p[0]) * (r[1] - q[1]) - (q[1] - p[1]) * (r[0] - q[0])
            for (p, q), (_, r) in zip(edges, edges[1:] + edges[:1], strict=True)
        ]
        if min(turn * corner for corner in corners) < 0:
            return False
        points, radius = _core(other)
        return all(
            turn * ((q[0] - p[0]) * (v - p[1]) - (q[1] - p[1]) * (u - p[0])) / math.dist(p, q) >= radius - EPSILON
            for p, q in edges
            for u, v in points
        )

    def _edges(self) -> list[tuple[Point2, Point2]]:
        return list(zip(self.points, self.points[1:] + self.points[:1], strict=True))

    def _signed_area(self) -> float:
        return sum(p[0] * q[1] - q[0] * p[1] for p, q in self._edges()) / 2


Region: TypeAlias = Rounded | Polygon


def _core(region: Region) -> tuple[list[Point2], float]:
    """Return points and a radius: the region is the hull of the points, grown by the radius."""
    if isinstance(region, Polygon):
        return list(region.points), 0.0
    du, dv = region.a / 2 - region.r, region.b / 2 - region.r
    return [(region.u + i * du, region.v + j * dv) for i in (-1, 1) for j in (-1, 1)], region.r


def common_region(a: Region, b: Region) -> Region | None:
    """Return what two regions share, None if nothing; raises `NotSimpleError` where that is no rounded rectangle."""
    if a.holds(b):
        return b
    if b.holds(a):
        return a
    if isinstance(a, Rounded) and isinstance(b, Rounded):
        reach = a.r + b.r
        du = max(abs(a.u - b.u) - (a.a / 2 - a.r) - (b.a / 2 - b.r), 0)
        dv = max(abs(a.v - b.v) - (a.b / 2 - a.r) - (b.b / 2 - b.r), 0)
        if reach and math.hypot(du, dv) >= reach - EPSILON:
            return None
        if not reach:
            lows, highs = zip(a.bounds, b.bounds, strict=True)
            low = (max(lows[0][0], lows[1][0]), max(lows[0][1], lows[1][1]))
            high = (min(highs[0][0], highs[1][0]), min(highs[0][1], highs[1][1]))
            return rectangle(low, high)
    raise NotSimpleError


def rectangle(low: Point2, high: Point2) -> Rounded:
    """Return the rectangle between two corners."""
    return Rounded((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[0] - low[0], high[1] - low[1])


def disc(centre: Point2, d: float) -> Rounded:
    """Return the disc of diameter d."""
    return Rounded(*centre, d, d, d / 2)
