"""Held-out evaluation: the same tasks, the same seeds, the same judge for every arm."""

from __future__ import annotations

from sciRL.algorithms.setting import Setting
from sciRL.domain import Record
from sciRL.rollout.base import Request
from sciRL.rollout.collect import Rollout
from sciRL.rollout.samplers import make_sampler
from sciRL.run.settings import EvaluationConfig
from sciRL.verification.base import Rubric


def evaluate_policy(
    setting: Setting, config: EvaluationConfig, rubric: Rubric, samples: int, split: str | None = None
) -> list[Record]:
    """Draw `samples` answers for held-out tasks, judge them as one batch, and return all attempts.

    Task i is task i modulo their number; its draw depends on the run's seed, the task and i alone.
    """
    tasks = setting.domain.tasks(setting.data, split or config.split, setting.options)
    requests = [Request(tasks[index % len(tasks)], 1) for index in range(samples)]
    sampler = make_sampler(setting.compute.sampler, setting.policy, setting.compute.sampler_torch_dtype())
    sampler.sync(setting.policy.model)
    rollout = Rollout(setting.policy, sampler, rubric, setting.pool, setting.processes, setting.seed)
    batch = rollout.ask(requests, 0, config.sampling.parameters(), stream="evaluation")
    rows = batch.rows
    return [Record(*values) for values in zip(rows["task"], rows["answer"], rows["score"], strict=True)]
