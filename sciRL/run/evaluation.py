"""Held-out evaluation: the same tasks, the same seeds, the same judge for every arm."""

from __future__ import annotations

from sciRL.algorithms.setting import Setting
from sciRL.domain import Record
from sciRL.families import load_family
from sciRL.rollout.verify import verify_answers
from sciRL.run.settings import EvaluationConfig
from sciRL.verification.base import Rubric


def evaluate_policy(
    setting: Setting, config: EvaluationConfig, rubric: Rubric, samples: int, split: str | None = None
) -> list[Record]:
    """Draw `samples` answers for held-out tasks, judge them as one batch, and return all attempts.

    Task i is task i modulo their number; its draw depends on the run's seed, the task and i alone.
    """
    held_out = setting.domain.tasks(setting.data, split or config.split, setting.options)
    tasks = [held_out[index % len(held_out)] for index in range(samples)]
    answers = load_family(setting.domain.family).answer(setting, config, tasks)
    texts = [answer.text for answer in answers]
    scores = verify_answers(rubric, setting.pool, setting.processes, tasks, texts)
    return [
        Record(task, answer.text, answer.failure or score)
        for task, answer, score in zip(tasks, answers, scores, strict=True)
    ]
