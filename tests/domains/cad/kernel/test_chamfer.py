"""Chamfer distance: closed cases, the floor, and what each convention forgives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy")

from domains.cad.kernel.chamfer import squared_chamfer, surface_points
from domains.cad.kernel.mesh import Mesh


def test_two_points() -> None:
    assert squared_chamfer(np.array([[0.0, 0, 0]]), np.array([[3.0, 4, 0]])) == 50


def test_a_set_is_no_distance_from_itself() -> None:
    points = np.random.default_rng(0).random((100, 3))
    assert squared_chamfer(points, points[::-1]) == 0


def test_both_directions_count() -> None:
    assert squared_chamfer(np.array([[0.0, 0, 0]]), np.array([[0.0, 0, 0], [0, 0, 2]])) == 2


def test_points_are_spread_by_area() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5], [3, 0, 5], [0, 3, 5]], dtype=float)
    points = surface_points(Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5]])), 20_000, np.random.default_rng(1))
    above = points[:, 2] > 2.5
    assert above.mean() == pytest.approx(0.9, abs=0.01)
    assert np.allclose(points[above].mean(axis=0), [1, 1, 5], atol=0.03)


BOX = "import cadquery as cq\nresult = cq.Workplane().box({}, {}, {})"


def test_a_cube_against_itself_is_at_the_floor(measured: Any) -> None:
    pytest.importorskip("cadquery")
    found = measured(BOX.format(1, 1, 1), "chamfer", against=BOX.format(1, 1, 1))["chamfer"]
    assert found["convention"] == "cadrille"
    assert found["floor"] == pytest.approx(0.45, abs=0.03)
    assert found["value"] == pytest.approx(found["floor"], rel=0.05)


def test_sizes_and_places_count_in_the_shared_frame_alone(measured: Any) -> None:
    pytest.importorskip("cadquery")
    moved = BOX.format(20, 10, 6) + ".translate((10, 0, 0))"
    found = measured(moved, "chamfer", against=BOX.format(10, 5, 3))["chamfer"]
    assert found["own_box"] == pytest.approx(found["floor"], rel=0.1)
    assert found["value"] > 100 * found["floor"]
    small = measured(BOX.format(1, 0.5, 0.3), "chamfer", against=BOX.format(1, 0.5, 0.3))["chamfer"]
    large = measured(BOX.format(100, 50, 30), "chamfer", against=BOX.format(100, 50, 30))["chamfer"]
    assert small["floor"] == pytest.approx(large["floor"], rel=0.05)
