"""Features of the structured design language: what each holds, allows and looks like as a line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from sciRL.errors import UserError

Role = Literal["base", "add", "cut"]
Axis = Literal["x", "y", "z"]
Frame = Literal["centred", "corner"]
Point2: TypeAlias = tuple[float, float]
Point3: TypeAlias = tuple[float, float, float]
MAX_LENGTH = 1e5
"""Largest coordinate or size (mm)."""
ORIGIN: Point3 = (0.0, 0.0, 0.0)


def number(value: float) -> str:
    """Return a number in plain notation without needless zeros; reading it back gives the same float.

    Example:
        >>> number(60.0), number(12.50), number(1e-05)
        ('60', '12.5', '0.00001')
    """
    return format(Decimal(repr(float(value) + 0.0)).normalize(), "f")


@dataclass(frozen=True)
class Box:
    """A box whose four vertical edges are rounded by r."""

    role: Role
    x: float
    y: float
    z: float
    at: Point3 = ORIGIN
    r: float = 0.0
    frame: Frame = "centred"

    def __post_init__(self) -> None:
        _check_lengths(x=self.x, y=self.y, z=self.z)
        _check_coordinates((self.at,))
        if self.r and not 0 < self.r < min(self.x, self.y) / 2:
            limit = number(min(self.x, self.y) / 2)
            raise UserError(f"r={number(self.r)}: allowed is 0 to less than half the shorter side, {limit}")

    def line(self) -> str:
        """Return the feature as a line of text."""
        rounded = f" r={number(self.r)}" if self.r else ""
        sizes = f"x={number(self.x)} y={number(self.y)} z={number(self.z)}{rounded}"
        return f"{self.role}: box {sizes} at {_point(self.at)} {self.frame}"


@dataclass(frozen=True)
class Cylinder:
    """A cylinder from the centre `at` of its first face along +axis."""

    role: Role
    d: float
    h: float
    at: Point3 = ORIGIN
    axis: Axis = "z"

    def __post_init__(self) -> None:
        _check_lengths(d=self.d, h=self.h)
        _check_coordinates((self.at,))

    def line(self) -> str:
        """Return the feature as a line of text."""
        return f"{self.role}: cylinder d={number(self.d)} h={number(self.h)}{_axis(self.axis)} at {_point(self.at)}"


@dataclass(frozen=True)
class Hexagon:
    """An upright hexagonal prism; two of its flats face +x and -x."""

    role: Role
    flats: float
    h: float
    at: Point3 = ORIGIN

    def __post_init__(self) -> None:
        _check_lengths(flats=self.flats, h=self.h)
        _check_coordinates((self.at,))

    def line(self) -> str:
        """Return the feature as a line of text."""
        return f"{self.role}: hexagon flats={number(self.flats)} h={number(self.h)} at {_point(self.at)}"


@dataclass(frozen=True)
class Ring:
    """An upright tube."""

    role: Role
    outer: float
    inner: float
    h: float
    at: Point3 = ORIGIN

    def __post_init__(self) -> None:
        _check_lengths(outer=self.outer, inner=self.inner, h=self.h)
        _check_coordinates((self.at,))
        if self.inner >= self.outer:
            raise UserError(f"inner={number(self.inner)}: allowed is less than outer, {number(self.outer)}")

    def line(self) -> str:
        """Return the feature as a line of text."""
        sizes = f"outer={number(self.outer)} inner={number(self.inner)} h={number(self.h)}"
        return f"{self.role}: ring {sizes} at {_point(self.at)}"


@dataclass(frozen=True)
class Revolve:
    """A closed outline of (r,z) points, turned about the z axis."""

    role: Role
    outline: tuple[Point2, ...]

    def __post_init__(self) -> None:
        _check_outline(self.outline)
        if min(r for r, _ in self.outline) < 0:
            raise UserError("found a point with a negative radius; allowed is r >= 0")

    def line(self) -> str:
        """Return the feature as a line of text."""
        return f"{self.role}: revolve {' '.join(map(_point, self.outline))}"


@dataclass(frozen=True)
class Prism:
    """A closed outline of (x,z) points, extruded to the width w centred on y = 0."""

    role: Role
    outline: tuple[Point2, ...]
    w: float

    def __post_init__(self) -> None:
        _check_lengths(w=self.w)
        _check_outline(self.outline)

    def line(self) -> str:
        """Return the feature as a line of text."""
        return f"{self.role}: prism w={number(self.w)} {' '.join(map(_point, self.outline))}"


@dataclass(frozen=True)
class Points:
    """Places one by one."""

    at: tuple[Point2, ...]

    def __post_init__(self) -> None:
        if not self.at:
            raise UserError("no point after 'at'; at least one is needed, as in at (0,0)")
        _check_coordinates(self.at)

    def points(self) -> tuple[Point2, ...]:
        """Return the places."""
        return self.at

    def text(self) -> str:
        """Return the places as they stand in a line."""
        return f"at {' '.join(map(_point, self.at))}"


@dataclass(frozen=True)
class Grid:
    """A rectangular grid of places centred on the origin, with its pitch along both axes of the plane."""

    columns: int
    rows: int
    pitch: Point2

    def __post_init__(self) -> None:
        _check_counts(self.columns, self.rows)
        _check_lengths(**{"pitch[0]": self.pitch[0], "pitch[1]": self.pitch[1]})

    def points(self) -> tuple[Point2, ...]:
        """Return the places, column by column.

        Example:
            >>> Grid(2, 1, (20, 10)).points()
            ((-10.0, 0.0), (10.0, 0.0))
        """
        return tuple(
            ((column - (self.columns - 1) / 2) * self.pitch[0], (row - (self.rows - 1) / 2) * self.pitch[1])
            for column in range(self.columns)
            for row in range(self.rows)
        )

    def text(self) -> str:
        """Return the places as they stand in a line."""
        pitch = number(self.pitch[0]) if self.pitch[0] == self.pitch[1] else _point(self.pitch)
        return f"n={self.columns}x{self.rows} pitch={pitch}"


@dataclass(frozen=True)
class Circle:
    """Places evenly spread on a circle of diameter d about the origin, the first on the first axis."""

    n: int
    d: float

    def __post_init__(self) -> None:
        _check_counts(self.n)
        _check_lengths(circle=self.d)

    def points(self) -> tuple[Point2, ...]:
        """Return the places, counter-clockwise."""
        turns = (2 * math.pi * index / self.n for index in range(self.n))
        return tuple((self.d / 2 * math.cos(turn), self.d / 2 * math.sin(turn)) for turn in turns)

    def text(self) -> str:
        """Return the places as they stand in a line."""
        return f"n={self.n} circle={number(self.d)}"


Places: TypeAlias = Points | Grid | Circle


@dataclass(frozen=True)
class Hole:
    """Round holes of diameter d, through all or of a depth."""

    d: float
    places: Places
    depth: float | None = None
    axis: Axis = "z"

    def __post_init__(self) -> None:
        _check_lengths(d=self.d)
        if self.depth is not None:
            _check_lengths(depth=self.depth)

    def line(self) -> str:
        """Return the feature as a line of text."""
        depth = "through" if self.depth is None else f"depth={number(self.depth)}"
        return f"hole: d={number(self.d)} {depth}{_axis(self.axis)} {self.places.text()}"


@dataclass(frozen=True)
class Slot:
    """Straight slots with round ends through z; x and y are overall sizes and the longer one is the direction."""

    x: float
    y: float
    places: Points

    def __post_init__(self) -> None:
        _check_lengths(x=self.x, y=self.y)
        if self.x == self.y:
            raise UserError(f"x=y={number(self.x)}: a slot is longer than wide; use a hole")

    def line(self) -> str:
        """Return the feature as a line of text."""
        return f"slot: x={number(self.x)} y={number(self.y)} {self.places.text()}"


@dataclass(frozen=True)
class Shell:
    """Hollow the base box to walls and a floor of thickness t, open at the top."""

    t: float

    def __post_init__(self) -> None:
        _check_lengths(t=self.t)

    def line(self) -> str:
        """Return the feature as a line of text."""
        return f"shell: t={number(self.t)} open=top"


Block: TypeAlias = Box | Cylinder | Hexagon | Ring | Revolve | Prism
"""Features with a role."""
Feature: TypeAlias = Block | Hole | Slot | Shell


def _check_lengths(**lengths: float) -> None:
    for name, value in lengths.items():
        if not 0 < value <= MAX_LENGTH:
            raise UserError(f"{name}={value:g}: allowed is more than 0 and at most {MAX_LENGTH:g}")


def _check_counts(*counts: int) -> None:
    for count in counts:
        if not 1 <= count <= 1000:
            raise UserError(f"n={count}: allowed is 1 to 1000")


def _check_coordinates(points: Sequence[Sequence[float]]) -> None:
    for point in points:
        if not all(abs(part) <= MAX_LENGTH for part in point):
            raise UserError(f"found the point {_point(point)}; allowed are coordinates up to {MAX_LENGTH:g}")


def _check_outline(outline: tuple[Point2, ...]) -> None:
    if len(outline) < 3 or len(set(outline)) < len(outline):
        raise UserError(f"found an outline of {len(outline)} points; allowed are at least 3, all different")
    _check_coordinates(outline)


def _point(point: Sequence[float]) -> str:
    return f"({','.join(map(number, point))})"


def _axis(axis: Axis) -> str:
    return "" if axis == "z" else f" axis={axis}"
