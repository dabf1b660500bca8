"""PLaID++'s preference tiers by count, and the pairs file."""

from __future__ import annotations

import json
from pathlib import Path

from domains.crystal.pairs import (
    Candidate,
    Pair,
    basic_pairs,
    candidates,
    space_group_pairs,
    tiered_pairs,
    write_pairs,
)
from sciRL.domain import Record
from sciRL.score import Score, Status
from sciRL.task import Task

TIERED = [
    Candidate(-0.01, novel=True),
    Candidate(0.0),
    Candidate(0.05),
    Candidate(0.08),
    Candidate(0.081),
    Candidate(1.0),
    Candidate(None),
]


def record(value: float | None, prompt: str = "p", answer: str = "a", **measured: object) -> Record:
    task = Task("crystal", ({"role": "user", "content": prompt},), reference={"sg": 225})
    score = Score.failed(Status.TIMEOUT, "slow") if value is None else Score(value, measurements=measured)
    return Record(task, answer, score)


def test_tiered_example_gives_eleven_pairs() -> None:
    found = tiered_pairs(TIERED, seed=0, ratio=2)
    assert len(found.pairs) == 11
    assert list(found.counts.values()) == [1, 2, 4, 4]
    assert not found.empty


def test_space_group_example_gives_twelve_draws() -> None:
    items = [
        Candidate(0.0, novel=True, sg_right=True),
        Candidate(0.0, sg_right=True),
        Candidate(0.0, sg_right=False),
        Candidate(0.5, sg_right=True),
        Candidate(None, sg_right=False),
    ]
    found = space_group_pairs(items, seed=1, ratio=2)
    assert list(found.counts.values()) == [4, 2, 6]


def test_basic_counts_a_missing_energy_as_unstable() -> None:
    found = basic_pairs(TIERED, seed=0, ratio=3)
    assert len(found.pairs) == 3 * 3
    assert {pair.rejected_index for pair in found.pairs} <= {3, 4, 5, 6}


def test_empty_tier_is_counted_and_draws_are_seeded_and_capped() -> None:
    found = tiered_pairs(TIERED[:2], seed=0)
    assert len(found.pairs) == 1
    assert len(found.empty) == 3
    assert tiered_pairs(TIERED, seed=5).pairs == tiered_pairs(TIERED, seed=5).pairs
    assert max(tiered_pairs(TIERED, seed=5, max_pairs=2).counts.values()) == 2


def test_candidates_use_the_measured_group() -> None:
    right, wrong = candidates([record(1.0, sg_measured=225, sg_written=1), record(1.0, sg_measured=1, sg_written=225)])
    assert right.sg_right
    assert wrong.sg_right is False


def test_pairs_file_holds_prompt_and_both_answers(tmp_path: Path) -> None:
    records = [record(0.2), record(0.9, answer="b")]
    write_pairs(tmp_path / "pairs.jsonl", [Pair(1, 0, "best > worst")], records)
    row = json.loads((tmp_path / "pairs.jsonl").read_text())
    assert (row["chosen"], row["rejected"]) == ("b", "a")
    assert row["prompt"] == [{"role": "user", "content": "p"}]
