"""Shaded pictures of a mesh: Lambert's law, a depth buffer of numpy arrays, and darker lines where the surface breaks.

    image = render(mesh.vertices, mesh.triangles, 400, 300)
    html = f'<img src="data:image/png;base64,{base64.b64encode(png_bytes(image)).decode()}">'

A triangle covers a span of samples in each row, so a picture costs one array element per covered sample, however long
and thin the triangles of a drilled face are.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from domains.cad.drawing.triangles import TriangleMesh
from domains.cad.drawing.view import ISOMETRIC, View
from sciRL.errors import UserError

STEEL = (143, 176, 209)
MARGIN_SHARE = 0.05
SAMPLES = 2
"""Samples along each side of a pixel."""

AMBIENT, KEY, HEAD = 0.30, 0.47, 0.23
KEY_LIGHT = np.array([-0.30, 0.50, 0.81]) / np.linalg.norm([-0.30, 0.50, 0.81])
"""Towards the key light (right, up, towards the viewer): in the isometric view, top, left and right differ in tone."""

CREASE_COSINE = float(np.cos(np.radians(30.0)))
"""Neighbouring facets that turn by more are two faces: a line is drawn between them, and shading breaks."""

EDGE_TONE = 0.15
MOST_MATES = 40
LARGEST_SIDE = 4096

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def render(
    vertices: NDArray[np.floating],
    triangles: NDArray[np.integer],
    width: int = 400,
    height: int = 300,
    view: View = ISOMETRIC,
    colour: tuple[int, int, int] = STEEL,
    *,
    smooth: bool = True,
    frame: NDArray[np.floating] | None = None,
) -> NDArray[np.uint8]:
    """Return a picture [height, width, 4] (red, green, blue, opacity) of a mesh on a clear ground.

    Args:
        vertices: [V, 3] in mm.
        triangles: [T, 3] vertex numbers; both sides are lit.
        width, height: in pixels, 1 to 4096.
        view: orthographic, Z up.
        colour: of the lit surface, 0 to 255.
        smooth: whether tones run on over facets that share vertices and turn by less than 30 degrees.
        frame: corners [2, 3] of the box in mm that fills the picture, for pictures of one scale; by default the
            mesh fills it.

    Raises:
        UserError: a mesh that `TriangleMesh` refuses, or a size outside the limits.
    """
    mesh = TriangleMesh(np.asarray(vertices), np.asarray(triangles))
    if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
        raise UserError(f"picture: width and height must be 1 to {LARGEST_SIDE}; found {width} x {height}")
    wide, high = width * SAMPLES, height * SAMPLES
    seen = mesh.vertices @ view.axes().T
    seen = _to_samples(seen, seen[mesh.triangles.ravel()] if frame is None else _corners(frame, view), wide, high)
    corners = seen[mesh.triangles]
    normals = _facing(corners)
    at_corners = _corner_normals(mesh.triangles, normals) if smooth else np.repeat(normals[:, None], 3, axis=1)
    tones = _tones(at_corners)
    depth_plane, tone_plane = _planes(corners, corners[:, :, 2]), _planes(corners, tones)
    owner, depth = _nearest(corners, depth_plane, wide, high)
    shade = _shade(owner, tone_plane, tones, wide)
    lines = _lines(owner.reshape(high, wide), depth.reshape(high, wide), normals, depth_plane)
    shade = np.where(lines.ravel(), np.minimum(shade, EDGE_TONE), shade)
    return _averaged(shade, (owner >= 0) | lines.ravel(), width, height, colour)


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """Return an image [height, width, 3 or 4] as a PNG file (ISO/IEC 15948; each row is stored as it is, filter 0).

    Raises:
        UserError: another shape or type.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or not image.size:
        raise UserError(f"picture: must be uint8 of shape [height, width, 3 or 4]; found {image.dtype} {image.shape}")
    height, width, channels = image.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _corners(box: NDArray[np.floating], view: View) -> Floats:
    """The eight corners of a box as seen from `view` [8, 3]."""
    choice = np.indices((2, 2, 2)).reshape(3, 8).T
    return np.take_along_axis(np.asarray(box, dtype=np.float64), choice, axis=0) @ view.axes().T


