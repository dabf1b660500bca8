"""The failure monitor, and scoring a file of answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_verifiers import Hostile

from sciRL.errors import UserError
from sciRL.score import Score, Status
from sciRL.task import Task
from sciRL.verification.base import PerItemVerifier, Rubric, Stage
from sciRL.verification.runner import FailureMonitor, VerifierFailure, summarize_scores, verify_file

TIMEOUT = Score.failed(Status.TIMEOUT, "hull: over 10 s")
ERROR = Score.failed(Status.ERROR, "hull: KeyError: 'Na'")
MIXED = [Score.ok(0.0), Score.ok(1.0)]


def steps(*, ok: int, bad: int) -> list[Score]:
    return (MIXED * ok)[:ok] + [TIMEOUT] * bad


def test_a_share_of_failures_within_the_limit_is_allowed() -> None:
    monitor = FailureMonitor(max_failure_share=0.01)
    for _ in range(30):
        monitor.observe(steps(ok=99, bad=1))
    assert monitor.counts == {"ok": 99 * 20, "timeout": 20}


def test_one_timeout_in_a_small_first_step_is_no_one_percent() -> None:
    monitor = FailureMonitor(max_failure_share=0.01)
    for _ in range(3):
        monitor.observe(steps(ok=19, bad=1))
    monitor.observe([*MIXED * 9, TIMEOUT, ERROR])
    with pytest.raises(VerifierFailure) as raised:
        monitor.observe([*MIXED * 9, TIMEOUT, ERROR])
    for part in ("7 of 100 samples of the last 5 steps", "5 timeout, 2 error", "0.01", "1x hull: KeyError: 'Na'"):
        assert part in str(raised.value)
    assert isinstance(raised.value, UserError)


def test_a_step_without_any_verdict_stops_at_once() -> None:
    with pytest.raises(VerifierFailure, match=r"failed on 4 of 4 samples of this step \(4x hull: over 10 s\)"):
        FailureMonitor(max_failure_share=0.5).observe([TIMEOUT] * 4)


def test_failures_leave_the_window() -> None:
    monitor = FailureMonitor(max_failure_share=0.02, window=4)
    for round_ in range(20):
        monitor.observe(steps(ok=50, bad=2 if round_ % 4 == 0 else 0))
    with pytest.raises(VerifierFailure):
        monitor.observe(steps(ok=50, bad=5))


def test_a_constant_score_stops_after_k_steps() -> None:
    monitor = FailureMonitor(constant_steps=3)
    malformed = Score.malformed("no <answer> tag")
    monitor.observe([malformed] * 4)
    monitor.observe([malformed, Score.ok(0.5)])
    monitor.observe([malformed] * 4)
    monitor.observe([malformed] * 4)
    with pytest.raises(VerifierFailure, match=r"has been 0 for 3 steps \(4x no <answer> tag\)"):
        monitor.observe([malformed] * 4)


def test_constant_scores_are_told_apart_by_value_and_domain() -> None:
    monitor = FailureMonitor(constant_steps=3)
    for value in (0.0, 0.0, 1.0, 1.0):
        monitor.observe([Score.ok(value)] * 2, domain="crystal")
    for _ in range(2):
        monitor.observe([Score.ok(0.0)] * 2, domain="dna")
    with pytest.raises(VerifierFailure, match="every score of domain 'dna' has been 0 for 3 steps"):
        monitor.observe([Score.ok(0.0)] * 2, domain="dna")
    never = FailureMonitor(constant_steps=0)
    for _ in range(200):
        never.observe([Score.ok(0.0)])


def test_a_restored_monitor_stops_where_the_first_would_have() -> None:
    first = FailureMonitor(constant_steps=3)
    first.observe([Score.ok(0.25)] * 60)
    first.observe([Score.ok(0.25)] * 60)
    second = FailureMonitor(constant_steps=3)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.state_dict() == first.state_dict()
    with pytest.raises(VerifierFailure, match=r"0\.25 for 3 steps"):
        second.observe([Score.ok(0.25)])
    second.load_state_dict(first.state_dict())
    with pytest.raises(VerifierFailure, match="3 of 124 samples"):
        second.observe([Score.ok(0.5), TIMEOUT, ERROR, ERROR])


@pytest.mark.parametrize("arguments", [{"max_failure_share": 1.5}, {"constant_steps": -1}, {"window": 0}])
def test_monitor_arguments_are_checked(arguments: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(arguments))):
        FailureMonitor(**arguments)


class Matches(PerItemVerifier):
    """Compares the answer with the reference, and measures what JSON cannot hold."""

    name = "matches"

    def verify_one(self, task: Task, answer: str) -> Score:
        if answer == "?":
            return Score.malformed("no number")
        value = float(answer == str(task.reference))
        return Score.ok(
            value, reason="" if value else "wrong", volume=np.float32(2.5), bad=float("nan"), path=Path("x")
        )


RUBRIC = Rubric("match", [Stage(Matches(), 1.0)])
TASK = Task("sums", ({"role": "user", "content": "6*7?"},), reference=42)


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_every_form_of_row_is_scored(tmp_path: Path) -> None:
    answers = write(
        tmp_path / "in.jsonl",
        {"id": TASK.id, "answer": "42"},
        {"task": TASK.to_dict(), "completion": "41"},
        "",
        {"prompt": "6*7?", "reference": 42, "text": "42"},
        {"id": "mine", "prompt": [{"role": "user", "content": "6*7?"}], "reference": 42, "response": "?"},
        {"id": TASK.id, "completion": [{"role": "assistant", "content": "42"}]},
    )
    out = tmp_path / "new" / "out.jsonl"
    summary = verify_file(RUBRIC, {TASK.id: TASK}, answers, out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["line"], row["value"], row["status"]) for row in rows] == [
        (1, 1.0, "ok"), (2, 0.0, "ok"), (4, 1.0, "ok"), (5, 0.0, "malformed"), (6, 1.0, "ok"),
    ]  # fmt: skip
    assert {row["id"] for row in rows} == {TASK.id}
    assert rows[0]["measurements"] == {"volume": 2.5, "bad": None, "path": "x", "passed": True}
    assert (summary["n"], summary["pass_rate"], summary["mean_value"], summary["bad_rows"]) == (5, 0.6, 0.6, 0)
    assert summary["pass_interval"] == pytest.approx((0.2307, 0.8824), abs=1e-4)
    assert (summary["ok"], summary["malformed"], summary["timeout"], summary["error"]) == (4, 1, 0, 0)
    assert summary["reasons"] == {"matches: wrong": 1, "matches: no number": 1}
    assert [path.name for path in out.parent.iterdir()] == ["out.jsonl"]


def test_bad_rows_are_listed_by_line_and_the_others_scored(tmp_path: Path) -> None:
    answers = write(
        tmp_path / "in.jsonl",
        {"id": TASK.id, "answer": "42"},
        "{not json",
        {"id": "nobody", "answer": "1"},
        {"id": TASK.id, "answer": "1", "text": "2"},
        {"id": TASK.id},
        {"prompt": "6*7?", "answer": "1"},
        [1],
        {"id": TASK.id, "answer": 42},
        {"task": TASK.to_dict() | {"reference": 43}, "answer": "42"},
        {"id": [1], "answer": "42"},
        "[" * 100_000,
    )
    answers.write_bytes(answers.read_bytes() + b'\xff\xfe{"answer"}\n')
    summary = verify_file(RUBRIC, {TASK.id: TASK}, answers, tmp_path / "out.jsonl")
    assert (summary["n"], summary["bad_rows"]) == (1, 11)
    expected = {
        2: "Expecting property name",
        3: "no task has the id 'nobody' (1 tasks are known)",
        4: "exactly one of answer, completion, text, response; found answer, text",
        5: "found none",
        6: "needs 'reference' too",
        7: "needs a JSON object; found list",
        8: "'answer' must be a string or chat messages; found int",
        9: "does not match its content",
        10: "unhashable",
        11: "recursion",
        12: "can't decode byte 0xff",
    }
    for problem, (line, text) in zip(summary["problems"], expected.items(), strict=True):
        assert problem.startswith(f"line {line}: ")
        assert text in problem


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", {"id": TASK.id, "answer": "42"})
    with pytest.raises(UserError, match=r"nothing\.jsonl: cannot be read: No such file"):
        verify_file(RUBRIC, {}, tmp_path / "nothing.jsonl", tmp_path / "out.jsonl")
    with pytest.raises(UserError, match=r"empty\.jsonl: no row can be scored: the file is empty"):
        verify_file(RUBRIC, {}, write(tmp_path / "empty.jsonl"), tmp_path / "out.jsonl")
    with pytest.raises(UserError, match=r"good\.jsonl: no row can be scored: line 1: no task has the id"):
        verify_file(RUBRIC, {}, good, tmp_path / "out.jsonl")
    with pytest.raises(UserError, match="would overwrite the answers"):
        verify_file(RUBRIC, {TASK.id: TASK}, good, good)
    with pytest.raises(UserError, match="is no folder and cannot be made one: File exists"):
        verify_file(RUBRIC, {TASK.id: TASK}, good, good / "out.jsonl")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="folder: cannot be written: Is a directory"):
        verify_file(RUBRIC, {TASK.id: TASK}, good, tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.jsonl", "folder", "good.jsonl"]


def test_a_hanging_or_crashing_verifier_loses_its_row_only(tmp_path: Path) -> None:
    rows = [{"id": TASK.id, "answer": answer} for answer in ("good", "segfault", "raise", "good")]
    rubric = Rubric("r", [Stage(Hostile(), 1)])
    summary = verify_file(rubric, {TASK.id: TASK}, write(tmp_path / "in", *rows), tmp_path / "out")
    assert (summary["n"], summary["ok"], summary["error"]) == (4, 2, 2)
    # The mean is over answers with a value; the pass rate counts all attempts.
    assert (summary["mean_value"], summary["pass_rate"]) == (1.0, 0.5)


def test_summary_of_nothing() -> None:
    summary = summarize_scores([])
    assert (summary["n"], summary["mean_value"], summary["pass_rate"]) == (0, None, None)
