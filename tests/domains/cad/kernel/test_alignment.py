"""Aligned overlap: a moved and turned part is found again, and how it was turned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("cadquery")

from domains.cad.kernel.alignment import cube_rotations

ELL = (
    "import cadquery as cq\n"
    "result = cq.Workplane().polyline([(0,0),(30,0),(30,6),(8,6),(8,20),(0,20)]).close().extrude(5)"
)


def test_the_rotations_are_the_24_of_a_cube_and_start_with_none() -> None:
    turns = cube_rotations()
    assert len({turn.tobytes() for turn in turns}) == 24
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3))
    assert np.allclose(np.linalg.det(turns), 1)
    assert np.array_equal(turns[0], np.eye(3))


@pytest.mark.parametrize("number", [0, 7, 23])
def test_a_part_in_a_wrong_frame_is_recognised(measured: Any, number: int) -> None:
    import math

    turn = cube_rotations()[number].T  # the part is turned back by the rotation that is found
    angle = math.degrees(math.acos((np.trace(turn) - 1) / 2))
    values, vectors = np.linalg.eig(turn)
    axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    if not np.allclose(_rotation(axis, angle), turn):
        axis = -axis
    move = f"\nresult = result.rotate((0, 0, 0), {tuple(map(float, axis))}, {angle}).translate((70, -20, 9))"
    found = measured(ELL + (move if number else ""), "iou", "aligned", against=ELL)
    assert found["aligned"]["value"] == pytest.approx(1, abs=1e-5)
    assert found["aligned"]["rotation"] == number
    assert found["iou"]["value"] == pytest.approx(0 if number else 1, abs=1e-6)


def test_a_mirrored_part_is_not_the_part(measured: Any) -> None:
    # An L seen from behind is turned over; one with a step on top is not.
    step = "\nresult = result.union(cq.Workplane().box(6, 4, 9, centered=False))"
    found = measured(ELL + step + "\nresult = result.mirror('YZ')", "aligned", against=ELL + step)
    assert found["aligned"]["value"] < 0.97


def test_a_wrong_size_is_not_forgiven(measured: Any) -> None:
    cube = "import cadquery as cq\nresult = cq.Workplane().box({0}, {0}, {0})"
    assert measured(cube.format(8), "aligned", against=cube.format(10))["aligned"]["value"] == pytest.approx(0.512)


def _rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    radians = np.radians(angle)
    cross = np.cross(np.eye(3), axis)
    return np.eye(3) - np.sin(radians) * cross + (1 - np.cos(radians)) * cross @ cross
