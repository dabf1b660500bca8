"""Sound solids: exact measures, and shapes that are no parts however they weigh."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("cadquery")

from domains.cad.kernel.runner import run
from domains.cad.kernel.solids import brep_bytes, read_brep, read_step, sound_solids
from sciRL.verification.sandbox.failure import ScriptFailure

HEAD = "import cadquery as cq\nbox = lambda s, at=(0, 0, 0): cq.Solid.makeBox(s, s, s, cq.Vector(*at))\n"

PLATE = "import cadquery as cq\nresult = cq.Workplane().box(40, 30, 5).faces('>Z').workplane().hole(8)"
FLANGE = (
    "import cadquery as cq\n"
    "result = (cq.Workplane().circle(40).extrude(8).faces('>Z').workplane().circle(20).extrude(20)"
    ".faces('>Z').workplane().hole(25).faces('<Z').workplane().polarArray(30, 0, 360, 8).hole(6, 8))"
)
BRACKET = (
    "import cadquery as cq\n"
    "result = (cq.Workplane().box(60, 40, 8).edges('|Z').fillet(4).faces('>Z').workplane()"
    ".rect(44, 24, forConstruction=True).vertices().cboreHole(5, 9, 3))"
)


@pytest.mark.parametrize(
    ("program", "volume", "box", "faces"),
    [
        (PLATE, 5748.672588, (40, 30, 5), 7),
        (FLANGE, 15849 * math.pi, (80, 80, 28), 14),
        (BRACKET, 17934.018, (60, 40, 8), 22),
        ("import cadquery as cq\nresult = cq.Workplane().sphere(5)", 500 / 3 * math.pi, (10, 10, 10), 1),
    ],
)
def test_exact_measures(measured: Any, program: str, volume: float, box: tuple[float, ...], faces: int) -> None:
    solid = measured(program)["solid"]
    assert solid["volume"] == pytest.approx(volume, rel=2e-8)
    assert solid["box"] == pytest.approx(box, abs=1e-6)
    assert solid["n_faces"] == faces
    assert (solid["n_solids"], solid["valid"]) == (1, True)


def test_area_centre_edges_and_place_of_a_box(measured: Any) -> None:
    solid = measured("import cadquery as cq\nresult = cq.Workplane().box(2, 3, 4, centered=False)")["solid"]
    assert solid["area"] == pytest.approx(52)
    assert solid["centre"] == pytest.approx([1, 1.5, 2])
    assert (solid["box_min"], solid["box_max"]) == (pytest.approx([0, 0, 0]), pytest.approx([2, 3, 4]))
    assert solid["n_edges"] == 12


SHELLS = (
    "from OCP.BRep import BRep_Builder\nfrom OCP.TopAbs import *\n"
    "from OCP.TopoDS import TopoDS_Face, TopoDS_Shell, TopoDS_Solid\nbuilder = BRep_Builder()\n"
    "def solid(*bodies, faces=TopAbs_FORWARD):\n"
    "    made = TopoDS_Solid(); builder.MakeSolid(made)\n"
    "    for i, body in enumerate(bodies):\n"
    "        shell = body.Shells()[0].wrapped\n"
    "        builder.Add(made, shell.Oriented(faces) if i else shell)\n"
    "    return cq.Solid(made)\n"
    "def one_shell(faces):\n"
    "    shell = TopoDS_Shell(); builder.MakeShell(shell)\n"
    "    [builder.Add(shell, face.wrapped) for face in faces]; shell.Closed(True)\n"
    "    made = TopoDS_Solid(); builder.MakeSolid(made); builder.Add(made, shell)\n"
    "    return cq.Solid(made)\n"
)

CORNER = (
    "from OCP.BRep import BRep_Builder\nfrom OCP.gp import gp_Pnt\nresult = box(1)\n"
    "BRep_Builder().UpdateVertex(result.Vertices()[0].wrapped, gp_Pnt(float('{}'), 0, 0), 1e-7)"
)

TRAPS = {
    "open shell": ("result = cq.Shell.makeShell(box(1).Faces()[:5])", "not_solid"),
    "closed shell": ("result = box(1).Shells()[0]", "not_solid"),
    "faces in a compound": ("result = cq.Compound.makeCompound(box(1).Faces())", "not_a_shape"),
    "solid of an open shell": (
        "from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeSolid\n"
        "result = cq.Solid(BRepBuilderAPI_MakeSolid(cq.Shell.makeShell(box(1).Faces()[:5]).wrapped).Solid())",
        "invalid",
    ),
    "solid with a loose face": ("result = cq.Compound.makeCompound([box(1), box(9).Faces()[0]])", "not_solid"),
    "reversed solid": ("result = cq.Solid(box(1).wrapped.Reversed())", "invalid"),
    "mirrored place": (
        "from OCP.gp import gp_Trsf, gp_Pnt\nfrom OCP.TopLoc import TopLoc_Location\n"
        "t = gp_Trsf(); t.SetMirror(gp_Pnt(0, 0, 0))\n"
        "result = cq.Solid(box(1).wrapped.Located(TopLoc_Location(t), False))",
        "invalid",
    ),
    "scaled place": (
        "from OCP.gp import gp_Trsf, gp_Pnt\nfrom OCP.TopLoc import TopLoc_Location\n"
        "t = gp_Trsf(); t.SetScale(gp_Pnt(0, 0, 0), 2)\n"
        "result = cq.Solid(box(1).wrapped.Located(TopLoc_Location(t), False))",
        "invalid",
    ),
    "two lumps in one solid": (
        "from OCP.BRep import BRep_Builder\nfrom OCP.TopoDS import TopoDS_Solid\n"
        "s = TopoDS_Solid(); b = BRep_Builder(); b.MakeSolid(s)\n"
        "[b.Add(s, box(1, at).Shells()[0].wrapped) for at in ((0, 0, 0), (5, 0, 0))]\nresult = cq.Solid(s)",
        "invalid",
    ),
    "one shell twice": (
        "from OCP.BRep import BRep_Builder\nfrom OCP.TopoDS import TopoDS_Solid\n"
        "s = TopoDS_Solid(); b = BRep_Builder(); b.MakeSolid(s)\n"
        "[b.Add(s, box(1).Shells()[0].wrapped) for _ in range(2)]\nresult = cq.Solid(s)",
        "invalid",
    ),
    "wide tolerance": (
        "from OCP.ShapeFix import ShapeFix_ShapeTolerance\nresult = box(1)\n"
        "ShapeFix_ShapeTolerance().SetTolerance(result.wrapped, 0.4)",
        "invalid",
    ),
    "crossing outline": (
        "result = cq.Workplane().polyline([(0, 0), (10, 10), (10, 0), (0, 7)]).close().extrude(3)",
        "invalid",
    ),
    "shell inside, facing outwards": (SHELLS + "result = solid(box(9), box(3, (3, 3, 3)))", "invalid"),
    "cavity outside": (SHELLS + "result = solid(box(3), box(1, (9, 9, 9)), faces=TopAbs_REVERSED)", "invalid"),
    "cavity around": (SHELLS + "result = solid(box(3, (3, 3, 3)), box(9), faces=TopAbs_REVERSED)", "invalid"),
    "faces that bound nothing": (
        SHELLS + "result = solid(box(9), box(3, (3, 3, 3)), faces=TopAbs_INTERNAL)",
        "invalid",
    ),
    "walls of holes that bound nothing": (
        SHELLS + "result = solid(box(9), cq.Solid.makeCylinder(1, 9, cq.Vector(4, 4, 0)), faces=TopAbs_INTERNAL)",
        "invalid",
    ),
    "solid that bounds nothing": (
        "from OCP.TopAbs import TopAbs_INTERNAL\nresult = cq.Solid(box(9).wrapped.Oriented(TopAbs_INTERNAL))",
        "invalid",
    ),
    "shell of two cubes": (SHELLS + "result = one_shell(box(1).Faces() + box(1, (5, 0, 0)).Faces())", "invalid"),
    "every face twice": (SHELLS + "result = one_shell(box(1).Faces() * 2)", "invalid"),
    "a face and its back": (
        SHELLS + "f = box(1).Faces()[0]; result = one_shell([f, cq.Face(f.wrapped.Reversed())])",
        "invalid",
    ),
    "closed in name": (SHELLS + "result = one_shell(box(1).Faces()[:5])", "invalid"),
    "a face that does not fit": (SHELLS + "result = one_shell(box(1).Faces()[:5] + box(0.999).Faces()[5:])", "invalid"),
    "a face without a surface": (
        SHELLS + "f = TopoDS_Face(); builder.MakeFace(f); result = one_shell(box(1).Faces() + [cq.Face(f)])",
        "invalid",
    ),
    "no faces": (SHELLS + "result = one_shell([])", "invalid"),
    "faces without rims": (
        SHELLS + "result = one_shell([cq.Face(f.wrapped.EmptyCopied()) for f in box(1).Faces()])",
        "too_big",
    ),
    "NaN corner": (CORNER.format("nan"), "invalid"),
    "infinite corner": (CORNER.format("inf"), "invalid"),
    "endless prism": (
        "from OCP.gp import gp_Dir\nfrom OCP.BRepPrimAPI import BRepPrimAPI_MakePrism\n"
        "result = cq.Solid(BRepPrimAPI_MakePrism(cq.Face.makePlane(1, 1).wrapped, gp_Dir(0, 0, 1), True).Shape())",
        "too_big",
    ),
    "fifty copies": ("result = cq.Compound.makeCompound([box(1)] * 50)", "multi_solid"),
    "two solids": ("result = cq.Compound.makeCompound([box(1), box(1, (5, 0, 0))])", "multi_solid"),
    "NaN size": ("result = cq.Solid.makeBox(float('nan'), 1, 1)", "invalid"),
    "half of space": (
        "from OCP.BRepPrimAPI import BRepPrimAPI_MakeHalfSpace\n"
        "result = cq.Solid(BRepPrimAPI_MakeHalfSpace(box(1).Faces()[0].wrapped, cq.Vector(5, 5, 5).toPnt()).Solid())",
        "invalid",
    ),
    "tiny": ("result = box(1e-4)", "invalid"),
    "thin": ("result = cq.Solid.makeBox(1, 1, 1e-4)", "invalid"),
    "huge": ("result = box(1e6)", "too_big"),
    "astronomic": ("result = box(1e30)", "too_big"),
    "far away": ("result = box(1, (1e7, 0, 0))", "too_big"),
    "many solids": (
        "result = cq.Compound.makeCompound([box(1, (2 * i, 0, 0)) for i in range(501)])",
        "too_big",
    ),
}


@pytest.mark.parametrize(("program", "code"), TRAPS.values(), ids=TRAPS)
def test_no_free_volume(measured: Any, program: str, code: str) -> None:
    with pytest.raises(ScriptFailure) as failure:
        measured(HEAD + program)
    assert failure.value.code == code


OVERLAPS = {
    "fifty copies": "result = cq.Compound.makeCompound([box(1)] * 50)",
    "half of each other": "result = cq.Compound.makeCompound([box(1), box(1, (0.5, 0, 0))])",
    "one in the other": "result = cq.Compound.makeCompound([box(3), box(1, (1, 1, 1))])",
}


@pytest.mark.parametrize("program", OVERLAPS.values(), ids=OVERLAPS)
def test_copies_that_overlap_are_no_part_even_where_several_solids_may_be(measured: Any, program: str) -> None:
    with pytest.raises(ScriptFailure, match="overlap"):
        measured(HEAD + program, single=False)


@pytest.mark.parametrize("made", ["cq.Edge.makeLine((0, 0, 0), (1, 0, 0))", "cq.Vertex.makeVertex(0, 0, 0)"])
def test_what_the_runner_would_not_ship_is_no_shape(made: str) -> None:
    import cadquery as cq

    with pytest.raises(ScriptFailure) as failure:
        sound_solids(read_brep(brep_bytes(eval(made, {"cq": cq}).wrapped)), single=True)
    assert failure.value.code == "not_a_shape"


def test_solids_that_touch_are_a_part_where_several_may_be(measured: Any) -> None:
    solid = measured(HEAD + "result = cq.Compound.makeCompound([box(1), box(1, (1, 0, 0))])", single=False)["solid"]
    assert (solid["n_solids"], solid["volume"]) == (2, pytest.approx(2))


def test_wires_beside_a_solid_carry_nothing(measured: Any) -> None:
    program = "result = cq.Compound.makeCompound([box(1), cq.Edge.makeLine((0, 0, 0), (99, 0, 0))])"
    assert measured(HEAD + program)["solid"]["box"] == pytest.approx([1, 1, 1])


def test_patched_measures_change_nothing(measured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import cadquery as cq

    for name in ("Volume", "isValid", "BoundingBox"):
        monkeypatch.setattr(cq.Shape, name, getattr(cq.Shape, name))  # restores what the program patches
    program = "cq.Shape.Volume = lambda self: 1000.0\ncq.Shape.isValid = lambda self: True\nresult = box(2)"
    assert measured(HEAD + program)["solid"]["volume"] == pytest.approx(8)


def test_forged_triangles_are_not_shipped_and_not_read() -> None:
    import cadquery as cq
    from OCP.BRep import BRep_Builder
    from OCP.gp import gp_Pnt
    from OCP.Poly import Poly_Triangle, Poly_Triangulation
    from OCP.TopLoc import TopLoc_Location

    from domains.cad.kernel.tessellation import DRAWN, tessellate

    cube = cq.Solid.makeBox(1, 1, 1)
    forged = Poly_Triangulation(3, 1, False)
    for node, point in enumerate(((0, 0, 0), (9, 0, 0), (0, 9, 0)), start=1):
        forged.SetNode(node, gp_Pnt(*map(float, point)))
    forged.SetTriangle(1, Poly_Triangle(1, 2, 3))
    for face in cube.Faces():
        BRep_Builder().UpdateFace(face.wrapped, forged)
    from OCP.BRep import BRep_Tool

    carried = read_brep(brep_bytes(cube.wrapped))
    face = cq.Shape.cast(carried).Faces()[0].wrapped
    assert BRep_Tool.Triangulation_s(face, TopLoc_Location()) is None
    assert tessellate(cube.wrapped, 3**0.5, DRAWN).area == pytest.approx(6)


@pytest.mark.parametrize("reader", [read_brep, read_step])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\nOpen CASCADE Topology V4 (c)\n", b"DBRep_DrawableShape\n"])
def test_bytes_that_are_no_shape(reader: Any, content: bytes) -> None:
    with pytest.raises(ScriptFailure) as failure:
        reader(content)
    assert failure.value.code == "not_a_shape"


def test_a_cut_short_payload_is_no_part() -> None:
    whole = run(PLATE)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(ScriptFailure):
            sound_solids(read_brep(whole[: int(share * len(whole))]), single=True)


def test_binary_brep_comes_back_to_the_last_digit() -> None:
    first = sound_solids(read_brep(run(FLANGE)), single=True)
    again = sound_solids(read_brep(brep_bytes(first.shape)), single=True)
    assert first.to_json() == again.to_json()
