"""Triangle meshes as drawings need them: checked, welded where faces meet, and thinned to a size."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciRL.errors import UserError

WELD_SHARE = 1e-5
"""Vertices closer than about this share of the box's diagonal are one."""

FINEST_CELLS = 1024
"""A mesh that is too large is first put on a grid of this many cells along its box's diagonal."""

ROW_BYTES = 12
"""Of a vertex (three float32) and of a triangle (three int32)."""


@dataclass(frozen=True)
class TriangleMesh:
    """A surface of triangles in mm.

    Args:
        vertices: [V, 3], kept as float32.
        triangles: [T, 3] numbers of vertices, counter-clockwise seen from outside, kept as int32.

    Raises:
        UserError: other shapes, no triangle, a coordinate that is not finite, a number outside 0 ... V - 1.
    """

    vertices: NDArray[Any]
    triangles: NDArray[Any]

    def __post_init__(self) -> None:
        for name, array, kinds in (("vertices", self.vertices, "fiu"), ("triangles", self.triangles, "iu")):
            found = np.asarray(array)
            if found.ndim != 2 or found.shape[1] != 3 or not len(found) or found.dtype.kind not in kinds:
                allowed = "integers" if kinds == "iu" else "numbers"
                raise UserError(
                    f"mesh: {name} must be {allowed} of shape [n, 3], n >= 1; found {found.dtype} {found.shape}"
                )
        if not np.isfinite(self.vertices).all():
            raise UserError("mesh: a coordinate of vertices is not finite")
        low, high = int(np.min(self.triangles)), int(np.max(self.triangles))
        if low < 0 or high >= len(self.vertices):
            raise UserError(
                f"mesh: triangles must name vertices 0 to {len(self.vertices) - 1}; found {low if low < 0 else high}"
            )
        object.__setattr__(self, "vertices", np.ascontiguousarray(self.vertices, dtype=np.float32))
        object.__setattr__(self, "triangles", np.ascontiguousarray(self.triangles, dtype=np.int32))

    @classmethod
    def from_npz(cls, content: bytes) -> TriangleMesh:
        """Return the mesh in the bytes of an .npz file with the arrays `vertices` and `triangles`.

        Raises:
            UserError: the bytes are no such file.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return cls(arrays["vertices"], arrays["triangles"])
        except (KeyError, OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"mesh: not an .npz file with vertices and triangles: {error}") from None

    @property
    def box(self) -> NDArray[np.float64]:
        """The lowest and highest corner [2, 3] of the vertices that triangles use, in mm."""
        used = self.vertices[self.triangles.ravel()].astype(np.float64)
        return np.stack([used.min(axis=0), used.max(axis=0)])

    @property
    def size_bytes(self) -> int:
        """Bytes of both arrays."""
        return ROW_BYTES * (len(self.vertices) + len(self.triangles))

    def welded(self) -> TriangleMesh:
        """Return the mesh with vertices at one place joined, so that triangles of neighbouring faces share edges."""
        return self._clustered(WELD_SHARE * self._diagonal()) or self

    def thinned(self, max_bytes: int) -> TriangleMesh:
        """Return the welded mesh, coarsened until both arrays take at most `max_bytes`.

        Vertices in one cube of a grid become one at their mean, and the grid grows until the size fits (vertex
        clustering: Rossignac and Borrel, 1993, "Multi-resolution 3D approximations for rendering complex scenes").

        Raises:
            UserError: `max_bytes` is too small for any surface.
        """
        mesh, cell = self.welded(), self._diagonal() / FINEST_CELLS
        while mesh.size_bytes > max_bytes:
            coarser = mesh._clustered(cell)
            if coarser is None:
                raise UserError(f"mesh: no surface fits into {max_bytes} bytes; allow more")
            mesh, cell = coarser, cell * 1.25
        return mesh

    def _diagonal(self) -> float:
        low, high = self.box
        return max(float(np.linalg.norm(high - low)), 1e-12)

    def _clustered(self, cell: float) -> TriangleMesh | None:
        """The mesh with the vertices of each cube joined at their mean; None when no triangle is left."""
        used, corners = np.unique(self.triangles, return_inverse=True)
        points = self.vertices[used].astype(np.float64)
        cubes = np.rint((points - points.min(axis=0)) / cell).astype(np.int64)
        _, cluster, counts = np.unique(_row_keys(cubes), return_inverse=True, return_counts=True)
        triangles = cluster[corners.reshape(-1, 3)]
        a, b, c = triangles.T
        triangles = _lowest_first(triangles[(a != b) & (b != c) & (c != a)])
        triangles = triangles[np.unique(_row_keys(triangles), return_index=True)[1]]
        if not len(triangles):
            return None
        sums = [np.bincount(cluster, weights=points[:, axis]) for axis in range(3)]
        kept, renumbered = np.unique(triangles, return_inverse=True)
        return TriangleMesh((np.stack(sums, axis=1) / counts[:, None])[kept], renumbered.reshape(-1, 3))


def _lowest_first(triangles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turn each triangle so that its lowest number comes first; the way round stays."""
    first = triangles.argmin(axis=1)[:, None] if len(triangles) else np.zeros((0, 1), dtype=np.int64)
    return np.take_along_axis(triangles, (first + np.arange(3)) % 3, axis=1)


def _row_keys(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each row [n, 3] of whole numbers >= 0: equal rows, and only these, get equal numbers."""
    key = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        # Numbering anew keeps the product far below 2^63.
        key = np.unique(key * (column.max(initial=0) + 1) + column, return_inverse=True)[1]
    return key
