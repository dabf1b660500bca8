"""Reference programs in the CAD kernel: closed forms hold to 1e-9, and the part meets every assertion of its spec."""

from __future__ import annotations

import random

import pytest

from domains.cad.checking import check
from domains.cad.parts.catalogue import FAMILIES, make_part
from domains.cad.parts.family import REGIONS

PARTS = 20


@pytest.mark.parametrize("name", FAMILIES)
def test_closed_forms_hold_in_the_kernel(name: str) -> None:
    pytest.importorskip("cadquery")
    from domains.cad.kernel.meter import measure
    from domains.cad.kernel.runner import run

    rng = random.Random(f"kernel {name}")
    request = {"reference": None, "want": ["solid", "holes"], "seed": 0, "iou_budget_s": 5.0, "single": True}
    for index in range(PARTS):
        part = make_part(name, rng, REGIONS[index % 3])
        measured, _ = measure(run(part.code), request, ())
        solid = measured["solid"]
        assert solid["valid"]
        assert solid["volume"] == pytest.approx(part.spec.volume, rel=1e-9)
        assert solid["box"] == pytest.approx(part.spec.box, rel=1e-9)
        assert solid["box_min"][2] == pytest.approx(0, abs=1e-9)
        assert [a for a in check(part.spec, measured) if not a.met] == []
