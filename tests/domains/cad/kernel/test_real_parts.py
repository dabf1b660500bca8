"""Published programs and shapes: GenCAD-Code (codes and STEP files), CADPrompt (codes and meshes)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest

pytest.importorskip("cadquery")

from sciRL.verification.sandbox.failure import ScriptFailure


def rows(shared_data: Path, folder: str) -> tuple[Path, list[dict[str, Any]]]:
    path = shared_data / "cad" / folder
    if not path.is_dir():
        pytest.skip(f"real data is not here: {path}")
    return path, [json.loads(line) for line in (path / "tasks.jsonl").read_text().splitlines()]


def compare_gencad(measured: Any, shared_data: Path, every: int) -> tuple[Counter[str], list[dict[str, Any]]]:
    path, tasks = rows(shared_data, "gencad_code_test100")
    codes: Counter[str] = Counter()
    found = []
    for task in tasks[::every]:
        try:
            step = (path / task["step"]).read_bytes()
            numbers = measured(task["code"], "solid", "iou", against=("step", step), single=False)
        except ScriptFailure as failure:
            codes[failure.code] += 1
            continue
        codes["ok"] += 1
        found.append(numbers)
        solid, known = numbers["solid"], task["measured"]
        assert solid["volume"] == pytest.approx(known["volume"], rel=1e-9)
        assert (solid["n_solids"], solid["n_faces"]) == (known["n_solids"], known["faces"])
        assert solid["box"] == pytest.approx(known["bbox"], abs=1e-6)
    return codes, found


def test_ten_gencad_programs_agree_with_their_record(measured: Any, shared_data: Path) -> None:
    codes, found = compare_gencad(measured, shared_data, every=10)
    assert codes.total() == 10
    assert codes["ok"] + codes["invalid"] == 10
    assert all(0.3 < numbers["iou"]["value"] <= 1 for numbers in found)


@pytest.mark.slow
def test_all_gencad_programs_execute_and_four_are_invalid(measured: Any, shared_data: Path) -> None:
    codes, found = compare_gencad(measured, shared_data, every=1)
    assert codes == {"ok": 96, "invalid": 4}
    values = [numbers["iou"]["value"] for numbers in found]
    assert mean(values) == pytest.approx(0.932, abs=0.001)
    assert median(values) == pytest.approx(0.962, abs=0.001)
    assert min(values) == pytest.approx(0.388, abs=0.005)
    assert sum(value > 0.999 for value in values) == 5
    assert sum(numbers["solid"]["n_solids"] > 1 for numbers in found) == 8


def test_cadprompt_programs_fill_their_meshes(measured: Any, shared_data: Path) -> None:
    path, tasks = rows(shared_data, "cadprompt200")
    overlaps = []
    for task in tasks[7::20]:
        mesh = (path / task["stl"]).read_bytes()
        found = measured(task["code"], "solid", "iou", against=("stl", mesh), single=False)
        overlaps.append(found["iou"]["value"])
        assert found["iou"]["method"] == "points"
        # Published to five decimals.
        published = task["published"]["Volume_cubic_mm"]
        assert found["reference"]["solid"]["volume"] == pytest.approx(published, rel=0.01, abs=1e-5)
    assert min(overlaps) > 0.9
    assert median(overlaps) > 0.995


def test_the_exact_overlap_of_a_real_pair_is_not_taken_on_trust(measured: Any, shared_data: Path) -> None:
    path, tasks = rows(shared_data, "gencad_code_test100")
    task = next(task for task in tasks if task["id"] == "00932166")
    step = (path / task["step"]).read_bytes()
    exact, sampled = (
        measured(task["code"], "iou", against=("step", step), budget_s=budget)["iou"] for budget in (20.0, 0.0)
    )
    assert exact["value"] == pytest.approx(sampled["value"], abs=0.02)
