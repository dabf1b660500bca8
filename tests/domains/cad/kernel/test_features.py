"""Holes and bosses: diameters, axes, middles, depths; what looks round and is neither."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("cadquery")

HEAD = "import cadquery as cq\n"
PLATE = HEAD + "result = cq.Workplane().box(60, 40, 8).faces('>Z').workplane()"


def test_a_through_hole(measured: Any) -> None:
    (hole,) = measured(PLATE + ".center(10, -5).hole(6)", "holes")["holes"]
    assert hole["d"] == pytest.approx(6)
    assert hole["axis"] == pytest.approx([0, 0, 1])
    assert hole["position"] == pytest.approx([10, -5, 0], abs=1e-9)
    assert (hole["depth"], hole["through"]) == (pytest.approx(8), True)


def test_a_blind_hole(measured: Any) -> None:
    (hole,) = measured(PLATE + ".hole(6, 5)", "holes")["holes"]
    assert (hole["depth"], hole["through"]) == (pytest.approx(5), False)
    assert hole["position"] == pytest.approx([0, 0, 1.5], abs=1e-9)


def test_a_drilled_hole_with_a_cone_is_blind(measured: Any) -> None:
    program = (
        PLATE + ".hole(6, 4)\ncone = cq.Solid.makeCone(3, 0, 1.8, pnt=cq.Vector(0, 0, 0), dir=cq.Vector(0, 0, -1))"
    )
    (hole,) = measured(program + "\nresult = result.cut(cq.Workplane(cone))", "holes")["holes"]
    assert (hole["depth"], hole["through"]) == (pytest.approx(4), False)


def test_a_counterbore_is_two_holes_on_one_axis(measured: Any) -> None:
    holes = measured(PLATE + ".pushPoints([(-20, 0), (20, 0)]).cboreHole(5, 9, 3)", "holes")["holes"]
    assert [round(hole["d"], 6) for hole in holes] == [5, 5, 9, 9]
    assert [hole["through"] for hole in holes] == [True, True, False, False]
    assert [round(hole["depth"], 6) for hole in holes] == [5, 5, 3, 3]
    assert [hole["coaxial"] for hole in holes] == [0, 1, 0, 1]


def test_a_countersunk_hole_is_through(measured: Any) -> None:
    (hole,) = measured(PLATE + ".cskHole(5, 10, 82)", "holes")["holes"]
    assert (hole["d"], hole["through"]) == (pytest.approx(5), True)


def test_a_grid_of_holes(measured: Any) -> None:
    holes = measured(PLATE + ".rarray(15, 12, 3, 2).hole(4)", "holes")["holes"]
    found = sorted(tuple(round(x, 6) + 0.0 for x in hole["position"][:2]) for hole in holes)
    assert found == [(x, y) for x in (-15.0, 0.0, 15.0) for y in (-6.0, 6.0)]


def test_a_hole_across_a_tube_is_one_in_each_wall(measured: Any) -> None:
    tube = HEAD + (
        "result = cq.Workplane().circle(10).circle(8).extrude(30)"
        ".cut(cq.Workplane('YZ').center(0, 15).circle(2).extrude(20, both=True))"
    )
    holes = measured(tube, "holes")["holes"]
    assert [round(hole["d"], 6) for hole in holes] == [4, 4, 16]
    assert holes[0]["axis"] == pytest.approx([1, 0, 0])
    assert all(hole["through"] for hole in holes)


@pytest.mark.parametrize("turn", [0, 90, 180, 37])
def test_a_hole_cut_into_halves_is_still_one(measured: Any, turn: float) -> None:
    program = HEAD + (
        "halves = [cq.Workplane().circle(10).extrude(5).cut(cq.Workplane().circle(4).extrude(5))"
        ".intersect(cq.Workplane().box(30, 15, 30).translate((0, s * 7.5, 0))) for s in (1, -1)]\n"
        f"result = halves[0].union(halves[1]).rotate((0, 0, 0), (0, 0, 1), {turn})"
    )
    found = measured(program, "holes")
    assert [(round(hole["d"], 6), hole["through"]) for hole in found["holes"]] == [(8, True)]
    assert [round(boss["d"], 6) for boss in found["bosses"]] == [20]


@pytest.mark.parametrize(
    "program",
    [
        ".slot2D(20, 6).cutThruAll()",
        ".rect(20, 10).cutBlind(-3).edges('|Z').fillet(1)",
        ".polygon(6, 12).cutThruAll()",
        ".pushPoints([(30, 0)]).hole(10)",
    ],
    ids=["slot", "rounded pocket", "hexagon", "notch in the rim"],
)
def test_what_is_no_round_hole(measured: Any, program: str) -> None:
    assert measured(PLATE + program, "holes")["holes"] == []


@pytest.mark.parametrize(("low", "high"), [(-3.98, 3.98), (-3.97, 9), (-3.9999, 9), (-9, 3.998)])
def test_a_hole_behind_a_film_is_not_through(measured: Any, low: float, high: float) -> None:
    drill = f"cq.Workplane().circle(2.5).extrude({high - low}).translate((0, 0, {low}))"
    (hole,) = measured(HEAD + f"result = cq.Workplane().box(60, 40, 8).cut({drill})", "holes")["holes"]
    assert not hole["through"]


def test_two_half_holes_one_above_the_other_are_none(measured: Any) -> None:
    program = HEAD + (
        "drill = cq.Workplane().circle(2.5).extrude(8).translate((0, 0, -4))\n"
        "halves = [drill.intersect(cq.Workplane().box(9, 9, 4).translate((0, s * 4.5, s * 2))) for s in (1, -1)]\n"
        "result = cq.Workplane().box(60, 40, 8).cut(halves[0]).cut(halves[1])"
    )
    assert measured(program, "holes")["holes"] == []


def test_a_shaft_has_bosses_and_no_holes(measured: Any) -> None:
    found = measured(
        HEAD + "result = cq.Workplane('XZ').circle(10).extrude(20).faces('<Y').workplane().circle(6).extrude(15)",
        "holes",
    )
    assert found["holes"] == []
    assert [(round(boss["d"], 6), round(boss["depth"], 6)) for boss in found["bosses"]] == [(12, 15), (20, 20)]
    assert {boss["coaxial"] for boss in found["bosses"]} == {0}


def test_the_axis_of_a_slanted_hole(measured: Any) -> None:
    program = HEAD + (
        "drill = cq.Workplane().cylinder(100, 2).rotate((0, 0, 0), (1, 0, 0), 30)\n"
        "result = cq.Workplane().box(40, 40, 10).cut(drill)"
    )
    (hole,) = measured(program, "holes")["holes"]
    assert hole["axis"] == pytest.approx([0, -0.5, math.sqrt(0.75)], abs=1e-9)
    assert hole["position"] == pytest.approx([0, 0, 0], abs=0.02)
    assert hole["through"]


def test_mirrored_and_turned_parts_keep_their_holes(measured: Any) -> None:
    for move in (".mirror('YZ')", ".mirror('XY')", ".rotate((0, 0, 0), (1, 0, 0), 180)"):
        found = measured(PLATE + ".center(10, 5).hole(6, 5)\nresult = result" + move, "holes")
        assert [(round(hole["d"], 6), hole["through"]) for hole in found["holes"]] == [(6, False)]
        assert found["bosses"] == []
