"""Common volume of two bodies by the kernel's boolean operation: exact, but neither interruptible nor always right.

The binding offers no way to stop an operation: `Message_ProgressIndicator` has no constructor in Python, and the
operation holds the interpreter's lock, so neither a thread nor a signal handler gets its turn. What it will take is
therefore estimated beforehand, see `expected_seconds`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from OCP.Bnd import Bnd_Box
from OCP.BRepAdaptor import BRepAdaptor_Surface
from OCP.BRepAlgoAPI import BRepAlgoAPI_Common
from OCP.BRepBndLib import BRepBndLib
from OCP.BRepBuilderAPI import BRepBuilderAPI_Transform
from OCP.GeomAbs import (
    GeomAbs_BezierSurface,
    GeomAbs_BSplineSurface,
    GeomAbs_Cone,
    GeomAbs_Cylinder,
    GeomAbs_Plane,
    GeomAbs_Sphere,
    GeomAbs_Torus,
)
from OCP.gp import gp_Pnt, gp_Trsf
from OCP.ShapeFix import ShapeFix_ShapeTolerance
from OCP.TopAbs import TopAbs_EDGE, TopAbs_FACE
from OCP.TopoDS import TopoDS, TopoDS_Face, TopoDS_Shape

from domains.cad.kernel.solids import Solids, explore, volume_of

KERNEL_TOLERANCE = 1e-7
"""The kernel's absolute confusion in mm: what lies closer is one."""
SMALL_DIAGONAL = 0.1
"""A pair whose joint box is smaller (mm) is scaled up before the operation, with its tolerances reset: there, what the
kernel confuses is more than 1e-6 of the part. Larger pairs stay as they are, since a reset tolerance can spoil a shape:
of 100 DeepCAD pairs of about 1 mm, one then shared nothing and one 0.2 % too much."""
SCALED_DIAGONAL = 100.0
COMMON_SLACK = 1e-6
"""How much more than the smaller body the common part may hold, as a share, before the operation is not believed."""

_SECONDS_PER_PAIR = 1.5e-3
_SECONDS_PER_FREE_PAIR = 4e-3
_SECONDS_PER_EDGE_SQUARED = 1e-5
_WEIGHTS = {GeomAbs_Plane: 1.0, GeomAbs_Cylinder: 2.0, GeomAbs_Cone: 2.0, GeomAbs_Sphere: 3.0}
_FREE_WEIGHTS = {GeomAbs_Torus: 16.0}
_OTHER_WEIGHT = 30.0


def common_volume(a: Solids, b: Solids) -> float | None:
    """Return the volume in mm^3 that two bodies share, or None when the operation fails or its answer is impossible.

    Solid by solid: an operand of several solids that touch is an input the kernel does not promise to handle.

    Example: a 10 x 6 x 4 box and the same one shifted by 2 along x share 192 of 240 mm^3.
    """
    low = np.minimum(a.low, b.low)
    diagonal = float(np.linalg.norm(np.maximum(a.high, b.high) - low))
    scale = SCALED_DIAGONAL / diagonal if diagonal < SMALL_DIAGONAL else 1.0
    firsts, seconds = ([_scaled(solid, scale) for solid in body.solids] for body in (a, b))
    boxes = [[_box(solid) for solid in solids] for solids in (firsts, seconds)]
    parts = []
    for first, first_box in zip(firsts, boxes[0], strict=True):
        for second, second_box in zip(seconds, boxes[1], strict=True):
            if not first_box.IsOut(second_box):
                volume = _common(first, second)
                if volume is None:
                    return None
                parts.append(volume)
    total, smaller = math.fsum(parts) / scale**3, min(a.volume, b.volume)
    if not -COMMON_SLACK * smaller <= total <= smaller * (1 + COMMON_SLACK):
        return None
    return min(max(total, 0.0), smaller)


def expected_seconds(a: Solids, b: Solids) -> float:
    """Return about how long the operation on two bodies takes, from faces whose boxes meet.

    Each such pair costs 1.5 ms times the geometric mean of its surfaces' weights (plane 1, cylinder 2, sphere 3), or
    4 ms when a free-form surface is in it, whose weight is its number of poles; a face that is met costs the square of
    its number of edges on top. Set by hand on 100 DeepCAD parts against their own STEP files and 25 harder pairs (grids
    of holes, gears, fillets, lofts, helical sweeps): typically two to four times what it took, at most 17 times, and
    never less than a fifth of it.

    Example: a plate with 121 holes against its shifted copy is expected at 1.2 s and took 0.8; two helical sweeps of
    780 poles at 3.6 s and took 4.1.
    """
    first, second = _Faces(a.shape), _Faces(b.shape)
    below, above = first.low[:, None] <= second.high[None], second.low[None] <= first.high[:, None]
    met: NDArray[np.bool_] = np.all(below & above, axis=2)
    weight = np.sqrt(np.outer(first.weight, second.weight))
    free = first.free[:, None] | second.free[None]
    pairs = float((weight * met * np.where(free, _SECONDS_PER_FREE_PAIR, _SECONDS_PER_PAIR)).sum())
    edges = (first.edges[met.any(axis=1)] ** 2).sum() + (second.edges[met.any(axis=0)] ** 2).sum()
    return pairs + _SECONDS_PER_EDGE_SQUARED * float(edges)


class _Faces:
    """Box, weight, freedom of form and number of edges of each face of a shape, as arrays over the faces."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def __init__(self, shape: TopoDS_Shape) -> None:
        faces = [TopoDS.Face_s(face) for face in explore(shape, TopAbs_FACE)]
        boxes = np.array([_box(face).Get() for face in faces])
        self.low, self.high = boxes[:, :3], boxes[:, 3:]
        kinds = [_weight(face) for face in faces]
        self.weight = np.array([weight for weight, _ in kinds])
        self.free = np.array([free for _, free in kinds])
        self.edges = np.array([len(explore(face, TopAbs_EDGE)) for face in faces])


def _weight(face: TopoDS_Face) -> tuple[float, bool]:
    surface = BRepAdaptor_Surface(face)
    kind = surface.GetType()
    if kind in _WEIGHTS:
        return _WEIGHTS[kind], False
    if kind in (GeomAbs_BSplineSurface, GeomAbs_BezierSurface):
        return float(surface.NbUPoles() * surface.NbVPoles()), True
    return _FREE_WEIGHTS.get(kind, _OTHER_WEIGHT), True


def _scaled(solid: TopoDS_Shape, scale: float) -> TopoDS_Shape:
    """Return a scaled copy with the kernel's own tolerance, which scaling alone would have made coarser."""
    if scale == 1.0:
        return solid
    trsf = gp_Trsf()
    trsf.SetScale(gp_Pnt(0, 0, 0), scale)
    copy = BRepBuilderAPI_Transform(solid, trsf, True).Shape()
    ShapeFix_ShapeTolerance().LimitTolerance(copy, KERNEL_TOLERANCE, KERNEL_TOLERANCE)
    return copy


def _common(first: TopoDS_Shape, second: TopoDS_Shape) -> float | None:
    try:
        operation = BRepAlgoAPI_Common(first, second)
        if not operation.IsDone():
            return None
        volume = volume_of(operation.Shape())
    except Exception:  # the kernel's exceptions share no base class
        return None
    return volume if math.isfinite(volume) else None


def _box(shape: TopoDS_Shape) -> Bnd_Box:
    box = Bnd_Box()
    BRepBndLib.Add_s(shape, box)
    return box
