"""Kernel-free solids: exact volumes, membership of points, overlap within its standard error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from domains.cad.analytic import Csg, overlap, solids_of
from domains.cad.design import parse_design
from domains.cad.plane_regions import Polygon, Rounded


def solids(text: str) -> Csg:
    return solids_of(parse_design(text))


def sampled_volume(csg: Csg, points: int = 200_000) -> tuple[float, float]:
    low, high = csg.bounds
    share = csg.contains(np.random.default_rng(7).uniform(low, high, (points, 3))).mean()
    room = float(np.prod(high - low))
    return share * room, room * math.sqrt(share * (1 - share) / points)


CUBE = "base: box x=10 y=10 z=10 at (0,0,0) centred"


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("base: box x=40 y=30 z=5 at (0,0,0) centred\nhole: d=8 through at (0,0)", 6000 - 80 * math.pi),
        # The card's flange: disc 80 x 8, hub 40 x 20 above it, bore 25, 8 holes of 6.
        (
            "base: cylinder d=80 h=8 at (0,0,0)\nadd: cylinder d=40 h=20 at (0,0,8)\nhole: d=25 through at (0,0)\n"
            "hole: d=6 through n=8 circle=60",
            math.pi * (1600 * 8 + 400 * 20 - 12.5**2 * 28 - 9 * 8 * 8),
        ),
        (f"{CUBE}\nadd: box x=10 y=10 z=10 at (5,0,5) centred", 2000 - 5 * 10 * 5),
        (f"{CUBE}\nadd: box x=10 y=10 z=10 at (20,0,5) centred", 2000),
        (f"{CUBE}\ncut: box x=20 y=4 z=4 at (0,0,0) centred\ncut: box x=4 y=20 z=4 at (0,0,0) centred", 1000 - 256),
        (f"{CUBE}\nhole: d=2 through at (0,0)\nhole: d=4 through at (0,0)", 1000 - 40 * math.pi),
        (f"{CUBE}\nhole: d=2 depth=3 at (0,0)\nhole: d=2 depth=4 axis=y at (0,3)", 1000 - 7 * math.pi),
        (f"{CUBE}\nslot: x=8 y=2 at (0,3) (0,-3)", 1000 - 2 * (12 + math.pi) * 10),
        ("base: box x=20 y=10 z=5 r=2 at (1,2,3) corner\nshell: t=1 open=top",
         (200 - (4 - math.pi) * 4) * 5 - (18 * 8 - (4 - math.pi)) * 4),
        ("base: hexagon flats=10 h=4 at (0,0,0)\nhole: d=6 through at (0,0)", 4 * (50 * math.sqrt(3) - 9 * math.pi)),
        ("base: revolve (0,0) (6,0) (0,9)", math.pi * 36 * 9 / 3),
        ("base: prism w=4 (0,0) (6,0) (0,9)\nhole: d=2 through axis=y at (2,2)", 4 * (27 - math.pi)),
        ("base: cylinder d=20 h=10 at (0,0,0)\ncut: ring outer=16 inner=8 h=4 at (0,0,6)\n"
         "hole: d=3 through n=4 circle=12",
         math.pi * (1000 - (64 - 16) * 4 - 4 * 2.25 * 6)),
    ],
)  # fmt: skip
def test_exact_volumes(text: str, volume: float) -> None:
    assert solids(text).volume == pytest.approx(volume, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        f"{CUBE}\nhole: d=4 through at (5,0)",
        f"{CUBE}\nhole: d=4 through at (0,0)\nhole: d=4 through axis=x at (0,5)",
        f"{CUBE}\nhole: d=4 through at (-1,0) (1,0)",
        "base: revolve (0,0) (6,0) (0,9)\nhole: d=2 through at (0,0)",
        "base: prism w=4 (0,0) (9,0) (9,9) (5,2)\nhole: d=2 through axis=y at (6,1)",
    ],
)
def test_what_has_no_simple_form_has_no_volume(text: str) -> None:
    assert solids(text).volume is None


@pytest.mark.parametrize(
    "text",
    [
        "base: box x=20 y=10 z=5 r=3 at (1,2,3) corner\nhole: d=4 depth=2 at (11,7)",
        "base: cylinder d=20 h=10 axis=x at (1,2,3)\nhole: d=3 depth=4 axis=x at (2,3)",
        "base: cylinder d=20 h=10 axis=y at (1,2,3)\nhole: d=3 depth=4 axis=y at (1,3)",
        "base: revolve (4,0) (9,0) (9,3) (6,5)",
        "base: prism w=4 (0,0) (9,0) (9,9) (5,2)",
        "base: hexagon flats=10 h=4 at (2,3,4)",
        "base: ring outer=10 inner=6 h=4 at (2,3,4)",
        "base: box x=20 y=10 z=5 r=3 at (0,0,0) centred\nshell: t=1 open=top\nhole: d=2 through n=2x1 pitch=6",
    ],
)
def test_points_agree_with_exact_volumes(text: str) -> None:
    csg = solids(text)
    estimate, error = sampled_volume(csg)
    assert csg.volume is not None
    assert abs(estimate - csg.volume) < 4 * error


def test_bounds() -> None:
    assert solids("base: hexagon flats=10 h=4 at (2,3,4)").bounds[1] == pytest.approx([7, 3 + 10 / math.sqrt(3), 8])
    assert solids("base: cylinder d=4 h=10 axis=y at (1,2,3)").bounds.tolist() == [[-1, 2, 1], [3, 12, 5]]
    assert solids("base: revolve (0,0) (6,0) (0,9)").bounds.tolist() == [[-6, -6, 0], [6, 6, 9]]


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        ("base: box x=10 y=6 z=4 at (2,0,0) centred", 8 / 12),
        ("base: box x=10 y=6 z=4 at (0,0,0) centred", 1.0),
        ("base: box x=10 y=6 z=4 at (10,0,0) centred", 0.0),
        ("base: box x=10 y=6 z=2 at (0,0,1) centred", 0.5),
    ],
)
def test_overlap(other: str, iou: float) -> None:
    found = overlap(solids("base: box x=10 y=6 z=4 at (0,0,0) centred"), solids(other))
    assert abs(found.value - iou) <= 4 * found.error
    assert found.error < 0.005
    assert (found.error == 0) == (iou in (0, 1))


def test_a_cylinder_in_its_box_overlaps_by_a_quarter_of_pi() -> None:
    box, cylinder = solids(CUBE), solids("base: cylinder d=10 h=10 at (0,0,0)")
    found = overlap(box, cylinder, points=100_000)
    assert abs(found.value - math.pi / 4) < 4 * found.error
    assert overlap(box, cylinder, seed=1) != overlap(box, cylinder, seed=2)
    assert overlap(box, cylinder, seed=1) == overlap(box, cylinder, seed=1)


def test_regions_hold_each_other() -> None:
    disc, square, triangle = Rounded(0, 0, 10, 10, 5), Rounded(0, 0, 7, 7), Polygon(((-5, -4), (5, -4), (0, 6)))
    assert disc.holds(square)
    assert not disc.holds(Rounded(0, 0, 7.2, 7.2))
    assert disc.holds(Rounded(0, 0, 7.2, 7.2, 1))
    assert Rounded(0, 0, 10, 10).holds(disc)
    assert not Rounded(0, 0, 9.9, 10).holds(disc)
    assert triangle.holds(Rounded(0, -1, 4, 4, 2))
    assert not triangle.holds(Rounded(0, 1, 6, 6, 3))
    assert not Polygon(((0, 0), (9, 0), (9, 9), (5, 2))).holds(Rounded(8, 1, 1, 1))
