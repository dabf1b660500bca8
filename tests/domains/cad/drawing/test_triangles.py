"""Meshes for drawing: what is refused, what welding joins, and that thinning keeps to its budget and to the shape."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.cad.drawing.triangles import TriangleMesh
from sciRL.errors import UserError


def volume(mesh: TriangleMesh) -> float:
    a, b, c = (mesh.vertices[mesh.triangles[:, corner]].astype(float) for corner in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def test_box_and_bytes(box) -> None:
    mesh = box((0, 0, 0), (4, 3, 2))
    assert mesh.box.tolist() == [[0, 0, 0], [4, 3, 2]]
    assert mesh.size_bytes == mesh.vertices.nbytes + mesh.triangles.nbytes == 12 * (24 + 12)


def test_the_box_is_of_used_vertices_only(box) -> None:
    mesh = box((0, 0, 0), (4, 3, 2))
    stray = TriangleMesh(np.concatenate([mesh.vertices, [[1e6, 0, 0]]]), mesh.triangles)
    assert stray.box[1].tolist() == [4, 3, 2]


def test_welding_joins_faces_and_keeps_the_way_round(box) -> None:
    mesh = box((0, 0, 0), (4, 3, 2))
    welded = mesh.welded()
    assert len(welded.vertices) == 8
    assert len(welded.triangles) == 12
    assert volume(welded) == pytest.approx(24.0) == volume(mesh)


@pytest.mark.parametrize(("budget", "tolerance"), [(60_000, 0.03), (20_000, 0.12), (6_000, 0.3)])
def test_thinning_keeps_to_the_budget_and_near_the_shape(torus, budget: int, tolerance: float) -> None:
    mesh = torus(80, 40)
    thin = mesh.thinned(budget)
    assert thin.size_bytes <= budget < mesh.size_bytes
    assert volume(thin) == pytest.approx(volume(mesh), rel=tolerance)
    assert np.abs(thin.box - mesh.box).max() < 2.0


def test_a_small_mesh_is_not_thinned(box) -> None:
    assert len(box((0, 0, 0), (1, 1, 1)).thinned(10_000).triangles) == 12


def test_a_budget_for_nothing_is_refused(torus) -> None:
    with pytest.raises(UserError, match="40 bytes"):
        torus(20, 10).thinned(40)


def test_npz_round_trip(box) -> None:
    mesh, content = box((0, 0, 0), (4, 3, 2)), io.BytesIO()
    np.savez(content, vertices=mesh.vertices, triangles=mesh.triangles)
    again = TriangleMesh.from_npz(content.getvalue())
    assert np.array_equal(again.vertices, mesh.vertices)
    assert np.array_equal(again.triangles, mesh.triangles)


@given(st.binary(max_size=300))
def test_other_bytes_are_a_user_error(content: bytes) -> None:
    with pytest.raises(UserError):
        TriangleMesh.from_npz(content)


def test_npz_without_triangles_is_a_user_error() -> None:
    content = io.BytesIO()
    np.savez(content, vertices=np.zeros((3, 3)))
    with pytest.raises(UserError, match="triangles"):
        TriangleMesh.from_npz(content.getvalue())


@pytest.mark.parametrize(
    ("vertices", "triangles", "said"),
    [
        (np.zeros((3, 2)), [[0, 1, 2]], r"vertices .*\(3, 2\)"),
        (np.zeros((3, 3)), np.zeros((0, 3), int), "n >= 1"),
        (np.zeros((3, 3)), [[0.0, 1.0, 2.0]], "integers"),
        (np.full((3, 3), np.nan), [[0, 1, 2]], "finite"),
        (np.zeros((3, 3)), [[0, 1, 3]], "0 to 2; found 3"),
        (np.zeros((3, 3)), [[-1, 1, 2]], "found -1"),
    ],
)
def test_bad_meshes_are_refused(vertices: np.ndarray, triangles: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        TriangleMesh(vertices, np.array(triangles))


@settings(max_examples=40)
@given(
    st.lists(st.tuples(*[st.floats(-1e5, 1e5, width=32)] * 3), min_size=3, max_size=12),
    st.lists(st.tuples(*[st.integers(0, 11)] * 3), min_size=1, max_size=20),
    st.integers(100, 400),
)
def test_any_mesh_is_thinned_or_refused(points: list, corners: list, budget: int) -> None:
    mesh = TriangleMesh(np.array(points), np.array(corners) % len(points))
    try:
        size = mesh.thinned(budget).size_bytes
    except UserError:
        # One triangle takes 48 bytes, so only meshes that fall flat on the way are refused.
        size = 0
    assert size <= budget
