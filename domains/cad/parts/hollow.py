"""Hollow parts: the U-channel, the box with a pocket and the open enclosure."""

from __future__ import annotations

import random
from dataclasses import dataclass

from domains.cad.design_features import Box, Feature, Grid, Hole, Shell
from domains.cad.parts.family import Family, Parameters, Sizes, corner_loss, disc_area, drilled
from domains.cad.parts.rules import MARGIN, draw, fillet, material
from domains.cad.spec import HoleSpec


@dataclass(frozen=True)
class UChannelParameters(Parameters):
    """Lengths (mm) of a U-channel along x, open at the top, with a row of holes in its web."""

    length: float
    width: float
    height: float
    wall: float
    hole_d: float
    count: int
    pitch: float

    def check(self) -> None:
        """Raise `UserError` when the channel cannot be made."""
        material("wall", self.wall)
        material("height above the web", self.height - self.wall)
        material("between holes and walls", (self.width - self.hole_d) / 2 - self.wall)
        material("between the holes", self.pitch - self.hole_d)
        material("between holes and ends", (self.length - (self.count - 1) * self.pitch - self.hole_d) / 2, MARGIN)


class UChannel(Family[UChannelParameters]):
    """A channel of constant wall with a row of holes in the web."""

    name = "u_channel"
    Parameters = UChannelParameters
    sizes = Sizes("length", 40, 64, 70, 100, 130)
    steps = (
        "inner width {width}-2*{wall}={inner}",
        "inner height {height}-{wall}={depth} from z {wall}",
        "hole reach ({count}-1)*{pitch}/2={reach}",
    )

    def draw(self, rng: random.Random, size: float) -> UChannelParameters:
        """Draw a channel of length `size`."""
        wall, width = draw(rng, 2, 4), draw(rng, 20, 50)
        hole_d, count = draw(rng, 3, 6), rng.randint(2, 4)
        pitch = draw(rng, hole_d + 2, (size - hole_d - 4) / (count - 1))
        return UChannelParameters(size, width, draw(rng, 12, 40), wall, hole_d, count, pitch)

    def working(self, p: UChannelParameters) -> dict[str, float]:
        """Return the inner sizes and how far the holes reach."""
        reach = (p.count - 1) * p.pitch / 2
        return {"inner": p.width - 2 * p.wall, "depth": p.height - p.wall, "reach": reach}

    def box(self, p: UChannelParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""
        return p.length, p.width, p.height

    def volume(self, p: UChannelParameters) -> float:
        """Return L (W H - (W - 2 t)(H - t)) - n pi d^2 / 4 t."""
        section = p.width * p.height - (p.width - 2 * p.wall) * (p.height - p.wall)
        return p.length * section - p.count * disc_area(p.hole_d) * p.wall

    def holes(self, p: UChannelParameters) -> tuple[HoleSpec, ...]:
        """Return the holes of the web."""
        return drilled(p.hole_d, self._row(p).points(), 0, p.wall)

    def features(self, p: UChannelParameters) -> tuple[Feature, ...]:
        """Return the outer box, the cut that makes it a channel, and the holes."""
        inner = self.working(p)
        return (
            Box("base", p.length, p.width, p.height),
            Box("cut", p.length, inner["inner"], inner["depth"], (0, 0, p.wall)),
            Hole(p.hole_d, self._row(p)),
        )

    @staticmethod
    def _row(p: UChannelParameters) -> Grid:
        return Grid(p.count, 1, (p.pitch, p.pitch))


@dataclass(frozen=True)
class PocketBoxParameters(Parameters):
    """Lengths (mm) of a block with a rectangular pocket in its top; corner_r rounds the pocket's vertical edges."""

    length: float
    width: float
    height: float
    pocket_l: float
    pocket_w: float
    pocket_depth: float
    corner_r: float

    def check(self) -> None:
        """Raise `UserError` when the block cannot be made."""
        material("beside the pocket in x", (self.length - self.pocket_l) / 2)
        material("beside the pocket in y", (self.width - self.pocket_w) / 2)
        material("below the pocket", self.height - self.pocket_depth)
        fillet("corner_r", self.corner_r, min(self.pocket_l, self.pocket_w))


class PocketBox(Family[PocketBoxParameters]):
    """A block with a pocket from the top."""

    name = "pocket_box"
    Parameters = PocketBoxParameters
    sizes = Sizes("length", 40, 64, 70, 100, 130)
    steps = (
        "pocket floor z {height}-{pocket_depth}={floor}",
        "walls in x ({length}-{pocket_l})/2={wall_x}, in y ({width}-{pocket_w})/2={wall_y}",
    )

    def draw(self, rng: random.Random, size: float) -> PocketBoxParameters:
        """Draw a block of length `size`."""
        width, height = draw(rng, 0.5 * size, 0.9 * size), draw(rng, 12, 40)
        pocket_l, pocket_w = draw(rng, 0.4 * size, size - 6), draw(rng, 0.4 * width, width - 6)
        corner_r = draw(rng, 1, min(6, min(pocket_l, pocket_w) / 2 - 0.5))
        return PocketBoxParameters(size, width, height, pocket_l, pocket_w, draw(rng, 4, height - 3), corner_r)

    def working(self, p: PocketBoxParameters) -> dict[str, float]:
        """Return the floor of the pocket and its walls."""
        walls = {"wall_x": (p.length - p.pocket_l) / 2, "wall_y": (p.width - p.pocket_w) / 2}
        return {"floor": p.height - p.pocket_depth, **walls}

    def box(self, p: PocketBoxParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""
        return p.length, p.width, p.height

    def volume(self, p: PocketBoxParameters) -> float:
        """Return L W H - (l w - (4 - pi) r^2) depth."""
        pocket = p.pocket_l * p.pocket_w - corner_loss(p.corner_r)
        return p.length * p.width * p.height - pocket * p.pocket_depth

    def holes(self, p: PocketBoxParameters) -> tuple[HoleSpec, ...]:
        """Return no holes."""
        return ()

    def features(self, p: PocketBoxParameters) -> tuple[Feature, ...]:
        """Return block and pocket."""
        at = (0, 0, self.working(p)["floor"])
        return (
            Box("base", p.length, p.width, p.height),
            Box("cut", p.pocket_l, p.pocket_w, p.pocket_depth, at, p.corner_r),
        )


@dataclass(frozen=True)
class EnclosureParameters(Parameters):
    """Lengths (mm) of a thin-walled box, open at the top, with four holes in its floor."""

    length: float
    width: float
    height: float
    wall: float
    corner_r: float
    hole_d: float
    pitch_x: float
    pitch_y: float

    def check(self) -> None:
        """Raise `UserError` when the enclosure cannot be made."""
        material("wall", self.wall)
        material("height above the floor", self.height - self.wall)
        material("corner_r inside the wall", self.corner_r - self.wall, 0.5)
        fillet("corner_r", self.corner_r, min(self.length, self.width))
        for axis, size, pitch in (("x", self.length, self.pitch_x), ("y", self.width, self.pitch_y)):
            edge = (size - pitch) / 2
            material(f"between the holes along {axis}", pitch - self.hole_d)
            material(f"between holes and walls in {axis}", edge - self.wall - self.hole_d / 2)
            material(f"from the middle of the holes to the outside in {axis}", edge, self.corner_r)


class Enclosure(Family[EnclosureParameters]):
    """A box with rounded vertical edges, hollowed to a constant wall, with four floor holes."""

    name = "enclosure"
    Parameters = EnclosureParameters
    sizes = Sizes("length", 50, 78, 84, 120, 150)
    steps = (
        "inner length {length}-2*{wall}={inner_l}, inner width {width}-2*{wall}={inner_w}, inner height "
        "{height}-{wall}={inner_h}",
        "inner radius {corner_r}-{wall}={inner_r}",
    )

    def draw(self, rng: random.Random, size: float) -> EnclosureParameters:
        """Draw an enclosure of length `size`."""
        width, height, wall = draw(rng, 0.5 * size, 0.9 * size), draw(rng, 15, 50), draw(rng, 1.5, 4)
        corner_r, hole_d = draw(rng, wall + 1, 8), draw(rng, 3, 5)
        edge = max(corner_r, wall + hole_d / 2 + 1.5)
        pitch_x = draw(rng, max(0.3 * size, hole_d + 2), size - 2 * edge)
        pitch_y = draw(rng, hole_d + 2, width - 2 * edge)
        return EnclosureParameters(size, width, height, wall, corner_r, hole_d, pitch_x, pitch_y)

    def working(self, p: EnclosureParameters) -> dict[str, float]:
        """Return the inner sizes."""
        return {
            "inner_l": p.length - 2 * p.wall,
            "inner_w": p.width - 2 * p.wall,
            "inner_h": p.height - p.wall,
            "inner_r": p.corner_r - p.wall,
        }

    def box(self, p: EnclosureParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""
        return p.length, p.width, p.height

    def volume(self, p: EnclosureParameters) -> float:
        """Return the rounded outer box less the rounded inner one and four holes."""
        inner = self.working(p)
        outside = (p.length * p.width - corner_loss(p.corner_r)) * p.height
        hollow = (inner["inner_l"] * inner["inner_w"] - corner_loss(inner["inner_r"])) * inner["inner_h"]
        return outside - hollow - 4 * disc_area(p.hole_d) * p.wall

    def holes(self, p: EnclosureParameters) -> tuple[HoleSpec, ...]:
        """Return the holes of the floor."""
        return drilled(p.hole_d, self._grid(p).points(), 0, p.wall)

    def features(self, p: EnclosureParameters) -> tuple[Feature, ...]:
        """Return the outer box, the shell and the holes."""
        return Box("base", p.length, p.width, p.height, r=p.corner_r), Shell(p.wall), Hole(p.hole_d, self._grid(p))

    @staticmethod
    def _grid(p: EnclosureParameters) -> Grid:
        return Grid(2, 2, (p.pitch_x, p.pitch_y))
