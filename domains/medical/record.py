"""Record: a consultation as text, to be judged by a rubric and read by a person.

Research software, not medical advice.

A record is one JSON object; the case is not in it, as the task has it:

    {"turns": [{"doctor": "question: Any fever?", "patient": "Have you had a fever? No."}, {"doctor": "answer: B"}]}

It is judged by playing it again: only the doctor's words are taken from it. Where the patient cannot be asked again (a
language model), the recorded replies are taken, and which facts they tell is found by comparing them with the case.
"""

from __future__ import annotations

import json
from typing import Any

from domains.medical.consultation import Consultation
from domains.medical.interview import Interview
from domains.medical.llm_patient import repeated_facts
from domains.medical.patient import Patient, PatientReply
from domains.medical.schema import Case

MOST_TURNS = 1000


class RecordedPatient:
    """Gives the replies of a record again, in order; the facts they tell are those that the case confirms."""

    def __init__(self, replies: list[str]) -> None:
        self._replies = iter(replies)

    def reply(self, case: Case, question: str) -> PatientReply:
        """Return the next recorded reply."""
        text = next(self._replies, "")
        facts = tuple(repeated_facts(case, question, text))
        return PatientReply(text, "answered" if facts else "unknown", facts)


def write_record(consultation: Consultation) -> str:
    """Return a consultation as a record."""
    turns: list[dict[str, str]] = []
    for turn in consultation.turns:
        said = {} if turn.reply is None else {"patient": turn.reply.text}
        turns.append({"doctor": turn.text, **said})
    return json.dumps({"turns": turns}, ensure_ascii=False)


def read_record(text: str, case: Case, budget: int, patient: Patient | None = None) -> Consultation:
    """Return the consultation of a record, played again with its doctor's words.

    Args:
        text: the record.
        case: the patient's case.
        budget: questions that were allowed.
        patient: answers again; None gives the recorded replies.

    Raises:
        ValueError: the text is no record.

    Example: `read_record('{"turns": [{"doctor": "answer: B"}]}', case, 10).choice` is "B".
    """
    turns = _turns(text)
    replies = [str(turn["patient"]) for turn in turns if "patient" in turn]
    interview = Interview(case, patient or RecordedPatient(replies), budget)
    for turn in turns:
        if interview.record.done:
            break
        interview.step(turn["doctor"])
    return interview.record


def _turns(text: str) -> list[dict[str, Any]]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("not a record: no JSON") from error
    turns = record.get("turns") if isinstance(record, dict) else None
    if not isinstance(turns, list) or len(turns) > MOST_TURNS:
        raise ValueError(f"not a record: an object with at most {MOST_TURNS} turns is needed")
    for turn in turns:
        if not isinstance(turn, dict) or not isinstance(turn.get("doctor"), str):
            raise ValueError('not a record: every turn needs a "doctor"')
    return turns
