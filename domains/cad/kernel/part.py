"""Part: one thing to compare, be it a B-rep of solids or the triangle mesh of an STL file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from domains.cad.kernel.mesh import Mesh, directed_edges
from domains.cad.kernel.mesh_formats import read_stl
from domains.cad.kernel.solids import Solids, measure_solids, read_brep, read_step
from domains.cad.kernel.tessellation import Fineness, tessellate
from sciRL.errors import UserError
from sciRL.verification.sandbox.failure import ScriptFailure

REFERENCE_KINDS = ("brep", "step", "stl")


class Part:
    """A body with its measures, and its mesh at any fineness.

    Args:
        body: the solids of a B-rep, or a mesh that is all there is.
    """

    def __init__(self, body: Solids | Mesh) -> None:
        self.body = body
        self._meshes: dict[Fineness, Mesh] = {}

    @property
    def solids(self) -> Solids | None:
        """The solids, or None for a part that is known as a mesh alone."""
        return self.body if isinstance(self.body, Solids) else None

    @property
    def volume(self) -> float:
        """Volume in mm^3."""
        return self.body.volume

    @property
    def centre(self) -> NDArray[np.float64]:
        """Centre of mass, [3] in mm."""
        return np.asarray(self.body.centre)

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Lowest and highest corner of the box, [2, 3] in mm."""
        return self.body.bounds if isinstance(self.body, Mesh) else np.array([self.body.low, self.body.high])

    def mesh(self, fineness: Fineness) -> Mesh:
        """Return the surface as triangles; a part that is a mesh has only that one.

        Raises:
            ValueError: the kernel cannot mesh a face.
        """
        if isinstance(self.body, Mesh):
            return self.body
        if fineness not in self._meshes:
            self._meshes[fineness] = tessellate(self.body.shape, self.body.diagonal, fineness)
        return self._meshes[fineness]

    def to_json(self) -> dict[str, Any]:
        """Return the measures as the meter reports them under "solid"."""
        return self.body.to_json() if isinstance(self.body, Solids) else _mesh_measures(self.body)


def read_reference(kind: str, content: bytes) -> Part:
    """Return the reference part of a job; it need not be sound, but must enclose a volume.

    Raises:
        UserError: an unknown kind, or bytes that cannot be read or enclose nothing.
    """
    if kind not in REFERENCE_KINDS:
        raise UserError(f"reference: kind: found {kind!r}; allowed are {', '.join(REFERENCE_KINDS)}")
    try:
        if kind == "stl":
            return Part(_enclosing(read_stl(content)))
        return Part(measure_solids(read_brep(content) if kind == "brep" else read_step(content)))
    except ScriptFailure as failure:
        raise UserError(f"reference ({kind}): {failure.code}: {failure.message}") from None
    except ValueError as error:
        raise UserError(f"reference ({kind}): {error}") from None


def _enclosing(mesh: Mesh) -> Mesh:
    box = float(np.prod(mesh.bounds[1] - mesh.bounds[0]))
    if not 0 < mesh.volume <= box * (1 + 1e-6):
        raise ValueError(f"the mesh encloses no volume: {mesh.volume:.6g} mm^3 in a box of {box:.6g}")
    return mesh


def _mesh_measures(mesh: Mesh) -> dict[str, Any]:
    low, high = mesh.bounds
    return {
        "n_solids": _count_bodies(mesh),
        "valid": mesh.is_closed,
        "volume": mesh.volume,
        "area": mesh.area,
        "box": (high - low).tolist(),
        "box_min": low.tolist(),
        "box_max": high.tolist(),
        "centre": mesh.centre.tolist(),
        "n_faces": len(mesh.triangles),
        "n_edges": len(np.unique(np.sort(directed_edges(mesh.triangles)[0], axis=1), axis=0)),
    }


def _count_bodies(mesh: Mesh) -> int:
    """Return the number of connected surfaces that face outwards: one that faces inwards bounds a cavity."""
    size = len(mesh.vertices)
    edges, _ = directed_edges(mesh.triangles)
    graph = coo_matrix((np.ones(len(edges), dtype=bool), (edges[:, 0], edges[:, 1])), shape=(size, size))
    _, label = connected_components(graph, directed=False)
    component = label[mesh.triangles[:, 0]]
    surfaces = [Mesh(mesh.vertices, mesh.triangles[component == index]) for index in np.unique(component)]
    return sum(surface.volume > 0 for surface in surfaces)