def _to_samples(points: Floats, frame: Floats, wide: int, high: int) -> Floats:
    """Move and scale points (right, up, near) so that `frame` fills the picture; y then runs down the rows."""
    low, top = frame.min(axis=0), frame.max(axis=0)
    extent = np.maximum(top - low, 1e-9)
    room = 1.0 - 2.0 * MARGIN_SHARE
    scale = min(room * wide / extent[0], room * high / extent[1])
    middle = (low + top) / 2
    moved = (points - middle) * scale
    return np.stack([wide / 2 + moved[:, 0], high / 2 - moved[:, 1], moved[:, 2]], axis=1)


def _facing(corners: Floats) -> Floats:
    """Unit normals [T, 3] (right, up, near), turned towards the viewer, of triangles in samples (y down)."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * [1.0, -1.0, 1.0]
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return np.asarray(normal * np.where(normal[:, 2:] < 0, -1.0, 1.0))


def _tones(normals: Floats) -> Floats:
    """Brightness in 0 ... 1 of normals [..., 3] (right, up, near) under the ambient, key and head light."""
    return np.asarray(AMBIENT + KEY * np.maximum(0.0, normals @ KEY_LIGHT) + HEAD * np.maximum(0.0, normals[..., 2]))


def _corner_normals(triangles: NDArray[np.int32], normals: Floats) -> Floats:
    """Normals [T, 3, 3] at corners: the mean over the facets at the vertex that turn by less than 30 degrees."""
    vertex = triangles.ravel()
    order = np.argsort(vertex, kind="stable")
    facets = np.bincount(vertex)
    start, degree = (np.cumsum(facets) - facets)[vertex[order]], facets[vertex[order]]
    # Around a hub of very many facets the pairs would be too many, and each facet's own normal serves as well.
    mates = np.where(degree <= MOST_MATES, degree, 0)
    one = np.repeat(order, mates)
    two = order[np.repeat(start, mates) + _counted(mates)]
    near = (normals[one // 3] * normals[two // 3]).sum(axis=1) > CREASE_COSINE
    sums = [np.bincount(one[near], weights=normals[two[near] // 3, axis], minlength=len(vertex)) for axis in range(3)]
    mean = np.stack(sums, axis=1)
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    own = np.repeat(normals, 3, axis=0)
    return np.where(length > 0, mean / np.maximum(length, 1e-12), own).reshape(-1, 3, 3)


def _planes(corners: Floats, values: Floats) -> Floats:
    """Rows (a, b, c) with value = a + b x + c y over each triangle, from its values at the corners [T, 3]."""
    (x0, y0), (x1, y1), (x2, y2) = (corners[:, corner, :2].T for corner in range(3))
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    area = np.where(np.abs(area) < 1e-9, np.inf, area)
    u, v = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    b = (u * (y2 - y0) - v * (y1 - y0)) / area
    c = (v * (x1 - x0) - u * (x2 - x0)) / area
    return np.stack([values[:, 0] - b * x0 - c * y0, b, c], axis=1)


def _counted(counts: Ints) -> Ints:
    """0 ... n - 1 for each n of `counts`, one after another: [2, 3] gives [0, 1, 0, 1, 2]."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)


def _nearest(corners: Floats, planes: Floats, wide: int, high: int) -> tuple[Ints, Floats]:
    """The nearest triangle (-1 for none) and its depth at every sample, row by row [high * wide]."""
    triangle, row, first, count = _spans(corners, wide, high)
    span = np.repeat(np.arange(len(row)), count)
    column = first[span] + _counted(count)
    a, b, c = planes[triangle].T
    depth = ((a + c * (row + 0.5))[span] + b[span] * (column + 0.5)).astype(np.float32)
    sample = row[span] * wide + column
    nearest = np.full(wide * high, -np.inf, dtype=np.float32)
    np.maximum.at(nearest, sample, depth)
    wins = depth == nearest[sample]
    owner = np.full(wide * high, -1)
    # Of triangles that are equally near, the one with the larger number stays, always.
    owner[sample[wins]] = triangle[span[wins]]
    return owner, nearest.astype(np.float64)


