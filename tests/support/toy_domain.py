"""A tiny real domain for tests of the trainer: answer the sum of two digits, written backwards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sciRL.domain import BuildReport, Demonstration, LanguageDomain, Vocabulary
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import PerItemVerifier, Rubric, Stage


class ToyOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    broken_share: float = 0.0


class Exact(PerItemVerifier):
    name = "exact"

    def __init__(self, broken_share: float = 0.0) -> None:
        self.broken_share = broken_share

    def verify_one(self, task: Task, answer: str) -> Score:
        if int(task.id[:8], 16) / 2**32 < self.broken_share:
            raise RuntimeError("this verifier is broken on purpose")
        if not answer.isdecimal():
            return Score.malformed(f"expected digits, found {answer[:20]!r}")
        right = answer == task.reference
        return Score.ok(float(right), "" if right else f"expected {task.reference}, found {answer}")


class ToyDomain(LanguageDomain):
    name = "toy"
    title = "Addition, backwards"
    Options = ToyOptions
    recipes = Path(__file__).parent

    def build(self, source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
        out.mkdir(parents=True)
        (out / "manifest.json").write_text(json.dumps({"rows": 100}))
        return BuildReport(out, 100, 100)

    def check(self, folder: Path) -> list[str]:
        return []

    def tasks(self, data: Path, split: str, options: Any) -> Sequence[Task]:
        pairs = [(a, b) for a in range(10) for b in range(10)]
        kept = [p for i, p in enumerate(pairs) if (i % 5 == 0) == (split == "test")]
        return [Task("toy", ({"role": "user", "content": f"{a}+{b}="},), reference=str(a + b)[::-1]) for a, b in kept]

    def demonstrations(self, data: Path, split: str, options: Any, seed: int) -> Sequence[Demonstration]:
        return [Demonstration(task, str(task.reference)) for task in self.tasks(data, split, options)]

    def rubric(self, data: Path | None, options: Any, preset: str | None = None) -> Rubric:
        return Rubric("exact", [Stage(Exact(options.broken_share), 1.0)])

    def vocabulary(self, data: Path, options: Any) -> Vocabulary:
        return Vocabulary(tuple("0123456789+="))

    def default_data(self) -> Path:
        return Path(__file__).parent / "toy_data"


DOMAIN = ToyDomain()
