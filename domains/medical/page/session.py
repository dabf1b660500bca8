"""Session: one visitor's consultation, and the bounded store of all of them.

Research software, not medical advice.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from domains.medical.answers import parse_turn
from domains.medical.doctors import Doctor
from domains.medical.interview import Interview
from domains.medical.page.practice import Practice
from domains.medical.schema import FloatArray
from domains.medical.verifiers import judge_question
from sciRL.errors import UserError

MOST_SESSIONS = 64

Choice: TypeAlias = int | Literal["next", "random"]


@dataclass(frozen=True)
class Encounter:
    """A consultation under way.

    Attributes:
        number: the patient's, from 1.
        doctor_name: who plays the doctor.
        doctor: takes the turns; None where the person does.
        interview: the consultation.
        marks: of every turn, what was wrong with it or its reply.
        beliefs: P(option) [n_options] at the start and after every turn; empty where nothing values facts.
    """

    number: int
    doctor_name: str
    doctor: Doctor | None
    interview: Interview
    marks: list[tuple[str, ...]]
    beliefs: list[FloatArray]


class Session:
    """What one visitor does; research software, not medical advice.

    Args:
        practice: the patients and the doctors.
    """

    def __init__(self, practice: Practice) -> None:
        self.practice = practice
        self.encounter: Encounter | None = None

    def begin(self, patient: Choice, doctor: str) -> None:
        """Begin a consultation, dropping the one under way.

        Raises:
            UserError: no patient or no doctor of this name.
        """
        number = self._number(patient)
        case = self.practice.cases[number - 1]
        chosen = self.practice.doctor(doctor, case)
        interview = self.practice.interview(doctor, case)
        self.encounter = Encounter(number, doctor, chosen, interview, [], [])
        self._believe(self.encounter)

    def ask(self, question: str) -> None:
        """Take a turn of the person: a question in plain words.

        Raises:
            UserError: nothing to ask, no question left, or it is not the person's turn.
        """
        encounter = self._of_person()
        if not question.strip():
            raise UserError("the question is empty; write what you want to ask the patient")
        if encounter.interview.left == 0:
            raise UserError("no question is left; choose a diagnosis")
        self._take(encounter, f"question: {question.strip()}")

    def answer(self, label: str) -> None:
        """Take the last turn of the person: the label of an option.

        Raises:
            UserError: no such option, or it is not the person's turn.
        """
        encounter = self._of_person()
        labels = encounter.interview.record.case.labels
        if label not in labels:
            raise UserError(f"no option has the label {label!r}; allowed are {labels[0]} to {labels[-1]}")
        self._take(encounter, f"answer: {label}")

    def step(self) -> None:
        """Let the watched doctor take one turn; `UserError` where there is none to watch."""
        encounter = self._open()
        if encounter.doctor is None:
            raise UserError("you are the doctor of this patient; ask or answer")
        self._take(encounter, encounter.doctor.next_turn(encounter.interview.record))

    def _number(self, patient: Choice) -> int:
        count = len(self.practice.cases)
        if patient == "random":
            return secrets.randbelow(count) + 1
        if patient == "next":
            return self.encounter.number % count + 1 if self.encounter is not None else 1
        if not 1 <= patient <= count:
            raise UserError(f"there is no patient {patient}; allowed are 1 to {count}")
        return patient

    def _open(self) -> Encounter:
        if self.encounter is None or self.encounter.interview.record.done:
            raise UserError("no consultation is under way; begin one with the next patient")
        return self.encounter

    def _of_person(self) -> Encounter:
        encounter = self._open()
        if encounter.doctor is not None:
            raise UserError(f"you are watching {encounter.doctor_name!r}; begin a consultation of your own to ask")
        return encounter

    def _take(self, encounter: Encounter, text: str) -> None:
        encounter.interview.step(text)
        encounter.marks.append(self._marks(encounter))
        self._believe(encounter)

    def _marks(self, encounter: Encounter) -> tuple[str, ...]:
        """Return what was wrong with the last turn, in words for the page; nothing of it depends on the answer."""
        record = encounter.interview.record
        turn = record.turns[-1]
        if turn.kind == "invalid":
            return (f"not a turn: {parse_turn(turn.text).problem}",)
        if turn.reply is None:
            return ()
        marks = []
        if turn.reply.status == "invalid":
            marks.append(f"invalid: {turn.reply.reason}")
        if turn.reply.status == "unknown":
            marks.append("not known")
        flags = judge_question(turn.content, record.case, self.practice.clinic.matcher, record.questions[:-1])
        if not flags.new and turn.reply.status != "invalid":
            marks.append("repeated: asked before or known from the start")
        if not flags.leak_free:
            marks.append("names a diagnosis")
        return tuple(marks)

    def _believe(self, encounter: Encounter) -> None:
        if self.practice.clinic.belief is not None:
            record = encounter.interview.record
            encounter.beliefs.append(
                np.exp(self.practice.clinic.belief.option_logp(record.case, record.knowledge[-1:])[0])
            )


class Sessions:
    """The sessions of all pages that were loaded; beyond `MOST_SESSIONS` the one idle for longest is dropped."""

    def __init__(self, practice: Practice) -> None:
        self.practice = practice
        self._kept: OrderedDict[str, Session] = OrderedDict()

    def open(self) -> str:
        """Open a session and return its id, which nobody can guess."""
        name = secrets.token_urlsafe(16)
        self._kept[name] = Session(self.practice)
        if len(self._kept) > MOST_SESSIONS:
            self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> Session:
        """Return a session; one that is not kept raises `KeyError`."""
        self._kept.move_to_end(name)
        return self._kept[name]
