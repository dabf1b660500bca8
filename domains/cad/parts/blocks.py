"""Blocks: the T-block and the pillow block."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from domains.cad.design_features import Box, Cylinder, Feature, Grid, Hole, Points
from domains.cad.parts.family import Family, Parameters, Sizes, disc_area, drilled
from domains.cad.parts.rules import MARGIN, draw, material
from domains.cad.spec import HoleSpec


@dataclass(frozen=True)
class TBlockParameters(Parameters):
    """Lengths (mm) of a stem on a base, with a bore through both and two bolt holes in the base."""

    length: float
    width: float
    base_h: float
    stem_w: float
    stem_h: float
    bore_d: float
    hole_d: float
    hole_pitch: float

    def check(self) -> None:
        """Raise `UserError` when the block cannot be made."""
        material("base_h", self.base_h)
        material("stem_h", self.stem_h)
        material("around the bore", (min(self.stem_w, self.width) - self.bore_d) / 2)
        material("between bolt holes and stem", (self.hole_pitch - self.stem_w - self.hole_d) / 2)
        material("between bolt holes and ends", (self.length - self.hole_pitch - self.hole_d) / 2, MARGIN)
        material("between bolt holes and sides", (self.width - self.hole_d) / 2, MARGIN)


class TBlock(Family[TBlockParameters]):
    """An upside-down T with a vertical bore and two bolt holes."""

    name = "t_block"
    Parameters = TBlockParameters
    sizes = Sizes("length", 40, 64, 70, 100, 130)
    steps = (
        "stem starts at z {base_h}, top z {base_h}+{stem_h}={top}",
        "bolt holes x {hole_pitch}/2={half} either side",
    )

    def draw(self, rng: random.Random, size: float) -> TBlockParameters:
        """Draw a block of length `size`."""
        width, base_h = draw(rng, 15, 40), draw(rng, 5, 15)
        stem_w, stem_h = draw(rng, 0.25 * size, 0.45 * size), draw(rng, 8, 40)
        bore_d, hole_d = draw(rng, 4, min(stem_w, width) - 4), draw(rng, 3, 6)
        hole_pitch = draw(rng, stem_w + hole_d + 3, size - hole_d - 4)
        return TBlockParameters(size, width, base_h, stem_w, stem_h, bore_d, hole_d, hole_pitch)

    def working(self, p: TBlockParameters) -> dict[str, float]:
        """Return the top and the places of the bolt holes."""
        return {"top": p.base_h + p.stem_h, "half": p.hole_pitch / 2}

    def box(self, p: TBlockParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""
        return p.length, p.width, p.base_h + p.stem_h

    def volume(self, p: TBlockParameters) -> float:
        """Return W (L T + s h) - pi b^2 / 4 (T + h) - 2 pi d^2 / 4 T."""
        solid = p.width * (p.length * p.base_h + p.stem_w * p.stem_h)
        return solid - disc_area(p.bore_d) * (p.base_h + p.stem_h) - 2 * disc_area(p.hole_d) * p.base_h

    def holes(self, p: TBlockParameters) -> tuple[HoleSpec, ...]:
        """Return the bore and the bolt holes."""
        bore = drilled(p.bore_d, [(0, 0)], 0, p.base_h + p.stem_h)
        return bore + drilled(p.hole_d, self._bolts(p).points(), 0, p.base_h)

    def features(self, p: TBlockParameters) -> tuple[Feature, ...]:
        """Return base, stem, bore and bolt holes."""
        return (
            Box("base", p.length, p.width, p.base_h),
            Box("add", p.stem_w, p.width, p.stem_h, (0, 0, p.base_h)),
            Hole(p.bore_d, Points(((0, 0),))),
            Hole(p.hole_d, self._bolts(p)),
        )

    @staticmethod
    def _bolts(p: TBlockParameters) -> Grid:
        return Grid(2, 1, (p.hole_pitch, p.hole_pitch))


@dataclass(frozen=True)
class PillowBlockParameters(Parameters):
    """Lengths (mm) of a bearing housing on a base; centre_h is from the bottom to the axis of the bore."""

    length: float
    width: float
    base_h: float
    housing_d: float
    centre_h: float
    bore_d: float
    hole_d: float
    hole_pitch: float

    def check(self) -> None:
        """Raise `UserError` when the block cannot be made."""
        material("base_h", self.base_h)
        material("around the bore", (self.housing_d - self.bore_d) / 2)
        material("between bore and base", self.centre_h - self.bore_d / 2 - self.base_h)
        material("below the round of the housing", self.centre_h - self.housing_d / 2, 0)
        material("between bolt holes and housing", (self.hole_pitch - self.housing_d - self.hole_d) / 2)
        material("between bolt holes and ends", (self.length - self.hole_pitch - self.hole_d) / 2, MARGIN)
        material("between bolt holes and sides", (self.width - self.hole_d) / 2, MARGIN)


class PillowBlock(Family[PillowBlockParameters]):
    """A base with two bolt holes that carries a housing with a round top and a bore along y."""

    name = "pillow_block"
    Parameters = PillowBlockParameters
    sizes = Sizes("length", 60, 94, 100, 140, 170)
    steps = (
        "bolt holes x {hole_pitch}/2={half} either side",
        "round of the housing starts at y -{width}/2={front}",
        "top z {centre_h}+{housing_d}/2={top}",
    )

    def draw(self, rng: random.Random, size: float) -> PillowBlockParameters:
        """Draw a block of length `size`."""
        width, base_h = draw(rng, 12, 30), draw(rng, 6, 0.15 * size)
        housing_d = draw(rng, 0.35 * size, 0.5 * size)
        bore_d, hole_d = draw(rng, 0.35 * housing_d, 0.65 * housing_d), draw(rng, 4, 8)
        lowest = max(housing_d / 2 + 2, base_h + bore_d / 2 + 3)
        hole_pitch = draw(rng, housing_d + hole_d + 3, size - hole_d - 4)
        centre_h = draw(rng, lowest, lowest + 20)
        return PillowBlockParameters(size, width, base_h, housing_d, centre_h, bore_d, hole_d, hole_pitch)

    def working(self, p: PillowBlockParameters) -> dict[str, float]:
        """Return the places of the bolt holes, the front and the top."""
        return {"half": p.hole_pitch / 2, "front": -p.width / 2, "top": p.centre_h + p.housing_d / 2}

    def box(self, p: PillowBlockParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""
        return p.length, p.width, p.centre_h + p.housing_d / 2

    def volume(self, p: PillowBlockParameters) -> float:
        """Return W (L T + D (c - T) + pi D^2 / 8 - pi b^2 / 4) - 2 pi d^2 / 4 T."""
        section = p.length * p.base_h + p.housing_d * (p.centre_h - p.base_h) + math.pi * p.housing_d**2 / 8
        return p.width * (section - disc_area(p.bore_d)) - 2 * disc_area(p.hole_d) * p.base_h

    def holes(self, p: PillowBlockParameters) -> tuple[HoleSpec, ...]:
        """Return the bore and the bolt holes."""
        bore = drilled(p.bore_d, [(0, p.centre_h)], -p.width / 2, p.width / 2, "y")
        return bore + drilled(p.hole_d, self._bolts(p).points(), 0, p.base_h)

    def features(self, p: PillowBlockParameters) -> tuple[Feature, ...]:
        """Return base with bolt holes, then the housing with its bore: a hole passes only what stands so far."""
        front = (0, self.working(p)["front"], p.centre_h)
        return (
            Box("base", p.length, p.width, p.base_h),
            Hole(p.hole_d, self._bolts(p)),
            Box("add", p.housing_d, p.width, p.centre_h),
            Cylinder("add", p.housing_d, p.width, front, "y"),
            Hole(p.bore_d, Points(((0, p.centre_h),)), axis="y"),
        )

    @staticmethod
    def _bolts(p: PillowBlockParameters) -> Grid:
        return Grid(2, 1, (p.hole_pitch, p.hole_pitch))
