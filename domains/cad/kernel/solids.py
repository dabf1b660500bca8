"""Sound solids: what a shape must be before any of its numbers count, and the numbers.

A kernel answers questions about shapes that are no parts: an open shell has a "volume", a solid turned inside out is
"valid" with a negative one, fifty copies of a cube weigh fifty cubes, and a cube whose edges claim a tolerance of half
its side overlaps a shifted one completely. So nothing is measured before `sound_solids` has let it through. It decides
on the solids themselves, counted as often as they occur; wires and points beside them carry no material and are left
out, faces and shells beside them are refused. A solid turned inside out is refused, not turned: whoever wrote the
program did not build a part.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from OCP.BinTools import BinTools, BinTools_FormatVersion
from OCP.Bnd import Bnd_Box
from OCP.BRep import BRep_Builder, BRep_Tool
from OCP.BRepAlgoAPI import BRepAlgoAPI_Common
from OCP.BRepBndLib import BRepBndLib
from OCP.BRepCheck import BRepCheck_Analyzer
from OCP.BRepGProp import BRepGProp
from OCP.BRepTools import BRepTools
from OCP.GProp import GProp_GProps
from OCP.ShapeAnalysis import ShapeAnalysis_ShapeTolerance
from OCP.TopAbs import (
    TopAbs_EDGE,
    TopAbs_EXTERNAL,
    TopAbs_FACE,
    TopAbs_INTERNAL,
    TopAbs_ShapeEnum,
    TopAbs_SHELL,
    TopAbs_SOLID,
)
from OCP.TopExp import TopExp, TopExp_Explorer
from OCP.TopoDS import TopoDS_Compound, TopoDS_Shape
from OCP.TopTools import TopTools_IndexedMapOfShape

from sciRL.verification.sandbox.failure import ScriptFailure

MIN_SIDE, MAX_SIDE = 1e-3, 1e5
"""Smallest and largest side of a part's box in mm: outside, the kernel's absolute tolerances decide what is found."""
MAX_FACES, MAX_SOLIDS = 20_000, 500
MAX_TOLERANCE_SHARE = 1e-3
"""Largest tolerance of a vertex, edge or face, as a share of the box's diagonal; real parts stay below 2e-5."""
OVERLAP_SHARE = 1e-6
"""Largest common volume of two solids of a part, as a share of the smaller one."""


@dataclass(frozen=True)
class Solids:
    """The solids of a shape with their measures, in mm.

    Attributes:
        shape: a compound of the solids alone.
        solids: each solid.
        volumes: of each solid, mm^3.
        valid: whether the kernel's own check finds no fault.
        area: of all faces, mm^2.
        low, high: corners of the axis-aligned box.
        centre: centre of mass.
        n_faces, n_edges: each counted once where solids share them.
    """

    shape: TopoDS_Shape
    solids: tuple[TopoDS_Shape, ...]
    volumes: tuple[float, ...]
    valid: bool
    area: float
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    centre: tuple[float, float, float]
    n_faces: int
    n_edges: int

    @property
    def volume(self) -> float:
        """Volume of all solids, mm^3."""
        return math.fsum(self.volumes)

    @property
    def diagonal(self) -> float:
        """Diagonal of the box, mm."""
        return math.dist(self.low, self.high)

    def to_json(self) -> dict[str, Any]:
        """Return the measures as the meter reports them."""
        return {
            "n_solids": len(self.solids),
            "valid": self.valid,
            "volume": self.volume,
            "area": self.area,
            "box": [high - low for low, high in zip(self.low, self.high, strict=True)],
            "box_min": list(self.low),
            "box_max": list(self.high),
            "centre": list(self.centre),
            "n_faces": self.n_faces,
            "n_edges": self.n_edges,
        }


def read_brep(content: bytes) -> TopoDS_Shape:
    """Return the shape of a B-rep file, binary or text, without the triangles it may carry.

    Raises:
        ScriptFailure: `not_a_shape`, when the bytes hold no shape.
    """
    shape = TopoDS_Shape()
    stream = io.BytesIO(content)
    try:
        if b"Open CASCADE Topology" in content[:40]:
            BinTools.Read_s(shape, stream)
        else:
            BRepTools.Read_s(shape, stream, BRep_Builder())
    except Exception as error:
        raise ScriptFailure("not_a_shape", f"the B-rep cannot be read: {type(error).__name__}: {error}") from None
    if shape.IsNull():
        raise ScriptFailure("not_a_shape", f"{len(content)} bytes that are no B-rep")
    BRepTools.Clean_s(shape)
    return shape


