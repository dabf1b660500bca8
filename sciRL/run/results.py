"""What a run ends with: the evaluation of every arm, kept so that reports can be made again and compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sciRL.domain import Figure, Record
from sciRL.errors import UserError
from sciRL.run.directory import write_text
from sciRL.run.metrics import read_jsonl
from sciRL.run.statistics import bootstrap_interval, wilson_interval
from sciRL.score import Score
from sciRL.task import Task

ArmRole: TypeAlias = Literal["untrained", "reference", "control", "trained", "warning", "bound"]


@dataclass(frozen=True)
class ArmResult:
    """One arm of an experiment and how it did on the held-out tasks.

    `role`: "untrained" (the start), "reference" (SFT), "control" (SFT continued, shuffled reward), "trained"
    (the claim), "warning" (what a naive reward does), "bound" (an upper bound, no rival). `compute` says in words what
    the arm spent ("400 SFT steps, 1.2 M tokens"). `metrics` are the domain's own (diversity, novelty), `figures` are
    pictures of the policy itself (a Q-table).
    """

    name: str
    role: ArmRole
    description: str
    compute: str
    records: Sequence[Record]
    metrics: Mapping[str, float] = field(default_factory=dict)
    figures: Sequence[Figure] = ()

    @property
    def n(self) -> int:
        """All attempts; the denominator of every rate."""
        return len(self.records)

    @property
    def statuses(self) -> Counter[str]:
        """How many records have each verifier status."""
        return Counter(record.score.status.value for record in self.records)

    @property
    def values(self) -> list[float]:
        """The scores of the records that a verifier could judge (failures of the verifier have none)."""
        return [record.score.value for record in self.records if record.score.value is not None]

    @property
    def mean_score(self) -> float:
        """The mean of `values`; nan when there are none."""
        return sum(self.values) / len(self.values) if self.values else float("nan")

    @property
    def score_interval(self) -> tuple[float, float]:
        """The 95 % bootstrap interval of the mean score."""
        return bootstrap_interval(self.values, seed=0) if self.values else (float("nan"), float("nan"))

    @property
    def passed(self) -> int:
        """How many attempts met every requirement (`measurements["passed"]`, else a score of 1)."""
        return sum(has_passed(record.score) for record in self.records)

    @property
    def pass_rate(self) -> float:
        """Passed over all attempts; nan when there are none."""
        return self.passed / self.n if self.n else float("nan")

    @property
    def pass_interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the pass rate."""
        return wilson_interval(self.passed, self.n) if self.n else (float("nan"), float("nan"))

    @property
    def components(self) -> dict[str, float]:
        """The mean of each score component over the judged records."""
        judged = [record.score.components for record in self.records if record.score.scorable]
        names = dict.fromkeys(name for parts in judged for name in parts)
        return {name: sum(parts.get(name, 0.0) for parts in judged) / len(judged) for name in names}

    def summary(self) -> dict[str, float]:
        """Return the headline figures and the domain metrics under one flat set of names."""
        headline = {"pass_rate": self.pass_rate, "mean_score": self.mean_score}
        failures = self.statuses["timeout"] + self.statuses["error"]
        return headline | {"verifier_failures": float(failures)} | dict(self.metrics)


def has_passed(score: Score) -> bool:
    """Whether an answer met every requirement of its rubric."""
    return bool(score.measurements.get("passed", score.value == 1.0)) and score.scorable


def save_arms(folder: Path, arms: Mapping[str, ArmResult]) -> None:
    """Write `arms.json` and one JSON-lines file of records for each arm into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for position, arm in enumerate(arms.values()):
        name = f"arm-{position}.jsonl"
        lines = [json.dumps(record_to_dict(record), ensure_ascii=False) + "\n" for record in arm.records]
        write_text(folder / name, "".join(lines))
        head = {"name": arm.name, "role": arm.role, "description": arm.description, "compute": arm.compute}
        figures = [asdict(figure) for figure in arm.figures]
        index.append(
            head | {"metrics": dict(arm.metrics), "summary": arm.summary(), "records": name, "figures": figures}
        )
    write_text(folder / "arms.json", json.dumps(index, indent=1, ensure_ascii=False) + "\n")


def load_arms(folder: Path) -> dict[str, ArmResult]:
    """Return what `save_arms` wrote; a folder without results raises `UserError`."""
    path = folder / "arms.json"
    if not path.is_file():
        raise UserError(f"{folder} holds no evaluation results ({path.name} is missing): the run has not finished")
    arms = {}
    for item in json.loads(path.read_text(encoding="utf-8")):
        records = [record_from_dict(row) for row in read_jsonl(folder / item["records"])]
        arms[item["name"]] = ArmResult(
            item["name"],
            item["role"],
            item["description"],
            item["compute"],
            records,
            item["metrics"],
            [Figure(**figure) for figure in item.get("figures", ())],
        )
    return arms


def save_figures(folder: Path, figures: Sequence[Figure]) -> None:
    """Write the domain's figures beside the results, so that a report can be made again without the domain."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "figures.json", json.dumps([asdict(figure) for figure in figures], ensure_ascii=False) + "\n")


def load_figures(folder: Path) -> list[Figure]:
    """Return what `save_figures` wrote; none when it was not called."""
    path = folder / "figures.json"
    return [Figure(**item) for item in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []


def record_to_dict(record: Record) -> dict[str, Any]:
    """Return a JSON-compatible dictionary of a record."""
    return {"task": record.task.to_dict(), "answer": record.answer, "score": record.score.to_dict()}


def record_from_dict(data: Mapping[str, Any]) -> Record:
    """Build a record from `record_to_dict` output."""
    return Record(Task.from_dict(data["task"]), data["answer"], Score.from_dict(data["score"]))
