"""Answers become measured parts through the real sandbox and kernel: rewards, failures, traps and builders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domains.cad.datasets import build
from domains.cad.export import write_samples
from domains.cad.metrics import summarize
from domains.cad.options import CadOptions
from domains.cad.rows import load_rows
from domains.cad.rubrics import PRESETS, make_rubric
from domains.cad.tasks import make_tasks
from sciRL.domain import Record
from sciRL.errors import UserError
from sciRL.score import Score, Status
from sciRL.task import Task

pytest.importorskip("cadquery", reason="CadQuery is not installed")

OPTIONS = CadOptions()
PLATE = "import cadquery as cq\nresult = cq.Workplane().box({0}, {1}, {2}, centered=(True, True, False))"


def plate_task() -> Task:
    spec = {"box": [60.0, 40.0, 8.0], "volume": 19200.0, "dimensions": {"length": 60.0, "width": 40.0}}
    shape = {"kind": "code", "text": PLATE.format(60, 40, 8)}
    return Task("cad", ({"role": "user", "content": "plate"},), reference={"shape": shape, "spec": spec})


def scores(preset: str, *answers: str, options: CadOptions = OPTIONS) -> list[Score]:
    task = plate_task()
    return make_rubric(None, options, preset, {}).verify([(task, answer) for answer in answers])


def test_presets_pay_what_their_table_says() -> None:
    right, half, swapped = PLATE.format(60, 40, 8), PLATE.format(30, 40, 8), PLATE.format(40, 60, 8)
    values = {preset: [score.value for score in scores(preset, right, half, swapped)] for preset in PRESETS}
    assert all(found[0] == pytest.approx(1.0) for found in values.values())
    assert values["executable"] == [1.0, 1.0, 1.0]
    assert values["cadrille"][1] == pytest.approx((1 + 0.5) / 2)
    # The half plate meets bodies, width, height, no holes and the stated width of eight assertions.
    assert values["cad_rl"][1] == pytest.approx(0.7 * 0.5 + 0.3 * 5 / 8)
    # Swapped sizes: an overlap of 1600/3200, and two deductions: a quarter turn would make it fit (a misplaced frame),
    # and the sizes of the box are the asked ones in another order (parameters bound to the wrong feature).
    assert values["cad_rl"][2] == pytest.approx(0.7 * 0.5)
    assert values["cad_coder"][1] < 1.0


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("result = 1/0", "exec_error"),
        ("import socket", "import_denied"),
        ("result = (", "syntax"),
        ("import cadquery as cq\nresult = cq.Workplane().circle(3)", "not_a_shape"),
        ("import cadquery as cq\nresult = cq.Face.makePlane(3, 4)", "not_a_shape"),
        ("import cadquery as cq\nresult = cq.Workplane().box(1, 1, 1).box(float('nan'), 1, 1)", None),
        ("import cadquery as cq\nresult = cq.Workplane().pushPoints([(0, 0), (99, 0)]).box(1, 1, 1)", "multi_solid"),
        ("x = 1", "no_result"),
        ("", "no_code"),
    ],
)
def test_a_program_without_a_sound_solid_scores_nothing_and_says_why(answer: str, code: str | None) -> None:
    for preset in ("cad_rl", "cadrille", "cad_coder"):
        [score] = scores(preset, answer)
        assert score.value == 0.0
        assert score.status in (Status.OK, Status.MALFORMED)
        if code is not None:
            assert score.measurements["code"] == code


def test_a_broken_reference_is_the_verifiers_failure_not_a_zero() -> None:
    task = plate_task()
    assert isinstance(task.reference, dict)
    broken = Task("cad", task.prompt, reference={**task.reference, "shape": {"kind": "code", "text": "result = 1/0"}})
    [score] = make_rubric(None, OPTIONS, "cad_rl", {}).verify([(broken, PLATE.format(60, 40, 8))])
    assert score.value is None
    assert score.status is Status.ERROR


def test_a_judge_is_a_stage_beside_the_measurements(tmp_path: Path) -> None:
    judge = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "cache": str(tmp_path / "v.sqlite"), "weight": 0.25}
    rubric = make_rubric(None, CadOptions(judge=judge), "cad_rl", {})
    assert rubric.component_names[-1] == "judge"
    # Nobody listens there: the sound part's score is masked, and a program that does not run is never shown.
    found = rubric.verify([(plate_task(), PLATE.format(60, 40, 8)), (plate_task(), "result = (")])
    assert [score.status for score in found] == [Status.ERROR, Status.OK]


def test_equal_programs_are_built_once_and_order_is_kept() -> None:
    rubric = make_rubric(None, OPTIONS, "cad_rl", {})
    task = plate_task()
    right, wrong = PLATE.format(60, 40, 8), PLATE.format(6, 4, 8)
    found = rubric.verify([(task, right), (task, wrong), (task, right)])
    assert found[0] == found[2]
    assert found[1].value is not None
    assert found[1].value < 0.2


def test_generated_parts_meet_the_strict_rule(parts_folder: Path) -> None:
    tasks = {task.metadata["row"]: task for task in make_tasks(parts_folder, "validation", OPTIONS)}
    rows = load_rows(parts_folder, "validation")
    items = [(tasks[row.id], row.code) for row in rows]
    found = make_rubric(parts_folder, OPTIONS, "strict", {}).verify(items)
    assert all(score.measurements["passed"] for score in found)
    records = [Record(task, answer, score) for (task, answer), score in zip(items, found, strict=True)]
    assert summarize(records)["solid_rate"] == 1.0


def test_a_folder_of_programs_becomes_a_dataset_with_every_failure_listed(tmp_path: Path) -> None:
    source = tmp_path / "scripts"
    source.mkdir()
    for index in range(4):
        (source / f"plate{index}.py").write_text(PLATE.format(10 + index, 20, 5))
    (source / "moved.py").write_text(PLATE.format(10, 20, 5) + ".translate((5, 0, 0))")
    (source / "again.py").write_text(PLATE.format(10, 20, 5))
    (source / "broken.py").write_text("result = (")
    (source / "endless.py").write_text("import math\nresult = math.undefined")
    report = build(str(source), tmp_path / "out", {})
    assert report.kept == 5
    assert report.dropped["syntax"] == report.dropped["exec_error"] == report.dropped["duplicate program"] == 1
    rows = [row for split in ("train", "validation", "test") for row in load_rows(tmp_path / "out", split)]
    groups = {row.id: row.group for row in rows}
    # A source without words is asked for by what was measured, whatever generated families the options name.
    asked = make_tasks(tmp_path / "out", "train", CadOptions(ask="design", families=("spacer",)))
    assert all("mm with a volume of" in task.text for task in asked)
    assert groups["moved"] == groups.get("plate0", groups.get("again"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["dropped"]["syntax"]["rows"] == ["broken.py: line 1: '(' was never closed"]
    assert manifest["operations"]["box"] == 5


def test_shape_files_are_references_and_broken_ones_are_reported(tmp_path: Path) -> None:
    import cadquery as cq

    source = tmp_path / "steps"
    source.mkdir()
    for index in range(3):
        cq.exporters.export(cq.Workplane().box(10 + index, 5, 2), str(source / f"box{index}.step"))
    (source / "bad.step").write_text(
        "ISO-10303-21;\nHEADER;\nENDSEC;\nDATA;\n#1=GARBAGE(;\nENDSEC;\nEND-ISO-10303-21;\n"
    )
    report = build(str(source), tmp_path / "out", {})
    assert report.kept == 3
    assert sum(report.dropped.values()) == 1
    row = load_rows(tmp_path / "out", "train")[0]
    assert row.shape["kind"] == "step"
    task = Task(
        "cad", ({"role": "user", "content": "x"},), reference={"shape": dict(row.shape), "spec": dict(row.spec)}
    )
    box = row.spec["box"]
    answer = f"import cadquery as cq\nresult = cq.Workplane().box({box[0]}, {box[1]}, {box[2]})"
    [score] = make_rubric(tmp_path / "out", OPTIONS, "strict", {}).verify([(task, answer)])
    assert score.value == pytest.approx(1.0)


def test_a_build_of_nothing_usable_leaves_nothing_behind(tmp_path: Path) -> None:
    source = tmp_path / "scripts"
    source.mkdir()
    (source / "a.py").write_text("result = 1")
    with pytest.raises(UserError, match="none of the 1 rows can be used"):
        build(str(source), tmp_path / "out", {})
    assert not (tmp_path / "out").exists()


def test_samples_are_scripts_and_a_table(tmp_path: Path) -> None:
    task = plate_task()
    answers = [PLATE.format(60, 40, 8), ""]
    records = [Record(task, answer, score) for answer, score in zip(answers, scores("cad_rl", *answers), strict=True)]
    paths = write_samples(records, tmp_path)
    assert [path.name for path in paths] == ["sample-0000.py", "samples.csv"]
    assert "box(60, 40, 8" in paths[0].read_text()
    assert paths[0].read_text().splitlines()[1] == "# plate"
