"""What a doctor reads: the case as far as it is known, the options, and how a turn is written.

Research software, not medical advice.
"""

from __future__ import annotations

from collections.abc import Iterable

from domains.medical.schema import Case, Fact
from sciRL.task import Message

RULES = """This is a simulation for research, not medical advice. You are the doctor. You may ask the patient \
{budget}, one thing at a time, and then you must answer. Write exactly one of these in each turn:
question: <one question that ends with a question mark>
answer: <the letter of one option>"""


def opening(case: Case, budget: int) -> tuple[Message, ...]:
    """Return the messages that a doctor reads before the first turn: the rules, what is known, and the question.

    Example: the last message of a case reads "Known: Do you have a cough? Yes." and ends with "B: influenza".
    """
    known = (fact for fact in case.facts if fact.id in set(case.known_ids))
    asks = "one question" if budget == 1 else f"at most {budget} questions" if budget else "nothing"
    return (
        {"role": "system", "content": RULES.format(budget=asks)},
        {"role": "user", "content": case_text(case, known)},
    )


def compact_opening(case: Case, all_offered: bool) -> tuple[Message, ...]:
    """Return what a model made from scratch reads first: what is known, and the options unless all are offered.

    Example: "Known: Do you have a cough? Yes." and a line break.
    """
    known = [f"Known: {fact.text}\n" for fact in case.facts if fact.id in set(case.known_ids)]
    options = [] if all_offered else [f"Option: {option}\n" for option in case.options]
    return ({"role": "user", "content": "".join([*known, *options]) or "Known: nothing yet.\n"},)


def belief_messages(case: Case, facts: Iterable[Fact]) -> tuple[Message, ...]:
    """Return the messages that ask for an answer from the given facts alone."""
    rule = "Choose the right option. Write answer: and its letter."
    return ({"role": "system", "content": rule}, {"role": "user", "content": case_text(case, facts)})


def case_text(case: Case, facts: Iterable[Fact]) -> str:
    """Return the facts, the question and the options, one to a line."""
    known = [f"Known: {fact.text}" for fact in facts] or ["Known: nothing yet."]
    options = [f"{label}: {option}" for label, option in zip(case.labels, case.options, strict=True)]
    return "\n".join([*known, case.question, *options])


def reply_text(text: str, questions_left: int) -> str:
    """Return what the doctor reads after a turn: the patient's words and how many questions are left."""
    left = "one question" if questions_left == 1 else f"{questions_left} questions" if questions_left else "no question"
    return f"{text}\n({left} left)" if questions_left else f"{text}\n({left} left: answer now)"
