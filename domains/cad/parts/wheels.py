"""Wheels and shafts: the gear blank, the pulley and the stepped shaft."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from domains.cad.design_features import Box, Circle, Cylinder, Feature, Hole, Points, Revolve, Ring
from domains.cad.parts.family import Family, Parameters, Sizes, disc_area, drilled
from domains.cad.parts.rules import draw, material
from domains.cad.spec import HoleSpec

CENTRE = Points(((0, 0),))


@dataclass(frozen=True)
class GearBlankParameters(Parameters):
    """Lengths (mm) of a wheel whose web is recessed between hub and rim; rim_d is the inner diameter of the rim."""

    outer_d: float
    width: float
    rim_d: float
    hub_d: float
    recess: float
    bore_d: float
    hole_d: float
    count: int
    circle_d: float

    def check(self) -> None:
        """Raise `UserError` when the blank cannot be made."""
        material("rim", (self.outer_d - self.rim_d) / 2)
        material("web", self.width - self.recess)
        material("around the bore", (self.hub_d - self.bore_d) / 2)
        material("between holes and rim", (self.rim_d - self.circle_d - self.hole_d) / 2)
        material("between holes and hub", (self.circle_d - self.hole_d - self.hub_d) / 2)
        material("between the holes", self.circle_d * math.sin(math.pi / self.count) - self.hole_d)


class GearBlank(Family[GearBlankParameters]):
    """A disc with bore, a ring-shaped recess in its top, and lightening holes in the web that is left."""

    name = "gear_blank"
    Parameters = GearBlankParameters
    sizes = Sizes("outer_d", 60, 84, 90, 120, 150)
    steps = (
        "web {width}-{recess}={web}, so the recess starts at z {web}",
        "holes on radius {circle_d}/2={radius}",
        "rim ({outer_d}-{rim_d})/2={rim}",
    )

    def draw(self, rng: random.Random, size: float) -> GearBlankParameters:
        """Draw a blank of outer diameter `size`."""
        bore_d = draw(rng, 0.1 * size, 0.2 * size)
        hub_d, rim_d = draw(rng, bore_d + 6, 0.4 * size), draw(rng, 0.75 * size, 0.88 * size)
        hole_d = draw(rng, 4, min(12, hub_d, (rim_d - hub_d) / 2 - 4))
        circle_d = draw(rng, hub_d + hole_d + 3, rim_d - hole_d - 3)
        width = draw(rng, 10, 0.3 * size)
        recess, count = draw(rng, 2, width - 4), rng.choice((4, 5, 6))
        return GearBlankParameters(size, width, rim_d, hub_d, recess, bore_d, hole_d, count, circle_d)

    def working(self, p: GearBlankParameters) -> dict[str, float]:
        """Return web, rim and the radius of the hole circle."""
        return {"web": p.width - p.recess, "radius": p.circle_d / 2, "rim": (p.outer_d - p.rim_d) / 2}

    def box(self, p: GearBlankParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""
        return p.outer_d, p.outer_d, p.width

    def volume(self, p: GearBlankParameters) -> float:
        """Return pi / 4 ((D^2 - b^2) w - (R^2 - h^2) c - n d^2 (w - c))."""
        disc = (disc_area(p.outer_d) - disc_area(p.bore_d)) * p.width
        recess = (disc_area(p.rim_d) - disc_area(p.hub_d)) * p.recess
        return disc - recess - p.count * disc_area(p.hole_d) * (p.width - p.recess)

    def holes(self, p: GearBlankParameters) -> tuple[HoleSpec, ...]:
        """Return the bore, the lightening holes, and the rim, whose inner wall is a blind hole."""
        places = Circle(p.count, p.circle_d).points()
        bore = drilled(p.bore_d, CENTRE.points(), 0, p.width)
        rim = HoleSpec(p.rim_d, (0.0, 0.0, 1.0), (0.0, 0.0, p.width - p.recess / 2), p.recess, False)
        return (*bore, rim, *drilled(p.hole_d, places, 0, p.width - p.recess))

    def features(self, p: GearBlankParameters) -> tuple[Feature, ...]:
        """Return disc, recess, bore and lightening holes."""
        return (
            Cylinder("base", p.outer_d, p.width),
            Ring("cut", p.rim_d, p.hub_d, p.recess, (0, 0, p.width - p.recess)),
            Hole(p.bore_d, CENTRE),
            Hole(p.hole_d, Circle(p.count, p.circle_d)),
        )


@dataclass(frozen=True)
class PulleyParameters(Parameters):
    """Lengths (mm) of a V-belt pulley; land is the width left of the rim on each side of the groove."""

    outer_d: float
    width: float
    groove_depth: float
    land: float
    bore_d: float

    def check(self) -> None:
        """Raise `UserError` when the pulley cannot be made."""
        material("land", self.land)
        material("width of the groove", self.width - 2 * self.land)
        material("below the groove", (self.outer_d - self.bore_d) / 2 - self.groove_depth)


class Pulley(Family[PulleyParameters]):
    """A disc with a V-groove in its rim and a bore."""

    name = "pulley"
    Parameters = PulleyParameters
    sizes = Sizes("outer_d", 30, 54, 59, 90, 115)
    unstated = frozenset({"groove_depth"})
    steps = (
        "rim radius {outer_d}/2={rim}",
        "groove bottom radius {rim}-{groove_depth}={bottom} at z {width}/2={middle}",
        "groove from z {land} to z {width}-{land}={upper}",
    )

    def draw(self, rng: random.Random, size: float) -> PulleyParameters:
        """Draw a pulley of outer diameter `size`."""
        width, bore_d = draw(rng, 10, 30), draw(rng, 5, 0.3 * size)
        return PulleyParameters(size, width, draw(rng, 3, 0.15 * size), draw(rng, 2, 0.25 * width), bore_d)

    def working(self, p: PulleyParameters) -> dict[str, float]:
        """Return the corners of the groove."""
        rim = p.outer_d / 2
        return {"rim": rim, "bottom": rim - p.groove_depth, "middle": p.width / 2, "upper": p.width - p.land}

    def box(self, p: PulleyParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""
        return p.outer_d, p.outer_d, p.width

    def volume(self, p: PulleyParameters) -> float:
        """Return pi / 4 (D^2 - b^2) w less the groove, which is 2 pi (D / 2 - g / 3) g (w - 2 e) / 2 by Pappus."""
        groove = math.pi * (p.outer_d / 2 - p.groove_depth / 3) * p.groove_depth * (p.width - 2 * p.land)
        return (disc_area(p.outer_d) - disc_area(p.bore_d)) * p.width - groove

    def holes(self, p: PulleyParameters) -> tuple[HoleSpec, ...]:
        """Return the bore."""
        return drilled(p.bore_d, CENTRE.points(), 0, p.width)

    def features(self, p: PulleyParameters) -> tuple[Feature, ...]:
        """Return disc, groove and bore."""
        at = self.working(p)
        groove = ((at["rim"], p.land), (at["bottom"], at["middle"]), (at["rim"], at["upper"]))
        return Cylinder("base", p.outer_d, p.width), Revolve("cut", groove), Hole(p.bore_d, CENTRE)


@dataclass(frozen=True)
class SteppedShaftParameters(Parameters):
    """Lengths (mm) of a shaft along z: lower journal, body, upper journal with a keyway open at its end."""

    lower_d: float
    lower_l: float
    body_d: float
    body_l: float
    upper_d: float
    upper_l: float
    key_w: float
    key_depth: float
    key_l: float

    def check(self) -> None:
        """Raise `UserError` when the shaft cannot be made."""
        material("shoulder of the lower journal", (self.body_d - self.lower_d) / 2, 0.5)
        material("shoulder of the upper journal", (self.body_d - self.upper_d) / 2, 0.5)
        material("upper journal beyond the keyway", self.upper_l - self.key_l, 0.5)
        material("below the keyway", self.upper_d / 2 - self.key_depth)
        material("beside the keyway", (self.upper_d - self.key_w) / 2)
        material("depth of the keyway at its sides", self.key_depth - self.upper_d / 2 + _half_chord(self), 0.25)


def _half_chord(p: SteppedShaftParameters) -> float:
    """Return the distance from the axis at which the keyway's sides meet the surface."""
    return math.sqrt(max(0.0, p.upper_d**2 - p.key_w**2)) / 2


