"""Doctors: the rules over a knowledge base ask what they should, and a model reads and writes as in a rollout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from domains.medical.belief import NaiveBayesBelief
from domains.medical.clinic import Clinic
from domains.medical.cohort import cohort_of, make_case
from domains.medical.doctors import GREEDY, KB_DOCTORS, KbDoctor, ModelDoctor, load_model, play
from domains.medical.environment import ConsultationEnvironment
from domains.medical.interview import Interview
from domains.medical.kb import KnowledgeBase
from domains.medical.matching import kb_matcher
from domains.medical.options import MedicalOptions
from domains.medical.patient import Noise, PatientReply, SimulatedPatient
from domains.medical.prompts import compact_opening
from domains.medical.proposers import GainProposer
from domains.medical.questioning import POLICIES, evaluate
from domains.medical.schema import Case
from domains.medical.tasks import make_task
from domains.medical.verifiers import AnswerVerifier
from domains.medical.vocabulary import consultation_tokens
from sciRL.errors import UserError
from sciRL.learning.distributed import ProcessGroup
from sciRL.models.loading import LanguagePolicy, ModelConfig, load_policy, save_policy
from sciRL.rollout.base import Request, SamplingParameters
from sciRL.rollout.episodes import EpisodeRollout
from sciRL.rollout.samplers import make_sampler
from sciRL.verification.base import Rubric, Stage
from sciRL.verification.pool import WorkerPool

BUDGET = 5


@pytest.fixture(scope="module")
def patient(kb: KnowledgeBase) -> SimulatedPatient:
    return SimulatedPatient(kb_matcher(kb))


@pytest.mark.parametrize("name", KB_DOCTORS)
def test_doctors_reach_the_accuracy_of_their_policies(name: str, kb: KnowledgeBase, patient: SimulatedPatient) -> None:
    # All diseases in the table's order, so that equal probabilities are broken alike.
    cases = [make_case(kb, index, 7) for index in range(30)]
    doctor = KbDoctor(kb, name, confidence=1.0)
    records = [play(Interview(case, patient, BUDGET), doctor) for case in cases]
    asked = {len(record.questions) for record in records}
    assert asked == ({0} if name == "ask nothing" else {BUDGET})
    assert all(len(set(record.questions)) == len(record.questions) for record in records)
    belief = NaiveBayesBelief(kb)
    likely = [belief.option_logp(record.case, record.knowledge[-1:])[0].argmax() for record in records]
    assert [record.choice for record in records] == [
        case.labels[index] for case, index in zip(cases, likely, strict=True)
    ]
    if name != "random":
        share = evaluate(POLICIES[name], kb, cohort_of(kb, cases), BUDGET, np.random.default_rng(0))[-1]
        assert np.mean([record.correct for record in records]) == pytest.approx(share)


def test_greedy_asks_as_the_proposer_of_the_search(kb: KnowledgeBase, patient: SimulatedPatient) -> None:
    interview = Interview(make_case(kb, 3, 0, options=10), patient, BUDGET)
    doctor, proposer = KbDoctor(kb, confidence=1.0), GainProposer(kb)
    for _ in range(BUDGET):
        (question,) = proposer.propose(interview.record, 1, np.random.default_rng(0))
        assert doctor.next_turn(interview.record) == f"question: {question}"
        interview.step(f"question: {question}")


def test_it_answers_as_soon_as_it_is_sure(kb: KnowledgeBase, patient: SimulatedPatient) -> None:
    belief = NaiveBayesBelief(kb)
    stopped = 0
    for index in range(12):
        record = play(Interview(make_case(kb, index, 1), patient, 20), KbDoctor(kb, confidence=0.8))
        highest = np.exp(belief.option_logp(record.case, record.knowledge)).max(axis=1)
        assert (highest[:-1] < 0.8).all()
        assert highest[-1] >= 0.8 or len(record.questions) == 20
        stopped += len(record.questions) < 20
    assert stopped > 3


def test_random_is_fixed_by_its_seed(kb: KnowledgeBase, patient: SimulatedPatient) -> None:
    case = make_case(kb, 0, 0)
    asked = [play(Interview(case, patient, BUDGET), KbDoctor(kb, "random", seed=seed)).questions for seed in (0, 0, 1)]
    assert asked[0] == asked[1] != asked[2]


class Silent:
    """Never tells a fact and names no key, as a patient of a language model may."""

    def reply(self, case: Case, question: str) -> PatientReply:
        return PatientReply("I don't know.", "unknown")


def test_what_a_patient_cannot_tell_is_not_asked_again(kb: KnowledgeBase) -> None:
    forgetful = SimulatedPatient(kb_matcher(kb), Noise(p_unknown=1.0))
    for patient in (Silent(), forgetful):
        record = play(Interview(make_case(kb, 0, 0), patient, BUDGET), KbDoctor(kb))
        assert len(set(record.questions)) == BUDGET
        assert record.choice is not None


def test_bad_settings_and_foreign_cases_are_named(
    kb: KnowledgeBase, patient: SimulatedPatient, text_case: Case
) -> None:
    with pytest.raises(UserError, match="doctor 'oracle'; allowed are ask nothing, random, fixed order, greedy"):
        KbDoctor(kb, "oracle")
    with pytest.raises(UserError, match=r"confidence=1\.5; allowed is above 0 up to 1"):
        KbDoctor(kb, GREEDY, confidence=1.5)
    with pytest.raises(UserError, match="case 'exam': the option 'Septic arthritis' is no disease"):
        KbDoctor(kb).next_turn(Interview(text_case, patient).record)


# -- a language model -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def policy(kb: KnowledgeBase) -> LanguagePolicy:
    config = ModelConfig(path="tiny", hidden=16, layers=2, heads=2, kv_heads=1, mlp=32, max_length=200)
    return load_policy(config, consultation_tokens(kb, 3))


def test_a_model_reads_and_writes_the_ids_of_a_rollout(kb: KnowledgeBase, policy: LanguagePolicy) -> None:
    clinic = Clinic(None, MedicalOptions(budget=3))
    case = make_case(kb, 0, 0)
    prompt = compact_opening(case, all_offered=True)
    sampler = make_sampler("auto", policy)
    with WorkerPool(1) as pool:
        rollout = EpisodeRollout(
            policy=policy,
            sampler=sampler,
            rubric=Rubric("answer", [Stage(AnswerVerifier(), 1.0)]),
            pool=pool,
            processes=ProcessGroup(),
            seed=0,
            environment=ConsultationEnvironment(clinic),
            max_context=policy.max_context,
        )
        (episode,) = rollout.play(
            [Request(make_task(case, "test", 3, prompt), 1)], 0, SamplingParameters(12), "evaluation"
        )
    doctor = ModelDoctor(policy, sampler, prompt, SamplingParameters(12), episode.seed)
    record = play(Interview(case, clinic.patient, 3), doctor)
    assert len(record.turns) == len(episode.replies) > 1
    assert doctor.row.ids == episode.rows[-1].ids
    with pytest.raises(ValueError, match="were not written by this doctor"):
        doctor.next_turn(Interview(case, clinic.patient, 3).record)


def test_a_full_context_is_an_error(kb: KnowledgeBase, policy: LanguagePolicy) -> None:
    case = make_case(kb, 0, 0)
    doctor = ModelDoctor(policy, make_sampler("auto", policy), compact_opening(case, True), SamplingParameters(60))
    with pytest.raises(UserError, match=r"context of 200 tokens is full after [1-4] turns"):
        play(Interview(case, SimulatedPatient(kb_matcher(kb)), 10), doctor)


def test_run_and_policy_folders_are_loaded(policy: LanguagePolicy, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(UserError, match="no such folder; give a run folder or a model folder"):
        load_model(tmp_path / "nothing")
    (run / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match="has no policy yet"):
        load_model(run)
    save_policy(policy.model, policy.tokenizer, run / "policy")
    (run / "config.yaml").write_text("evaluation: {sampling: {max_new_tokens: 4, temperature: 0.5}}")
    for folder, drawn in ((run, (4, 0.5)), (run / "policy", (64, 1.0))):
        loaded, _, sampling = load_model(folder)
        assert loaded.eos_ids == policy.eos_ids
        assert len(loaded.tokenizer) == len(policy.tokenizer)
        assert (sampling.max_new_tokens, sampling.temperature) == drawn
    with pytest.raises(UserError, match=r"its vocabulary lacks 1 of the domain's 1 tokens \('Li'\)"):
        load_model(run, ["Li"])
