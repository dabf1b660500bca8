"""Triangle meshes: the numbers that follow from a closed surface of triangles, by the divergence theorem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mesh:
    """A surface of triangles in mm.

    Attributes:
        vertices: [V, 3], float64.
        triangles: [T, 3] vertex numbers, counter-clockwise seen from outside.

    Example: a cube of side 2, however it is triangulated, has volume 8, area 24 and its centre in the middle.
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64]

    @property
    def corners(self) -> NDArray[np.float64]:
        """Corner points of the triangles, [T, 3 corners, 3]."""
        return self.vertices[self.triangles]

    @property
    def volume(self) -> float:
        """Enclosed volume in mm^3; negative when the triangles face inwards."""
        return float(_cone_volumes(self._centred()).sum())

    @property
    def centre(self) -> NDArray[np.float64]:
        """Centre of mass of the enclosed volume, [3]; that of the box when nothing is enclosed."""
        corners = self._centred()
        cones = _cone_volumes(corners)
        middle = self.bounds.mean(axis=0)
        total = cones.sum()
        # A cone from the middle to a triangle has its centre three quarters of the way out.
        return middle + (cones @ corners.sum(axis=1)) / (4 * total) if total else middle

    @property
    def area(self) -> float:
        """Area of the surface in mm^2."""
        return float(triangle_areas(self.corners).sum())

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Lowest and highest corner of the axis-aligned box, [2, 3]."""
        used = self.vertices[np.unique(self.triangles)]
        return np.stack([used.min(axis=0), used.max(axis=0)])

    @property
    def is_closed(self) -> bool:
        """Whether each edge is passed as often one way as the other, so that the surface encloses something."""
        edges, _ = directed_edges(self.triangles)
        forward = edges[:, 0] < edges[:, 1]
        ordered = np.sort(edges, axis=1)
        _, number = np.unique(ordered, axis=0, return_inverse=True)
        return not np.bincount(number.ravel(), weights=np.where(forward, 1, -1)).any()

    def moved(self, turn: NDArray[np.float64], shift: NDArray[np.float64]) -> Mesh:
        """Return the mesh with every vertex x at `turn @ x + shift`; `turn` is a rotation [3, 3], `shift` [3] in mm."""
        return Mesh(self.vertices @ turn.T + shift, self.triangles)

    def flipped(self) -> Mesh:
        """Return the mesh with every triangle facing the other way."""
        return Mesh(self.vertices, self.triangles[:, ::-1])

    def _centred(self) -> NDArray[np.float64]:
        # Seen from the middle of the box, a part far from the origin loses no digits.
        return self.corners - self.bounds.mean(axis=0)


def triangle_areas(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the areas [T] of triangles given by their corners [T, 3, 3]."""
    sides = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return 0.5 * np.linalg.norm(sides, axis=1)


def directed_edges(triangles: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the edges [3T, 2] in the direction the triangles pass them, and the triangle of each, [3T]."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return edges, np.tile(np.arange(len(triangles)), 3)


def _cone_volumes(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("ti,ti->t", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
