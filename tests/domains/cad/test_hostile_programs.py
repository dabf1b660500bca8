"""Programs that go for the reward instead of the part: through the real sandbox, each scores 0 and is never masked.

A sample without a score is left out of training, so that a program which makes the measurement fail would keep its own
failures from being learnt from.
"""

from __future__ import annotations

import math

import pytest

from domains.cad.options import CadOptions
from domains.cad.rubrics import make_rubric
from domains.cad.workshop import Workshop
from sciRL.score import Score, Status
from sciRL.task import Task
from sciRL.verification.sandbox.outcome import Job, Outcome

pytest.importorskip("cadquery", reason="CadQuery is not installed")

PLATE = "import cadquery as cq\nplate = cq.Workplane().box(60, 40, 8)\n"
DRILLED = PLATE + "result = plate.faces('>Z').workplane().hole(5)\n"
SPEC = {
    "box": [60.0, 40.0, 8.0],
    "volume": 19200 - 50 * math.pi,
    "dimensions": {"hole_d": 5.0},
    "holes": [{"d": 5.0, "axis": [0, 0, 1], "position": [0, 0, 0], "depth": 8.0, "through": True}],
}
TASK = Task(
    "cad",
    ({"role": "user", "content": "a plate with a hole"},),
    reference={"shape": {"kind": "code", "text": DRILLED}, "spec": SPEC},
)

# A program's process is its own: it ships what it likes in place of the shape that it built.
SHIP = (
    PLATE + "import sys\nsolids = sys.modules['domains.cad.kernel.solids']\nresult = plate\n"
    "def ship(data): sys.modules['domains.cad.kernel.runner'].brep_bytes = lambda shape: data\n"
)
TEXT_BREP = "ship(b'\\nCASCADE Topology V3, (c) Open Cascade\\nLocations 0\\n{}')"
FORGED = {
    "text": (SHIP + "ship('text')", "exec_error"),
    "nothing": (SHIP + "ship(b'')", "not_a_shape"),
    "an edge": (
        SHIP + "ship(solids.brep_bytes(cq.Edge.makeLine((0, 0, 0), (1, 0, 0)).wrapped))",
        "not_a_shape",
    ),
    "a STEP file": (SHIP + "ship(b'ISO-10303-21;\\nHEADER;\\nENDSEC;\\nDATA;\\nENDSEC;\\n')", "not_a_shape"),
    "a place that is not there": (
        SHIP + "ship(b'\\nCASCADE Topology V1, (c) Matra-Datavision\\nLocations 1\\n2 7 1 9 1 0\\nCurve2ds 0\\n')",
        "not_a_shape",
    ),
    "a polygon of two thousand million": (
        SHIP + TEXT_BREP.format("Curve2ds 0\\nCurves 0\\nPolygon3D 1\\n2000000000 1\\n0.1\\n"),
        "crash",
    ),
    "a spline of two thousand million": (
        SHIP + TEXT_BREP.format("Curve2ds 0\\nCurves 1\\n7 0 0 25 2000000000 2000000000 0 0 0\\n"),
        "crash",
    ),
    "bytes turned over": (
        SHIP
        + "data = bytearray(solids.brep_bytes(plate.val().wrapped))\ndata[200:240] = b'\\xff' * 40\nship(bytes(data))",
        "not_a_shape",
    ),
    "a failure of the meter": (
        PLATE + "import sys\nraise sys.modules['sciRL.verification.sandbox.failure'].ScriptFailure('invalid', '')",
        "exit",
    ),
    "a frame of the meter": (
        PLATE + "import os, sys\nframe = sys.modules['sciRL.verification.sandbox.frames'].encode\n"
        "for pipe in range(3, 64):\n"
        "    try: os.write(pipe, frame({'kind': 'failure', 'code': 'multi_solid', 'message': ''}))\n"
        "    except OSError: pass\n"
        "os._exit(0)",
        "exit",
    ),
    "endless objects": (PLATE + "cq.Workplane.vals = lambda self: iter(int, 1)\nresult = plate", "timeout"),
    "a shape that raises": (
        PLATE + "class Solid(cq.Solid):\n    wrapped = property(lambda self: 1 / 0, lambda self, shape: None)\n"
        "result = Solid(plate.val().wrapped)",
        "exec_error",
    ),
    "a shape without the kernel's": (PLATE + "result = plate.val()\nresult.wrapped = None", "exec_error"),
    "a shape that names itself a solid": (
        PLATE + "cq.Shape.ShapeType = lambda self: 'Solid'\nresult = cq.Workplane().rect(1, 1)",
        "not_a_shape",
    ),
    "an assembly in itself": (
        PLATE + "result = cq.Assembly(plate)\nresult.children.append(result)\nresult.parent = result",
        "exec_error",
    ),
    "the kernel's null": (
        PLATE
        + "from OCP.BRep import BRep_Tool\nfrom OCP.TopoDS import TopoDS_Face\nBRep_Tool.Surface_s(TopoDS_Face())",
        "crash",
    ),
    "the kernel's exception": (
        PLATE + "from OCP.Standard import Standard_Failure\nraise Standard_Failure('sandbox_error')",
        "exec_error",
    ),
    "a file written by the kernel": (
        PLATE + "from OCP.BRepTools import BRepTools\n"
        "if BRepTools.Write_s(plate.val().wrapped, '/tmp/scirl-x.brep'): result = plate\ndel plate",
        "no_result",
    ),
    "a file read by the kernel": (PLATE + "result = cq.importers.importStep('/etc/passwd')", "exec_error"),
}


