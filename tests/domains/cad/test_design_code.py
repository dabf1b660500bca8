"""Designs to programs: the text of common ones, and odd ones built by the kernel against the kernel-free solids."""

from __future__ import annotations

import ast
import math

import numpy as np
import pytest

from domains.cad.analytic import solids_of
from domains.cad.design import parse_design
from domains.cad.design_code import design_to_code

ODD = {
    "corner frame, holes from three sides": """base: box x=20 y=30 z=10 at (5,-3,2) corner
hole: d=4 through at (10,5)
hole: d=3 depth=5 axis=y at (12,7)
hole: d=3 depth=4 axis=x at (3,8)
hole: d=2 through at (20,20)""",
    "lying cylinder": """base: cylinder d=20 h=30 axis=x at (0,0,0)
hole: d=5 depth=8 at (10,0)
hole: d=5 depth=8 axis=x at (0,0)
hole: d=5 depth=3 axis=y at (20,0)""",
    "ring cut, cylinder along y": """base: cylinder d=20 h=30 axis=y at (1,2,3)
add: box x=4 y=4 z=20 at (1,10,3) corner
hole: d=2 through at (3,12)
cut: ring outer=16 inner=10 h=40 at (0,0,0)""",
    "pointed top": """base: revolve (0,0) (10,0) (6,8) (0,12)
hole: d=2 through at (1,1)
hole: d=2 depth=5 axis=y at (0,2)
hole: d=3 through n=3 circle=10""",
    "prism with slots": """base: prism w=12 (0,0) (20,0) (10,15)
hole: d=3 through axis=y at (10,5)
hole: d=3 depth=3 at (10,0)
slot: x=8 y=2 at (4,4) (4,-4)""",
    "hexagon": """base: hexagon flats=20 h=10 at (3,0,0)
hole: d=3 through axis=x at (0,5)
hole: d=3 depth=4 axis=y at (3,5)
cut: hexagon flats=6 h=2 at (3,0,0)
add: box x=5 y=5 z=3 r=1 at (9,0,9) centred""",
    "top cut off": """base: box x=40 y=30 z=20 at (0,0,0) centred
shell: t=2 open=top
cut: box x=50 y=50 z=5 at (0,0,15) centred
hole: d=4 through at (5,5)
slot: x=2 y=6 at (-8,0)
hole: d=4 through axis=x n=2x1 pitch=10""",
}


def test_a_bracket_in_words_of_cadquery() -> None:
    design = """base: box x=60 y=40 z=8 at (0,0,0) centred
add: box x=8 y=40 z=30 r=2 at (-26,0,0) centred
hole: d=5 through n=6 circle=30
hole: d=5 depth=4 axis=x at (0,20)"""
    assert design_to_code(parse_design(design)) == (
        "import cadquery as cq\n\n"
        'result = cq.Workplane("XY").rect(60, 40).extrude(8)\n'
        'result = result.union(cq.Workplane("XY", origin=(-26, 0, 0)).rect(8, 40).extrude(30).edges("|Z").fillet(2))\n'
        'result = result.faces(">Z").workplane().polarArray(30 / 2, 0, 360, 6).hole(5)\n'
        'result = result.faces(">X").workplane(origin=(0, 0, 0)).pushPoints([(0, 20)]).hole(5, 4)\n'
    )


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_programs_parse(text: str) -> None:
    last = ast.parse(design_to_code(parse_design(text))).body[-1]
    assert isinstance(last, ast.Assign)
    assert ast.unparse(last.targets[0]) == "result"


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_kernel_and_kernel_free_solids_agree(text: str) -> None:
    cq = pytest.importorskip("cadquery")
    design = parse_design(text)
    names: dict = {}
    exec(design_to_code(design), names)
    built, own = names["result"].val(), solids_of(design)
    assert built.isValid()
    low, high = own.bounds
    points = np.random.default_rng(3).uniform(low, high, (50_000, 3))
    inside = own.contains(points)
    kernel = [any(solid.isInside(cq.Vector(*point), 1e-9) for solid in built.Solids()) for point in points[:200]]
    assert kernel == inside[:200].tolist()
    room, share = float(np.prod(high - low)), inside.mean()
    assert abs(built.Volume() - share * room) < 4 * room * math.sqrt(share * (1 - share) / len(points))
    if own.volume is not None:
        assert built.Volume() == pytest.approx(own.volume, rel=1e-9)
