"""Overlap: exact figures, the estimate, and exact values that are not believed."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("cadquery")

from domains.cad.kernel.booleans import common_volume, expected_seconds
from domains.cad.kernel.runner import run
from domains.cad.kernel.solids import Solids, read_brep, sound_solids

HEAD = "import cadquery as cq\nbox = lambda *s: cq.Workplane().box(*s)\n"


def solids(program: str) -> Solids:
    return sound_solids(read_brep(run(HEAD + program)), single=True)


CASES = {
    "shifted": ("result = box(10, 6, 4)", "result = box(10, 6, 4).translate((2, 0, 0))", 8 / 12),
    "inside": ("result = box(8, 8, 8)", "result = box(10, 10, 10)", 0.512),
    "cylinder in its box": ("result = cq.Workplane().cylinder(10, 5)", "result = box(10, 10, 10)", math.pi / 4),
    "touching": ("result = box(1, 1, 1)", "result = box(1, 1, 1).translate((1, 0, 0))", 0.0),
    "apart": ("result = box(1, 1, 1)", "result = box(1, 1, 1).translate((9, 9, 9))", 0.0),
    "boxes meet, bodies do not": (
        "result = box(1, 1, 1).translate((2.8, 2.8, 0))",
        "result = cq.Workplane().cylinder(1, 3)",
        0.0,
    ),
    "turned sphere": (
        "result = cq.Workplane().sphere(7)",
        "result = cq.Workplane().sphere(7).rotate((0, 0, 0), (1, 1, 0), 20)",
        1.0,
    ),
    "same": ("result = box(3, 2, 1).edges().fillet(0.2)", "result = box(3, 2, 1).edges().fillet(0.2)", 1.0),
    "twice as large": ("result = box(1, 1, 1)", "result = box(2, 2, 2)", 1 / 8),
}


@pytest.mark.parametrize(("part", "reference", "expected"), CASES.values(), ids=CASES)
def test_exact_overlaps(measured: Any, part: str, reference: str, expected: float) -> None:
    found = measured(HEAD + part, "iou", against=HEAD + reference)["iou"]
    assert found["value"] == pytest.approx(expected, abs=1e-6)
    assert (found["method"], found["error"]) == ("boolean", 0)


@pytest.mark.parametrize(("part", "reference", "expected"), CASES.values(), ids=CASES)
def test_without_a_budget_the_overlap_is_estimated(measured: Any, part: str, reference: str, expected: float) -> None:
    found = measured(HEAD + part, "iou", against=HEAD + reference, budget_s=0)["iou"]
    assert abs(found["value"] - expected) <= 5 * found["error"] + 0.003
    assert found["error"] < 0.01
    assert found["method"] == "points" or expected == 0


@pytest.mark.parametrize("shift", [5e-8, 2e-7, 1e-5])
def test_small_shifts_of_tiny_parts_are_seen(measured: Any, shift: float) -> None:
    part = "import cadquery as cq\nresult = cq.Solid.makeBox(0.001, 0.001, 0.001, cq.Vector({}, 0, 0))"
    found = measured(part.format(shift), "iou", against=part.format(0))["iou"]["value"]
    kept = 1 - shift / 0.001
    assert found == pytest.approx(kept / (2 - kept), abs=1e-7)


@pytest.mark.parametrize("budget_s", [5, 0])
def test_a_part_on_arms_of_90_metres_is_compared(measured: Any, budget_s: float) -> None:
    plate = "result = box(60, 40, 8)\n"
    arms = "for i in range(3):\n    s = [0.002] * 3\n    s[i] = 9e4\n    result = result.union(box(*s))\n"
    found = measured(HEAD + plate + arms, "iou", "frame", "aligned", against=HEAD + plate, budget_s=budget_s)
    assert found["iou"]["value"] == pytest.approx(1, abs=0.01)


def test_a_frame_of_wires_is_equal_to_itself(measured: Any) -> None:
    frame = "result = box(900, 0.1, 0.1).union(box(0.1, 900, 0.1)).union(box(0.1, 0.1, 900))"
    found = measured(HEAD + frame, "iou", against=HEAD + frame)["iou"]
    assert (found["value"], found["method"]) == (pytest.approx(1), "boolean")


def test_several_solids_are_compared_one_by_one(measured: Any) -> None:
    row = "result = cq.Workplane().pushPoints([(i, 0) for i in range({})]).box(1, 1, 1, combine=False)"
    found = measured(HEAD + row.format(3), "iou", against=HEAD + row.format(4), single=False)["iou"]
    assert (found["value"], found["method"]) == (pytest.approx(0.75), "boolean")


def test_a_wrong_exact_value_is_not_believed(measured: Any) -> None:
    # A sweep whose turns run into each other passes the kernel's check, but not through its booleans.
    coil = (
        "path = cq.Workplane(cq.Wire.makeHelix(0.5, 2, 10))\n"
        "result = cq.Workplane('XZ').center(10, 0).circle(0.6).sweep(path, isFrenet=True)"
    )
    sleeve = "result = cq.Workplane().circle(10.6).circle(9.4).extrude(3.2).translate((0, 0, -0.6))"
    claimed = common_volume(solids(coil), solids(sleeve))
    assert claimed is None or claimed < 100  # it is about 225 mm^3
    found = measured(HEAD + coil, "iou", against=HEAD + sleeve)["iou"]
    assert found["method"] == "points"
    assert found["value"] == pytest.approx(0.749, abs=0.01)


def test_a_wide_tolerance_in_the_reference_does_not_raise_the_score(measured: Any) -> None:
    loose = (
        "from OCP.ShapeFix import ShapeFix_ShapeTolerance\nresult = cq.Solid.makeBox(1, 1, 1)\n"
        "ShapeFix_ShapeTolerance().SetTolerance(result.wrapped, 0.4)"
    )
    found = measured(HEAD + "result = cq.Solid.makeBox(1, 1, 1, cq.Vector(0.3, 0.2, 0))", "iou", against=HEAD + loose)
    assert found["iou"]["value"] == pytest.approx(0.56 / 1.44, abs=0.01)


def test_what_takes_long_is_expected_to() -> None:
    plate = "result = box({0}, {0}, 10).faces('>Z').workplane().rarray(11, 11, {1}, {1}).hole(5).translate({2})"
    few, few_moved, many, many_moved = (
        solids(plate.format(11 * n + 10, n, place)) for n in (2, 9) for place in ((0, 0, 0), (1.3, 0.7, 0.2))
    )
    assert expected_seconds(few, few_moved) < 0.2 < 0.5 < expected_seconds(many, many_moved) < 5
