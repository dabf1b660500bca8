"""Consultations: the rules of an episode, and what it was worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.medical.assessment import (
    belief_path,
    budget_score,
    igpo_of_turns,
    judge_questions,
    outcome,
    promed_rewards,
    question_score,
    red_flag_coverage,
    sig_of_turns,
    sig_score,
)
from domains.medical.belief import NaiveBayesBelief, known_logp
from domains.medical.cohort import make_case
from domains.medical.consultation import Consultation
from domains.medical.interview import Interview, consult
from domains.medical.kb import KnowledgeBase, parse_kb
from domains.medical.matching import kb_matcher
from domains.medical.patient import Noise, SimulatedPatient
from domains.medical.schema import Case, Fact
from domains.medical.shapley import case_weights
from domains.medical.tasks import case_of, make_task
from domains.medical.verifiers import QuestionVerifier, judge_question
from sciRL.errors import UserError
from sciRL.score import Status
from sciRL.task import Task

MakeCase = Callable[..., Case]


def scripted(*texts: str) -> Callable[[object], str]:
    script: Iterator[str] = iter(texts)
    return lambda read: next(script)


def three(
    three_kb: KnowledgeBase, case: Case, *texts: str, budget: int = 5, noise: Noise | None = None
) -> Consultation:
    return consult(case, SimulatedPatient(kb_matcher(three_kb), noise), scripted(*texts), budget)


def ask(number: int) -> str:
    return f"question: Is sign {number} there?"


def test_a_consultation_from_start_to_answer(three_kb: KnowledgeBase, three_case: MakeCase) -> None:
    record = three(three_kb, three_case(), ask(2), "no idea", ask(3), "answer: A")
    assert [turn.kind for turn in record.turns] == ["question", "invalid", "question", "answer"]
    assert (record.correct, record.choice, record.done) == (True, "A", True)
    assert record.told == (("f2",), (), ("f3",))
    assert record.forms == (1.0, 0.0, 1.0, 1.0)
    assert record.knowledge.tolist() == [[False] * 3, [False, True, False], [False, True, False], [False, True, True]]
    assert Consultation.from_dict(record.to_dict()) == record


def test_what_the_doctor_reads(three_kb: KnowledgeBase, three_case: MakeCase) -> None:
    interview = Interview(three_case(known=("f1",)), SimulatedPatient(kb_matcher(three_kb)), budget=2)
    system, user = (message["content"] for message in interview.opening())
    assert "not medical advice" in system
    assert "at most 2 questions" in system
    assert user.splitlines() == [
        "Known: Is sign 1 there? Yes.", "Which illness?", "A: illness 0", "B: illness 1", "C: illness 2",
    ]  # fmt: skip
    assert interview.step(ask(3)) == "Is sign 3 there? No.\n(one question left)"
    assert "exactly one" in interview.step("hello")
    assert interview.step("answer: A") == ""
    with pytest.raises(ValueError, match="has ended"):
        interview.step("answer: B")


def test_the_budget_ends_a_consultation_without_an_answer(three_kb: KnowledgeBase, three_case: MakeCase) -> None:
    record = three(three_kb, three_case(), ask(1), "what?", ask(2), budget=2)
    assert record.done
    assert record.told == (("f1",), (), ())
    assert (outcome(record).value, outcome(record).status) == (0.0, Status.MALFORMED)
    assert budget_score(record).value == 0.0
    with pytest.raises(UserError, match="budget=-1"):
        three(three_kb, three_case(), budget=-1)


@given(st.lists(st.one_of(st.text(max_size=30), st.sampled_from([ask(1), "answer: A", "answer: Q"])), max_size=8))
def test_any_texts_make_a_consultation_that_ends(texts: list[str]) -> None:
    facts = (Fact("f1", "Is sign 1 there? Yes.", "f1"),)
    case = Case("c", facts, (), "Which?", ("x", "y"), "A", {"world": "closed"})
    interview = Interview(case, SimulatedPatient(), budget=4)
    for text in [*texts, *["stop"] * 5]:
        if not interview.record.done:
            interview.step(text)
    record = interview.record
    assert record.done
    assert len(record.turns) <= 5
    assert outcome(record).status in (Status.OK, Status.MALFORMED)
    assert len(record.forms) == len(record.told) + 1
    assert 0 <= sig_score(record, {"f1": 1.0}).value <= 1  # type: ignore[operator]


def test_promed_rewards_of_the_card(three_kb: KnowledgeBase, three_case: MakeCase) -> None:
    case = three_case()
    weights = case_weights(NaiveBayesBelief(three_kb), case, "paper")
    right = three(three_kb, case, ask(2), ask(2), "answer: A")
    assert promed_rewards(right, weights) == pytest.approx([2.029056, 1, 4], abs=2e-6)
    wrong = three(three_kb, case, ask(3), "answer: B")
    assert promed_rewards(wrong, weights) == pytest.approx([1.653144, 1], abs=2e-6)


def test_repeats_are_not_paid_again(three_kb: KnowledgeBase, three_case: MakeCase) -> None:
    record = three(three_kb, three_case(), ask(2), ask(2), "question: f2", "answer: A")
    assert sig_of_turns(record, {"f2": 0.6}) == [0.6, 0.0, 0.0]
    assert [flags.new for flags in judge_questions(record, kb_matcher(three_kb))] == [True, False, False]


def test_facts_are_those_the_patient_told_not_those_the_doctor_wrote(
    three_kb: KnowledgeBase, three_case: MakeCase
) -> None:
    case = three_case()
    claims = "question: Is sign 1 there? Yes. Is sign 2 there? Yes. Is sign 3 there? No. Am I right?"
    record = three(three_kb, case, claims, ask(1), "answer: A", noise=Noise(p_unknown=1.0))
    assert [turn.reply.status for turn in record.asking if turn.reply] == ["invalid", "unknown"]
    assert sig_of_turns(record, {"f1": 0.5, "f2": 0.3, "f3": 0.2}) == [0.0, 0.0]
    flipped = three(three_kb, case, ask(1), "answer: A", noise=Noise(p_flip=1.0))
    assert flipped.asking[0].reply is not None
    assert (flipped.asking[0].reply.text, sig_of_turns(flipped, {"f1": 1.0})) == ("No.", [0.0])


def test_igpo_gains_telescope(three_kb: KnowledgeBase, three_case: MakeCase) -> None:
    belief, case = NaiveBayesBelief(three_kb), three_case(known=("f1",))
    record = three(three_kb, case, ask(2), "huh", ask(3), "answer: A")
    gains = igpo_of_turns(record, belief)
    path = np.exp(belief_path(record, belief))
    assert path[[0, -1]] == pytest.approx(np.exp([-0.427444, -0.096992]), abs=1e-6)
    assert sum(gains) == pytest.approx(path[-1] - path[0], abs=1e-9)
    assert gains[1] == 0.0
    assert np.exp(known_logp(belief, case)).sum() == pytest.approx(1)


def test_budget_and_question_scores(three_kb: KnowledgeBase, three_case: MakeCase) -> None:
    matcher = kb_matcher(three_kb)
    record = three(three_kb, three_case(), ask(1), "???", ask(1), "answer: A", budget=10)
    assert budget_score(record).value == pytest.approx(0.7)
    score = question_score(record, matcher)
    assert score.measurements["new"] == pytest.approx(1 / 3)
    assert score.measurements["invalid_turns"] == pytest.approx(1 / 3)
    assert score.value == pytest.approx((2 / 3 * 3 + 1 / 3) / 4)
    silent = three(three_kb, three_case(), "answer: A")
    assert (question_score(silent, matcher).value, budget_score(silent).value) == (1.0, 1.0)
    # Noise is worth less than the fewest honest questions.
    assert question_score(three(three_kb, three_case(), "x", "y", "answer: A"), matcher).value == 0.0


def test_a_failed_patient_is_an_error_not_a_zero(three_kb: KnowledgeBase, three_case: MakeCase) -> None:
    record = three(three_kb, three_case(), ask(1), "answer: A")
    first = record.turns[0]
    assert first.reply is not None
    broken = replace(record, turns=(replace(first, reply=replace(first.reply, status="error", reason="no line")),))
    assert (outcome(broken).status, outcome(broken).value) == (Status.ERROR, None)
    assert outcome(broken).reason == "patient: no line"


def test_red_flags() -> None:
    kb = parse_kb(
        """F fever | Have you had a fever? | 0.02
