"""The meter: what it reports, whose fault a failure is, and that all of it is JSON."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cadquery")

from OCP.Standard import Standard_Failure

from domains.cad.kernel import meter
from domains.cad.kernel.mesh_formats import read_stl
from domains.cad.kernel.meter import FILES, MEASURES, measure
from domains.cad.kernel.runner import run
from sciRL.errors import UserError
from sciRL.verification.sandbox.failure import ScriptFailure

PLATE = "import cadquery as cq\nresult = cq.Workplane().box(40, 30, 5).faces('>Z').workplane().hole(8)"
REQUEST = {"want": ["solid"], "reference": None, "single": True, "seed": 0, "iou_budget_s": 5.0}


def test_everything_is_plain_json_and_the_reference_is_measured_alike(measured: Any) -> None:
    found = measured(PLATE, *MEASURES, against=PLATE)
    del found["files"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["reference"]["solid"] == found["solid"]
    assert found["reference"]["holes"] == found["holes"]
    assert set(found) == {*MEASURES, "bosses", "reference", "blobs"}


def test_only_what_is_wanted_is_measured(measured: Any) -> None:
    assert set(measured(PLATE, "holes")) == {"holes", "bosses", "blobs", "files"}


def test_files_come_in_the_order_asked_for(measured: Any) -> None:
    found = measured(PLATE, *reversed(list(FILES)))
    assert found["blobs"] == list(reversed(list(FILES)))
    files = found["files"]
    assert read_stl(files["stl"]).volume == pytest.approx(5748.67, rel=2e-3)
    assert files["glb"].startswith(b"glTF")
    with np.load(io.BytesIO(files["mesh"])) as stored:
        assert stored["triangles"].max() < len(stored["vertices"])


@pytest.mark.parametrize("kind", ["brep", "step", "stl"])
def test_a_part_s_own_files_serve_as_its_reference(measured: Any, kind: str) -> None:
    content = measured(PLATE, kind)["files"][kind]
    found = measured(PLATE, "solid", "iou", "aligned", "chamfer", against=(kind, content))
    assert found["iou"]["value"] == pytest.approx(1, abs=3e-3 if kind == "stl" else 1e-9)
    assert found["iou"]["method"] == ("points" if kind == "stl" else "boolean")
    assert found["aligned"]["value"] == pytest.approx(1, abs=3e-3 if kind == "stl" else 1e-6)
    assert found["chamfer"]["value"] < 1.2 * found["chamfer"]["floor"]
    assert found["reference"]["solid"]["volume"] == pytest.approx(5748.67, rel=2e-3)


def test_an_stl_with_a_cavity_is_one_body(measured: Any) -> None:
    hollow = "import cadquery as cq\nresult = cq.Workplane().box(9, 9, 9).cut(cq.Workplane().box(3, 3, 3))"
    reference = measured(hollow, against=("stl", measured(hollow, "stl")["files"]["stl"]))["reference"]["solid"]
    assert (reference["n_solids"], reference["valid"]) == (1, True)
    assert reference["volume"] == pytest.approx(729 - 27)


@pytest.mark.parametrize(
    ("reference", "blob", "message"),
    [
        ({"kind": "obj", "blob": 0}, b"", "kind: found 'obj'"),
        ({"kind": "stl", "blob": 0}, b"", "STL"),
        ({"kind": "step", "blob": 0}, b"nonsense", "no STEP file"),
        ({"kind": "brep", "blob": 0}, b"nonsense", "no B-rep"),
    ],
)
def test_a_broken_reference_is_our_failure(reference: dict[str, Any], blob: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        measure(run(PLATE), REQUEST | {"reference": reference}, (blob,))


def test_a_reference_that_encloses_nothing_is_our_failure(measured: Any) -> None:
    flat = b"solid x\n" + b"vertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\n" + b"endsolid\n"
    with pytest.raises(UserError, match="encloses no volume"):
        measured(PLATE, "iou", against=("stl", flat))


@pytest.mark.parametrize("payload", [b"", b"garbage" * 100, run(PLATE)[:2000]])
def test_a_broken_payload_is_the_program_s_failure(payload: bytes) -> None:
    with pytest.raises(ScriptFailure):
        measure(payload, REQUEST, ())


@pytest.mark.parametrize(
    ("raised", "seen", "message"),
    [
        (Standard_Failure("gp_Dir"), ScriptFailure, "invalid: the kernel fails on the shape: Standard_Failure: gp_Dir"),
        (MemoryError(), ScriptFailure, "memory: the shape takes more memory"),
        (KeyError("ours"), KeyError, "ours"),
    ],
)
def test_what_the_kernel_throws_at_a_payload_is_its_program_s_failure(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, seen: type[Exception], message: str
) -> None:
    def fail(solid: object) -> None:
        raise raised

    monkeypatch.setattr(meter, "find_holes", fail)
    with pytest.raises(seen, match=message):
        measure(run(PLATE), REQUEST | {"want": ["holes"]}, ())


def test_requests_that_cannot_be_met_are_named() -> None:
    with pytest.raises(UserError, match="found 'weight'"):
        measure(run(PLATE), REQUEST | {"want": ["weight"]}, ())
    with pytest.raises(UserError, match="'iou' needs a reference"):
        measure(run(PLATE), REQUEST | {"want": ["iou"]}, ())


def test_one_request_gives_one_answer(measured: Any) -> None:
    turned = PLATE + "\nresult = result.rotate((0, 0, 0), (1, 2, 3), 20)"
    first, again = (
        measured(turned, "solid", "iou", "aligned", "chamfer", "holes", against=PLATE, budget_s=0) for _ in range(2)
    )
    for found in (first, again):
        del found["iou"]["seconds"]
    assert first == again
