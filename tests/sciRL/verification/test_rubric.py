"""Rubrics: gates keep later stages from running, inline and through the pool alike; failures are never zeros."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hostile_verifiers import Counting, Hostile, Unique

from sciRL.score import Score, Status
from sciRL.task import Task
from sciRL.verification.base import Item, PerItemVerifier, Rubric, Stage
from sciRL.verification.pool import WorkerPool

TASK = Task("test", ({"role": "user", "content": "?"},))


def items_of(*answers: str) -> list[Item]:
    return [(TASK, answer) for answer in answers]


class Fixed(PerItemVerifier):
    """Gives the score that the answer's first letter asks for."""

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]

    def verify_one(self, task: Task, answer: str) -> Score:
        if answer == "malformed":
            return Score.malformed("unreadable", seen=self.name)
        if answer == "error":
            raise KeyError("table")
        return Score.ok(float(answer), reason="" if answer == "1" else "short of it", seen=self.name)


@pytest.fixture(scope="module")
def pools() -> Iterator[dict[int, WorkerPool]]:
    with WorkerPool(0) as inline, WorkerPool(2, wall_limit_s=0.8, chunk=4) as pool:
        yield {0: inline, 2: pool}


def test_weighted_mean_components_and_reason() -> None:
    rubric = Rubric("r", [Stage(Fixed("a"), 1), Stage(Fixed("b"), 3), Stage(Hostile(), 0)])
    assert rubric.component_names == ("a", "b", "hostile")
    assert rubric.cost == "pool"
    half = rubric.verify(items_of("0.5"))[0]
    assert half.value == pytest.approx(0.5)
    assert (half.components["a"], half.reason, half.status) == (0.5, "a: short of it", Status.OK)
    assert half.measurements["passed"] is False
    # The stage of weight 0 is measured, and decides neither the total nor whether the answer passes.
    full = rubric.verify(items_of("1"))[0]
    assert (full.value, full.components["hostile"], full.measurements["passed"]) == (1.0, 0.0, True)


def test_threshold_of_a_gate_and_of_passing() -> None:
    rubric = Rubric("r", [Stage(Fixed("a"), 1, gate=True, threshold=0.5), Stage(Fixed("b"), 1, threshold=0.7)])
    scores = rubric.verify(items_of("0.4", "0.5", "0.7"))
    assert [score.value for score in scores] == [pytest.approx(0.2), pytest.approx(0.5), pytest.approx(0.7)]
    assert [score.components["b"] for score in scores] == [0.0, 0.5, 0.7]
    assert [score.measurements["passed"] for score in scores] == [False, False, True]


def test_a_malformed_answer_scores_zero_and_a_failed_verifier_scores_nothing() -> None:
    rubric = Rubric("r", [Stage(Fixed("a"), 1), Stage(Fixed("b"), 1)])
    malformed, failed = rubric.verify(items_of("malformed", "error"))
    assert (malformed.value, malformed.status, malformed.reason) == (0.0, Status.MALFORMED, "a: unreadable")
    assert malformed.measurements["passed"] is False
    assert (failed.value, failed.status) == (None, Status.ERROR)
    assert "a: KeyError" in failed.reason


def test_rubrics_are_checked() -> None:
    for stages in ([], [Stage(Fixed("a"), 1), Stage(Fixed("a"), 1)], [Stage(Fixed("a"), 0)], [Stage(Fixed("a"), -1)]):
        with pytest.raises(ValueError, match="rubric 'r' needs"):
            Rubric("r", stages)


@pytest.mark.parametrize("workers", [0, 2])
def test_stages_after_a_failed_gate_do_not_run(pools: dict[int, WorkerPool], workers: int, tmp_path: Path) -> None:
    first, second, last = (Counting(name, tmp_path / name, name) for name in ("red", "blue", "green"))
    rubric = Rubric(
        "colours", [Stage(first, 1, gate=True), Stage(second, 1), Stage(Unique(), 1, gate=True), Stage(last, 1)]
    )
    answers = ["red blue green", "blue green", "red", "unreadable", "red", "raise", "red blue green", "red green"]
    scores = pools[workers].verify(rubric, items_of(*answers))
    assert [score.value for score in scores] == [1.0, 0.0, 0.5, 0.0, 0.25, None, 0.5, 0.75]
    assert scores[3].status is Status.MALFORMED
    assert scores[5].status is Status.ERROR
    alive = [answer for answer in answers if answer.startswith("red")]
    assert sorted((tmp_path / "red").read_text().splitlines()) == sorted(answers)
    assert sorted((tmp_path / "blue").read_text().splitlines()) == sorted(alive)
    # Of equal answers only the first passes the gate in the middle, which sees the whole batch.
    assert sorted((tmp_path / "green").read_text().splitlines()) == sorted(set(alive))


def test_consecutive_stages_share_one_trip_and_its_limit(pools: dict[int, WorkerPool], tmp_path: Path) -> None:
    rubric = Rubric("r", [Stage(Counting("a", tmp_path / "a", "x"), 1), Stage(Hostile(), 1)])
    scores = pools[2].verify(rubric, items_of("x", "loop", "good", "exit", "good"))
    assert [score.status.value for score in scores] == ["ok", "timeout", "ok", "error", "ok"]
    assert scores[1].reason == "a: over the wall limit of 0.8 s"
    assert scores[2].value == 0.5
    assert [score.value for score in scores if not score.scorable] == [None, None]


def test_pool_and_rubric_alone_agree(pools: dict[int, WorkerPool]) -> None:
    gate = Stage(Fixed("a"), 1, gate=True, threshold=0.3)
    stages = [gate, Stage(Unique(), 2), Stage(Fixed("b"), 1), Stage(Fixed("c"), 2)]
    rubric = Rubric("r", [*stages, Stage(Rubric("inner", [Stage(Fixed("d"), 1)]), 1)])  # type: ignore[arg-type]
    items = items_of(*["0.1", "0.5", "1", "malformed", "error", "0.5"] * 5)
    expected = rubric.verify(items)
    with WorkerPool(1, chunk=3) as pool:
        found = pool.verify(rubric, items)
    assert found == expected
    assert pools[0].verify(rubric, items) == expected


def test_a_batch_verifier_that_loses_count_fails_all() -> None:
    class Short:
        name, cost = "short", "inline"

        def verify(self, items: Sequence[Item]) -> list[Score]:
            return []

    scores = Rubric("r", [Stage(Short(), 1)]).verify(items_of("1", "2"))  # type: ignore[arg-type]
    assert [(s.value, s.reason) for s in scores] == [(None, "short: 0 scores for 2 items")] * 2
