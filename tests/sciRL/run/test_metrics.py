"""Logs: the same bytes after a resume, no wall clock in them, torn lines survived."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sciRL.errors import UserError
from sciRL.run.metrics import JsonlLog, MetricsLog, read_jsonl
from sciRL.run.tracking import make_trackers


def write(log: MetricsLog, steps: range, rate: float) -> None:
    for step in steps:
        log.write(step, "rl", {"reward/mean": step / 3, "time/tokens_per_s": rate})


def test_a_resumed_run_has_the_same_metrics_file(tmp_path: Path) -> None:
    whole = MetricsLog(tmp_path / "whole")
    write(whole, range(1, 9), rate=100.0)

    killed = MetricsLog(tmp_path / "killed")
    write(killed, range(1, 5), rate=90.0)
    state = killed.state_dict()
    write(killed, range(5, 8), rate=91.0)
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 8, "rew')

    resumed = MetricsLog(tmp_path / "killed")
    resumed.load_state_dict(state)
    write(resumed, range(5, 9), rate=92.0)
    for name in ("whole", "killed"):
        assert "tokens" not in (tmp_path / name / "metrics.jsonl").read_text()
    assert (tmp_path / "killed" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    timings = read_jsonl(tmp_path / "killed" / "timings.jsonl")
    assert [row["step"] for row in timings] == list(range(1, 9))
    assert timings[-1] == {"step": 8, "stage": "rl", "tokens_per_s": 92.0}


def test_restart_empties_the_files(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    write(log, range(3), 1.0)
    log.restart()
    write(log, range(1), 1.0)
    assert [row["step"] for row in read_jsonl(tmp_path / "metrics.jsonl")] == [0]


def test_a_file_shorter_than_its_checkpoint_is_an_error(tmp_path: Path) -> None:
    log = JsonlLog(tmp_path / "a.jsonl")
    log.append({"x": 1})
    with pytest.raises(UserError, match="has 1 lines but its checkpoint was taken at line 2"):
        log.load_state_dict({"lines": 2})
    assert read_jsonl(tmp_path / "a.jsonl") == [{"x": 1}]


def test_what_json_cannot_hold_becomes_null(tmp_path: Path) -> None:
    JsonlLog(tmp_path / "a.jsonl").append({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": -float("inf")}})
    line = (tmp_path / "a.jsonl").read_text()
    assert json.loads(line, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5], "c": {"d": None}}


@pytest.mark.parametrize(("line", "message"), [("{", "line 2 is not JSON"), ("[1]", "line 2 must be a JSON object")])
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n' + line + "\n")
    with pytest.raises(UserError, match=message):
        read_jsonl(tmp_path / "a.jsonl")


def test_tensorboard_holds_the_curves(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = MetricsLog(tmp_path, make_trackers(["tensorboard"], tmp_path, {}))
    write(log, range(1, 4), 1.0)
    log.write(4, "rl", {"reward/mean": float("nan")})
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [point.step for point in events.Scalars("rl/reward/mean")] == [1, 2, 3]


def test_an_unknown_tracker_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown tracker 'tensorbord'; allowed: tensorboard, wandb"):
        make_trackers(["tensorbord"], tmp_path, {})
