"""Designs as solids without a CAD kernel: membership of points, overlap with its standard error, exact volumes.

A design becomes constructive solid geometry in order: each step adds a solid to, or takes one from, what stands so far.
Solids are plane regions extruded along an axis, and outlines turned about z. Everything is in millimetres.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from domains.cad.design import Design
from domains.cad.design_features import (
    Axis,
    Box,
    Cylinder,
    Feature,
    Hexagon,
    Hole,
    Prism,
    Revolve,
    Ring,
    Shell,
    Slot,
)
from domains.cad.plane_regions import (
    EPSILON,
    Floats,
    Mask,
    NotSimpleError,
    Polygon,
    Region,
    Rounded,
    common_region,
    disc,
    rectangle,
)

PLANE: dict[Axis, tuple[int, int]] = {"x": (1, 2), "y": (0, 2), "z": (0, 1)}
"""The two coordinates of the plane across each axis."""
MAX_TERMS = 4096
"""Most terms of an exact volume; more is given up."""


@dataclass(frozen=True)
class Extrusion:
    """A plane region between two places of the axis across it; a through hole runs from -inf to inf."""

    region: Region
    axis: Axis
    low: float
    high: float

    def contains(self, points: Floats) -> Mask:
        """Return which points [N, 3] lie inside."""
        first, second = PLANE[self.axis]
        along = points[:, "xyz".index(self.axis)]
        return (along >= self.low) & (along <= self.high) & self.region.contains(points[:, first], points[:, second])

    @property
    def bounds(self) -> Floats:
        """Lowest and highest corner, [2, 3]."""
        corners = np.empty((2, 3))
        corners[:, PLANE[self.axis]] = self.region.bounds
        corners[:, "xyz".index(self.axis)] = self.low, self.high
        return corners

    @property
    def volume(self) -> float:
        """Volume."""
        return self.region.area * (self.high - self.low)


@dataclass(frozen=True)
class Revolution:
    """An outline of (r, z) points turned about the z axis."""

    outline: Polygon

    def contains(self, points: Floats) -> Mask:
        """Return which points [N, 3] lie inside."""
        return self.outline.contains(np.hypot(points[:, 0], points[:, 1]), points[:, 2])

    @property
    def bounds(self) -> Floats:
        """Lowest and highest corner, [2, 3]."""
        (_, low), (radius, high) = self.outline.bounds
        return np.array([[-radius, -radius, low], [radius, radius, high]])

    @property
    def volume(self) -> float:
        """Volume, by Pappus's theorem."""
        return 2 * math.pi * self.outline.first_moment


Solid: TypeAlias = Extrusion | Revolution


@dataclass(frozen=True)
class Step:
    """A solid that is added or taken away, but for the `core` that it leaves alone."""

    solid: Solid
    adds: bool
    core: Extrusion | None = None

    def contains(self, points: Floats) -> Mask:
        """Return which points [N, 3] the step concerns."""
        inside = self.solid.contains(points)
        return inside if self.core is None else inside & ~self.core.contains(points)


@dataclass(frozen=True)
class Csg:
    """Steps in order."""

    steps: tuple[Step, ...]

    def contains(self, points: Floats) -> Mask:
        """Return which points [N, 3] are material."""
        inside = np.zeros(len(points), dtype=bool)
        for step in self.steps:
            concerned = step.contains(points)
            inside = inside | concerned if step.adds else inside & ~concerned
        return inside

    @property
    def bounds(self) -> Floats:
        """Lowest and highest corner of all that was added, [2, 3]; what cuts took off at the edges still counts."""
        corners = np.array([step.solid.bounds for step in self.steps if step.adds])
        return np.array([corners[:, 0].min(axis=0), corners[:, 1].max(axis=0)])

    @property
    def volume(self) -> float | None:
        """Exact volume, or None where two solids meet in a shape that has no simple closed form.

        Inclusion and exclusion: adding A to S gives S + A - (S and A), cutting C gives S - (S and C).
        """
        terms: list[tuple[int, Solid]] = []
        try:
            for step in self.steps:
                parts: list[tuple[int, Solid]] = [(1, step.solid)] + ([(-1, step.core)] if step.core else [])
                shared = [
                    (-sign * part_sign, both)
                    for sign, term in terms
                    for part_sign, part in parts
                    if (both := common(term, part)) is not None
                ]
                terms = terms + shared + (parts if step.adds else [])
                if len(terms) > MAX_TERMS:
                    return None
        except NotSimpleError:
            return None
        return sum(sign * term.volume for sign, term in terms)


def common(a: Solid, b: Solid) -> Solid | None:
    """Return what two solids share, None if nothing; raises `NotSimpleError` where that is no simple extrusion."""
    low, high = np.maximum(a.bounds[0], b.bounds[0]), np.minimum(a.bounds[1], b.bounds[1])
    if (low >= high - EPSILON).any():
        return None
    if isinstance(a, Revolution) or isinstance(b, Revolution):
        raise NotSimpleError
    if a.axis != b.axis:
        a = _turned(a, b.axis)
        b = b if a.axis == b.axis else _turned(b, a.axis)
        if a.axis != b.axis:
            raise NotSimpleError
    region = common_region(a.region, b.region)
    return None if region is None else Extrusion(region, a.axis, max(a.low, b.low), min(a.high, b.high))


