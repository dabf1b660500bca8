"""Meshes whose every number is known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from domains.cad.drawing.triangles import TriangleMesh

QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
"""Faces of a box by its corners (binary x, y, z), counter-clockwise seen from outside: -X, +X, -Y, +Y, -Z, +Z."""

MakeBox = Callable[..., TriangleMesh]


def box_mesh(low: tuple[float, float, float], high: tuple[float, float, float]) -> TriangleMesh:
    """Return a box whose faces do not share vertices, as kernels tessellate: 24 vertices, 12 triangles."""
    corners = np.array(
        [[(low, high)[bit][axis] for axis, bit in enumerate(bits)] for bits in product((0, 1), repeat=3)]
    )
    vertices = corners[np.array(QUADS).ravel()]
    triangles = [(4 * face + a, 4 * face + b, 4 * face + c) for face in range(6) for a, b, c in ((0, 1, 2), (0, 2, 3))]
    return TriangleMesh(vertices, np.array(triangles))


def joined(*meshes: TriangleMesh) -> TriangleMesh:
    """Return several meshes as one."""
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return TriangleMesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.triangles + offset for mesh, offset in zip(meshes, offsets, strict=False)]),
    )


def torus_mesh(around: int, across: int) -> TriangleMesh:
    """Return a torus of radii 30 and 10 about Z, of 2 * around * across triangles with shared vertices."""
    u, v = np.meshgrid(np.arange(around) * 2 * np.pi / around, np.arange(across) * 2 * np.pi / across, indexing="ij")
    reach = 30 + 10 * np.cos(v)
    points = np.stack([reach * np.cos(u), reach * np.sin(u), 10 * np.sin(v)], axis=-1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(around), np.arange(across), indexing="ij")

    def number(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a % around) * across + b % across

    a, b, c, d = number(i, j), number(i + 1, j), number(i + 1, j + 1), number(i, j + 1)
    return TriangleMesh(points, np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3))


@pytest.fixture(scope="session")
def box() -> MakeBox:
    return box_mesh


@pytest.fixture(scope="session")
def torus() -> MakeBox:
    return torus_mesh


@pytest.fixture(scope="session")
def join() -> MakeBox:
    return joined
