"""Patients that answer questions from a case's facts and from nothing else.

Research software, not medical advice: these are simulations.

=========================================  =====================================  ===========  ============
question                                   reply                                  status       facts told
=========================================  =====================================  ===========  ============
asks for a fact                            its text                               answered     that one
for a finding without a fact, closed       No.                                    answered     none
for a finding without a fact, open         I don't know.                          unknown      none
for several things, or too vague           Please ask me one thing at a time.     invalid      none
for nothing the patient could know         The patient cannot answer this ...     invalid      none
for nothing in the text of the case        I don't know.                          unknown      none
=========================================  =====================================  ===========  ============
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np

from domains.medical.matching import QuestionMatcher, case_matcher
from domains.medical.schema import Case
from sciRL.errors import UserError
from sciRL.seeding import request_seed

ReplyStatus: TypeAlias = Literal["answered", "unknown", "invalid", "error"]

DONT_KNOW = "I don't know."
CANNOT_ANSWER = "The patient cannot answer this question."
ONE_AT_A_TIME = "Please ask me one thing at a time."


@dataclass(frozen=True)
class PatientReply:
    """What a patient said.

    `fact_ids` are the facts it told; `key` is what was asked for; `reason` says what was wrong with a question
    (status `invalid`) or with the patient itself (status `error`).
    """

    text: str
    status: ReplyStatus
    fact_ids: tuple[str, ...] = ()
    key: str = ""
    reason: str = ""


class Patient(Protocol):
    """Answers one question about a case."""

    def reply(self, case: Case, question: str) -> PatientReply:
        """Return the reply to a question, whatever its text; the same question gets the same reply."""
        ...


@dataclass(frozen=True)
class Noise:
    """How often a simulated patient does not remember, or says the opposite of a finding that is present or absent.

    Both are drawn once for every patient and finding from `seed`, so that asking again changes nothing.
    """

    p_unknown: float = 0.0
    p_flip: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("p_unknown", "p_flip"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"patient noise {name}={getattr(self, name)}; allowed is a probability, 0 to 1")


class SimulatedPatient:
    """Answers by rule from the facts; research software, not medical advice.

    Args:
        matcher: finds what a question asks for, for example of a knowledge base; None matches with the case's facts,
            and as nobody can list what else there is to know, any other question is answered "I don't know.".
        noise: how unreliable the patient is; not at all by default.

    A finding that is told wrongly tells no fact, so that nothing is paid for it.
    """

    def __init__(self, matcher: QuestionMatcher | None = None, noise: Noise | None = None) -> None:
        self.matcher = matcher
        self.noise = noise or Noise()

    def matcher_of(self, case: Case) -> QuestionMatcher:
        """Return what this patient understands questions about a case with."""
        return self.matcher or case_matcher(case)

    def reply(self, case: Case, question: str) -> PatientReply:
        """Return the reply to a question (see the table at the head of this module)."""
        keys = self.matcher_of(case).match(question).keys
        if not keys and self.matcher is None and question.rstrip().endswith("?"):
            return PatientReply(DONT_KNOW, "unknown")
        if not keys:
            return PatientReply(CANNOT_ANSWER, "invalid", reason="nothing the patient could know is asked for")
        if len(keys) > 1:
            asked = ", ".join(keys[:5])
            return PatientReply(ONE_AT_A_TIME, "invalid", reason=f"several things are asked for: {asked}")
        return self._answer(case, keys[0])

    def _answer(self, case: Case, key: str) -> PatientReply:
        fact = case.by_key.get(key)
        forgets, errs = self._slips(case, key)
        if forgets or (fact is None and case.world == "open"):
            return PatientReply(DONT_KNOW, "unknown", key=key)
        present = False if fact is None else fact.value
        if errs and isinstance(present, bool) and (fact is None or fact.key is not None):
            return PatientReply("No." if present else "Yes.", "answered", key=key)
        if fact is None:
            return PatientReply("No.", "answered", key=key)
        return PatientReply(fact.text, "answered", (fact.id,), key)

    def _slips(self, case: Case, key: str) -> tuple[bool, bool]:
        """Return whether the patient forgets a finding, and whether it is told wrongly."""
        if not self.noise.p_unknown and not self.noise.p_flip:
            return False, False
        rng = np.random.default_rng(request_seed(self.noise.seed, case.id, key))
        return bool(rng.random() < self.noise.p_unknown), bool(rng.random() < self.noise.p_flip)