def _turned(solid: Extrusion, axis: Axis) -> Extrusion:
    """Return a box as an extrusion along another axis; any other solid as it is."""
    if not isinstance(solid.region, Rounded) or solid.region.r:
        return solid
    low, high = solid.bounds
    (i, j), k = PLANE[axis], "xyz".index(axis)
    return Extrusion(rectangle((low[i], low[j]), (high[i], high[j])), axis, low[k], high[k])


def solids_of(design: Design) -> Csg:
    """Return a design as constructive solid geometry.

    Example:
        >>> from domains.cad.design import parse_design
        >>> plate = parse_design("base: box x=40 y=30 z=5 at (0,0,0) centred\\nhole: d=8 through at (0,0)")
        >>> round(solids_of(plate).volume, 6)
        5748.672588
    """
    steps: tuple[Step, ...] = ()
    for feature in design.features:
        steps += _steps_of(feature, Csg(steps))
    return Csg(steps)


def _steps_of(feature: Feature, so_far: Csg) -> tuple[Step, ...]:
    if isinstance(feature, Hole):
        return tuple(
            Step(Extrusion(disc(place, feature.d), feature.axis, *_reach(feature, so_far)), False)
            for place in feature.places.points()
        )
    if isinstance(feature, Slot):
        regions = (Rounded(*at, feature.x, feature.y, min(feature.x, feature.y) / 2) for at in feature.places.points())
        return tuple(Step(Extrusion(region, "z", -math.inf, math.inf), False) for region in regions)
    if isinstance(feature, Shell):
        return (_hollow(so_far.steps[0].solid, feature.t),)
    solid, core = _BLOCKS[type(feature)](feature)
    return (Step(solid, feature.role != "cut", core),)


def _reach(hole: Hole, so_far: Csg) -> tuple[float, float]:
    if hole.depth is None:
        return -math.inf, math.inf
    low, high = so_far.bounds[:, "xyz".index(hole.axis)]
    return (low, low + hole.depth) if hole.axis == "y" else (high - hole.depth, high)


def _hollow(base: Solid, t: float) -> Step:
    assert isinstance(base, Extrusion)
    assert isinstance(base.region, Rounded)
    outer = base.region
    inner = replace(outer, a=outer.a - 2 * t, b=outer.b - 2 * t, r=max(0.0, outer.r - t))
    return Step(Extrusion(inner, "z", base.low + t, math.inf), False)


def _box(box: Box) -> tuple[Solid, None]:
    x, y, z = box.at
    u, v = (x, y) if box.frame == "centred" else (x + box.x / 2, y + box.y / 2)
    return Extrusion(Rounded(u, v, box.x, box.y, box.r), "z", z, z + box.z), None


def _cylinder(cylinder: Cylinder) -> tuple[Solid, None]:
    (first, second), along = PLANE[cylinder.axis], "xyz".index(cylinder.axis)
    region = disc((cylinder.at[first], cylinder.at[second]), cylinder.d)
    start = cylinder.at[along]
    return Extrusion(region, cylinder.axis, start, start + cylinder.h), None


def _hexagon(hexagon: Hexagon) -> tuple[Solid, None]:
    x, y, z = hexagon.at
    corner = hexagon.flats / math.sqrt(3)
    turns = (math.pi / 3 * (index + 0.5) for index in range(6))
    outline = tuple((x + corner * math.cos(turn), y + corner * math.sin(turn)) for turn in turns)
    return Extrusion(Polygon(outline), "z", z, z + hexagon.h), None


def _ring(ring: Ring) -> tuple[Solid, Extrusion]:
    x, y, z = ring.at
    outer, inner = (Extrusion(disc((x, y), d), "z", z, z + ring.h) for d in (ring.outer, ring.inner))
    return outer, inner


def _revolve(revolve: Revolve) -> tuple[Solid, None]:
    return Revolution(Polygon(revolve.outline)), None


def _prism(prism: Prism) -> tuple[Solid, None]:
    return Extrusion(Polygon(prism.outline), "y", -prism.w / 2, prism.w / 2), None


_BLOCKS: dict[type, Callable[..., tuple[Solid, Extrusion | None]]] = {
    Box: _box,
    Cylinder: _cylinder,
    Hexagon: _hexagon,
    Ring: _ring,
    Revolve: _revolve,
    Prism: _prism,
}


@dataclass(frozen=True)
class Estimate:
    """A quantity from random points, with its standard error."""

    value: float
    error: float


def overlap(a: Csg, b: Csg, points: int = 20_000, seed: int = 0) -> Estimate:
    """Return intersection over union of two parts from seeded points drawn evenly in their joint box.

    Args:
        a, b: the parts.
        points: how many points to draw; the standard error falls as 1/sqrt(points).
        seed: of the draw.

    Example: a 10 x 6 x 4 box against itself shifted by 2 along x gives 8/12 within its error of about 0.003.
    """
    low = np.minimum(a.bounds[0], b.bounds[0])
    high = np.maximum(a.bounds[1], b.bounds[1])
    drawn = np.random.default_rng(seed).uniform(low, high, (points, 3))
    in_a, in_b = a.contains(drawn), b.contains(drawn)
    either = int((in_a | in_b).sum())
    if not either:
        return Estimate(0.0, 0.0)
    share = int((in_a & in_b).sum()) / either
    return Estimate(share, math.sqrt(share * (1 - share) / either))
