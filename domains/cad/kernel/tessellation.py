"""From a B-rep shape to a triangle mesh, with the same vertices however often it is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from OCP.BRep import BRep_Tool
from OCP.BRepMesh import BRepMesh_IncrementalMesh
from OCP.BRepTools import BRepTools
from OCP.TopAbs import TopAbs_FACE, TopAbs_REVERSED
from OCP.TopExp import TopExp_Explorer
from OCP.TopLoc import TopLoc_Location
from OCP.TopoDS import TopoDS, TopoDS_Face, TopoDS_Shape

from domains.cad.kernel.mesh import Mesh


@dataclass(frozen=True)
class Fineness:
    """How far a mesh may leave the true surface.

    Attributes:
        share: largest distance between them, as a share of the box's diagonal.
        angle: largest angle between neighbouring segments of a curve, in radians.

    Example: a circle at `angle` 0.2 becomes a polygon of 32 sides that covers 99.4 % of the disc.
    """

    share: float
    angle: float


DRAWN = Fineness(1e-3, 0.2)
"""Fine enough for pictures and chamfer distances."""

MEASURED = Fineness(3e-4, 0.1)
"""For overlaps: a disc keeps 99.8 % of its area."""


def tessellate(shape: TopoDS_Shape, diagonal: float, fineness: Fineness) -> Mesh:
    """Return the mesh of a shape's faces; faces share no vertices.

    Args:
        shape: any shape with faces; triangles that it carries already are thrown away, since they may be forged.
        diagonal: of its box, in mm.
        fineness: how closely the mesh follows the surface.

    A face that the kernel cannot mesh is left out; what that spoils shows in the area and in gaps of the surface.

    Raises:
        ValueError: no face can be meshed.
    """
    BRepTools.Clean_s(shape)
    BRepMesh_IncrementalMesh(shape, fineness.share * diagonal, False, fineness.angle, False)
    vertices, triangles, count = [], [], 0
    explorer = TopExp_Explorer(shape, TopAbs_FACE)
    while explorer.More():
        mesh = _face_mesh(TopoDS.Face_s(explorer.Current()))
        explorer.Next()
        if mesh is not None:
            vertices.append(mesh.vertices)
            triangles.append(mesh.triangles + count)
            count += len(mesh.vertices)
    if not vertices:
        raise ValueError("the kernel cannot mesh any face of the shape")
    return Mesh(np.concatenate(vertices), np.concatenate(triangles))


def _face_mesh(face: TopoDS_Face) -> Mesh | None:
    location = TopLoc_Location()
    triangulation = BRep_Tool.Triangulation_s(face, location)
    if triangulation is None:
        return None
    node, triangle = triangulation.Node, triangulation.Triangle
    points = np.array([node(i).Coord() for i in range(1, triangulation.NbNodes() + 1)])
    corners = np.array([triangle(i).Get() for i in range(1, triangulation.NbTriangles() + 1)], dtype=np.int64) - 1
    if not location.IsIdentity():
        trsf = location.Transformation()
        matrix = np.array([[trsf.Value(row, column) for column in range(1, 5)] for row in range(1, 4)])
        points = points @ matrix[:, :3].T + matrix[:, 3]
    mesh = Mesh(points, corners)
    return mesh.flipped() if face.Orientation() == TopAbs_REVERSED else mesh
