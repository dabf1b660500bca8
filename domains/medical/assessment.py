"""What a whole consultation was worth: outcome, information gained, budget used, red flags covered.

Research software, not medical advice: a covered red flag in a simulation says nothing about a patient.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from domains.medical.belief import BeliefModel, NaiveBayesBelief
from domains.medical.consultation import Consultation
from domains.medical.credit import Coefficients, distribute_rewards, probability_gains, sig_turns
from domains.medical.kb import KnowledgeBase
from domains.medical.matching import QuestionMatcher
from domains.medical.schema import FloatArray
from domains.medical.verifiers import QuestionFlags, judge_question
from sciRL.score import Score, Status


def outcome(consultation: Consultation) -> Score:
    """Return 1 for the right answer and 0 for a wrong one; none is malformed, a failed patient an error."""
    if consultation.failure is not None:
        return Score.failed(Status.ERROR, f"patient: {consultation.failure}")
    if consultation.choice is None:
        return Score.malformed("no option was chosen within the budget")
    return Score.ok(float(consultation.correct), choice=consultation.choice)


def sig_of_turns(consultation: Consultation, weights: Mapping[str, float]) -> list[float]:
    """Return the Shapley information gain of each turn before the answer: only facts told for the first time count."""
    return sig_turns(weights, consultation.told, consultation.case.known_ids)


def sig_score(consultation: Consultation, weights: Mapping[str, float]) -> Score:
    """Return the weight of all facts that were learned, in [0, 1], with the gain of each turn as `sig`."""
    gains = sig_of_turns(consultation, weights)
    return Score.ok(min(1.0, sum(gains)), sig=gains)


def promed_rewards(
    consultation: Consultation, weights: Mapping[str, float], coefficients: Coefficients | None = None
) -> list[float]:
    """Return ProMed's reward of every turn before the answer, then of the answer (see `credit.distribute_rewards`)."""
    gains = sig_of_turns(consultation, weights)
    return distribute_rewards(gains, consultation.forms, consultation.correct, coefficients)


def igpo_of_turns(consultation: Consultation, belief: BeliefModel) -> list[float]:
    """Return how much each turn before the answer raised the belief's probability of the right answer."""
    probabilities = np.exp(belief.logp(consultation.case, consultation.knowledge))
    return probability_gains([float(p) for p in probabilities])


def expected_gain_of_turns(consultation: Consultation, belief: NaiveBayesBelief) -> list[float]:
    """Return how much each turn before the answer was expected to raise the probability of the right answer.

    This is IGPO's gain without its luck: not what this patient's reply did to the belief, but what the replies of all
    patients that fit what was known would do on average. A turn that told nothing new is worth 0; of several facts told
    at once the one counts that was expected to bring most.
    """
    known, after = consultation.knowledge[:-1], consultation.knowledge[1:]
    turns, facts = np.nonzero(after & ~known)
    gains = np.zeros(len(known))
    np.maximum.at(gains, turns, belief.expected_gain(consultation.case, known[turns], facts))
    return [float(gain) for gain in gains]


def belief_path(consultation: Consultation, belief: BeliefModel) -> FloatArray:
    """Return log P(right answer) at the start and after each turn before the answer [turns + 1]."""
    return belief.logp(consultation.case, consultation.knowledge)


def budget_score(consultation: Consultation) -> Score:
    """Return the share of the budget that was left when the answer came; 0 when none came."""
    used, budget = len(consultation.asking), consultation.budget
    answered = consultation.choice is not None
    return Score.ok(max(0.0, 1 - used / budget) if budget and answered else float(answered), used=used, budget=budget)


def judge_questions(consultation: Consultation, matcher: QuestionMatcher | None = None) -> list[QuestionFlags]:
    """Return what is right about each question, in order, given those before it."""
    questions = consultation.questions
    return [
        judge_question(question, consultation.case, matcher, questions[:number])
        for number, question in enumerate(questions)
    ]


def question_score(consultation: Consultation, matcher: QuestionMatcher | None = None) -> Score:
    """Return the mean quality of the turns before the answer (an invalid turn counts 0), with the rates of each fault.

    A consultation that asks nothing scores 1: it asked no bad question.
    """
    flags = judge_questions(consultation, matcher)
    turns = len(consultation.asking)
    shares = {
        name: sum(getattr(flag, name) for flag in flags) / turns if turns else 1.0
        for name in ("valid", "atomic", "new", "leak_free")
    }
    invalid = (turns - len(flags)) / turns if turns else 0.0
    return Score(sum(shares.values()) / 4, measurements={**shares, "invalid_turns": invalid})


def red_flag_coverage(consultation: Consultation, kb: KnowledgeBase) -> float | None:
    """Return which share of the red-flag findings that the first complaint calls for was known or asked for.

    A red flag concerns a patient who is known from the start to have one of its findings; its other findings ought
    to be asked for. None where no red flag concerns the patient.

    Example: for the red flag {fever, headache, neck_stiff, confusion}, a patient who complains of a headache and is
    asked for neck stiffness only has a coverage of 1/3.
    """
    case = consultation.case
    at_start = {fact.key for fact in case.facts if fact.id in case.known_ids and fact.value is True}
    settled = {fact.key for fact in case.facts if fact.id in case.known_ids}
    settled |= {turn.reply.key for turn in consultation.asking if turn.reply is not None}
    due = {finding for findings in kb.red_flags.values() if at_start & set(findings) for finding in findings} - at_start
    return len(due & settled) / len(due) if due else None
