"""Policies to compare with: the design's figures, and the information gain against its definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from domains.medical.belief import NaiveBayesBelief
from domains.medical.cohort import Cohort, cohort_of, make_case, sample_cohort
from domains.medical.kb import KnowledgeBase
from domains.medical.questioning import (
    POLICIES,
    STOP,
    AskGreedy,
    AskInOrder,
    Progress,
    accuracy_of,
    evaluate,
    expected_entropy,
    normalise,
    seen_log_posterior,
    start,
)

BUDGET = 10


def curves(kb: KnowledgeBase, size: int) -> dict[str, list[float]]:
    cohort = sample_cohort(kb, np.random.default_rng(0), size)
    found = {
        name: evaluate(policy, kb, cohort, BUDGET, np.random.default_rng(1)).tolist()
        for name, policy in POLICIES.items()
    }
    everything = accuracy_of(seen_log_posterior(kb, cohort, np.ones_like(cohort.present)), cohort)
    return {**found, "all findings": [everything]}


def test_figures_of_the_design(shared_data: Path) -> None:
    """With 29 diseases and 2000 patients: random 0.481, greedy 0.808, all findings 0.916, oracle 0.997 at 10."""
    found = curves(KnowledgeBase.load(shared_data / "medical" / "toy_kb.txt"), 2000)
    assert found["ask nothing"][0] == pytest.approx(0.344, abs=0.03)
    assert found["random"][BUDGET] == pytest.approx(0.481, abs=0.035)
    assert found["greedy information gain"][6] == pytest.approx(0.695, abs=0.03)
    assert found["greedy information gain"][BUDGET] == pytest.approx(0.808, abs=0.03)
    assert found["all findings"][0] == pytest.approx(0.916, abs=0.02)
    assert found["oracle"][BUDGET] == pytest.approx(0.997, abs=0.01)


def test_order_of_the_policies_on_the_embedded_table(kb: KnowledgeBase) -> None:
    found = curves(kb, 500)
    last = {name: curve[-1] for name, curve in found.items()}
    names = ["ask nothing", "random", "fixed order", "greedy information gain", "all findings", "oracle"]
    assert sorted(last, key=last.__getitem__) == names
    assert last["greedy information gain"] - last["random"] >= 0.25
    assert len(set(found["ask nothing"])) == 1
    assert len(found["random"]) == BUDGET + 1


def test_expected_entropy_is_its_definition(three_kb: KnowledgeBase) -> None:
    posterior = np.array([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0]])
    found = expected_entropy(three_kb, posterior)
    for row, belief in enumerate(posterior):
        for column in range(3):
            expected = 0.0
            for chance in (three_kb.p[:, column], 1 - three_kb.p[:, column]):
                overall = (belief * chance).sum()
                after = belief * chance / overall
                after = after[after > 0]
                expected -= overall * (after * np.log(after)).sum()
            assert found[row, column] == pytest.approx(expected)


def test_the_posterior_of_a_cohort_is_that_of_its_cases(kb: KnowledgeBase) -> None:
    cases = [make_case(kb, index, 0, options=5) for index in range(6)]
    cohort = cohort_of(kb, cases)
    log_posterior = np.log(np.maximum(normalise(start(kb, cohort)), 1e-300))
    for row, case in enumerate(cases):
        logp = NaiveBayesBelief(kb).logp(case, case.known[None])[0]
        assert log_posterior[row, cohort.disease[row]] == pytest.approx(logp)
        assert normalise(start(kb, cohort))[row, ~cohort.candidates[row]].sum() == 0


def test_no_finding_is_asked_for_twice_and_all_end(three_kb: KnowledgeBase) -> None:
    cohort = sample_cohort(three_kb, np.random.default_rng(0), 50)
    everything = accuracy_of(seen_log_posterior(three_kb, cohort, np.ones_like(cohort.present)), cohort)
    for name in ("random", "fixed order", "greedy information gain", "oracle"):
        curve = evaluate(POLICIES[name], three_kb, cohort, 6, np.random.default_rng(0))
        assert curve[-1] == pytest.approx(everything), name
    closed = Progress(three_kb, cohort, np.full((50, 3), 1 / 3), np.zeros((50, 3), dtype=bool))
    assert set(AskGreedy().choose(closed, np.random.default_rng(0))) == {STOP}


def test_the_fixed_order_is_the_same_for_everyone(kb: KnowledgeBase) -> None:
    cohort = sample_cohort(kb, np.random.default_rng(0), 20)
    blank = Cohort(cohort.disease, cohort.present, np.zeros_like(cohort.known), cohort.candidates)
    progress = Progress(kb, blank, normalise(start(kb, blank)), ~blank.known)
    assert len(set(AskInOrder().choose(progress, np.random.default_rng(0)))) == 1
