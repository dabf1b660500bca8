"""Rubric presets of the medical domain.

Research software, not medical advice: a high score in a simulation says nothing about a patient.

========  ============================================================================
preset    what it pays
========  ============================================================================
outcome   1 for the right answer within the budget
thorough  0.7 outcome + 0.15 weight of the facts learned + 0.15 quality of the questions
answer    a single answer turn: 1 for the right option
question  a single first question: valid, atomic, new, naming no option
========  ============================================================================

`outcome` and `thorough` judge records of whole consultations (see `record`); a thorough one passes when it is right,
learned at least half of the weight, and asked questions of at least 0.9.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from domains.medical.assessment import budget_score, outcome, question_score, sig_score
from domains.medical.clinic import Clinic
from domains.medical.consultation import Consultation
from domains.medical.verifiers import AnswerVerifier, QuestionVerifier
from sciRL.errors import UserError
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import PerItemVerifier, Rubric, Stage

PRESETS = ("outcome", "thorough", "answer", "question")


class ConsultationVerifier(PerItemVerifier):
    """Judges the record of a consultation, played again with the clinic's patient; text that is none is malformed."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    def verify_one(self, task: Task, answer: str) -> Score:
        """Return the score of one record."""
        try:
            consultation = self.clinic.consultation(task, answer)
        except ValueError as error:
            return Score.malformed(str(error), code="E_RECORD")
        return self.judge(consultation)

    @abstractmethod
    def judge(self, consultation: Consultation) -> Score:
        """Return the score of a consultation."""


class Outcome(ConsultationVerifier):
    """1 for the right answer, 0 for a wrong one; none is malformed. Measures how many questions were asked."""

    name = "outcome"

    def judge(self, consultation: Consultation) -> Score:
        """Return the outcome with the number of questions and the share of the budget that was left."""
        score = outcome(consultation)
        if not score.scorable:
            return score
        left = budget_score(consultation).value
        more = {"questions": len(consultation.asking), "budget_left": left}
        return replace(score, measurements={**score.measurements, **more})


class Learned(ConsultationVerifier):
    """The Shapley weight of the facts that were learned, in [0, 1]."""

    name = "learned"

    def judge(self, consultation: Consultation) -> Score:
        """Return the weight of all facts told for the first time."""
        return sig_score(consultation, self.clinic.weights(consultation.case))


class Questions(ConsultationVerifier):
    """The mean quality of the questions, in [0, 1]; an invalid turn counts 0."""

    name = "questions"

    def judge(self, consultation: Consultation) -> Score:
        """Return the share of valid, atomic, new and leak-free."""
        return question_score(consultation, self.clinic.matcher)


def make_rubric(clinic: Clinic, preset: str) -> Rubric:
    """Return a rubric preset (see the module's table); an unknown one raises `UserError`."""
    if preset == "outcome":
        return Rubric(preset, [Stage(Outcome(clinic), 1.0)])
    if preset == "thorough":
        clinic.need_belief("rubric=thorough")
        parts = [
            Stage(Outcome(clinic), 0.7),
            Stage(Learned(clinic), 0.15, threshold=0.5),
            Stage(Questions(clinic), 0.15, threshold=0.9),
        ]
        return Rubric(preset, parts)
    if preset == "answer":
        return Rubric(preset, [Stage(AnswerVerifier(), 1.0)])
    if preset == "question":
        return Rubric(preset, [Stage(QuestionVerifier(clinic.matcher), 1.0)])
    raise UserError(f"unknown rubric {preset!r}; allowed: {', '.join(PRESETS)}")