def score(program: str, preset: str = "cad_rl") -> Score:
    [found] = make_rubric(None, CadOptions(wall_limit_s=4), preset, {}).verify([(TASK, program)])
    return found


@pytest.mark.parametrize(("program", "code"), FORGED.values(), ids=FORGED)
def test_no_program_is_paid_or_masked_for_what_it_forges(program: str, code: str) -> None:
    found = score(program)
    assert (found.status, found.value, found.measurements["code"]) == (Status.OK, 0.0, code), found
    assert score(DRILLED).value == pytest.approx(1.0)


TOPOLOGY = (
    "from OCP.BRep import BRep_Builder\nfrom OCP.TopAbs import TopAbs_INTERNAL\nfrom OCP.TopoDS import TopoDS_Solid\n"
)
DECOYS = {
    "a hole that is only drawn": PLATE
    + TOPOLOGY
    + "drill = cq.Workplane().circle(2.5).extrude(7.98).translate((0, 0, -3.99)).val()\n"
    "solid, builder = TopoDS_Solid(), BRep_Builder()\nbuilder.MakeSolid(solid)\n"
    "builder.Add(solid, plate.val().Shells()[0].wrapped)\n"
    "builder.Add(solid, drill.Shells()[0].wrapped.Oriented(TopAbs_INTERNAL))\nresult = cq.Solid(solid)",
    "a hole behind two films": PLATE + "result = plate.cut(cq.Workplane().cylinder(7.96, 2.5))",
    "half a hole from either side": PLATE + "for s in (1, -1):\n"
    "    half = cq.Workplane().cylinder(8, 2.5).intersect(cq.Workplane().box(9, 9, 4).translate((0, 4.5 * s, 2 * s)))\n"
    "    plate = plate.cut(half)\nresult = plate",
}


@pytest.mark.parametrize("program", DECOYS.values(), ids=DECOYS)
def test_a_decoy_does_not_pass_for_a_hole(program: str) -> None:
    # The hole is less than 1 % of the volume: what measures it is that it can be seen to be there and to be through.
    assert score(DRILLED, "strict").measurements["passed"]
    assert not score(program, "strict").measurements["passed"]


def test_a_part_that_reaches_far_for_its_volume_is_judged() -> None:
    arms = "for i in range(3):\n    s = [0.002] * 3\n    s[i] = 9e4\n    plate = plate.union(cq.Workplane().box(*s))\n"
    found = score(PLATE + arms + "result = plate")
    assert found.status is Status.OK
    assert found.components["iou"] == pytest.approx(0.992, abs=1e-3)


def test_an_overlap_that_crashes_the_meter_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    budgets = []

    class Pool:
        def run(self, jobs: list[Job]) -> list[Outcome]:
            budgets.extend(job.request["iou_budget_s"] for job in jobs)
            crashed = Outcome("sandbox_error", "the meter was ended by SIGSEGV", fault="sandbox")
            return [crashed if job.request["iou_budget_s"] else Outcome("ok", measurements={}) for job in jobs]

    monkeypatch.setattr(Workshop, "pool", Pool())
    task = Task("cad", TASK.prompt, reference={"spec": SPEC})
    [report] = Workshop(None, ("solid",), bare=True, iou_budget_s=3.0).measure([(task, DRILLED)])
    assert (report.code, budgets) == ("ok", [3.0, 0.0])
