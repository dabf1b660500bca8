"""A part on one small sheet: isometric, top, front and right view, two by two on white, as a policy is shown it.

Top, front and right view have one scale, the isometric view fills its quarter. The same mesh gives the same bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from domains.cad.drawing.shading import png_bytes, render
from domains.cad.drawing.triangles import TriangleMesh
from domains.cad.drawing.view import FRONT, ISOMETRIC, RIGHT, TOP

QUARTER = 168
"""Side of one view in pixels: the sheet of 336 x 336 is 12 x 12 = 144 tokens of Qwen2-VL (28 x 28 pixels a token)."""

WHITE = 255


def sheet_png(mesh: TriangleMesh, quarter: int = QUARTER) -> bytes:
    """Return the sheet of a part as a PNG file of 2 `quarter` x 2 `quarter` pixels in RGB.

    The order is isometric, top (first row), front, right (second row).

    Raises:
        UserError: a mesh or size that `render` refuses.
    """
    welded = mesh.welded()
    cube = _cube(welded)
    views = [
        render(welded.vertices, welded.triangles, quarter, quarter, view, frame=None if view is ISOMETRIC else cube)
        for view in (ISOMETRIC, TOP, FRONT, RIGHT)
    ]
    first, second = np.concatenate(views[:2], axis=1), np.concatenate(views[2:], axis=1)
    return png_bytes(_on_white(np.concatenate([first, second])))


def _cube(mesh: TriangleMesh) -> NDArray[np.float64]:
    """The corners [2, 3] of the cube around the middle of a part's box that holds it."""
    low, high = mesh.box
    half = np.max(high - low) / 2
    middle = (low + high) / 2
    return np.stack([middle - half, middle + half])


def _on_white(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a picture [h, w, 4] on white: [h, w, 3]."""
    opacity = image[..., 3:].astype(np.float64) / 255
    return np.rint(image[..., :3] * opacity + WHITE * (1 - opacity)).astype(np.uint8)
