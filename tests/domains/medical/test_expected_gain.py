"""What a question is expected to bring: IGPO's gain, averaged over all patients that fit what is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.medical.assessment import expected_gain_of_turns
from domains.medical.belief import NaiveBayesBelief
from domains.medical.clinic import Clinic
from domains.medical.consultation import Consultation
from domains.medical.environment import ConsultationEnvironment
from domains.medical.interview import Interview
from domains.medical.kb import Disease, Finding, KnowledgeBase
from domains.medical.matching import kb_matcher
from domains.medical.options import MedicalOptions
from domains.medical.patient import SimulatedPatient
from domains.medical.schema import Case, Fact
from sciRL.errors import UserError

Chances = Sequence[Sequence[float]]


def table(priors: Sequence[float], chances: Chances) -> KnowledgeBase:
    """A knowledge base without leaks: P(f | d) is `chances[d][f]`."""
    findings = tuple(Finding(f"f{i}", f"Is sign {i} there?", 0.0) for i in range(len(chances[0])))
    diseases = tuple(
        Disease(f"d{row}", f"illness {row}", prior, {f"f{i}": p for i, p in enumerate(of_disease)})
        for row, (prior, of_disease) in enumerate(zip(priors, chances, strict=True))
    )
    return KnowledgeBase(diseases, findings)


def patient(kb: KnowledgeBase, disease: int, found: Sequence[int]) -> Case:
    facts = tuple(Fact(f"f{i}", f"f{i}: {value}", f"f{i}", bool(value)) for i, value in enumerate(found))
    options = tuple(disease.name for disease in kb.diseases)
    return Case("drawn", facts, (), "Which illness?", options, "ABCDE"[disease], {"world": "closed"})


def test_two_options_and_one_finding() -> None:
    kb = table((0.5, 0.5), ((0.9,), (0.1,)))
    gain = NaiveBayesBelief(kb).expected_gain(patient(kb, 0, [1]), np.zeros((1, 1), bool), np.array([0]))
    assert gain == pytest.approx([0.9**2 + 0.1**2 - 0.5])


chance = st.floats(0.02, 0.98)


@given(
    st.lists(st.floats(0.1, 1.0), min_size=3, max_size=3),
    st.lists(st.lists(chance, min_size=3, max_size=3), min_size=3, max_size=3),
    st.lists(st.integers(0, 1), min_size=3, max_size=3),
    st.integers(0, 2),
)
def test_it_is_the_mean_of_what_patients_gain(
    weights: list[float], chances: list[list[float]], found: list[int], asked: int
) -> None:
    """Against the enumeration of who the patient may be and reply, one other finding being known."""
    kb = table([weight / sum(weights) for weight in weights], chances)
    belief = NaiveBayesBelief(kb)
    known = np.arange(3) == (asked + 1) % 3
    with_reply = known | (np.arange(3) == asked)
    posterior = np.exp(belief.option_logp(patient(kb, 0, found), known[None])[0])
    wanted = 0.0
    for disease, reply in product(range(3), (0, 1)):
        case = patient(kb, disease, [reply if i == asked else value for i, value in enumerate(found)])
        before, after = np.exp(belief.logp(case, np.array([known, with_reply])))
        likelihood = kb.p[disease, asked] if reply else 1 - kb.p[disease, asked]
        wanted += posterior[disease] * likelihood * (after - before)
    gain = belief.expected_gain(patient(kb, 0, found), known[None], np.array([asked]))
    assert gain == pytest.approx([wanted], abs=1e-12)
    assert gain[0] >= -1e-12


def interviewed(kb: KnowledgeBase, case: Case, *asked: int) -> Consultation:
    interview = Interview(case, SimulatedPatient(kb_matcher(kb)), 10)
    for finding in asked:
        interview.step(f"question: Is sign {finding} there?")
    return interview.record


def test_the_same_for_every_patient_and_nothing_for_repeats(
    three_kb: KnowledgeBase, three_case: Callable[..., Case]
) -> None:
    belief = NaiveBayesBelief(three_kb)
    paid = [expected_gain_of_turns(interviewed(three_kb, three_case((f2, 1, 0)), 2, 2, 1), belief) for f2 in (0, 1)]
    assert paid[0] == pytest.approx(paid[1])
    assert paid[0][1] == 0.0
    # P(f2) = 0.56: 0.4 and 0.06 and 0.1 of it are of the three illnesses, 0.1, 0.24, 0.1 of the rest.
    after = (0.4**2 + 0.06**2 + 0.1**2) / 0.56 + (0.1**2 + 0.24**2 + 0.1**2) / 0.44
    assert paid[0][0] == pytest.approx(after - (0.5**2 + 0.3**2 + 0.2**2))


def test_it_needs_a_knowledge_base(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="turn_reward=expected needs the chances of replies"):
        ConsultationEnvironment(Clinic(tmp_path, MedicalOptions(turn_reward="expected")))
