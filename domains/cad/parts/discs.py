"""Discs and nuts: the spacer, the hex nut blank and the flange."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from domains.cad.design_features import Circle, Cylinder, Feature, Hexagon, Hole, Points
from domains.cad.parts.family import Family, Parameters, Sizes, disc_area, drilled
from domains.cad.parts.rules import MARGIN, draw, material
from domains.cad.spec import HoleSpec

CENTRE = Points(((0, 0),))


@dataclass(frozen=True)
class SpacerParameters(Parameters):
    """Lengths (mm) of a washer or spacer."""

    outer_d: float
    inner_d: float
    height: float

    def check(self) -> None:
        """Raise `UserError` when the spacer cannot be made."""
        material("height", self.height)
        material("around the hole", (self.outer_d - self.inner_d) / 2)


class Spacer(Family[SpacerParameters]):
    """A cylinder with a coaxial hole: a washer when flat, a spacer when tall."""

    name = "spacer"
    Parameters = SpacerParameters
    sizes = Sizes("outer_d", 8, 22, 25, 40, 60)
    steps = ("wall ({outer_d}-{inner_d})/2={wall}",)

    def draw(self, rng: random.Random, size: float) -> SpacerParameters:
        """Draw a spacer of outer diameter `size`."""
        return SpacerParameters(size, draw(rng, 0.3 * size, size - 4), draw(rng, 1.5, 30))

    def working(self, p: SpacerParameters) -> dict[str, float]:
        """Return the wall."""
        return {"wall": (p.outer_d - p.inner_d) / 2}

    def box(self, p: SpacerParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""
        return p.outer_d, p.outer_d, p.height

    def volume(self, p: SpacerParameters) -> float:
        """Return pi / 4 (D^2 - d^2) h."""
        return (disc_area(p.outer_d) - disc_area(p.inner_d)) * p.height

    def holes(self, p: SpacerParameters) -> tuple[HoleSpec, ...]:
        """Return the hole."""
        return drilled(p.inner_d, CENTRE.points(), 0, p.height)

    def features(self, p: SpacerParameters) -> tuple[Feature, ...]:
        """Return disc and hole."""
        return Cylinder("base", p.outer_d, p.height), Hole(p.inner_d, CENTRE)


@dataclass(frozen=True)
class HexNutParameters(Parameters):
    """Lengths (mm) of a hexagonal nut blank; flats is the width across flats."""

    flats: float
    height: float
    bore_d: float

    def check(self) -> None:
        """Raise `UserError` when the blank cannot be made."""
        material("height", self.height)
        material("around the bore", (self.flats - self.bore_d) / 2)


class HexNut(Family[HexNutParameters]):
    """A hexagonal prism with a bore, without thread and chamfers."""

    name = "hex_nut"
    Parameters = HexNutParameters
    sizes = Sizes("flats", 8, 20, 23, 36, 50)
    steps = ("wall at the flats ({flats}-{bore_d})/2={wall}",)

    def draw(self, rng: random.Random, size: float) -> HexNutParameters:
        """Draw a blank of `size` across flats."""
        bore_d = draw(rng, 0.4 * size, min(0.7 * size, size - 3))
        return HexNutParameters(size, draw(rng, 0.4 * size, size), bore_d)

    def working(self, p: HexNutParameters) -> dict[str, float]:
        """Return the thinnest wall."""
        return {"wall": (p.flats - p.bore_d) / 2}

    def box(self, p: HexNutParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm): across corners it is 2 / sqrt(3) of that across flats."""
        return p.flats, 2 * p.flats / math.sqrt(3), p.height

    def volume(self, p: HexNutParameters) -> float:
        """Return (sqrt(3) / 2 s^2 - pi d^2 / 4) h."""
        return (math.sqrt(3) / 2 * p.flats**2 - disc_area(p.bore_d)) * p.height

    def holes(self, p: HexNutParameters) -> tuple[HoleSpec, ...]:
        """Return the bore."""
        return drilled(p.bore_d, CENTRE.points(), 0, p.height)

    def features(self, p: HexNutParameters) -> tuple[Feature, ...]:
        """Return prism and bore."""
        return Hexagon("base", p.flats, p.height), Hole(p.bore_d, CENTRE)


