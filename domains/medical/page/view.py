"""View: what the browser is told about a session, as JSON.

Research software, not medical advice.

While a person plays, nothing of it depends on the right answer: gains of questions and the review, which do, are
told at the end (while watching, the gains of each question at once).
"""

from __future__ import annotations

from typing import Any

from domains.medical.assessment import sig_of_turns
from domains.medical.consultation import Turn
from domains.medical.page.review import review
from domains.medical.page.session import Encounter, Session
from domains.medical.schema import Case

BARS = 6
"""Options whose belief is shown."""


def view(session: Session) -> dict[str, Any]:
    """Return a session's consultation as it may be seen now; an empty object before the first."""
    encounter = session.encounter
    if encounter is None:
        return {}
    record = encounter.interview.record
    case = record.case
    gains = _gains(session, encounter)
    return {
        "patient": encounter.number,
        "doctor": encounter.doctor_name,
        "watching": encounter.doctor is not None,
        "known": [fact.text for fact in case.facts if fact.id in case.known_ids],
        "question": case.question,
        "options": [option(case, label) for label in case.labels],
        "left": encounter.interview.left,
        "done": record.done,
        "turns": [
            _turn(case, turn, marks, gain)
            for turn, marks, gain in zip(record.turns, encounter.marks, gains, strict=True)
        ],
        "belief": _bars(case, encounter),
        "review": review(session.practice, record, encounter.beliefs) if record.done else None,
    }


def option(case: Case, label: str) -> dict[str, str]:
    """Return an option with its label."""
    return {"label": label, "text": case.options[case.labels.index(label)]}


def _turn(case: Case, turn: Turn, marks: tuple[str, ...], gain: float | None) -> dict[str, Any]:
    return {
        "kind": turn.kind,
        "text": turn.text if turn.kind == "invalid" else turn.content,
        "choice": None if turn.choice is None else option(case, turn.choice),
        "reply": None if turn.reply is None else turn.reply.text,
        "marks": marks,
        "gain": gain,
    }


def _gains(session: Session, encounter: Encounter) -> list[float | None]:
    """Return the Shapley information gain of each turn, None for answers and where it must not be told."""
    record = encounter.interview.record
    told = encounter.beliefs and (record.done or encounter.doctor is not None)
    if not told:
        return [None] * len(record.turns)
    asked = iter(sig_of_turns(record, session.practice.clinic.weights(record.case)))
    return [None if turn.kind == "answer" else next(asked) for turn in record.turns]


def _bars(case: Case, encounter: Encounter) -> list[dict[str, Any]]:
    """Return the most probable options now, each with its probability before the last turn."""
    if not encounter.beliefs:
        return []
    now, before = encounter.beliefs[-1], encounter.beliefs[max(0, len(encounter.beliefs) - 2)]
    order = (-now).argsort(kind="stable")[:BARS]
    return [
        {**option(case, case.labels[index]), "p": float(now[index]), "before": float(before[index])} for index in order
    ]
