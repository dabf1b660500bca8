"""Intersection over union of two parts as they stand: exact where the kernel can be believed, else by columns.

    IoU = inter / (va + vb - inter),   0 <= inter <= min(va, vb) (1 + 1e-6)

Kernels return wrong volumes without saying so, on purpose (a solid that crosses itself) or by accident, so the exact
value counts only if a quick estimate with columns agrees; see `columns` for the estimate.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from domains.cad.kernel.booleans import common_volume, expected_seconds
from domains.cad.kernel.columns import Estimate, OpenSurfaceError, estimate_overlap
from domains.cad.kernel.part import Part
from domains.cad.kernel.tessellation import DRAWN, MEASURED, Fineness

QUICK_COLUMNS, FULL_COLUMNS = 1_000, 20_000
QUICK_SLACK, FULL_SLACK = 0.02, 0.005
"""How far the exact value may lie from an estimate beyond four standard errors: meshes are off by about this much."""


@dataclass(frozen=True)
class Overlap:
    """An intersection over union.

    Attributes:
        value: in [0, 1].
        method: "boolean" (exact) or "points" (estimated on seeded columns).
        error: standard error of the estimate; 0 when exact.
        seconds: what it took.
    """

    value: float
    method: Literal["boolean", "points"]
    error: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return it as the meter reports it."""
        return {"value": self.value, "method": self.method, "error": self.error, "seconds": self.seconds}


def overlap(a: Part, b: Part, budget_s: float, seed: int) -> Overlap:
    """Return the intersection over union of two parts.

    Args:
        a: the part, in the frame of the reference.
        b: the reference.
        budget_s: seconds the exact operation may be expected to take; above, and for meshes, the value is estimated.
        seed: of the estimate.

    Raises:
        OpenSurfaceError: the mesh of the part (or of both, where an estimate is all there is) is not closed.

    Example: a 10 x 6 x 4 mm box against itself shifted by 2 mm along x gives 8 / 12.
    """
    started = time.perf_counter()
    if _apart(a, b):
        return Overlap(0.0, "boolean", 0.0, time.perf_counter() - started)
    exact = _exact(a, b, budget_s)
    if exact is not None and _confirmed(exact, a, b, seed):
        return Overlap(exact, "boolean", 0.0, time.perf_counter() - started)
    estimate = estimated(a, b, MEASURED, FULL_COLUMNS, seed)
    return Overlap(estimate.value, "points", estimate.error, time.perf_counter() - started)


def estimated(a: Part, b: Part, fineness: Fineness, count: int, seed: int, thin: bool = False) -> Estimate:
    """Return the overlap by columns; `thin` uses only those along the shortest side of the joint box.

    Raises:
        OpenSurfaceError: a surface is not closed.
    """
    size = np.maximum(a.bounds[1], b.bounds[1]) - np.minimum(a.bounds[0], b.bounds[0])
    axes = (int(np.argmin(size)),) if thin else (0, 1, 2)
    return estimate_overlap(a.mesh(fineness), b.mesh(fineness), count, seed, axes)


def _apart(a: Part, b: Part) -> bool:
    return bool((a.bounds[0] >= b.bounds[1]).any() or (b.bounds[0] >= a.bounds[1]).any())


def _exact(a: Part, b: Part, budget_s: float) -> float | None:
    if a.solids is None or b.solids is None or budget_s <= 0 or expected_seconds(a.solids, b.solids) > budget_s:
        return None
    common = common_volume(a.solids, b.solids)
    return None if common is None else common / (a.volume + b.volume - common)


def _confirmed(exact: float, a: Part, b: Part, seed: int) -> bool:
    """Whether a quick estimate agrees, or else a full one; a reference that cannot be meshed leaves nothing to ask."""
    checks = ((DRAWN, QUICK_COLUMNS, QUICK_SLACK, True), (MEASURED, FULL_COLUMNS, FULL_SLACK, False))
    for fineness, count, slack, thin in checks:
        try:
            estimate = estimated(a, b, fineness, count, seed, thin)
        except OpenSurfaceError as error:
            if error.body == 0:
                raise
            return True
        if abs(exact - estimate.value) <= slack + 4 * estimate.error:
            return True
    return False