class SteppedShaft(Family[SteppedShaftParameters]):
    """Three coaxial cylinders, the last with a rectangular keyway at +x."""

    name = "stepped_shaft"
    Parameters = SteppedShaftParameters
    sizes = Sizes("body_d", 20, 34, 37, 50, 64)
    unstated = frozenset({"key_depth"})
    steps = (
        "body starts at z {lower_l}, upper journal at z {lower_l}+{body_l}={shoulder}",
        "end z {shoulder}+{upper_l}={end}, keyway from z {end}-{key_l}={key_z}",
        "keyway centred on radius {upper_d}/2={radius}, so it is 2*{key_depth}={key_x} long in x",
    )

    def draw(self, rng: random.Random, size: float) -> SteppedShaftParameters:
        """Draw a shaft of body diameter `size`."""
        lower_d, upper_d = draw(rng, 0.5 * size, 0.8 * size), draw(rng, 0.5 * size, 0.8 * size)
        lower_l, body_l, upper_l = draw(rng, 8, 30), draw(rng, 15, 60), draw(rng, 12, 40)
        key_w, key_depth = draw(rng, 0.2 * upper_d, 0.35 * upper_d), draw(rng, 0.15 * upper_d, 0.25 * upper_d)
        key_l = draw(rng, 0.4 * upper_l, upper_l - 2)
        return SteppedShaftParameters(lower_d, lower_l, size, body_l, upper_d, upper_l, key_w, key_depth, key_l)

    def working(self, p: SteppedShaftParameters) -> dict[str, float]:
        """Return the heights of the steps and the box that cuts the keyway."""
        shoulder = p.lower_l + p.body_l
        end = shoulder + p.upper_l
        key = {"key_z": end - p.key_l, "radius": p.upper_d / 2, "key_x": 2 * p.key_depth}
        return {"shoulder": shoulder, "end": end, **key}

    def box(self, p: SteppedShaftParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm): the body is the thickest step."""
        return p.body_d, p.body_d, p.lower_l + p.body_l + p.upper_l

    def volume(self, p: SteppedShaftParameters) -> float:
        """Return the three cylinders less the keyway.

        Across the axis the keyway is |y| < w / 2, R - t < x < sqrt(R^2 - y^2), of area
        w / 2 sqrt(R^2 - w^2 / 4) + R^2 asin(w / 2 R) - w (R - t).
        """
        steps = disc_area(p.lower_d) * p.lower_l + disc_area(p.body_d) * p.body_l + disc_area(p.upper_d) * p.upper_l
        radius = p.upper_d / 2
        under_arc = p.key_w / 2 * _half_chord(p) + radius**2 * math.asin(p.key_w / p.upper_d)
        return steps - (under_arc - p.key_w * (radius - p.key_depth)) * p.key_l

    def holes(self, p: SteppedShaftParameters) -> tuple[HoleSpec, ...]:
        """Return no holes."""
        return ()

    def features(self, p: SteppedShaftParameters) -> tuple[Feature, ...]:
        """Return the three steps and the keyway; its box reaches beyond the surface as far as it goes in."""
        at = self.working(p)
        return (
            Cylinder("base", p.lower_d, p.lower_l),
            Cylinder("add", p.body_d, p.body_l, (0, 0, p.lower_l)),
            Cylinder("add", p.upper_d, p.upper_l, (0, 0, at["shoulder"])),
            Box("cut", at["key_x"], p.key_w, p.key_l, (at["radius"], 0, at["key_z"])),
        )
