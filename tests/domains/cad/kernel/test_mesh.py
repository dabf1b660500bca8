"""Meshes: closed forms, file formats, broken files."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.cad.kernel.mesh import Mesh
from domains.cad.kernel.mesh_formats import glb_bytes, npz_bytes, read_stl, stl_bytes

SIZES = st.tuples(*[st.floats(1 / 64, 1e3, width=32)] * 3)
PLACES = st.tuples(*[st.floats(-1e3, 1e3, width=32)] * 3)


def box_mesh(size: tuple[float, ...], place: tuple[float, ...] = (0, 0, 0)) -> Mesh:
    """A box with one corner at `place`, twelve triangles that face outwards."""
    unit = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [corners for a, b, c, d in quads for corners in ((a, b, c), (a, c, d))]
    return Mesh(unit * size + place, np.array(triangles))


@given(SIZES, PLACES)
def test_a_box_has_its_closed_forms(size: tuple[float, ...], place: tuple[float, ...]) -> None:
    mesh = box_mesh(size, place)
    x, y, z = size
    assert mesh.volume == pytest.approx(x * y * z, rel=1e-6)
    assert mesh.area == pytest.approx(2 * (x * y + y * z + z * x), rel=1e-6)
    assert np.allclose(mesh.centre, np.array(place) + np.array(size) / 2, atol=1e-6 * max(1, *np.abs(place), *size))
    assert mesh.is_closed


def test_a_box_without_a_triangle_is_open() -> None:
    mesh = box_mesh((1, 2, 3))
    assert not Mesh(mesh.vertices, mesh.triangles[1:]).is_closed


def test_facing_inwards_makes_the_volume_negative() -> None:
    assert box_mesh((1, 2, 3)).flipped().volume == pytest.approx(-6)


@given(SIZES)
def test_binary_stl_comes_back(size: tuple[float, ...]) -> None:
    back = read_stl(stl_bytes(box_mesh(size)))
    assert len(back.vertices) == 8
    assert len(back.triangles) == 12
    assert back.volume == pytest.approx(float(np.prod(size)), rel=1e-5)


def test_an_stl_that_faces_inwards_is_turned() -> None:
    assert read_stl(stl_bytes(box_mesh((1, 1, 1)).flipped())).volume == pytest.approx(1)


def test_ascii_stl_is_read() -> None:
    facets = "".join(
        "facet normal 0 0 0\n outer loop\n"
        + "".join(f"  vertex {x} {y} {z}\n" for x, y, z in corners)
        + " endloop\nendfacet\n"
        for corners in box_mesh((2, 3, 4)).corners.tolist()
    )
    assert read_stl(f"solid box\n{facets}endsolid box\n".encode()).volume == pytest.approx(24)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a binary file"),
        (b"not a mesh at all", "neither a binary file"),
        (b"solid empty\nendsolid empty\n", "holds no triangle"),
        (b"solid x\nvertex 1 2\n", "three numbers"),
        (b"solid x\nvertex 1 2 3\nvertex 1 2 3\n", "do not make triangles"),
        (b"solid x\n" + b"vertex nan 0 0\n" * 3, "not a finite number"),
        (b"solid x\n" + b"vertex 1 0 0\n" * 3, "two equal corners"),
        (stl_bytes(box_mesh((1, 1, 1)))[:-1], "neither a binary file"),
    ],
)
def test_broken_stl_says_what_is_wrong(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_stl(content)


@given(st.binary(max_size=300))
def test_random_bytes_are_no_stl_and_say_so(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^STL"):
        read_stl(content)


def test_npz_holds_float32_vertices_and_int32_triangles() -> None:
    with np.load(io.BytesIO(npz_bytes(box_mesh((1, 2, 3))))) as stored:
        assert stored["vertices"].dtype == np.float32
        assert stored["triangles"].dtype == np.int32
        assert stored["triangles"].shape == (12, 3)


def test_glb_chunks_add_up_and_the_part_stands_up_in_metres() -> None:
    content = glb_bytes(box_mesh((10, 20, 30)))
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    scene = json.loads(content[20 : 20 + size])
    assert kind == b"JSON"
    assert size % 4 == 0
    assert scene["accessors"][0]["max"] == [10, 20, 30]
    matrix = np.array(scene["nodes"][0]["matrix"]).reshape(4, 4).T
    assert np.allclose(matrix @ [10, 20, 30, 1], [0.01, 0.03, -0.02, 1])
    binary, _ = struct.unpack_from("<I4s", content, 20 + size)
    assert scene["buffers"][0]["byteLength"] <= binary
