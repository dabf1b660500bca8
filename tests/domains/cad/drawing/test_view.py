"""Views are right-handed, and named as engineers name them."""

from __future__ import annotations

import numpy as np
import pytest

from domains.cad.drawing.view import FRONT, ISOMETRIC, TOP, View


@pytest.mark.parametrize("view", [ISOMETRIC, TOP, FRONT, View("any", 123.0, -40.0)])
def test_axes_are_a_rotation(view: View) -> None:
    axes = view.axes()
    assert np.allclose(axes @ axes.T, np.eye(3))
    assert np.linalg.det(axes) == pytest.approx(1.0)


def test_named_views() -> None:
    assert np.allclose(TOP.axes(), np.eye(3))
    assert np.allclose(FRONT.axes(), [[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    right, up, towards = ISOMETRIC.axes()
    assert np.allclose(towards, np.array([1, -1, 1]) / np.sqrt(3))
    assert right[2] == 0
    assert up[2] > 0
    # Isometric: the three axes are shortened equally.
    assert np.allclose(np.hypot(right, up), np.sqrt(2 / 3))
