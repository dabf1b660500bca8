"""Schedulers: uniform sampling of tasks, and DAPO's refill of groups that carry no signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sciRL.advantage.group import has_spread
from sciRL.order import EpochOrder
from sciRL.rollout.base import Request, SchedulerContext
from sciRL.task import Task
from sciRL.trajectory import TrajectoryBatch


class UniformScheduler:
    """Asks `prompts` tasks a step, `group_size` times each, in a fresh seeded order every epoch."""

    def __init__(self, tasks: Sequence[Task], prompts: int, group_size: int, seed: int) -> None:
        self.tasks = tasks
        self.prompts, self.group_size = prompts, group_size
        self.order = EpochOrder(len(tasks), seed)

    def take(self, n: int) -> list[Task]:
        """Return the next `n` tasks and move on."""
        return [self.tasks[index] for index in self.order.take(n)]

    def plan(self, context: SchedulerContext) -> list[Request] | None:
        """Return one round of requests a step."""
        if context.collected:
            return None
        return [Request(task, self.group_size) for task in self.take(self.prompts)]

    def observe(self, batch: TrajectoryBatch) -> None:
        """Uniform sampling learns nothing from outcomes."""

    def state_dict(self) -> dict[str, Any]:
        """Return the data position."""
        return self.order.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the data position."""
        self.order.load_state_dict(state)


class DynamicSampling:
    """DAPO's dynamic sampling (arXiv 2503.14476, section 3.2): asks new tasks in place of groups without spread.

    Groups whose outcomes are all equal stay in the batch (they weigh nothing and count as attempts); up to
    `max_rounds` refills of as many tasks follow.
    """

    def __init__(self, inner: UniformScheduler, max_rounds: int = 3) -> None:
        self.inner = inner
        self.max_rounds = max_rounds

    def plan(self, context: SchedulerContext) -> list[Request] | None:
        """Return the first round, then refills for the groups without spread of the round before."""
        if not context.collected:
            return self.inner.plan(context)
        if len(context.collected) > self.max_rounds:
            return None
        flat = groups_without_spread(context.collected[-1])
        if not flat:
            return None
        return [Request(task, self.inner.group_size) for task in self.inner.take(flat)]

    def observe(self, batch: TrajectoryBatch) -> None:
        """Pass the finished batch on."""
        self.inner.observe(batch)

    def state_dict(self) -> dict[str, Any]:
        """Return the inner scheduler's state."""
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the inner scheduler."""
        self.inner.load_state_dict(state)


def groups_without_spread(batch: TrajectoryBatch) -> int:
    """Return how many groups have no two different outcomes."""
    mixed = has_spread(batch, batch.outcome)
    return len(set(batch.group.tolist())) - len(set(batch.group[mixed].tolist()))
