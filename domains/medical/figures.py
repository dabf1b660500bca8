"""Report figures of the medical domain: consultations to read, how right they were, and what was asked and learned.

Research software, not medical advice: the patients are simulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domains.medical.calibration import calibration_charts, stops
from domains.medical.clinic import Clinic
from domains.medical.comparison import comparison_table, course_of, distinct_cases, reference_courses
from domains.medical.conduct import conduct_html
from domains.medical.consultation import Consultation
from domains.medical.curves import accuracy_chart
from domains.medical.kb import KnowledgeBase
from domains.medical.metrics import consultations_of
from domains.medical.transcripts import transcripts_html
from sciRL.domain import Figure, Record

NOTE = "Simulated patients; research software, not medical advice."
PATIENTS = 3
"""Patients whose consultations are shown."""


def make_figures(arms: Mapping[str, Sequence[Record]], clinic: Clinic) -> list[Figure]:
    """Return the figures for the arms of a run, as self-contained inline SVG and HTML.

    Figures that need a knowledge base or a belief are left out where there is none, and the first caption says so;
    arms without a consultation that can be read are left out, and without any arm there is no figure.

    Args:
        arms: evaluation records by arm name, in the order of the report.
        clinic: of the dataset and the options.
    """
    read = {name: consultations_of(records, clinic) for name, records in arms.items()}
    read = {name: consultations for name, consultations in read.items() if consultations}
    if not read:
        return []
    figures = [consultation_figure(read, clinic)]
    if clinic.kb is not None:
        figures.append(accuracy_figure(read, clinic.kb, clinic.options.budget))
    figures.append(conduct_figure(read, clinic))
    belief = clinic.belief
    stopped = {} if belief is None else {name: stops(own, belief) for name, own in read.items()}
    stopped = {name: own for name, own in stopped.items() if own}
    if stopped:
        figures.append(calibration_figure(stopped))
    return figures


def consultation_figure(arms: Mapping[str, Sequence[Consultation]], clinic: Clinic) -> Figure:
    """Return consultations of the arm that is right most often beside those of the arm before it."""
    best, other = arms_to_read(arms)
    shown = patients_to_read(arms[best], [] if other is None else arms[other])
    words = {"alone": f"only “{best}” is right", "right": f"“{best}” is right", "wrong": f"“{best}” is wrong"}
    pairs = [(words[_kind(mine, theirs)], _sides(best, mine, other, theirs)) for mine, theirs in shown]
    caption = f"Of “{best}”, the arm that is right most often"
    if other is not None:
        caption += f", beside “{other}” on the same patients: one that only “{best}” gets right, one that both do"
        caption += f" and one that “{best}” gets wrong, where there are such, each the first in the order of the data"
    caption += f". {_bars_and_gains(clinic)} {NOTE}"
    return Figure("Consultations", caption, transcripts_html(pairs, clinic))


def _sides(best: str, mine: Consultation, other: str | None, theirs: Consultation | None) -> dict[str, Consultation]:
    beside = {} if other is None or theirs is None else {other: theirs}
    return {**beside, best: mine}


def _bars_and_gains(clinic: Clinic) -> str:
    parts, missing = [], []
    if clinic.belief is not None:
        whose = "the naive Bayes" if clinic.options.belief_model is None else "the belief model"
        parts.append(f"Bars: the options that {whose} holds most probable after each turn, the right one ticked.")
    else:
        missing.append("belief and calibration (nothing values the facts of this data)")
    if clinic.belief is not None:
        parts.append("SIG: Shapley information gain, the share of all there was to learn that a question brought.")
    if clinic.kb is None:
        missing.append("accuracy against questions and scripted policies (the data has no knowledge base)")
    if missing:
        parts.append(f"Not drawn: {'; '.join(missing)}.")
    return " ".join(parts)


def arms_to_read(arms: Mapping[str, Sequence[Consultation]]) -> tuple[str, str | None]:
    """Return the arm that is right most often (the later of equals), and the arm before it, or after it if it is first.

    Arms stand in the order of a run, each stage after what it began from.
    """
    names = list(arms)
    share = {name: sum(one.correct for one in own) / len(own) for name, own in arms.items()}
    place = max(range(len(names)), key=lambda index: (share[names[index]], index))
    beside = place - 1 if place else 1
    return names[place], names[beside] if beside < len(names) else None


def patients_to_read(
    best: Sequence[Consultation], other: Sequence[Consultation]
) -> list[tuple[Consultation, Consultation | None]]:
    """Return the best arm's consultation and the other arm's, if there is one, of at most `PATIENTS` patients.

    They are the first patient whom only the best arm gets right, the first whom both do and the first whom the best
    arm gets wrong, filled up with other patients in order.
    """
    mine = {one.case.id: one for one in reversed(best)}
    theirs = {one.case.id: one for one in reversed(other)}
    shared = [name for name in dict.fromkeys(one.case.id for one in best) if not other or name in theirs]
    kinds = {name: _kind(mine[name], theirs.get(name)) for name in shared}
    first = [next((name for name in shared if kinds[name] == kind), None) for kind in ("alone", "right", "wrong")]
    chosen = dict.fromkeys([*(name for name in first if name is not None), *shared])
    return [(mine[name], theirs.get(name)) for name in list(chosen)[:PATIENTS]]


def _kind(mine: Consultation, theirs: Consultation | None) -> str:
    if not mine.correct:
        return "wrong"
    return "alone" if theirs is not None and not theirs.correct else "right"


def accuracy_figure(arms: Mapping[str, Sequence[Consultation]], kb: KnowledgeBase, budget: int) -> Figure:
    """Return accuracy against questions with a table beside the scripted policies on the same patients."""
    courses = [course_of(name, own, kb, budget) for name, own in arms.items()]
    references = reference_courses(kb, distinct_cases(arms), budget)
    caption = (
        "Lines: share of patients for whom the naive Bayes of the knowledge base, given the facts learned so far, "
        "holds the right diagnosis most probable; a consultation that stopped stays where it stopped, and a turn that "
        "was no question uses up one. Bands: 95 % Wilson intervals. Dots: share of right answers, at the mean number "
        "of questions. Grey: scripted policies on the same patients, who answer them without noise; the oracle knows "
        f"the diagnosis. {NOTE}"
    )
    html = accuracy_chart(courses, references) + comparison_table(courses, references)
    return Figure("Accuracy against questions", caption, html)


def conduct_figure(arms: Mapping[str, Sequence[Consultation]], clinic: Clinic) -> Figure:
    """Return what the turns were, what they gained, and how many red flags were asked for."""
    caption = (
        "Turns before the answer: invalid is neither question nor answer, unclear asks for several things or for "
        "nothing the patient could know, repeated was asked before or known from the start. "
    )
    if clinic.belief is not None:
        caption += "Gain: Shapley information gain; all there is to learn about a patient sums to 1. "
    if clinic.kb is not None:
        caption += "Red flags: in brackets the patients whom any concerns; whiskers are 95 % bootstrap intervals. "
    return Figure("What was asked and learned", caption + NOTE, conduct_html(arms, clinic))


def calibration_figure(stopped: Mapping[str, Sequence[tuple[float, bool]]]) -> Figure:
    """Return the belief in the chosen option when the answer came against the share of right answers."""
    caption = (
        "Belief in the chosen option when the answer came, in tenths, against the share of right answers with 95 % "
        "Wilson intervals; larger dots stand for more answers. On the dashed line the belief is calibrated; dots far "
        f"to the left are answers that the facts did not support. {NOTE}"
    )
    return Figure("When the answer came", caption, calibration_charts(stopped))
