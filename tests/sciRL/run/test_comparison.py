"""Comparison of runs: spreads over seeds and paired differences, against figures worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from sciRL.domain import Record
from sciRL.errors import UserError
from sciRL.run.comparison import compare_runs, comparison_html, comparison_text, paired_difference, parse_run
from sciRL.run.directory import RunDirectory
from sciRL.run.results import ArmResult, ArmRole, save_arms
from sciRL.score import Score
from sciRL.task import Task


def make_run(folder: Path, seed: int, sft: int, rl: int, config: str = "lr: 1.0", data_hash: str = "d") -> Path:
    run = RunDirectory.create(folder, f"seed: {seed}\n{config}\n", {"seed": seed, "data_hash": data_hash})
    task = Task("toy", ({"role": "user", "content": "?"},))
    arms: dict[str, ArmResult] = {}
    roles: list[tuple[str, ArmRole, int]] = [("SFT", "reference", sft), ("RL", "trained", rl)]
    for name, role, passed in roles:
        scores = [Score.ok(1.0)] * passed + [Score.ok(0.0)] * (10 - passed)
        arms[name] = ArmResult(name, role, "", "", [Record(task, "", score) for score in scores], {"novel": 0.5})
    save_arms(run.results, arms)
    run.close()
    return folder


def test_seeds_of_one_configuration_are_one_method(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"a{seed}", seed, sft=2, rl=4 + seed) for seed in (1, 2, 3)]
    comparison = compare_runs([(None, path) for path in runs])
    found = comparison.figures["pass_rate"]["a1", "RL"]
    assert (found.mean, found.n) == (pytest.approx(0.6), 3)
    assert found.sd == pytest.approx(0.1)
    (difference, *_) = comparison.differences
    assert difference.what == "a1: RL - SFT"
    assert difference.spread.mean == pytest.approx(0.4)
    # t(2) = 4.303, sd 0.1, n 3.
    assert difference.high - difference.spread.mean == pytest.approx(4.303 * 0.1 / math.sqrt(3), rel=1e-3)


def test_methods_are_paired_over_their_common_seeds_only(tmp_path: Path) -> None:
    base = [make_run(tmp_path / f"a{seed}", seed, 2, rl) for seed, rl in ((1, 5), (2, 6), (3, 9))]
    other = [make_run(tmp_path / f"b{seed}", seed, 2, rl, "lr: 2.0") for seed, rl in ((1, 6), (2, 8), (4, 0))]
    comparison = compare_runs([(None, path) for path in (*base, *other)])
    difference = next(item for item in comparison.differences if item.what == "b1 - a1")
    assert difference.spread.n == 2
    assert difference.spread.mean == pytest.approx(0.15)
    text, page = comparison_text(comparison), comparison_html(comparison)
    assert "b1 - a1" in text
    assert "+0.15" in page
    assert "http" not in page


def test_disclaimers_of_the_runs_stand_first(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"a{seed}", seed, 2, 5) for seed in (1, 2)]
    for path in runs:
        RunDirectory.open(path).update_manifest(disclaimer="Not for <use>.")
    comparison = compare_runs([(None, path) for path in runs])
    assert comparison_text(comparison).startswith("Not for <use>.\nwarning: ")
    assert comparison_html(comparison).count("Not for &lt;use&gt;.") == 1


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    one = make_run(tmp_path / "a", 1, 2, 5)
    two = make_run(tmp_path / "b", 1, 2, 5, "lr: 2.0", data_hash="e")
    warnings = " ".join(compare_runs([("x", one), ("y", two)]).warnings)
    assert "different data" in warnings
    assert "x has 1 seed: too few" in warnings


def test_a_run_or_a_seed_counted_twice_is_an_error(tmp_path: Path) -> None:
    one = make_run(tmp_path / "a", 1, 2, 5)
    with pytest.raises(UserError, match="is given twice"):
        compare_runs([(None, one), (None, one)])
    two = make_run(tmp_path / "b", 1, 2, 6)
    with pytest.raises(UserError, match="the same method 'a' with the same seed 1"):
        compare_runs([(None, one), (None, two)])


def test_one_pair_has_no_interval() -> None:
    difference = paired_difference("x", "m", [(0.5, 0.25)])
    assert difference.spread.mean == 0.25
    assert math.isnan(difference.low)


def test_a_method_may_be_named(tmp_path: Path) -> None:
    assert parse_run("grpo=runs/a") == ("grpo", Path("runs/a"))
    assert parse_run("runs/a") == (None, Path("runs/a"))
    (tmp_path / "lr=1").mkdir()
    assert parse_run(str(tmp_path / "lr=1")) == (None, tmp_path / "lr=1")
