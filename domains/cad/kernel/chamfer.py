"""Chamfer distance between two surfaces, in the convention of cadrille and CAD-Recode, with its noise floor.

    CD(P, Q) = mean_p min_q |p - q|^2 + mean_q min_p |q - p|^2,   times 1,000

over 8,192 points drawn evenly by area from each surface, in a box whose longest side is 1 (cadrille, arXiv 2505.22914,
`evaluate.py`; CAD-Recode, arXiv 2412.14042). Published figures put each part into a box of its own, so an error of
size or place costs nothing (`own_box`); here the main value keeps the reference's box for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from domains.cad.kernel.mesh import Mesh, triangle_areas

POINTS = 8_192
TIMES = 1_000.0


@dataclass(frozen=True)
class Chamfer:
    """Chamfer distances, each times 1,000.

    Attributes:
        value: both parts in the frame of the reference's unit box.
        own_box: each part moved and scaled to a unit box of its own, as published figures are.
        floor: the reference against other points of itself: less cannot be told from 0.
    """

    value: float
    own_box: float
    floor: float

    def to_json(self) -> dict[str, Any]:
        """Return it as the meter reports it."""
        return {"convention": "cadrille", "value": self.value, "own_box": self.own_box, "floor": self.floor}


def chamfer(part: Mesh, reference: Mesh, seed: int) -> Chamfer:
    """Return the chamfer distances of a part from its reference, on seeded points.

    Example: a unit cube against itself has value, own_box and floor of about 0.45: 8,192 points lie so far apart.
    """
    rng = np.random.default_rng(seed)
    found = surface_points(part, POINTS, rng)
    wanted, again = (surface_points(reference, POINTS, rng) for _ in range(2))
    shared = [_boxed(points, reference) for points in (found, wanted, again)]
    return Chamfer(
        value=TIMES * squared_chamfer(shared[0], shared[1]),
        own_box=TIMES * squared_chamfer(_boxed(found, part), shared[1]),
        floor=TIMES * squared_chamfer(shared[1], shared[2]),
    )


def squared_chamfer(points: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return the sum of both mean squared nearest distances of two point sets, [P, 3] and [Q, 3].

    Example: {(0, 0, 0)} and {(3, 4, 0)} give 50; a set and itself give 0.
    """
    there, _ = cKDTree(others).query(points)
    back, _ = cKDTree(points).query(others)
    return float(np.mean(there**2) + np.mean(back**2))


def surface_points(mesh: Mesh, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return points spread evenly over the area of a mesh, [count, 3]."""
    corners = mesh.corners
    areas = triangle_areas(corners)
    chosen = corners[rng.choice(len(areas), size=count, p=areas / areas.sum())]
    # The square root makes the density even over a triangle (Osada et al., Shape Distributions, 2002, section 4.2).
    far, along = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
    return (1 - far) * chosen[:, 0] + far * (1 - along) * chosen[:, 1] + far * along * chosen[:, 2]


def _boxed(points: NDArray[np.float64], mesh: Mesh) -> NDArray[np.float64]:
    low, high = mesh.bounds
    return (points - (low + high) / 2) / (high - low).max()