def brep_bytes(shape: TopoDS_Shape) -> bytes:
    """Return a shape in the kernel's binary B-rep format, without triangles; `read_brep` reads it back exactly."""
    stream = io.BytesIO()
    BinTools.Write_s(shape, stream, False, False, BinTools_FormatVersion.BinTools_FormatVersion_CURRENT)
    return stream.getvalue()


def read_step(content: bytes) -> TopoDS_Shape:
    """Return the shape of a STEP file, in mm.

    Raises:
        ScriptFailure: `not_a_shape`, when the bytes hold no shape.
    """
    from OCP.IFSelect import IFSelect_RetDone
    from OCP.STEPControl import STEPControl_Reader

    reader = STEPControl_Reader()
    if reader.ReadStream("part.step", io.BytesIO(content)) != IFSelect_RetDone:
        raise ScriptFailure("not_a_shape", f"{len(content)} bytes that are no STEP file")
    reader.TransferRoots()
    shape = reader.OneShape()
    if shape.IsNull():
        raise ScriptFailure("not_a_shape", "the STEP file holds no shape")
    BRepTools.Clean_s(shape)
    return shape


def sound_solids(shape: TopoDS_Shape, single: bool) -> Solids:
    """Return the solids of a shape that is a sound part.

    Args:
        shape: what a program built.
        single: whether the part must be one solid; otherwise several may be, if none overlaps another.

    Raises:
        ScriptFailure: `not_a_shape`, `not_solid` (no solid, or loose faces), `multi_solid`, `too_big` (too many faces
            or solids, or too long) or `invalid` (not finite, too thin, turned inside out, faulty, loosely toleranced,
            overlapping, with faces that bound nothing).
    """
    solids = measure_solids(shape)
    loose = _loose_faces(shape)
    if loose:
        raise ScriptFailure("not_solid", f"{loose} loose faces beside the solid")
    idle = sum(face.Orientation() in (TopAbs_INTERNAL, TopAbs_EXTERNAL) for face in explore(shape, TopAbs_FACE))
    if idle:
        raise ScriptFailure("invalid", f"{idle} faces of the solid bound no material")
    if not solids.valid:
        raise ScriptFailure("invalid", "the kernel's check finds a fault in the shape")
    tolerance = ShapeAnalysis_ShapeTolerance().Tolerance(solids.shape, 1)
    if not tolerance <= MAX_TOLERANCE_SHARE * solids.diagonal:
        raise ScriptFailure("invalid", f"an edge or vertex is only known to within {tolerance:.3g} mm")
    if single and len(solids.solids) > 1:
        raise ScriptFailure("multi_solid", f"{len(solids.solids)} solids; the part must be one")
    _refuse_overlaps(solids)
    return solids


def measure_solids(shape: TopoDS_Shape) -> Solids:
    """Return the solids of a shape whose measures mean something, whether or not the shape is a sound part.

    Raises:
        ScriptFailure: `not_a_shape` (no solid and no shell), `not_solid` (no solid), `too_big`, or `invalid` (not
            finite, too thin, a volume <= 0).
    """
    solids = explore(shape, TopAbs_SOLID)
    if not solids:
        # As the runner has it: loose faces, wires and points are no shape of a part.
        code = "not_solid" if explore(shape, TopAbs_SHELL) else "not_a_shape"
        raise ScriptFailure(code, f"no solid; {len(explore(shape, TopAbs_FACE))} faces enclose no volume")
    if len(solids) > MAX_SOLIDS:
        raise ScriptFailure("too_big", f"{len(solids)} solids; at most {MAX_SOLIDS} are measured")
    compound = compound_of(solids)
    n_faces, n_edges = _distinct(compound, TopAbs_FACE), _distinct(compound, TopAbs_EDGE)
    if n_faces > MAX_FACES:
        raise ScriptFailure("too_big", f"{n_faces} faces; at most {MAX_FACES} are measured")
    low, high = _bounds(compound)
    volumes = tuple(volume_of(solid) for solid in solids)
    for volume in volumes:
        if not 0 < volume < math.inf:
            raise ScriptFailure("invalid", f"a solid has volume {volume:.6g} mm^3: open, empty or turned inside out")
    surface, mass = GProp_GProps(), GProp_GProps()
    BRepGProp.SurfaceProperties_s(compound, surface)
    BRepGProp.VolumeProperties_s(compound, mass)
    return Solids(
        shape=compound,
        solids=solids,
        volumes=volumes,
        valid=_is_valid(compound),
        area=surface.Mass(),
        low=low,
        high=high,
        centre=mass.CentreOfMass().Coord(),
        n_faces=n_faces,
        n_edges=n_edges,
    )


