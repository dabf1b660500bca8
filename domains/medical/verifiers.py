"""Verifiers of one turn: a final answer, and a first question.

Research software, not medical advice. What needs a whole consultation is in `assessment`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from domains.medical.answers import parse_choice, parse_turn
from domains.medical.matching import QuestionMatcher, case_matcher
from domains.medical.schema import Case, normalised
from domains.medical.tasks import case_of
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import PerItemVerifier

MOST_WORDS, FEWEST_WORDS = 40, 3


@dataclass(frozen=True)
class QuestionFlags:
    """What is right about a question.

    Attributes:
        valid: it ends with "?", has at most 40 words and asks for something that can be known; where only a case's
            text is known, three words that match nothing are valid too.
        atomic: it asks for one thing.
        new: neither its finding nor its wording was asked before or known from the start.
        leak_free: it does not name an option.
    """

    valid: bool
    atomic: bool
    new: bool
    leak_free: bool

    @property
    def value(self) -> float:
        """The share of the four that hold."""
        return (self.valid + self.atomic + self.new + self.leak_free) / 4


def judge_question(
    question: str, case: Case, matcher: QuestionMatcher | None = None, asked: Sequence[str] = ()
) -> QuestionFlags:
    """Return what is right about a question.

    Args:
        question: its text, without the marker.
        case: the patient.
        matcher: finds what is asked for; by default among the case's facts.
        asked: the questions asked before.

    Example: "Do you have a fever and chills?" is valid, new and leak-free, and not atomic: value 0.75.
    """
    matcher = matcher or case_matcher(case)
    keys = set(matcher.match(question).keys)
    words = len(question.split())
    readable = question.rstrip().endswith("?") and words <= MOST_WORDS
    # A vague question, which asks for many things at once, has settled none of them.
    taken = {key for earlier in asked for key in matcher.match(earlier).keys if len(matcher.match(earlier).keys) == 1}
    taken |= {key for key, fact in case.by_key.items() if fact.id in case.known_ids}
    wording = normalised(question)
    repeated = wording in {normalised(earlier) for earlier in asked}
    return QuestionFlags(
        valid=readable and (bool(keys) or (case.world == "open" and words >= FEWEST_WORDS)),
        atomic=len(keys) <= 1,
        new=not (keys & taken) and not repeated,
        leak_free=not any(_mentions(wording, normalised(option)) for option in case.options),
    )


def _mentions(wording: str, option: str) -> bool:
    # The plain search is a hundred times faster on a megabyte that names no option.
    return option in wording and re.search(rf"(?<!\w){re.escape(option)}(?!\w)", wording) is not None


class AnswerVerifier(PerItemVerifier):
    """Judges the answer turn of a case: 1 for the right option, 0 for another; what chooses none is malformed.

    Example: for a case whose right option is B, "answer: B" scores 1, "answer: A" 0, and "answer: A or B" is malformed.
    """

    name = "answer"

    def verify_one(self, task: Task, answer: str) -> Score:
        """Return the score of one answer turn."""
        case = case_of(task)
        turn = parse_turn(answer)
        if turn.kind != "answer":
            return Score.malformed(turn.problem or "a question where an answer is due", code="E_TURN")
        choice = parse_choice(turn.content, case)
        if choice is None:
            return Score.malformed("the answer does not choose exactly one option", code="E_CHOICE")
        right = choice == case.answer
        return Score.ok(float(right), "" if right else f"chose {choice}", choice=choice, form=turn.form)


class QuestionVerifier(PerItemVerifier):
    """Judges a first question: the share of valid, atomic, new and leak-free that holds (see `QuestionFlags`).

    Args:
        matcher: finds what is asked for; by default among the case's facts.
    """

    name = "question"

    def __init__(self, matcher: QuestionMatcher | None = None) -> None:
        self.matcher = matcher

    def verify_one(self, task: Task, answer: str) -> Score:
        """Return the score of one question turn."""
        turn = parse_turn(answer)
        if turn.kind != "question":
            return Score.malformed(turn.problem or "an answer where a question is due", code="E_TURN")
        flags = judge_question(turn.content, case_of(task), self.matcher)
        wrong = [name for name, holds in asdict(flags).items() if not holds]
        return Score.ok(flags.value, f"not {', '.join(wrong)}" if wrong else "", **asdict(flags), form=turn.form)