def _spans(corners: Floats, wide: int, high: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Runs of sample centres inside triangles: triangle, row, first column and length of each, lengths >= 1."""
    lowest, highest = _extremes(corners[:, :, 1])
    first_row = np.clip(np.ceil(lowest - 0.5), 0, high).astype(np.int64)
    end_row = np.clip(np.ceil(highest - 0.5), 0, high).astype(np.int64)
    rows = np.maximum(0, end_row - first_row)
    triangle = np.repeat(np.arange(len(corners)), rows)
    row = first_row[triangle] + _counted(rows)
    centre = row + 0.5
    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for tail, head in ((0, 1), (1, 2), (2, 0)):
        (x0, y0), (x1, y1) = corners[:, tail, :2].T, corners[:, head, :2].T
        rise = y1 - y0
        slope = (x1 - x0) / np.where(rise == 0, 1.0, rise)
        crosses = (np.minimum(y0, y1)[triangle] <= centre) & (centre < np.maximum(y0, y1)[triangle])
        x = x0[triangle] + slope[triangle] * (centre - y0[triangle])
        left = np.where(crosses, np.minimum(left, x), left)
        right = np.where(crosses, np.maximum(right, x), right)
    found = right >= left
    first = np.clip(np.ceil(np.where(found, left, 0.0) - 0.5), 0, wide).astype(np.int64)
    end = np.clip(np.ceil(np.where(found, right, 0.0) - 0.5), 0, wide).astype(np.int64)
    kept = end > first
    return triangle[kept], row[kept], first[kept], (end - first)[kept]


def _shade(owner: Ints, planes: Floats, tones: Floats, wide: int) -> Floats:
    """Brightness at every sample, 0 where there is no surface."""
    shade = np.zeros(len(owner))
    covered = np.flatnonzero(owner >= 0)
    triangle = owner[covered]
    a, b, c = planes[triangle].T
    value = a + b * (covered % wide + 0.5) + c * (covered // wide + 0.5)
    # A sample centre may lie a hair outside the corners, where a thin triangle's plane shoots up.
    darkest, lightest = _extremes(tones)
    shade[covered] = np.clip(value, darkest[triangle], lightest[triangle])
    return shade


def _extremes(values: Floats) -> tuple[Floats, Floats]:
    """The smallest and the largest of three columns [n, 3], several times faster than reductions over a short axis."""
    a, b, c = values.T
    return np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)


def _lines(owner: Ints, depth: Floats, normals: Floats, planes: Floats) -> NDArray[np.bool_]:
    """Samples [high, wide] on either side of a crease, a step in depth or an outline."""
    lines = np.zeros(owner.shape, dtype=bool)
    for axis in (0, 1):
        before = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        after = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
        one, two = owner[before], owner[after]
        differ = one != two
        breaks = differ & ((one < 0) | (two < 0))
        pair = np.nonzero(differ & ~breaks)
        first, second = one[pair], two[pair]
        folded = (normals[first] * normals[second]).sum(axis=1) < CREASE_COSINE
        rise = depth[after][pair] - depth[before][pair]
        slopes = planes[:, 2 if axis == 0 else 1]
        # Neither surface reaches the other within two samples: one passes behind.
        stepped = np.minimum(np.abs(rise - slopes[first]), np.abs(rise - slopes[second])) > 2.0
        breaks[pair] = folded | stepped
        lines[before] |= breaks
        lines[after] |= breaks
    return lines


def _averaged(
    shade: Floats, covered: NDArray[np.bool_], width: int, height: int, colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Pixels as means of their samples; the opacity is the covered share."""
    share = _block_means(covered.astype(np.float64), width, height)
    light = _block_means(shade * covered, width, height) / np.maximum(share, 1e-9)
    image = np.empty((height, width, 4), dtype=np.uint8)
    for channel, full in enumerate(colour):
        image[..., channel] = np.rint(np.clip(full * light, 0, 255))
    image[..., 3] = np.rint(255 * share)
    return image


def _block_means(samples: Floats, width: int, height: int) -> Floats:
    grid = samples.reshape(height * SAMPLES, width * SAMPLES)
    rows = np.add.reduce([grid[offset::SAMPLES] for offset in range(SAMPLES)])
    return np.asarray(np.add.reduce([rows[:, offset::SAMPLES] for offset in range(SAMPLES)]) / SAMPLES**2)
