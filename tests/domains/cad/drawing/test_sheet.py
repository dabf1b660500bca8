"""The sheet of four views: what is where, one scale, and the same bytes for the same mesh."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from domains.cad.drawing.sheet import sheet_png
from domains.cad.drawing.triangles import TriangleMesh

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def box(x: float, y: float, z: float) -> TriangleMesh:
    corners = np.array([[x * a, y * b, z * c] for a, b, c in itertools.product((0, 1), repeat=3)])
    triangles = [part for a, b, c, d in FACES for part in ((a, b, c), (a, c, d))]
    return TriangleMesh(corners, np.array(triangles))


def dark(png: bytes) -> NDArray[np.bool_]:
    picture = np.asarray(Image.open(io.BytesIO(png)))
    assert picture.shape == (336, 336, 3)
    return np.asarray(picture.min(axis=2) < 250)


def extent(quarter: NDArray[np.bool_]) -> tuple[int, int]:
    rows, columns = np.nonzero(quarter)
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def test_top_front_and_right_view_stand_at_one_scale() -> None:
    inked = dark(sheet_png(box(80, 40, 20)))
    # 168 pixels less a twentieth on either side hold the longest side: 80 mm are 151 pixels, and outlines lie around.
    assert extent(inked[:168, 168:]) == pytest.approx((151, 75.6), abs=3)
    assert extent(inked[168:, :168]) == pytest.approx((151, 37.8), abs=3)
    assert extent(inked[168:, 168:]) == pytest.approx((75.6, 37.8), abs=3)
    assert max(extent(inked[:168, :168])) == pytest.approx(151, abs=3)
    assert not inked[[0, 167, 168, 335]].any()
    assert not inked[:, [0, 167, 168, 335]].any()


def test_the_same_part_gives_the_same_bytes_and_another_one_others() -> None:
    assert sheet_png(box(80, 40, 20)) == sheet_png(box(80, 40, 20)) != sheet_png(box(80, 40, 21))
