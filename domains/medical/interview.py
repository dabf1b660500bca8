"""Interview: the rules of a consultation, turn by turn, for whoever plays the doctor.

Research software, not medical advice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from domains.medical.answers import BEGIN, parse_choice, parse_turn
from domains.medical.consultation import Consultation, Turn
from domains.medical.patient import Patient
from domains.medical.prompts import opening, reply_text
from domains.medical.schema import Case
from sciRL.errors import UserError
from sciRL.task import Message

BUDGET = 10
REMINDER = "Write exactly one 'question: ...' or 'answer: ...'."


class Interview:
    """One consultation in progress; research software, not medical advice.

    Every turn before the answer uses up the budget, invalid ones too; when nothing is left, a turn that is no answer
    ends the consultation without one.

    Args:
        case: the patient.
        patient: answers the questions.
        budget: turns before the answer, at least 0.
        diagnose: names the label of the answer in the doctor's place, from what was learned, when the doctor answers or
            has no question left; by default the doctor does.
    """

    def __init__(
        self,
        case: Case,
        patient: Patient,
        budget: int = BUDGET,
        diagnose: Callable[[Consultation], str] | None = None,
    ) -> None:
        if budget < 0:
            raise UserError(f"budget={budget}: allowed is 0 (answer at once) or more questions")
        self.patient = patient
        self.diagnose = diagnose
        self.record = Consultation(case, budget)

    @property
    def left(self) -> int:
        """Turns that may still be taken before the answer."""
        return self.record.budget - len(self.record.asking)

    def opening(self) -> Sequence[Message]:
        """Return the messages that the doctor reads first."""
        return opening(self.record.case, self.record.budget)

    def step(self, text: str) -> str:
        """Take one turn of the doctor, whatever its text, and return what the doctor reads next ("" at the end).

        Raises:
            ValueError: the consultation has ended.
        """
        if self.record.done:
            raise ValueError("the consultation has ended; begin another one")
        read = parse_turn(text)
        if self.diagnose is not None and (self.left == 0 or read.kind == "answer"):
            text = BEGIN + self.diagnose(self.record)
            read = parse_turn(text)
        turn = Turn(text, read.kind, read.content, read.form)
        if turn.kind == "answer":
            return self._take(replace(turn, choice=parse_choice(turn.content, self.record.case)), done=True)
        if self.left == 0:
            return self._take(turn, done=True)
        if turn.kind == "invalid":
            return self._take(turn)
        reply = self.patient.reply(self.record.case, turn.content)
        return self._take(replace(turn, reply=reply), done=reply.status == "error")

    def _take(self, turn: Turn, done: bool = False) -> str:
        self.record = replace(self.record, turns=(*self.record.turns, turn), done=done)
        return "" if done else read_after(self.record, len(self.record.turns) - 1)


def read_after(consultation: Consultation, turn: int) -> str:
    """Return what the doctor reads after a turn, counted from 0, that did not end the consultation."""
    reply = consultation.turns[turn].reply
    return reply_text(REMINDER if reply is None else reply.text, consultation.budget - turn - 1)


def consult(case: Case, patient: Patient, doctor: Callable[[Sequence[str]], str], budget: int = BUDGET) -> Consultation:
    """Return the consultation of a doctor given as a function of everything it has read so far.

    Args:
        case: the patient.
        patient: answers the questions.
        doctor: returns the next turn from the texts read so far (the opening's, then every reply).
        budget: turns before the answer.
    """
    interview = Interview(case, patient, budget)
    read = [message["content"] for message in interview.opening()]
    while not interview.record.done:
        read.append(interview.step(doctor(read)))
    return interview.record
