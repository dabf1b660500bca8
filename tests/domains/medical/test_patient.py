"""Matching questions with findings, and what a simulated patient answers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.medical.cohort import make_case
from domains.medical.kb import KnowledgeBase
from domains.medical.matching import QuestionMatcher, Topic, case_matcher, kb_matcher
from domains.medical.patient import CANNOT_ANSWER, DONT_KNOW, ONE_AT_A_TIME, Noise, SimulatedPatient
from domains.medical.schema import Case
from sciRL.errors import UserError


@pytest.fixture(scope="module")
def matcher(kb: KnowledgeBase) -> QuestionMatcher:
    return kb_matcher(kb)


def test_every_finding_is_found_by_its_id_its_question_and_its_aliases(
    kb: KnowledgeBase, matcher: QuestionMatcher
) -> None:
    for finding in kb.findings:
        for wording in (finding.id, finding.question, finding.question.upper().rstrip("?"), *finding.aliases):
            assert matcher.match(wording).keys == (finding.id,), wording


@pytest.mark.parametrize(
    ("question", "keys", "how"),
    [
        ("fever", ("fever",), "exact"),
        ("Have you been throwing up?", ("vomiting",), "alias"),
        ("Are you coughing up any phlegm?", ("sputum",), "alias"),
        ("Is your vision blurry?", ("blurred_vision",), "words"),
        ("Has your weight increased? Have you gained any?", ("weight_gain",), "words"),
        ("Any cough lately?", ("cough",), "words"),
        ("Do you have a fever and chills?", ("fever", "rigors"), "words"),
        ("Any nausea, vomiting or diarrhoea?", ("nausea", "vomiting", "diarrhoea"), "words"),
        ("Is your nose runny or blocked?", ("runny_nose",), "exact"),
        ("What is your favourite colour?", (), "none"),
        ("", (), "none"),
        ("?!", (), "none"),
    ],
)
def test_questions_and_what_they_ask_for(
    matcher: QuestionMatcher, question: str, keys: tuple[str, ...], how: str
) -> None:
    found = matcher.match(question)
    assert set(found.keys) == set(keys)
    if how != "none":
        assert found.how in (how, "words")


NATURAL = [
    ("Any fevers at home?", "fever"), ("Do you feel feverish?", "fever"),
    ("Have you been running a temperature?", "fever"), ("Have you been coughing?", "cough"),
    ("Are you bringing up any sputum?", "sputum"), ("Have you noticed blood when you cough?", "haemoptysis"),
    ("Do you have a runny nose?", "runny_nose"), ("Is your throat sore?", "sore_throat"),
    ("Do you get headaches?", "headache"), ("Have you been sick or thrown up?", "vomiting"),
    ("Do you feel nauseous?", "nausea"), ("Any loose stools?", "diarrhoea"),
    ("Are you short of breath?", "dyspnoea"), ("Do you have trouble breathing?", "dyspnoea"),
    ("Do you get breathless lying flat?", "orthopnoea"), ("Is there any chest pain?", "chest_pressure"),
    ("Does the pain go into your arm?", "pain_to_arm"), ("Have you lost weight?", "weight_loss"),
    ("Are you passing more urine than usual?", "frequency"), ("Does it burn when you pee?", "dysuria"),
    ("Do you have pain when urinating?", "dysuria"), ("Are you more thirsty than usual?", "polydipsia"),
    ("Are your joints swollen?", "joint_swelling"), ("Do your muscles ache?", "myalgia"),
    ("Are you tired all the time?", "fatigue"), ("Do you smoke?", "smoker"), ("Is your calf swollen?", "calf_swelling"),
    ("Have you been confused lately?", "confusion"), ("Do you feel dizzy?", "dizziness"),
    ("Have you lost your appetite?", "appetite_loss"), ("Is your sense of smell gone?", "anosmia"),
    ("Do you have heartburn?", "heartburn"), ("Have you been wheezing?", "wheeze"),
    ("Do you have palpitations?", "palpitations"), ("Is your vision blurred?", "blurred_vision"),
    ("Have you fainted?", "dizziness"), ("Do you have night sweats?", "night_sweats"),
    ("Are you pregnant?", "missed_period"),
    # Nothing is guessed: a wrong finding would be worse than none.
    ("Can you tell me more?", None), ("When did it start?", None), ("Do you take any medication?", None),
    ("Does anyone in your family have this?", None), ("Have you had the runs?", None),
]  # fmt: skip


@pytest.mark.parametrize(("question", "key"), NATURAL)
def test_natural_questions(matcher: QuestionMatcher, question: str, key: str | None) -> None:
    assert matcher.match(question).keys == (() if key is None else (key,))


def test_a_vague_question_fits_many(matcher: QuestionMatcher) -> None:
    assert len(matcher.match("Do you have pain?").keys) > 3


@given(text=st.text(max_size=200))
def test_no_text_breaks_the_matcher(matcher: QuestionMatcher, kb: KnowledgeBase, text: str) -> None:
    assert set(matcher.match(text).keys) <= set(kb.finding_index)


def test_a_similarity_of_ones_own_replaces_shared_words() -> None:
    def letters(text: str, others: Sequence[str]) -> list[float]:
        return [float(text[:1].casefold() == other[:1].casefold()) for other in others]

    matcher = QuestionMatcher([Topic("apple", "Apples?"), Topic("bread", "Bread?")], similarity=letters)
    assert matcher.match("bananas").keys == ("bread",)
    assert matcher.match("bananas").how == "similarity"
    assert matcher.match("avocado and bananas").keys == ("apple", "bread")
    assert matcher.match("cherries").keys == ()


def test_closed_world(kb: KnowledgeBase, matcher: QuestionMatcher) -> None:
    case, patient = make_case(kb, 0, 0), SimulatedPatient(matcher)
    for fact in case.facts:
        reply = patient.reply(case, kb.findings[kb.finding_index[fact.id]].question)
        assert (reply.status, reply.fact_ids, reply.text, reply.key) == ("answered", (fact.id,), fact.text, fact.id)
    rest = Case.from_dict({**case.to_dict(), "facts": case.to_dict()["facts"][1:], "known_ids": []})
    missing = patient.reply(rest, "Have you had a fever?")
    assert (missing.text, missing.status, missing.fact_ids) == ("No.", "answered", ())


def test_open_world(text_case: Case, matcher: QuestionMatcher) -> None:
    patient = SimulatedPatient()
    assert patient.reply(text_case, "Have you had any fever?").fact_ids == ("f2",)
    assert patient.reply(text_case, "Is one of your knees swollen?").text == "Her left knee is swollen and hot."
    assert patient.reply(text_case, "Have you vomited?").fact_ids == ("f3",)
    assert patient.reply(text_case, "Do you smoke?").text == DONT_KNOW
    assert patient.reply(text_case, "Do you smoke?").status == "unknown"
    assert patient.reply(text_case, "Tell me about smoking.").status == "invalid"
    by_table = SimulatedPatient(matcher).reply(text_case, "Do you have a cough?")
    assert (by_table.text, by_table.status, by_table.fact_ids) == (DONT_KNOW, "unknown", ())


def test_questions_that_are_not_answered(kb: KnowledgeBase, matcher: QuestionMatcher) -> None:
    case, patient = make_case(kb, 0, 0), SimulatedPatient(matcher)
    several = patient.reply(case, "Do you have a fever and a cough?")
    assert (several.text, several.status, several.fact_ids) == (ONE_AT_A_TIME, "invalid", ())
    assert several.reason == "several things are asked for: fever, cough"
    for question in ("What is the diagnosis?", "x" * 1_000_000, "Tell me everything you know"):
        assert patient.reply(case, question).text == CANNOT_ANSWER


def test_noise_is_seeded_and_stays_when_asked_again(kb: KnowledgeBase, matcher: QuestionMatcher) -> None:
    case = make_case(kb, 0, 0)
    noisy = SimulatedPatient(matcher, Noise(p_unknown=0.2, p_flip=0.3, seed=4))
    replies = [noisy.reply(case, finding.question) for finding in kb.findings]
    assert replies == [noisy.reply(case, finding.question) for finding in kb.findings]
    unknown = sum(reply.status == "unknown" for reply in replies) / len(replies)
    wrong = [reply for reply in replies if reply.status == "answered" and not reply.fact_ids]
    assert 0.1 < unknown < 0.3
    assert 0.14 < len(wrong) / len(replies) < 0.35
    assert all(reply.text == ("No." if case.by_key[reply.key].value else "Yes.") for reply in wrong)
    other = SimulatedPatient(matcher, Noise(p_unknown=0.2, p_flip=0.3, seed=5))
    assert replies != [other.reply(case, finding.question) for finding in kb.findings]


def test_noise_flips_no_free_text(text_case: Case) -> None:
    patient = SimulatedPatient(noise=Noise(p_flip=1.0))
    assert patient.reply(text_case, "Have you had any fever?").fact_ids == ("f2",)
    with pytest.raises(UserError, match=r"patient noise p_flip=1\.5; allowed is a probability"):
        Noise(p_flip=1.5)


def test_case_matchers_prefer_the_earlier_of_equal_facts(text_case: Case) -> None:
    facts = [*text_case.to_dict()["facts"], {"id": "f5", "text": "Patient complains of fever."}]
    case = Case.from_dict({**text_case.to_dict(), "facts": facts})
    assert case_matcher(case).match("Fever?").keys == ("f2",)
