"""Reading turns and options strictly; hostile texts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.medical.answers import parse_choice, parse_turn
from domains.medical.cohort import make_case
from domains.medical.kb import KnowledgeBase
from domains.medical.schema import Case, Fact
from domains.medical.tasks import make_task
from domains.medical.verifiers import AnswerVerifier
from sciRL.score import Status

CASE = Case("c", (Fact("f", "Fever."),), (), "Which?", ("influenza", "gout", "acute gout", "migraine"), "B")


@pytest.mark.parametrize(
    ("text", "kind", "content", "form"),
    [
        ("question: Any fever?", "question", "Any fever?", 1.0),
        ("  QUESTION : Any fever?\n", "question", "Any fever?", 1.0),
        ("I wonder. Question: Any fever?", "question", "Any fever?", 0.5),
        ("answer: B", "answer", "B", 1.0),
        ("Done.\nAnswer: B.", "answer", "B.", 0.5),
        ("question: a? answer: B", "invalid", "", 0.0),
        ("answer: A\nanswer: B", "invalid", "", 0.0),
        ("question:", "invalid", "", 0.0),
        ("B", "invalid", "", 0.0),
        ("", "invalid", "", 0.0),
        ("myanswer: B", "invalid", "", 0.0),
        ("аnswer: B", "invalid", "", 0.0),
        ("answer：B", "invalid", "", 0.0),
    ],
)
def test_turns(text: str, kind: str, content: str, form: float) -> None:
    turn = parse_turn(text)
    assert (turn.kind, turn.content, turn.form) == (kind, content, form)
    assert bool(turn.problem) == (kind == "invalid")


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ("B", "B"), ("(B)", "B"), ("b.", "B"), ("B)", "B"), ("gout", "B"), (" Gout. ", "B"), ("B. gout", "B"),
        ("(b) GOUT", "B"), ("B: gout", "B"), ("acute gout", "C"), ("A or B", None), ("A B C D", None), ("A, B", None),
        ("A. gout", None), ("B. acute gout", None), ("E", None), ("BB", None), ("not gout", None),
        ("gout or migraine", None), ("influenza gout acute gout migraine", None), ("В", None), ("B as it hurts", None),
        ("B\nC", None), ("", None),
    ],
)  # fmt: skip
def test_choices(content: str, label: str | None) -> None:
    assert parse_choice(content, CASE) == label


def test_a_letter_that_is_another_options_text_is_ambiguous() -> None:
    case = Case("c", CASE.facts, (), "Blood group?", ("B", "A", "0"), "B")
    assert parse_choice("A", case) is None
    assert parse_choice("B. A", case) == "B"
    assert parse_choice("C", case) == "C"


def test_two_letter_labels(kb: KnowledgeBase) -> None:
    case = make_case(kb, 0, 0)
    for label, option in zip(case.labels, case.options, strict=True):
        assert parse_choice(label, case) == label
        assert parse_choice(option, case) == label
        assert parse_choice(f"{label}. {option}", case) == label


HOSTILE = [
    "",
    "answer:",
    "answer: A B C D",
    "answer: A\nanswer: B\nanswer: C\nanswer: D",
    "answer: influenza, gout, acute gout or migraine",
    "answer: the right option",
    "answer: B" + " B" * 500_000,
    "question: is it B? answer: B",
    "answer: " * 100_000,
    "B",
    "answer: Ｂ",
    "<answer>B</answer>",
    '{"answer": "B"}',
    "answer" + " " * 1_000_000 + ": B",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_score_no_more_than_an_honest_wrong_answer(text: str) -> None:
    verifier, task = AnswerVerifier(), make_task(CASE, "test")
    began = time.perf_counter()
    score, right, wrong = verifier.verify([(task, text), (task, "answer: B"), (task, "answer: A")])
    assert time.perf_counter() - began < 2
    assert (right.value, wrong.value, wrong.status) == (1.0, 0.0, Status.OK)
    assert (score.value, score.status) == (0.0, Status.MALFORMED)


def test_echoing_the_prompt_scores_nothing() -> None:
    task = make_task(CASE, "test")
    score = AnswerVerifier().verify_one(task, task.text + "\nanswer: B")
    assert score.status is Status.MALFORMED


@given(st.text())
def test_no_text_breaks_the_readers(text: str) -> None:
    assert parse_turn(text).kind in ("question", "answer", "invalid")
    assert parse_choice(text, CASE) in (None, *CASE.labels)
