"""Overlap by columns: exact cases, its standard error, gaps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.cad.kernel.columns import OpenSurfaceError, estimate_overlap
from domains.cad.kernel.mesh import Mesh

CORNERS = st.tuples(*[st.floats(-5, 5)] * 3)
SIZES = st.tuples(*[st.floats(1, 8)] * 3)


def box(size: tuple[float, ...], place: tuple[float, ...] = (0, 0, 0)) -> Mesh:
    unit = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return Mesh(unit * size + place, np.array([corner for a, b, c, d in quads for corner in ((a, b, c), (a, c, d))]))


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.triangles + start for mesh, (start, _) in zip(meshes, pairwise(starts), strict=True)]),
    )


@settings(max_examples=25)
@given(CORNERS, SIZES, CORNERS, SIZES)
def test_boxes_agree_with_the_closed_form(
    first: tuple[float, ...], size: tuple[float, ...], second: tuple[float, ...], other: tuple[float, ...]
) -> None:
    low, high = np.maximum(first, second), np.minimum(np.add(first, size), np.add(second, other))
    inter = float(np.prod(np.maximum(high - low, 0)))
    exact = inter / (np.prod(size) + np.prod(other) - inter)
    found = estimate_overlap(box(size, first), box(other, second), 6_000, seed=3)
    assert abs(found.value - exact) <= 5 * found.error + 2e-3


def test_equal_bodies_overlap_completely_without_error() -> None:
    found = estimate_overlap(box((3, 2, 1)), box((3, 2, 1)), 500, seed=0)
    assert found.value == pytest.approx(1, abs=1e-12)
    assert found.error < 1e-12


def test_the_standard_error_is_that_of_repeated_estimates() -> None:
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    a, b = box((4, 3, 2), (-2, -1.5, -1)), box((4, 3, 2), (-2, -1.5, -1)).moved(turn, np.array([0.3, 0.1, 0.4]))
    found = [estimate_overlap(a, b, 900, seed) for seed in range(60)]
    spread = np.std([one.value for one in found], ddof=1)
    assert 0.6 < np.mean([one.error for one in found]) / spread < 1.7


def test_a_body_that_reaches_far_for_its_volume_is_still_estimated() -> None:
    arms = [box(tuple(9e4 if i == axis else 2e-3 for i in range(3)), (60, 40, 8)) for axis in range(3)]
    plate, reaching = box((60, 40, 8)), joined(box((60, 40, 8)), *arms)
    for axes in ((0, 1, 2), (2,)):
        assert estimate_overlap(reaching, plate, 1_000, seed=1, axes=axes).value == pytest.approx(1, abs=1e-3)
        half = estimate_overlap(reaching, box((30, 40, 8)), 1_000, seed=1, axes=axes)
        assert abs(half.value - 0.5) <= 5 * half.error + 1e-3
        assert estimate_overlap(joined(*arms), plate, 1_000, seed=1, axes=axes).value == 0


def test_bodies_too_thin_to_be_met_leave_all_open() -> None:
    rods = joined(*[box(tuple(1e3 if i == axis else 1e-3 for i in range(3))) for axis in range(3)])
    assert estimate_overlap(rods, rods, 1_000, seed=1).error == 1


def test_shells_that_overlap_count_once() -> None:
    twice = joined(box((2, 1, 1)), box((2, 1, 1), (1, 0, 0)))
    assert twice.volume == pytest.approx(4)
    assert estimate_overlap(twice, box((3, 1, 1)), 900, seed=0).value == pytest.approx(1, abs=1e-9)


def test_a_cavity_is_empty() -> None:
    hollow = joined(box((3, 3, 3)), box((1, 1, 1), (1, 1, 1)).flipped())
    found = estimate_overlap(hollow, box((3, 3, 3)), 3_000, seed=0)
    assert found.value == pytest.approx(26 / 27, abs=5 * found.error + 1e-9)


@pytest.mark.parametrize("body", [0, 1])
def test_a_surface_with_a_gap_is_named(body: int) -> None:
    whole = box((1, 2, 3))
    broken = Mesh(whole.vertices, whole.triangles[2:])
    with pytest.raises(OpenSurfaceError, match="find a gap") as caught:
        estimate_overlap(*((broken, whole) if body == 0 else (whole, broken)), 600, seed=0)
    assert caught.value.body == body


def test_one_seed_gives_one_value() -> None:
    a, b = box((4, 3, 2)), box((4, 3, 2), (0.3, 0.2, 0.1))
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    values = [estimate_overlap(a.moved(turn, np.zeros(3)), b, 300, seed).value for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]
