"""Consultation: what was said between a doctor and a patient, turn by turn, and how it ended.

Research software, not medical advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from domains.medical.answers import TurnKind
from domains.medical.patient import PatientReply
from domains.medical.schema import BoolArray, Case


@dataclass(frozen=True)
class Turn:
    """One turn of the doctor.

    Attributes:
        text: what was written, whole.
        kind: question, answer or invalid.
        content: what follows the marker.
        form: how well the turn has its form, in [0, 1].
        reply: what the patient said to a question.
        choice: label of the option that an answer chooses, if it chooses one.
    """

    text: str
    kind: TurnKind
    content: str = ""
    form: float = 0.0
    reply: PatientReply | None = None
    choice: str | None = None


@dataclass(frozen=True)
class Consultation:
    """The record of one episode; research software, not medical advice.

    `budget` is how many turns may be taken before the answer; invalid turns count. `done` says whether it has ended:
    with an answer, with a turn beyond the budget that is none, or because the patient failed.
    """

    case: Case
    budget: int
    turns: tuple[Turn, ...] = ()
    done: bool = False

    @property
    def asking(self) -> tuple[Turn, ...]:
        """The turns before the answer: questions and invalid ones."""
        return tuple(turn for turn in self.turns if turn.kind != "answer")

    @property
    def questions(self) -> tuple[str, ...]:
        """The questions, in order."""
        return tuple(turn.content for turn in self.turns if turn.kind == "question")

    @cached_property
    def told(self) -> tuple[tuple[str, ...], ...]:
        """Ids of the facts in the patient's reply to each turn before the answer; repeats included."""
        return tuple(turn.reply.fact_ids if turn.reply else () for turn in self.asking)

    @property
    def choice(self) -> str | None:
        """Label of the option that was answered, if one was."""
        return self.turns[-1].choice if self.turns else None

    @property
    def correct(self) -> bool:
        """Whether the right option was answered."""
        return self.choice == self.case.answer

    @property
    def failure(self) -> str | None:
        """Why the patient itself failed, if it did: such an episode has no outcome."""
        replies = [turn.reply for turn in self.turns if turn.reply is not None and turn.reply.status == "error"]
        return replies[0].reason if replies else None

    @property
    def forms(self) -> tuple[float, ...]:
        """Form of every turn before the answer and of the answer; 0 for an answer that was never given."""
        answered = [turn.form for turn in self.turns if turn.kind == "answer"]
        return (*(turn.form for turn in self.asking), answered[0] if answered else 0.0)

    @cached_property
    def knowledge(self) -> BoolArray:
        """Which facts the doctor knew at the start and after each turn before the answer [turns + 1, n_facts]."""
        new = [self.case.known, *(self.case.mask(ids) for ids in self.told)]
        return np.logical_or.accumulate(np.array(new), axis=0)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible dictionary."""
        turns = [asdict(turn) for turn in self.turns]
        return {"case": self.case.to_dict(), "budget": self.budget, "turns": turns, "done": self.done}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Consultation:
        """Build a consultation from `to_dict` output."""
        turns = tuple(Turn(**{**turn, "reply": _reply(turn["reply"])}) for turn in data["turns"])
        return cls(Case.from_dict(data["case"]), data["budget"], turns, data["done"])


def _reply(data: Mapping[str, Any] | None) -> PatientReply | None:
    return None if data is None else PatientReply(**{**data, "fact_ids": tuple(data["fact_ids"])})
