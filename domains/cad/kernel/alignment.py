"""Overlap after the best of the 24 rotations of a cube about the centres of mass: a wrong frame or a wrong part?

A diagnostic and no reward: sizes count as they are, but where a part lies and how it stands do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from OCP.gp import gp_Trsf
from OCP.TopLoc import TopLoc_Location

from domains.cad.kernel.columns import Estimate, estimate_overlap
from domains.cad.kernel.iou import overlap
from domains.cad.kernel.part import Part
from domains.cad.kernel.solids import measure_solids
from domains.cad.kernel.tessellation import DRAWN

RANKING_COLUMNS = 1_000


def cube_rotations() -> NDArray[np.float64]:
    """Return the 24 rotation matrices that map the axes onto axes, [24, 3, 3]; the first is the identity."""
    matrices = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            if np.linalg.det(matrix) > 0:
                matrices.append(matrix)
    return np.array(matrices)


@dataclass(frozen=True)
class Alignment:
    """The overlap of the best rotation and its number in `cube_rotations()`; the lowest number where several tie."""

    value: float
    rotation: int

    def to_json(self) -> dict[str, Any]:
        """Return it as the meter reports it."""
        return {"value": self.value, "rotation": self.rotation}


def aligned_overlap(a: Part, b: Part, budget_s: float, seed: int) -> Alignment:
    """Return the overlap of `a`, moved onto the centre of mass of `b` and turned as suits best, with `b`.

    The rotations are ranked by quick estimates; the best is then measured as `iou.overlap` does.

    Raises:
        OpenSurfaceError: a surface is not closed.

    Example: a 10 x 6 x 4 mm box standing on end 100 mm away from the same box lying down has 1.
    """
    moved, still = a.mesh(DRAWN), b.mesh(DRAWN)
    turns = cube_rotations()
    shifts = [b.centre - turn @ a.centre for turn in turns]
    axis = int(np.argmin(np.ptp(still.bounds, axis=0)))
    limits = np.array([_limit(a, b, turn, shift) for turn, shift in zip(turns, shifts, strict=True)])
    ranked: dict[int, Estimate] = {}
    for number in np.argsort(-limits, kind="stable").tolist():
        if ranked and limits[number] < max(estimate.value for estimate in ranked.values()):
            break
        turned = moved.moved(turns[number], shifts[number])
        ranked[number] = estimate_overlap(turned, still, RANKING_COLUMNS, seed, (axis,))
    best = max(ranked.values(), key=lambda estimate: estimate.value)
    number = min(i for i, estimate in ranked.items() if estimate.value >= best.value - 2 * best.error - 1e-6)
    found = overlap(_moved(a, turns[number], shifts[number]), b, budget_s, seed)
    return Alignment(found.value, number)


def _limit(a: Part, b: Part, turn: NDArray[np.float64], shift: NDArray[np.float64]) -> float:
    """Return what the overlap of a rotation cannot exceed: the common part lies in both bodies and in both boxes."""
    corners = a.bounds @ turn.T + shift
    low, high = np.maximum(corners.min(0), b.bounds[0]), np.minimum(corners.max(0), b.bounds[1])
    common = min(a.volume, b.volume, float(np.prod(np.maximum(0.0, high - low))))
    return common / (a.volume + b.volume - common)


def _moved(part: Part, turn: NDArray[np.float64], shift: NDArray[np.float64]) -> Part:
    if part.solids is None:
        return Part(part.mesh(DRAWN).moved(turn, shift))
    trsf = gp_Trsf()
    trsf.SetValues(*(float(x) for row, move in zip(turn, shift, strict=True) for x in (*row, move)))
    return Part(measure_solids(part.solids.shape.Moved(TopLoc_Location(trsf))))
