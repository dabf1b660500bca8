"""A case as a task: what a policy is asked, with the case as the reference that only verifiers read.

Research software, not medical advice.
"""

from __future__ import annotations

from collections.abc import Mapping

from domains.medical.interview import BUDGET
from domains.medical.prompts import opening
from domains.medical.schema import Case
from sciRL.errors import UserError
from sciRL.task import Message, Task


def make_task(case: Case, split: str, budget: int = BUDGET, prompt: tuple[Message, ...] | None = None) -> Task:
    """Return the task of a case: its opening as prompt (unless another is given), the whole case as reference."""
    metadata = {"split": split, "group": case.group, "case": case.id, "row": case.id, "max_turns": budget + 1}
    return Task("medical", prompt or opening(case, budget), reference=case.to_dict(), metadata=metadata)


def case_of(task: Task) -> Case:
    """Return the case of a task; one without a case raises `UserError`."""
    if not isinstance(task.reference, Mapping):
        raise UserError(f"task {task.id}: the reference is no case; found {type(task.reference).__name__}")
    return Case.from_dict(task.reference)