@dataclass(frozen=True)
class FlangeParameters(Parameters):
    """Lengths (mm) of a flange with a hub and a bolt circle."""

    outer_d: float
    thickness: float
    hub_d: float
    hub_h: float
    bore_d: float
    hole_d: float
    count: int
    circle_d: float

    def check(self) -> None:
        """Raise `UserError` when the flange cannot be made."""
        material("thickness", self.thickness)
        material("hub_h", self.hub_h)
        material("around the bore", (self.hub_d - self.bore_d) / 2)
        material("between bolt holes and hub", (self.circle_d - self.hole_d - self.hub_d) / 2)
        material("between bolt holes and rim", (self.outer_d - self.circle_d - self.hole_d) / 2, MARGIN)
        material("between the bolt holes", self.circle_d * math.sin(math.pi / self.count) - self.hole_d)


class Flange(Family[FlangeParameters]):
    """A disc with a hub on top, a bore through both and a circle of bolt holes."""

    name = "flange"
    Parameters = FlangeParameters
    sizes = Sizes("outer_d", 60, 84, 90, 120, 150)
    steps = (
        "hub starts at z {thickness}, top z {thickness}+{hub_h}={top}",
        "wall of the hub ({hub_d}-{bore_d})/2={wall}",
        "bolt holes on radius {circle_d}/2={radius}, to the rim {outer_d}/2-{radius}={edge}",
    )

    def draw(self, rng: random.Random, size: float) -> FlangeParameters:
        """Draw a flange of outer diameter `size`."""
        bore_d = draw(rng, 0.12 * size, 0.25 * size)
        hub_d, hole_d = draw(rng, bore_d + 6, 0.5 * size), draw(rng, 3.5, min(0.1 * size, 10))
        circle_d = draw(rng, hub_d + hole_d + 4, size - hole_d - 5)
        thickness, hub_h = draw(rng, 4, 0.15 * size), draw(rng, 5, 0.4 * size)
        return FlangeParameters(size, thickness, hub_d, hub_h, bore_d, hole_d, rng.choice((4, 6, 8)), circle_d)

    def working(self, p: FlangeParameters) -> dict[str, float]:
        """Return top, wall and the radius of the bolt circle."""
        radius = p.circle_d / 2
        top, wall = p.thickness + p.hub_h, (p.hub_d - p.bore_d) / 2
        return {"top": top, "wall": wall, "radius": radius, "edge": p.outer_d / 2 - radius}

    def box(self, p: FlangeParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""
        return p.outer_d, p.outer_d, p.thickness + p.hub_h

    def volume(self, p: FlangeParameters) -> float:
        """Return pi / 4 (D^2 T + h^2 H - b^2 (T + H) - n d^2 T)."""
        disc = disc_area(p.outer_d) - p.count * disc_area(p.hole_d)
        return disc * p.thickness + disc_area(p.hub_d) * p.hub_h - disc_area(p.bore_d) * (p.thickness + p.hub_h)

    def holes(self, p: FlangeParameters) -> tuple[HoleSpec, ...]:
        """Return the bore and the bolt holes."""
        bore = drilled(p.bore_d, CENTRE.points(), 0, p.thickness + p.hub_h)
        return bore + drilled(p.hole_d, Circle(p.count, p.circle_d).points(), 0, p.thickness)

    def features(self, p: FlangeParameters) -> tuple[Feature, ...]:
        """Return disc, hub, bore and bolt holes."""
        return (
            Cylinder("base", p.outer_d, p.thickness),
            Cylinder("add", p.hub_d, p.hub_h, (0, 0, p.thickness)),
            Hole(p.bore_d, CENTRE),
            Hole(p.hole_d, Circle(p.count, p.circle_d)),
        )
