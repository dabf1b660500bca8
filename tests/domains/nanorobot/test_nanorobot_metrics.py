"""Search metrics on records written by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from domains.nanorobot.figures import export_samples
from domains.nanorobot.metrics import read_search, summarize
from sciRL.domain import Record
from sciRL.score import Score
from sciRL.task import Task


def record(end: float, found: bool, tumbles: int = 0, valid: bool = True) -> Record:
    answer = {
        "preset": "standard",
        "hit": found,
        "hit_time": end if found else None,
        "tumour": 0 if found else None,
        "path": [[0.0, 100.0, 0.0, 0.0], [end, 0.0, 0.0, 0.0]],
        "path_length": 10 * end,
        "tumbles": tumbles,
        "seed": 1,
    }
    task = Task("nanorobot", ({"role": "user", "content": f"{end}"},), reference={"tumours": [[0.0, 0.0, 0.0]]})
    parts = {"validity": float(valid), "success": float(found and valid)}
    return Record(task, json.dumps(answer), Score(parts["success"], parts))


UNREADABLE = Record(Task("nanorobot", ({"role": "user", "content": "?"},)), "no record", Score.malformed("no JSON"))


def test_metrics_count_all_attempts() -> None:
    records = [record(30, True, 4), record(10, True), record(20, True, 2), record(60, False, 10), UNREADABLE]
    found = summarize(records)
    assert found["success_share"] == pytest.approx(3 / 5)
    # Five attempts, two of which arrive later than all others: the third arrival is the median.
    assert found["median_hit_time"] == 30
    assert found["mean_hit_time_of_success"] == 20
    assert found["mean_path_length"] == pytest.approx(300)
    assert found["tumbles_per_minute"] == pytest.approx(16 / 2)
    assert found["invalid_share"] == pytest.approx(1 / 5)


def test_median_of_an_even_number_and_of_too_few_arrivals() -> None:
    three = [record(t, True) for t in (10, 20, 30)]
    assert summarize([*three, record(60, False)])["median_hit_time"] == 25
    assert "median_hit_time" not in summarize([three[0], record(60, False)])
    assert "mean_hit_time_of_success" not in summarize([record(60, False)])
    assert summarize([]) == {}


def test_an_invalid_record_is_no_success() -> None:
    found = summarize([record(10, True, valid=False), record(20, True)])
    assert (found["success_share"], found["invalid_share"]) == (0.5, 0.5)
    search = read_search(record(10, True, valid=False))
    assert search is not None
    assert not search.found


def test_export_has_a_line_for_every_search_and_point(tmp_path: Path) -> None:
    records = [record(30, True, 4), UNREADABLE, record(60, False)]
    paths = export_samples(records, tmp_path / "samples")
    assert [path.name for path in paths] == ["trajectories.csv", "searches.csv"]
    with paths[0].open(newline="") as handle:
        points = list(csv.DictReader(handle))
    assert [(p["search"], p["t_s"], p["x_um"]) for p in points] == [
        ("0", "0.0", "100.0"), ("0", "30.0", "0.0"), ("2", "0.0", "100.0"), ("2", "60.0", "0.0"),
    ]  # fmt: skip
    with paths[1].open(newline="") as handle:
        lines = list(csv.DictReader(handle))
    assert [line["found"] for line in lines] == ["True", "", "False"]
    assert [line["hit_time_s"] for line in lines] == ["30.0", "", ""]
    assert lines[1]["status"] == "malformed"
    assert not list((tmp_path / "samples").glob(".*"))
