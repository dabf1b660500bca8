"""Verification of drawn answers on one of several processes."""

from __future__ import annotations

from collections.abc import Sequence

from sciRL.learning.distributed import ProcessGroup
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import Rubric
from sciRL.verification.pool import WorkerPool


def verify_answers(
    rubric: Rubric, pool: WorkerPool, processes: ProcessGroup, tasks: Sequence[Task], answers: Sequence[str]
) -> list[Score]:
    """Score answers as one batch on the main process, and hand the scores to all."""
    scores = pool.verify(rubric, list(zip(tasks, answers, strict=True))) if processes.is_main else []
    return processes.from_main(scores)
