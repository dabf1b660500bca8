"""Comparison: how often arms and scripted policies are right after each question, on the same patients.

Research software, not medical advice: the patients are simulated.

Facts are weighed by the naive Bayes of the dataset's knowledge base, whoever asked for them, so that a curve tells how
well questions were chosen and nothing about how the answer was.

Shapes: B patients, F findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from domains.medical.cohort import cohort_of, finding_columns
from domains.medical.consultation import Consultation
from domains.medical.kb import KnowledgeBase
from domains.medical.questioning import POLICIES, accuracy_of, ask_rounds, evaluate, seen_log_posterior
from domains.medical.schema import Case
from sciRL.run.page import Cell, number_cell, table, text_cell
from sciRL.run.statistics import wilson_interval


@dataclass(frozen=True)
class Course:
    """How often the naive Bayes would have been right as questions were asked, and how often the answers were.

    Attributes:
        name: of the arm or policy.
        total: patients.
        believed: patients whose most probable option was right after 0..budget questions; who stopped early stays
            where it stopped.
        questions: mean number of questions.
        right: patients who were given the right answer; of a scripted policy, the last entry of `believed`.
    """

    name: str
    total: int
    believed: tuple[int, ...]
    questions: float
    right: int


def course_of(name: str, consultations: Sequence[Consultation], kb: KnowledgeBase, budget: int) -> Course:
    """Return the course of an arm's consultations; turns that were no question count as questions.

    Example: three questions after the second of which the diagnosis became clear, within a budget of 4, have
    `believed` (0, 0, 1, 1, 1).
    """
    cohort = cohort_of(kb, [one.case for one in consultations])
    columns = [finding_columns(kb, one.case, one.case.facts)[0] for one in consultations]
    believed = []
    for asked in range(budget + 1):
        seen = np.zeros_like(cohort.known)
        for row, one in enumerate(consultations):
            seen[row, columns[row]] = one.knowledge[min(asked, len(one.asking))]
        believed.append(round(accuracy_of(seen_log_posterior(kb, cohort, seen), cohort) * len(cohort)))
    questions = float(np.mean([asked_within(one) for one in consultations]))
    return Course(name, len(cohort), tuple(believed), questions, sum(one.correct for one in consultations))


def asked_within(consultation: Consultation) -> int:
    """Return how many turns were taken before the answer, without one beyond the budget."""
    return min(len(consultation.asking), consultation.budget)


def reference_courses(kb: KnowledgeBase, cases: Sequence[Case], budget: int, seed: int = 0) -> list[Course]:
    """Return the courses of all scripted policies on the given patients (see `questioning.evaluate`).

    Args:
        kb: the knowledge base of the cases.
        cases: the patients.
        budget: most questions.
        seed: of the policy that asks at random.
    """
    cohort = cohort_of(kb, cases)
    courses = []
    for name, policy in POLICIES.items():
        accuracy = evaluate(policy, kb, cohort, budget, np.random.default_rng(seed))
        rounds = ask_rounds(policy, kb, cohort, budget, np.random.default_rng(seed))
        questions = sum(float((column >= 0).mean()) for column, _ in rounds)
        believed = tuple(round(float(share) * len(cohort)) for share in accuracy)
        courses.append(Course(name, len(cohort), believed, questions, believed[-1]))
    return courses


def distinct_cases(arms: Mapping[str, Sequence[Consultation]]) -> list[Case]:
    """Return every patient of the arms once, in the order of first appearance."""
    return list({one.case.id: one.case for consultations in arms.values() for one in consultations}.values())


def comparison_table(arms: Sequence[Course], references: Sequence[Course]) -> str:
    """Return a table of arms and policies: questions, share of right answers, and what the naive Bayes would name."""
    rows = [_row(course, "arm") for course in arms] + [_row(course, "scripted") for course in references]
    head = ["Who asks", "", "Patients", "Questions", "Right answers", "Naive Bayes on what was learned"]
    return table(head, rows, strong=range(len(arms)))


def _row(course: Course, kind: str) -> list[Cell]:
    cells = [text_cell(course.name), text_cell(kind), number_cell(course.total), number_cell(course.questions)]
    for right in (course.right, course.believed[-1]):
        cells.append(number_cell(right / course.total, *wilson_interval(right, course.total)))
    return cells