F headache | Do you have a headache? | 0.02
F neck_stiff | Is your neck stiff? | 0.02
F confusion | Have you been confused? | 0.02
F cough | Do you cough? | 0.02
D a | meningitis | r | A: fever headache
D b | common cold | vc | A: cough
R meningitis | fever headache neck_stiff confusion
""",
        "kb",
    )
    facts = tuple(Fact(finding.id, f"{finding.question} Yes.", finding.id, True) for finding in kb.findings)
    options = ("meningitis", "common cold")
    case = Case("c", facts, ("headache",), "Which?", options, "A", {"world": "closed"})
    patient = SimulatedPatient(kb_matcher(kb))
    stiff = "question: Is your neck stiff?"
    asked = consult(case, patient, scripted(stiff, "question: Do you cough?", "answer: A"))
    assert red_flag_coverage(asked, kb) == pytest.approx(1 / 3)
    assert red_flag_coverage(consult(case, patient, scripted("answer: A")), kb) == 0.0
    harmless = Case("d", facts, ("cough",), "Which?", options, "A", {"world": "closed"})
    assert red_flag_coverage(consult(harmless, patient, scripted("answer: A")), kb) is None


@pytest.mark.parametrize(
    ("question", "wrong"),
    [
        ("Have you had a fever?", set()),
        ("Have you had a fever", {"valid"}),
        ("What is your favourite colour today?", {"valid"}),
        ("Do you have a fever and chills?", {"atomic"}),
        ("Do you have influenza?", {"leak_free", "valid"}),
        ("Do you have a fever, as in influenza?", {"leak_free"}),
        (" ".join(["fever"] * 50) + "?", {"valid"}),
    ],
)
def test_flags_of_a_question(kb: KnowledgeBase, question: str, wrong: set[str]) -> None:
    case = make_case(kb, 0, 0)
    assert "fever" not in case.known_ids
    flags = judge_question(question, case, kb_matcher(kb))
    assert {name for name, holds in vars(flags).items() if not holds} == wrong
    assert flags.value == 1 - len(wrong) / 4


def test_what_is_known_is_not_new(kb: KnowledgeBase) -> None:
    case = make_case(kb, 0, 0)
    question = kb.findings[kb.finding_index[case.known_ids[0]]].question
    assert not judge_question(question, case, kb_matcher(kb)).new


def test_question_verifier(kb: KnowledgeBase, text_case: Case) -> None:
    verifier, task = QuestionVerifier(kb_matcher(kb)), make_task(make_case(kb, 0, 0), "train", budget=3)
    good, two, answer = verifier.verify(
        [(task, "question: Have you had a fever?"), (task, "question: Fever and chills?"), (task, "answer: A")]
    )
    assert (good.value, two.value, answer.status) == (1.0, 0.75, Status.MALFORMED)
    assert two.reason == "not atomic"
    by_text = QuestionVerifier().verify_one(make_task(text_case, "test"), "question: Do you own any pets?")
    assert by_text.value == 1.0


def test_hostile_questions_score_less_than_an_honest_one(kb: KnowledgeBase) -> None:
    task = make_task(make_case(kb, 0, 0), "train")
    everything = " ".join(finding.question for finding in kb.findings)
    texts = ["", "?", "question: ?", "question: " + "fever " * 200_000 + "?", f"question: {everything}", task.text]
    scores = QuestionVerifier(kb_matcher(kb)).verify([(task, text) for text in texts])
    assert all((score.value or 0.0) < 1.0 for score in scores)
    assert all(score.status in (Status.OK, Status.MALFORMED) for score in scores)


def test_tasks_carry_the_case_as_reference_only(text_case: Case) -> None:
    task = make_task(text_case, "test", budget=4)
    assert case_of(task) == text_case
    assert "Patient complains of fever." not in task.text
    assert (task.metadata["max_turns"], task.metadata["group"]) == (5, text_case.group)
    with pytest.raises(UserError, match="the reference is no case"):
        case_of(Task("medical", ({"role": "user", "content": "x"},)))
