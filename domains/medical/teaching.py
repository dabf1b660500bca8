"""Teaching: lessons whose questions are chosen from the knowledge base, and any lesson as turns to imitate.

Research software, not medical advice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from domains.medical.answers import BEGIN
from domains.medical.clinic import Clinic
from domains.medical.cohort import cohort_of
from domains.medical.environment import answer_words
from domains.medical.interview import Interview
from domains.medical.kb import KnowledgeBase
from domains.medical.lessons import Lesson
from domains.medical.patient import SimulatedPatient
from domains.medical.questioning import POLICIES, STOP, ask_rounds, normalise
from domains.medical.schema import Case
from sciRL.domain import Demonstration
from sciRL.errors import UserError
from sciRL.task import Task

TEACHERS = {"greedy": "greedy information gain", "random": "random"}


def ask_by_table(
    kb: KnowledgeBase, cases: Sequence[Case], teacher: str, budget: int, confidence: float, seed: int
) -> list[Lesson]:
    """Return one consultation a case: questions by a policy over the table, then the most probable option.

    Args:
        kb: the knowledge base of the cases.
        cases: the patients.
        teacher: a key of `TEACHERS`.
        budget: most questions.
        confidence: probability of a diagnosis from which no more is asked; 1 asks to the end.
        seed: of a random teacher.
    """
    cohort = cohort_of(kb, cases)
    rng = np.random.default_rng(seed)
    asked: list[list[int]] = [[] for _ in cases]
    answer = np.full(len(cases), -1)
    for column, log_posterior in ask_rounds(POLICIES[TEACHERS[teacher]], kb, cohort, budget, rng):
        sure = normalise(log_posterior).max(axis=1) >= confidence
        for row in np.flatnonzero((answer < 0) & (column != STOP)):
            asked[row].append(int(column[row]))
        answer = np.where((answer < 0) & sure, log_posterior.argmax(axis=1), answer)
    answer = np.where(answer < 0, log_posterior.argmax(axis=1), answer)
    return [
        Lesson(
            case.id,
            tuple(kb.findings[column].id for column in columns),
            case.labels[case.options.index(kb.diseases[int(row)].name)],
        )
        for case, columns, row in zip(cases, asked, answer, strict=True)
    ]


def demonstrate(task: Task, case: Case, lesson: Lesson, clinic: Clinic) -> Demonstration:
    """Return a lesson as the turns to imitate, each with the reply of a patient who answers by the facts.

    Raises:
        UserError: no knowledge base, a finding or an option it does not know, or more questions than the budget.
    """
    kb, budget = clinic.kb, clinic.options.budget
    if kb is None or not set(lesson.asked) <= set(kb.finding_index) or lesson.answer not in case.labels:
        raise UserError(f"dialogue of case {case.id!r}: a finding or an option that the dataset's table does not have")
    if len(lesson.asked) > budget:
        raise UserError(f"dialogue of case {case.id!r}: {len(lesson.asked)} questions; the budget is {budget}")
    interview = Interview(case, SimulatedPatient(clinic.matcher), budget)
    turns = [f"question: {kb.findings[kb.finding_index[name]].question}" for name in lesson.asked]
    earlier = tuple((turn, interview.step(turn)) for turn in turns)
    return Demonstration(task, BEGIN + answer_words(case, lesson.answer, clinic.options), earlier)
