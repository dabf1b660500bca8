"""Brackets: a base and an upright, plain with holes in both, or stiffened by a rib."""

from __future__ import annotations

import random
from dataclasses import dataclass

from domains.cad.design_features import Box, Feature, Hole, Points, Prism
from domains.cad.parts.family import Family, Parameters, Sizes, disc_area, drilled
from domains.cad.parts.rules import MARGIN, draw, material
from domains.cad.spec import HoleSpec


@dataclass(frozen=True)
class LBracketParameters(Parameters):
    """Lengths (mm) of an L-bracket; inset is from the free end of a leg to the middle of its holes."""

    length: float
    width: float
    height: float
    thickness: float
    hole_d: float
    hole_pitch: float
    inset: float

    def check(self) -> None:
        """Raise `UserError` when the bracket cannot be made."""
        material("thickness", self.thickness)
        material("between the holes", self.hole_pitch - self.hole_d)
        material("between the holes and the sides", (self.width - self.hole_pitch - self.hole_d) / 2, MARGIN)
        material("between the holes and the free ends", self.inset - self.hole_d / 2, MARGIN)
        leg = min(self.length, self.height) - self.thickness
        material("between the holes and the bend", leg - self.inset - self.hole_d / 2, MARGIN)


class LBracket(Family[LBracketParameters]):
    """A base with an upright at its -x end and two holes in each."""

    name = "l_bracket"
    Parameters = LBracketParameters
    sizes = Sizes("length", 30, 52, 57, 80, 105)
    unstated = frozenset({"hole_pitch", "inset"})
    steps = (
        "upright x ({thickness}-{length})/2={upright_x}",
        "holes at {hole_pitch}/2={half} either side",
        "base holes x {length}/2-{inset}={hole_x}",
        "upright holes z {height}-{inset}={hole_z}",
    )

    def draw(self, rng: random.Random, size: float) -> LBracketParameters:
        """Draw a bracket of length `size`."""
        width, height = draw(rng, 20, 50), draw(rng, 0.7 * size, 1.2 * size)
        thickness, hole_d = draw(rng, 2, 6), draw(rng, 3, 6)
        hole_pitch = draw(rng, hole_d + 2, width - hole_d - 4)
        room = min(size, height) - thickness - hole_d / 2 - MARGIN
        inset = draw(rng, hole_d / 2 + 3, min(hole_d / 2 + 8, room))
        return LBracketParameters(size, width, height, thickness, hole_d, hole_pitch, inset)

    def working(self, p: LBracketParameters) -> dict[str, float]:
        """Return where upright and holes are."""
        return {
            "upright_x": (p.thickness - p.length) / 2,
            "half": p.hole_pitch / 2,
            "hole_x": p.length / 2 - p.inset,
            "hole_z": p.height - p.inset,
        }

    def box(self, p: LBracketParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""
        return p.length, p.width, p.height

    def volume(self, p: LBracketParameters) -> float:
        """Return (L + H - T) T W - 4 pi d^2 / 4 T."""
        return ((p.length + p.height - p.thickness) * p.width - 4 * disc_area(p.hole_d)) * p.thickness

    def holes(self, p: LBracketParameters) -> tuple[HoleSpec, ...]:
        """Return two holes in the base and two in the upright."""
        at, end = self.working(p), -p.length / 2
        base = drilled(p.hole_d, [(at["hole_x"], y) for y in (-at["half"], at["half"])], 0, p.thickness)
        sides = [(y, at["hole_z"]) for y in (-at["half"], at["half"])]
        return base + drilled(p.hole_d, sides, end, end + p.thickness, "x")

    def features(self, p: LBracketParameters) -> tuple[Feature, ...]:
        """Return base, upright and the holes of each."""
        at = self.working(p)
        x, z, half = at["hole_x"], at["hole_z"], at["half"]
        return (
            Box("base", p.length, p.width, p.thickness),
            Box("add", p.thickness, p.width, p.height, (at["upright_x"], 0, 0)),
            Hole(p.hole_d, Points(((x, -half), (x, half)))),
            Hole(p.hole_d, Points(((-half, z), (half, z))), axis="x"),
        )


@dataclass(frozen=True)
class RibBracketParameters(Parameters):
    """Lengths (mm) of a bracket with a triangular rib; inset is from the free end of the base to its holes."""

    length: float
    width: float
    height: float
    thickness: float
    rib_leg: float
    rib_w: float
    hole_d: float
    hole_pitch: float
    inset: float

    def check(self) -> None:
        """Raise `UserError` when the bracket cannot be made."""
        material("thickness", self.thickness)
        material("rib_w", self.rib_w)
        material("beyond the rib", min(self.length, self.height) - self.thickness - self.rib_leg)
        material("between holes and rib", (self.hole_pitch - self.hole_d - self.rib_w) / 2)
        material("between the holes and the sides", (self.width - self.hole_pitch - self.hole_d) / 2, MARGIN)
        material("between the holes and the free end", self.inset - self.hole_d / 2, MARGIN)
        room = self.length - self.thickness - self.inset - self.hole_d / 2
        material("between the holes and the bend", room, MARGIN)


class RibBracket(Family[RibBracketParameters]):
    """A base with an upright at its -x end, a triangular rib between them and two holes beside the rib."""

    name = "rib_bracket"
    Parameters = RibBracketParameters
    sizes = Sizes("length", 30, 52, 57, 80, 105)
    unstated = frozenset({"rib_leg", "hole_pitch", "inset"})
    steps = (
        "upright x ({thickness}-{length})/2={upright_x}",
        "rib starts at x {thickness}-{length}/2={rib_x}, ends at x {rib_x}+{rib_leg}={rib_end}",
        "rib top z {thickness}+{rib_leg}={rib_top}",
        "holes at x {length}/2-{inset}={hole_x}, y {hole_pitch}/2={half} either side",
    )

    def draw(self, rng: random.Random, size: float) -> RibBracketParameters:
        """Draw a bracket of length `size`."""
        width, height = draw(rng, 30, 60), draw(rng, 0.7 * size, 1.2 * size)
        thickness, hole_d, rib_w = draw(rng, 2, 6), draw(rng, 3, 6), draw(rng, 2, 6)
        hole_pitch = draw(rng, rib_w + hole_d + 3, width - hole_d - 4)
        rib_leg = draw(rng, 8, min(size, height) - thickness - 2)
        inset = draw(rng, hole_d / 2 + 3, min(hole_d / 2 + 8, size - thickness - hole_d / 2 - MARGIN))
        return RibBracketParameters(size, width, height, thickness, rib_leg, rib_w, hole_d, hole_pitch, inset)

    def working(self, p: RibBracketParameters) -> dict[str, float]:
        """Return where upright, rib and holes are."""
        rib_x = p.thickness - p.length / 2
        return {
            "upright_x": (p.thickness - p.length) / 2,
            "rib_x": rib_x,
            "rib_end": rib_x + p.rib_leg,
            "rib_top": p.thickness + p.rib_leg,
            "hole_x": p.length / 2 - p.inset,
            "half": p.hole_pitch / 2,
        }

    def box(self, p: RibBracketParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""
        return p.length, p.width, p.height

    def volume(self, p: RibBracketParameters) -> float:
        """Return (L + H - T) T W + a^2 w / 2 - 2 pi d^2 / 4 T."""
        legs = (p.length + p.height - p.thickness) * p.width - 2 * disc_area(p.hole_d)
        return legs * p.thickness + p.rib_leg**2 * p.rib_w / 2

    def holes(self, p: RibBracketParameters) -> tuple[HoleSpec, ...]:
        """Return the two holes of the base."""
        return drilled(p.hole_d, self._places(p).points(), 0, p.thickness)

    def features(self, p: RibBracketParameters) -> tuple[Feature, ...]:
        """Return base, upright, rib and holes."""
        at = self.working(p)
        corner = (at["rib_x"], p.thickness)
        rib = (corner, (at["rib_end"], p.thickness), (at["rib_x"], at["rib_top"]))
        return (
            Box("base", p.length, p.width, p.thickness),
            Box("add", p.thickness, p.width, p.height, (at["upright_x"], 0, 0)),
            Prism("add", rib, p.rib_w),
            Hole(p.hole_d, self._places(p)),
        )

    def _places(self, p: RibBracketParameters) -> Points:
        at = self.working(p)
        return Points(((at["hole_x"], -at["half"]), (at["hole_x"], at["half"])))
