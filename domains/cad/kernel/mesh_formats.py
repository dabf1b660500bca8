"""Meshes as bytes: STL in and out, GLB and NumPy archives out; nothing here touches a file or the kernel."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
from numpy.typing import NDArray

from domains.cad.kernel.mesh import Mesh

_STL_HEADER = 84
_STL_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])

# glTF 2.0 is in metres with Y up; parts are in millimetres with Z up. Column-major, as glTF writes matrices.
_TO_GLTF = [0.001, 0, 0, 0, 0, 0, -0.001, 0, 0, 0.001, 0, 0, 0, 0, 0, 1]


def read_stl(content: bytes) -> Mesh:
    """Return the mesh of an STL file, binary or ASCII, with equal corners made one vertex.

    A closed mesh whose triangles all face inwards is turned: STL files in the wild have both kinds.

    Raises:
        ValueError: the bytes are no STL file, hold no triangle, or a coordinate is not finite.
    """
    corners = _read_binary(content) if _is_binary(content) else _read_ascii(content)
    if not len(corners):
        raise ValueError("STL: holds no triangle")
    if not np.isfinite(corners).all():
        raise ValueError("STL: a coordinate is not a finite number")
    vertices, number = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    triangles = number.reshape(-1, 3).astype(np.int64)
    flat = (triangles == np.roll(triangles, 1, axis=1)).any(axis=1)
    if flat.all():
        raise ValueError("STL: every triangle has two equal corners")
    mesh = Mesh(vertices, triangles[~flat])
    return mesh.flipped() if mesh.volume < 0 else mesh


def stl_bytes(mesh: Mesh) -> bytes:
    """Return the mesh as a binary STL file."""
    corners = mesh.corners
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facets = np.zeros(len(corners), _STL_FACET)
    facets["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    facets["corners"] = corners
    return b"binary STL, mm".ljust(80) + struct.pack("<I", len(corners)) + facets.tobytes()


def npz_bytes(mesh: Mesh) -> bytes:
    """Return the mesh as a NumPy archive: `vertices` [V, 3] float32 in mm, `triangles` [T, 3] int32."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, vertices=mesh.vertices.astype("<f4"), triangles=mesh.triangles.astype("<i4"))
    return buffer.getvalue()


def glb_bytes(mesh: Mesh) -> bytes:
    """Return the mesh as a binary glTF 2.0 file, in metres with Y up as that format asks."""
    positions = mesh.vertices.astype("<f4")
    indices = mesh.triangles.astype("<u4").ravel()
    points, order = positions.tobytes(), indices.tobytes()
    scene = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "matrix": _TO_GLTF}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [0.6, 0.65, 0.7, 1], "metallicFactor": 0.1}}],
        "buffers": [{"byteLength": len(points) + len(order)}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(points), "target": 34962},
            {"buffer": 0, "byteOffset": len(points), "byteLength": len(order), "target": 34963},
        ],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": len(positions),
                "type": "VEC3",
                "min": positions.min(axis=0).tolist(),
                "max": positions.max(axis=0).tolist(),
            },
            {"bufferView": 1, "componentType": 5125, "count": len(indices), "type": "SCALAR"},
        ],
    }
    text = json.dumps(scene, separators=(",", ":")).encode()
    chunks = _glb_chunk(b"JSON", text, b" ") + _glb_chunk(b"BIN\0", points + order, b"\0")
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _glb_chunk(kind: bytes, content: bytes, filler: bytes) -> bytes:
    padded = content + filler * (-len(content) % 4)
    return struct.pack("<I4s", len(padded), kind) + padded


def _is_binary(content: bytes) -> bool:
    # An ASCII file starts with "solid", but so do some binary ones: the length alone tells them apart.
    if len(content) < _STL_HEADER:
        return False
    (count,) = struct.unpack_from("<I", content, 80)
    return len(content) == _STL_HEADER + count * _STL_FACET.itemsize


def _read_binary(content: bytes) -> NDArray[np.float64]:
    return np.frombuffer(content, _STL_FACET, offset=_STL_HEADER)["corners"].astype(np.float64)


def _read_ascii(content: bytes) -> NDArray[np.float64]:
    words = content.split()
    if not words or words[0].lower() != b"solid":
        raise ValueError("STL: neither a binary file of the length it states nor an ASCII one that starts with 'solid'")
    starts = [index for index, word in enumerate(words) if word.lower() == b"vertex"]
    try:
        points = [[float(words[index + 1 + axis]) for axis in range(3)] for index in starts]
    except (ValueError, IndexError):
        raise ValueError("STL: a vertex is not followed by three numbers") from None
    if len(points) % 3:
        raise ValueError(f"STL: {len(points)} vertices do not make triangles")
    return np.array(points, dtype=np.float64).reshape(-1, 3, 3)