def volume_of(shape: TopoDS_Shape) -> float:
    """Return the volume a shape's faces enclose in mm^3; negative when they face inwards."""
    properties = GProp_GProps()
    BRepGProp.VolumeProperties_s(shape, properties)
    return float(properties.Mass())


def explore(shape: TopoDS_Shape, kind: TopAbs_ShapeEnum) -> tuple[TopoDS_Shape, ...]:
    """Return the sub-shapes of a kind, each as often as it occurs."""
    found, explorer = [], TopExp_Explorer(shape, kind)
    while explorer.More():
        found.append(explorer.Current())
        explorer.Next()
    return tuple(found)


def compound_of(shapes: tuple[TopoDS_Shape, ...]) -> TopoDS_Compound:
    """Return one compound of several shapes."""
    compound, builder = TopoDS_Compound(), BRep_Builder()
    builder.MakeCompound(compound)
    for shape in shapes:
        builder.Add(compound, shape)
    return compound


def _distinct(shape: TopoDS_Shape, kind: TopAbs_ShapeEnum) -> int:
    found = TopTools_IndexedMapOfShape()
    TopExp.MapShapes_s(shape, kind, found)
    return int(found.Extent())


def _loose_faces(shape: TopoDS_Shape) -> int:
    explorer, count = TopExp_Explorer(shape, TopAbs_FACE, TopAbs_SOLID), 0
    while explorer.More():
        count += 1
        explorer.Next()
    return count


def _bounds(shape: TopoDS_Shape) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    box = Bnd_Box()
    BRepBndLib.AddOptimal_s(shape, box, False, False)
    if box.IsVoid() or box.IsOpen():
        raise ScriptFailure("invalid", "the shape has no finite size")
    x0, y0, z0, x1, y1, z1 = box.Get()
    sides = (x1 - x0, y1 - y0, z1 - z0)
    if not all(map(math.isfinite, (x0, y0, z0, x1, y1, z1))):
        raise ScriptFailure("invalid", "the shape has no finite size")
    if max(*sides, *map(abs, (x0, y0, z0, x1, y1, z1))) > MAX_SIDE:
        raise ScriptFailure("too_big", f"reaches over {max(sides):.6g} mm; at most {MAX_SIDE:g} from the origin")
    if min(sides) < MIN_SIDE:
        raise ScriptFailure("invalid", f"the thinnest side is {min(sides):.3g} mm; at least {MIN_SIDE:g} is measured")
    return (x0, y0, z0), (x1, y1, z1)


def _is_valid(shape: TopoDS_Shape) -> bool:
    closed = all(BRep_Tool.IsClosed_s(shell) for shell in explore(shape, TopAbs_SHELL))
    return closed and BRepCheck_Analyzer(shape, True).IsValid()


def _refuse_overlaps(solids: Solids) -> None:
    """Raise `invalid` unless the volume of the union is the sum of the volumes, that is: no two solids overlap."""
    boxes = [_loose_box(solid) for solid in solids.solids]
    for first, second in combinations(range(len(boxes)), 2):
        if boxes[first].IsOut(boxes[second]):
            continue
        smaller = min(solids.volumes[first], solids.volumes[second])
        common = BRepAlgoAPI_Common(solids.solids[first], solids.solids[second])
        if not common.IsDone() or abs(volume_of(common.Shape())) > OVERLAP_SHARE * smaller:
            raise ScriptFailure("invalid", f"solids {first + 1} and {second + 1} of {len(boxes)} overlap")


def _loose_box(shape: TopoDS_Shape) -> Bnd_Box:
    box = Bnd_Box()
    BRepBndLib.Add_s(shape, box)
    return box
