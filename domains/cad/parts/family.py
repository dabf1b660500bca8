"""Family: one kind of part, from parameters to its spec, structured design, program, reasoning and descriptions.

A family is mostly data: a frozen dataclass of parameters whose rules say which parts can be made, closed forms for its
measures, its features, the arithmetic between the parameters and the program's numbers, and sentences. All parts stand
centred on the origin in x and y with their bottom on z = 0; lengths are in millimetres.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args

import yaml

from domains.cad.design import Design
from domains.cad.design_code import design_to_code
from domains.cad.design_features import Axis, Feature, Point2, number
from domains.cad.parts.rules import STEP, draw
from domains.cad.spec import HoleSpec, Spec
from sciRL.errors import UserError

Region = Literal["train", "interpolation", "extrapolation"]
Level = Literal["abstract", "beginner", "intermediate", "expert"]
REGIONS: tuple[Region, ...] = get_args(Region)
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True)
class Parameters:
    """Numbers of one part: floats are lengths in millimetres, ints are counts.

    Raises:
        UserError: a number that is not positive and finite, or a part that cannot be made.
    """

    def __post_init__(self) -> None:
        for name, value in self.values().items():
            if not 0 < value < math.inf:
                raise UserError(f"{name}: found {value}; allowed is a finite number > 0")
        self.check()

    def check(self) -> None:
        """Raise `UserError` when the part cannot be made."""

    def values(self) -> dict[str, float | int]:
        """Return all numbers by name."""
        return asdict(self)

    def lengths(self) -> dict[str, float]:
        """Return the lengths (mm) by name."""
        kinds = {field.name: field.type for field in fields(self)}
        return {name: value for name, value in self.values().items() if kinds[name] == "float"}


P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Sizes:
    """Ranges (mm) of the parameter that splits a family, all multiples of `STEP`.

    Training draws from [low, gap_low) and (gap_high, high], interpolation from [gap_low, gap_high], extrapolation from
    (high, beyond].

    Example:
        >>> Sizes("length", 40, 64, 70, 100, 130).region(66.5)
        'interpolation'
    """

    parameter: str
    low: float
    gap_low: float
    gap_high: float
    high: float
    beyond: float

    def region(self, size: float) -> Region | None:
        """Return the region that a size belongs to; None below `low` or above `beyond`."""
        if self.gap_low <= size <= self.gap_high:
            return "interpolation"
        if self.low <= size <= self.high:
            return "train"
        return "extrapolation" if self.high < size <= self.beyond else None

    def draw(self, rng: random.Random, region: Region) -> float:
        """Draw a size of a region."""
        if region == "interpolation":
            return draw(rng, self.gap_low, self.gap_high)
        if region == "extrapolation":
            return draw(rng, self.high + STEP, self.beyond)
        gap = self.gap_high - self.gap_low + STEP
        size = draw(rng, self.low, self.high - gap)
        return size if size < self.gap_low else size + gap


@lru_cache(maxsize=1)
def descriptions() -> Mapping[str, Mapping[Level, Sequence[str]]]:
    """Return all descriptions by family and level."""
    return yaml.safe_load(Path(__file__).with_name("descriptions.yaml").read_text(encoding="utf-8"))


class Family(ABC, Generic[P]):
    """One kind of part.

    Attributes:
        name: identifier.
        Parameters: class of its parameters.
        sizes: the parameter that splits it, with its ranges.
        unstated: lengths that a program need not state, because they only enter sums.
        steps: sentences of the reasoning, with fields for parameters and for what `working` derives.
    """

    name: ClassVar[str]
    Parameters: type[P]
    sizes: ClassVar[Sizes]
    unstated: ClassVar[frozenset[str]] = frozenset()
    steps: ClassVar[tuple[str, ...]]

    @property
    def texts(self) -> Mapping[Level, Sequence[str]]:
        """Descriptions by level, with fields for parameters."""
        return descriptions()[self.name]

    def sample(self, rng: random.Random, region: Region) -> P:
        """Draw a part that can be made, in half-millimetre steps."""
        return self.draw(rng, self.sizes.draw(rng, region))

    @abstractmethod
    def draw(self, rng: random.Random, size: float) -> P:
        """Draw a part whose splitting parameter is `size`."""

    @abstractmethod
    def box(self, p: P) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""

    @abstractmethod
    def volume(self, p: P) -> float:
        """Return the volume (mm^3) in closed form."""

    @abstractmethod
    def holes(self, p: P) -> tuple[HoleSpec, ...]:
        """Return the round holes: every full turn of cylindrical wall with the material outside."""

    @abstractmethod
    def features(self, p: P) -> tuple[Feature, ...]:
        """Return the features of the structured design."""

    def working(self, p: P) -> dict[str, float]:
        """Return the lengths (mm) that the design derives from the parameters."""
        return {}

    def spec(self, p: P) -> Spec:
        """Return what the part must measure."""
        dimensions = {name: length for name, length in p.lengths().items() if name not in self.unstated}
        return Spec(self.box(p), self.volume(p), 1, self.holes(p), dimensions)

    def design(self, p: P) -> Design:
        """Return the structured design."""
        return Design(self.features(p))

    def code(self, p: P) -> str:
        """Return the reference program."""
        return design_to_code(self.design(p))

    def reasoning(self, p: P) -> str:
        """Return the arithmetic from the parameters to the numbers of the design, one numbered step a line."""
        numbers = {name: number(value) for name, value in (p.values() | self.working(p)).items()}
        return "\n".join(f"{index}. {step.format(**numbers)}" for index, step in enumerate(self.steps, start=1))

    def parameters(self, values: Mapping[str, Any]) -> P:
        """Return parameters from plain values.

        Raises:
            UserError: a name that is missing or unknown, a value of the wrong type, or a part that cannot be made.
        """
        kinds = {field.name: field.type for field in fields(self.Parameters)}
        for name in kinds.keys() ^ set(values):
            problem = "missing parameter" if name in kinds else "unknown parameter"
            raise UserError(f"{self.name}: {problem} {name!r}; needed are {', '.join(kinds)}")
        for name, value in values.items():
            allowed = int if kinds[name] == "int" else (int, float)
            if isinstance(value, bool) or not isinstance(value, allowed):
                kind = "a whole number" if kinds[name] == "int" else "a length in millimetres"
                raise UserError(f"{self.name}: {name}: found {value!r}; allowed is {kind}")
        try:
            return self.Parameters(**{n: v if kinds[n] == "int" else float(v) for n, v in values.items()})
        except UserError as error:
            raise UserError(f"{self.name}: {error}") from None


def drilled(d: float, places: Sequence[Point2], low: float, high: float, axis: Axis = "z") -> tuple[HoleSpec, ...]:
    """Return through holes along an axis between two coordinates, at places of the plane across it."""
    middle = (low + high) / 2
    direction = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}[axis]
    spots = {
        "x": [(middle, u, v) for u, v in places],
        "y": [(u, middle, v) for u, v in places],
        "z": [(u, v, middle) for u, v in places],
    }[axis]
    return tuple(HoleSpec(d, direction, spot, high - low, True) for spot in spots)


def disc_area(d: float) -> float:
    """Return the area of a disc of diameter d."""
    return math.pi * d * d / 4


def corner_loss(r: float) -> float:
    """Return the area that rounding the four corners of a rectangle by r takes off: (4 - pi) r^2."""
    return (4 - math.pi) * r * r
