"""Review: what a finished consultation was worth, and what it missed.

Research software, not medical advice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from domains.medical.assessment import red_flag_coverage, sig_of_turns
from domains.medical.consultation import Consultation
from domains.medical.doctors import KbDoctor, play
from domains.medical.interview import Interview
from domains.medical.page.practice import Practice
from domains.medical.schema import FloatArray

MISSED = 5
"""Facts that were never told and are listed."""


def review(practice: Practice, record: Consultation, beliefs: Sequence[FloatArray]) -> dict[str, Any]:
    """Return the outcome, the right diagnosis, and where facts are valued what was learned and what was missed.

    Args:
        practice: values the facts, and asks by greedy information gain for comparison.
        record: the finished consultation.
        beliefs: P(option) [n_options] at the start and after every turn, or nothing.
    """
    case = record.case
    found: dict[str, Any] = {
        "outcome": _outcome(record),
        "failure": record.failure,
        "case": case.id,
        "truth": {"label": case.answer, "text": case.answer_text},
        "belief": [float(belief[case.answer_index]) for belief in beliefs],
        "learned": None,
        "missed": [],
        "red_flags": None,
        "greedy": None,
    }
    if practice.clinic.belief is not None:
        weights = practice.clinic.weights(case)
        found["learned"] = sum(sig_of_turns(record, weights))
        found["missed"] = _missed(record, weights)
    if practice.clinic.kb is not None:
        found["red_flags"] = {"coverage": red_flag_coverage(record, practice.clinic.kb)}
        found["greedy"] = _greedy(practice, record)
    return found


def _outcome(record: Consultation) -> str:
    if record.failure is not None:
        return "failed"
    if record.choice is None:
        return "none"
    return "right" if record.correct else "wrong"


def _missed(record: Consultation, weights: dict[str, float]) -> list[dict[str, Any]]:
    """Return the facts of largest weight that were never told, largest first."""
    facts = zip(record.case.facts, record.knowledge[-1], strict=True)
    never = [(weights.get(fact.id, 0.0), fact.text) for fact, known in facts if not known]
    largest = sorted((pair for pair in never if pair[0] > 0), key=lambda pair: -pair[0])[:MISSED]
    return [{"weight": weight, "text": text} for weight, text in largest]


def _greedy(practice: Practice, record: Consultation) -> dict[str, Any] | None:
    """Return the same consultation as greedy information gain leads it."""
    if practice.clinic.kb is None:
        return None
    doctor = KbDoctor(practice.clinic.kb, confidence=practice.options.confidence)
    other = play(Interview(record.case, practice.clinic.patient, record.budget), doctor)
    gains = sig_of_turns(other, practice.clinic.weights(record.case))
    return {
        "outcome": _outcome(other),
        "answer": record.case.options[record.case.labels.index(other.choice)] if other.choice else None,
        "learned": sum(gains),
        "turns": [
            {"text": turn.content, "reply": turn.reply.text if turn.reply else "", "gain": gain}
            for turn, gain in zip(other.asking, gains, strict=True)
        ],
    }
