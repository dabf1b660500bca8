"""Plates: with a grid of holes, and with slots."""

from __future__ import annotations

import random
from dataclasses import dataclass

from domains.cad.design_features import Box, Feature, Grid, Hole, Points, Slot
from domains.cad.parts.family import Family, Parameters, Sizes, corner_loss, disc_area, drilled
from domains.cad.parts.rules import MARGIN, draw, fillet, material
from domains.cad.spec import HoleSpec


@dataclass(frozen=True)
class PlateGridParameters(Parameters):
    """Lengths (mm) and counts of a plate with a grid of holes; corner_r rounds the vertical edges."""

    length: float
    width: float
    thickness: float
    corner_r: float
    hole_d: float
    columns: int
    rows: int
    pitch_x: float
    pitch_y: float

    def check(self) -> None:
        """Raise `UserError` when the plate cannot be made."""
        material("thickness", self.thickness)
        fillet("corner_r", self.corner_r, min(self.length, self.width))
        for axis, size, count, pitch in (
            ("x", self.length, self.columns, self.pitch_x),
            ("y", self.width, self.rows, self.pitch_y),
        ):
            edge = (size - (count - 1) * pitch) / 2
            material(f"between the holes along {axis}", pitch - self.hole_d)
            material(f"between the outer holes and the edge in {axis}", edge - self.hole_d / 2, MARGIN)
            material(f"from the middle of the outer holes to the edge in {axis}", edge, self.corner_r)


class PlateGrid(Family[PlateGridParameters]):
    """A plate with rounded corners and a grid of through holes."""

    name = "plate_grid"
    Parameters = PlateGridParameters
    sizes = Sizes("length", 40, 64, 70, 100, 130)
    steps = (
        "hole reach in x ({columns}-1)*{pitch_x}/2={reach_x}, in y ({rows}-1)*{pitch_y}/2={reach_y}",
        "to the edge in x {length}/2-{reach_x}={edge_x}, in y {width}/2-{reach_y}={edge_y}",
    )

    def draw(self, rng: random.Random, size: float) -> PlateGridParameters:
        """Draw a plate of length `size`."""
        width = draw(rng, 0.5 * size, 0.9 * size)
        columns, rows = rng.randint(2, 4), rng.randint(2, 3)
        # A row of n holes needs n diameters, n - 1 gaps of 2 mm and 2 mm at each end.
        widest = min((size - 2 * columns - 2) / columns, (width - 2 * rows - 2) / rows, 8)
        hole_d = draw(rng, 3, widest)
        pitch_x = draw(rng, hole_d + 2, (size - hole_d - 4) / (columns - 1))
        pitch_y = draw(rng, hole_d + 2, (width - hole_d - 4) / (rows - 1))
        corner_r = draw(rng, 1, min(6, hole_d / 2 + 2))
        thickness = draw(rng, 3, 12)
        return PlateGridParameters(size, width, thickness, corner_r, hole_d, columns, rows, pitch_x, pitch_y)

    def working(self, p: PlateGridParameters) -> dict[str, float]:
        """Return how far the grid reaches, and what is left to the edges."""
        reach_x, reach_y = (p.columns - 1) * p.pitch_x / 2, (p.rows - 1) * p.pitch_y / 2
        edges = {"edge_x": p.length / 2 - reach_x, "edge_y": p.width / 2 - reach_y}
        return {"reach_x": reach_x, "reach_y": reach_y, **edges}

    def box(self, p: PlateGridParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""
        return p.length, p.width, p.thickness

    def volume(self, p: PlateGridParameters) -> float:
        """Return (L W - (4 - pi) r^2 - n pi d^2 / 4) T."""
        holes = p.columns * p.rows * disc_area(p.hole_d)
        return (p.length * p.width - corner_loss(p.corner_r) - holes) * p.thickness

    def holes(self, p: PlateGridParameters) -> tuple[HoleSpec, ...]:
        """Return the holes of the grid."""
        return drilled(p.hole_d, self._grid(p).points(), 0, p.thickness)

    def features(self, p: PlateGridParameters) -> tuple[Feature, ...]:
        """Return base and grid."""
        base = Box("base", p.length, p.width, p.thickness, r=p.corner_r)
        return base, Hole(p.hole_d, self._grid(p))

    @staticmethod
    def _grid(p: PlateGridParameters) -> Grid:
        return Grid(p.columns, p.rows, (p.pitch_x, p.pitch_y))


@dataclass(frozen=True)
class SlottedPlateParameters(Parameters):
    """Lengths (mm) of a plate with a hole between two slots along y."""

    length: float
    width: float
    thickness: float
    slot_l: float
    slot_w: float
    slot_pitch: float
    hole_d: float

    def check(self) -> None:
        """Raise `UserError` when the plate cannot be made."""
        material("thickness", self.thickness)
        material("slot_l beyond slot_w", self.slot_l - self.slot_w, 0.5)
        material("between slots and hole", (self.slot_pitch - self.slot_w - self.hole_d) / 2)
        material("between slots and edge in x", (self.length - self.slot_pitch - self.slot_w) / 2, MARGIN)
        material("between slots and edge in y", (self.width - self.slot_l) / 2, MARGIN)
        material("between hole and edge in y", (self.width - self.hole_d) / 2, MARGIN)


class SlottedPlate(Family[SlottedPlateParameters]):
    """A plate with a central hole and a slot on each side of it."""

    name = "slotted_plate"
    Parameters = SlottedPlateParameters
    sizes = Sizes("length", 50, 78, 84, 120, 150)
    unstated = frozenset({"slot_pitch"})
    steps = ("slots at x -{slot_pitch}/2={slot_low} and {slot_pitch}/2={slot_high}",)

    def draw(self, rng: random.Random, size: float) -> SlottedPlateParameters:
        """Draw a plate of length `size`."""
        width = draw(rng, 0.4 * size, 0.8 * size)
        slot_w = draw(rng, 4, 8)
        slot_l = draw(rng, slot_w + 2, width - 5)
        hole_d = draw(rng, 5, 10)
        slot_pitch = draw(rng, hole_d + slot_w + 4, size - slot_w - 5)
        return SlottedPlateParameters(size, width, draw(rng, 2, 10), slot_l, slot_w, slot_pitch, hole_d)

    def working(self, p: SlottedPlateParameters) -> dict[str, float]:
        """Return where the slots are."""
        return {"slot_low": -p.slot_pitch / 2, "slot_high": p.slot_pitch / 2}

    def box(self, p: SlottedPlateParameters) -> tuple[float, float, float]:
        """Return the size of the bounding box (mm)."""
        return p.length, p.width, p.thickness

    def volume(self, p: SlottedPlateParameters) -> float:
        """Return (L W - 2 ((l - w) w + pi w^2 / 4) - pi d^2 / 4) T."""
        slot = (p.slot_l - p.slot_w) * p.slot_w + disc_area(p.slot_w)
        return (p.length * p.width - 2 * slot - disc_area(p.hole_d)) * p.thickness

    def holes(self, p: SlottedPlateParameters) -> tuple[HoleSpec, ...]:
        """Return the central hole; slots are no round holes."""
        return drilled(p.hole_d, [(0, 0)], 0, p.thickness)

    def features(self, p: SlottedPlateParameters) -> tuple[Feature, ...]:
        """Return base, hole and slots."""
        at = self.working(p)
        return (
            Box("base", p.length, p.width, p.thickness),
            Hole(p.hole_d, Points(((0, 0),))),
            Slot(p.slot_w, p.slot_l, Points(((at["slot_low"], 0), (at["slot_high"], 0)))),
        )
