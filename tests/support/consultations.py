"""Consultations for tests of the medical domain: led with a clinic's patient, and as records of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from domains.medical.clinic import Clinic
from domains.medical.consultation import Consultation
from domains.medical.interview import Interview
from domains.medical.record import write_record
from domains.medical.rows import load_cases
from domains.medical.schema import Case
from domains.medical.tasks import make_task
from sciRL.domain import Record
from sciRL.score import Score


def patients(clinic: Clinic, count: int) -> tuple[Case, ...]:
    """Return the first cases of the training split."""
    assert clinic.data is not None
    return load_cases(clinic.data, "train")[:count]


def meet(case: Case, clinic: Clinic, turns: Sequence[str]) -> Consultation:
    """Return the consultation that a doctor's turns make with the clinic's patient."""
    interview = Interview(case, clinic.patient, clinic.options.budget)
    for turn in turns:
        interview.step(turn)
    return interview.record


def as_record(consultation: Consultation, score: Score | None = None) -> Record:
    """Return a consultation as an evaluation keeps it; without a score it has 1 for the right answer, else 0."""
    task = make_task(consultation.case, "test", consultation.budget)
    return Record(task, write_record(consultation), score or Score.ok(float(consultation.correct)))
