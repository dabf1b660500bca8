"""The runner: which object of a program is its part, and what is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("cadquery")

import cadquery as cq

from domains.cad.kernel.runner import run
from domains.cad.kernel.solids import read_brep, volume_of
from sciRL.verification.sandbox.failure import ScriptFailure

HEAD = "import cadquery as cq\ndef cube(s): return cq.Workplane().box(s, s, s)\n"


def volume(program: str) -> float:
    return round(volume_of(read_brep(run(HEAD + program))), 6)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("result = cube(2)\nsolid = cube(3)", 8),
        ("part = cube(3)\nsolid = cube(2)", 8),
        ("r = 4.0\nbody = cube(2)", 8),
        ("r = 4.0\npart = cube(2)", 8),
        ("show_object(cube(2), name='x')\ncq.exporters.export(cube(3), 'x.stl')", 8),
        ("show_object(cube(3))\nshow_object(obj=cube(2))", 8),
        ("debug(cube(3))\nother = cube(2)", 8),
        ("from cadquery import exporters\nexporters.export(cube(2), 'x.step')\nother = cube(3)", 8),
        ("from cadquery.occ_impl.exporters import export\nexport(cube(2), 'x.step')", 8),
        ("x = cube(3)\ny = cube(4)\nx = cube(2)", 8),
        ("for s in (1, 2):\n    x = cube(s)\ny = x.faces('>Z')", 8),
        ("result = cube(2).val()", 8),
        ("result = cq.Workplane().pushPoints([(0, 0), (9, 0)]).box(2, 2, 2, combine=False)", 16),
        ("result = cq.Assembly().add(cube(2)).add(cube(2), loc=cq.Location((9, 0, 0)))", 16),
        ("result: cq.Workplane = cube(2)", 8),
        ("if __name__ == '__main__':\n    result = cube(2)", 8),
        (
            "from dataclasses import dataclass\n@dataclass\nclass Size:\n    s: float = 2.0\nresult = cube(Size().s)",
            8,
        ),
    ],
)
def test_the_part_of_a_program(program: str, expected: float) -> None:
    assert volume(program) == expected


@pytest.mark.parametrize(
    "call",
    [
        "part.export('x.step')",
        "part.val().exportStep('x.step')",
        "part.val().exportStl('x.stl')",
        "part.val().exportBrep('x.brep')",
        "cq.Assembly(part).save('x.step')",
        "cq.Assembly(part).export('x.step')",
        "cq.exporters.export(w=part, fname='x.svg')",
    ],
)
def test_exports_write_nothing(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert volume(f"part = cube(2)\n{call}") == 8
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("result = (", "syntax"),
        ("result = '\0'", "syntax"),
        ("x = 1", "no_result"),
        ("", "no_result"),
        ("result = 5", "not_a_shape"),
        ("result = None\npart = cube(2)", "not_a_shape"),
        ("result = cq.Sketch().rect(1, 1)", "not_a_shape"),
        ("result = cq.Workplane().rect(1, 1)", "not_a_shape"),
        ("result = cube(2).faces('>Z')", "not_a_shape"),
        ("result = cube(2).faces('>Z').val()", "not_a_shape"),
        ("result = cq.Edge.makeLine((0, 0, 0), (1, 0, 0))", "not_a_shape"),
        ("result = cube(1).cut(cube(2))", "not_a_shape"),
        ("result = cq.Workplane()", "not_a_shape"),
        ("class Shape:\n    wrapped = cube(2).val().wrapped\nresult = Shape()", "not_a_shape"),
        ("result = cube(2)\nimport sys\nsys.exit(0)", "exit"),
        ("raise SystemExit", "exit"),
    ],
)
def test_what_is_no_part(program: str, code: str) -> None:
    with pytest.raises(ScriptFailure) as failure:
        run(HEAD + program)
    assert failure.value.code == code


def test_a_program_s_own_exception_comes_through_with_its_line() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run("a = 1\nb = a / 0")
    assert caught.traceback[-1].lineno == 1
    assert str(caught.traceback[-1].frame.code.raw.co_filename) == "<script>"


def test_nothing_stays_patched() -> None:
    before = (cq.exporters.export, cq.Workplane.export, sys.modules["__main__"])
    run(HEAD + "result = cube(1)\ncq.exporters.export(result, 'x.stl')")
    assert (cq.exporters.export, cq.Workplane.export, sys.modules["__main__"]) == before


def test_names_of_one_program_are_unknown_to_the_next() -> None:
    run(HEAD + "secret = cube(1)")
    with pytest.raises(NameError):
        run("result = secret")
