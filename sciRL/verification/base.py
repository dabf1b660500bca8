"""Verifier and Rubric: the one interface by which every science judges an answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from sciRL.errors import UserError
from sciRL.score import Score, Status
from sciRL.task import Task

Cost: TypeAlias = Literal["inline", "pool", "sandbox"]
Item: TypeAlias = tuple[Task, str]


@runtime_checkable
class Verifier(Protocol):
    """Judges answers in a batch; pure (no clock, no network, no global state) and total (never raises).

    `cost` says where it runs: "inline" in the trainer's process, "pool" in worker processes with a
    wall limit, "sandbox" for answers that are programs. The whole batch is seen at once, so that
    uniqueness can compare its members.
    """

    name: str
    cost: Cost

    def verify(self, items: Sequence[Item]) -> list[Score]:
        """Return one score for each (task, answer text)."""
        ...


class PerItemVerifier(ABC):
    """A verifier that judges each answer alone; only such verifiers are sharded over worker processes.

    An exception in `verify_one` becomes a score of status `error`, never a zero.
    """

    name: str
    cost: Cost = "inline"

    @abstractmethod
    def verify_one(self, task: Task, answer: str) -> Score:
        """Return the score of one answer."""

    def verify(self, items: Sequence[Item]) -> list[Score]:
        """Return one score for each item, in order."""
        return [guarded(self, task, answer) for task, answer in items]


def guarded(verifier: PerItemVerifier, task: Task, answer: str) -> Score:
    """Call `verify_one`; an exception is the verifier's failure and becomes status `error`."""
    try:
        return verifier.verify_one(task, answer)
    except Exception as error:
        return Score.failed(Status.ERROR, f"{verifier.name}: {type(error).__name__}: {error}")


@dataclass(frozen=True)
class Stage:
    """One step of a rubric: a verifier, its weight in the total, and whether failing it ends the evaluation.

    A gate is passed when the stage's value is at least `threshold`.
    """

    verifier: Verifier
    weight: float
    gate: bool = False
    threshold: float = 1.0


class Rubric:
    """Ordered stages with gates; the total is the weighted mean of the stage values.

    Stages after a failed gate do not run for that answer and count as 0; an answer is never sent to an
    expensive stage before the cheap ones have let it through. A stage that fails itself (`timeout`,
    `error`) makes the whole score that failure. `measurements["passed"]` says whether every stage of
    positive weight reached its threshold.

    Example: with stages parse (weight 1, gate) and novel (weight 3), text that parses but is known
    scores 0.25; text that does not parse is `malformed` and scores 0.
    """

    def __init__(self, name: str, stages: Sequence[Stage]) -> None:
        names = [stage.verifier.name for stage in stages]
        if not stages or len(set(names)) != len(names):
            raise ValueError(f"rubric {name!r} needs at least one stage and distinct names; found {names}")
        if any(stage.weight < 0 for stage in stages) or not sum(stage.weight for stage in stages) > 0:
            raise ValueError(f"rubric {name!r} needs weights >= 0 with a positive sum")
        refuse_judge_only(name, stages)
        self.name = name
        self.stages = tuple(stages)

    @property
    def cost(self) -> Cost:
        """The most expensive place any stage asks for."""
        order: tuple[Cost, ...] = ("inline", "pool", "sandbox")
        return max((stage.verifier.cost for stage in self.stages), key=order.index)

    @property
    def component_names(self) -> tuple[str, ...]:
        """The stage names, in order: the columns of the components table."""
        return tuple(stage.verifier.name for stage in self.stages)

    def verify(self, items: Sequence[Item]) -> list[Score]:
        """Return one combined score for each item, in order."""
        return evaluate_stages(self, items, lambda verifier, part: verifier.verify(part))


def refuse_judge_only(name: str, stages: Sequence[Stage]) -> None:
    """Raise `UserError` when only judges (verifiers with a true `opinion`) carry weight: a policy can sway them."""
    paid = [stage.verifier for stage in stages if stage.weight > 0]
    if all(getattr(verifier, "opinion", False) for verifier in paid):
        raise UserError(
            f"rubric {name!r} pays for nothing but the opinion of {', '.join(verifier.name for verifier in paid)}; "
            "allowed: a judge beside a verifier that measures and has a weight above 0"
        )


class StageRunner(Protocol):
    """How a stage's verifier is run on its items: inline, or through a worker pool."""

    def __call__(self, verifier: Verifier, items: Sequence[Item]) -> list[Score]:
        """Return one score per item."""
        ...


def evaluate_stages(rubric: Rubric, items: Sequence[Item], run: StageRunner) -> list[Score]:
    """Run the stages in order over the items that are still alive and combine their scores."""
    stage_scores: list[dict[str, Score]] = [{} for _ in items]
    alive = list(range(len(items)))
    for stage in rubric.stages:
        if not alive:
            break
        scores = run(stage.verifier, [items[index] for index in alive])
        if len(scores) != len(alive):
            scores = [
                Score.failed(Status.ERROR, f"{stage.verifier.name}: {len(scores)} scores for {len(alive)} items")
            ] * len(alive)
        survivors = []
        for index, score in zip(alive, scores, strict=True):
            stage_scores[index][stage.verifier.name] = score
            readable = score.status is Status.OK
            if readable and not (stage.gate and (score.value or 0.0) < stage.threshold):
                survivors.append(index)
        alive = survivors
    return [combine(rubric, scores) for scores in stage_scores]


def combine(rubric: Rubric, scores: dict[str, Score]) -> Score:
    """Merge the stage scores of one answer into its total, components and reason."""
    for name, score in scores.items():
        if not score.scorable:
            return Score(None, status=score.status, reason=score.reason or name)
    components = {stage.verifier.name: 0.0 for stage in rubric.stages}
    measurements: dict[str, object] = {}
    reason, status = "", Status.OK
    for name, score in scores.items():
        components[name] = float(score.value or 0.0)
        measurements.update(score.measurements)
        if score.status is Status.MALFORMED:
            status = Status.MALFORMED
        if not reason and (score.value or 0.0) < 1.0:
            reason = f"{name}: {score.reason}" if score.reason else name
    weights = {stage.verifier.name: stage.weight for stage in rubric.stages}
    total = sum(weights[name] * value for name, value in components.items()) / sum(weights.values())
    measurements["passed"] = status is Status.OK and all(
        components[stage.verifier.name] >= stage.threshold for stage in rubric.stages if stage.weight > 0
    )
    if status is Status.MALFORMED:
        return Score(0.0, components, status, reason, measurements)
    return Score(min(1.0, total), components, status, reason, measurements)
