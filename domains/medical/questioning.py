"""Policies to compare with: which finding to ask for next, for whole cohorts at once.

The belief is naive Bayes over a knowledge base. Research software, not medical advice.

Shapes: B patients, D diseases, F findings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from domains.medical.cohort import Cohort
from domains.medical.kb import KnowledgeBase
from domains.medical.schema import BoolArray, FloatArray, IntArray

STOP = -1


@dataclass(frozen=True)
class Progress:
    """What was learned so far: the posterior [B, D] and the findings that may still be asked for [B, F]."""

    kb: KnowledgeBase
    cohort: Cohort
    posterior: FloatArray
    open: BoolArray


class QuestionPolicy(Protocol):
    """Chooses what to ask."""

    def choose(self, progress: Progress, rng: np.random.Generator) -> IntArray:
        """Return the column of a finding for each patient [B], `STOP` to ask no more."""
        ...


class AskNothing:
    """Names a diagnosis from the chief complaint alone."""

    def choose(self, progress: Progress, rng: np.random.Generator) -> IntArray:
        """Return `STOP` for every patient."""
        return np.full(len(progress.cohort), STOP)


class AskRandom:
    """Asks for any finding that is not known yet, each equally likely."""

    def choose(self, progress: Progress, rng: np.random.Generator) -> IntArray:
        """Return a random open finding for each patient."""
        return best_open(rng.random(progress.open.shape), progress.open)


class AskInOrder:
    """Asks every patient for the same findings: those that say most about a patient of whom nothing is known."""

    def choose(self, progress: Progress, rng: np.random.Generator) -> IntArray:
        """Return the first open finding of the fixed order."""
        gain = -expected_entropy(progress.kb, progress.kb.prior[None])
        return best_open(np.broadcast_to(gain, progress.open.shape), progress.open)


class AskGreedy:
    """Asks for the finding with the largest expected information gain about the disease."""

    def choose(self, progress: Progress, rng: np.random.Generator) -> IntArray:
        """Return the open finding after which the expected entropy of the posterior is smallest."""
        return best_open(-expected_entropy(progress.kb, progress.posterior), progress.open)


class AskOracle:
    """Knows patient and disease and asks for what raises the true disease's posterior most: an upper bound."""

    def choose(self, progress: Progress, rng: np.random.Generator) -> IntArray:
        """Return the open finding whose actual answer speaks most for the true disease."""
        cohort, p = progress.cohort, progress.kb.p
        of_truth = likelihood(p[cohort.disease], cohort.present)
        overall = likelihood(progress.posterior @ p, cohort.present)
        return best_open(np.log(of_truth) - np.log(overall), progress.open)


POLICIES: dict[str, QuestionPolicy] = {
    "ask nothing": AskNothing(),
    "random": AskRandom(),
    "fixed order": AskInOrder(),
    "greedy information gain": AskGreedy(),
    "oracle": AskOracle(),
}


def evaluate(
    policy: QuestionPolicy, kb: KnowledgeBase, cohort: Cohort, budget: int, rng: np.random.Generator
) -> FloatArray:
    """Return the share of patients whose most probable candidate is the true disease after 0..budget questions.

    Example: for a policy that asks nothing all `budget + 1` entries are equal.
    """
    rounds = ask_rounds(policy, kb, cohort, budget, rng)
    after = [accuracy_of(log_posterior, cohort) for _, log_posterior in rounds]
    return np.array([accuracy_of(start(kb, cohort), cohort), *after])


def ask_rounds(
    policy: QuestionPolicy, kb: KnowledgeBase, cohort: Cohort, budget: int, rng: np.random.Generator
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Yield, question by question, what each patient was asked [B] and the log posterior after the answers [B, D]."""
    log_posterior = start(kb, cohort)
    open_findings = ~cohort.known
    for _ in range(budget):
        progress = Progress(kb, cohort, normalise(log_posterior), open_findings)
        column = policy.choose(progress, rng)
        asked = np.flatnonzero(column != STOP)
        columns = column[asked]
        open_findings[asked, columns] = False
        log_posterior[asked] += _evidence(kb, columns, cohort.present[asked, columns])
        yield column, log_posterior.copy()


def start(kb: KnowledgeBase, cohort: Cohort) -> FloatArray:
    """Return the unnormalised log posterior given what is known at the start [B, D]; other than candidates is -inf."""
    return seen_log_posterior(kb, cohort, cohort.known)


def seen_log_posterior(kb: KnowledgeBase, cohort: Cohort, seen: BoolArray) -> FloatArray:
    """Return the unnormalised log posterior given the findings in `seen` [B, F], present or absent [B, D]."""
    log_p, log_absent = np.log(kb.p), np.log1p(-kb.p)
    evidence = (seen & cohort.present) @ log_p.T + (seen & ~cohort.present) @ log_absent.T
    return np.where(cohort.candidates, np.log(kb.prior) + evidence, -np.inf)


def accuracy_of(log_posterior: FloatArray, cohort: Cohort) -> float:
    """Return the share of patients whose most probable disease is the true one."""
    return float((log_posterior.argmax(axis=1) == cohort.disease).mean())


def normalise(log_posterior: FloatArray) -> FloatArray:
    """Return probabilities [..., D] of unnormalised logarithms."""
    raised = np.exp(log_posterior - log_posterior.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def expected_entropy(kb: KnowledgeBase, posterior: FloatArray) -> FloatArray:
    """Return the entropy of the posterior expected after asking for each finding, in nats [B, F].

    With q(d) the posterior and p(x) the chance of answer x, it is the sum over x of
    p(x) log p(x) - sum_d q(d) P(x|d) log(q(d) P(x|d)).
    """
    weighted = posterior * np.log(np.where(posterior > 0, posterior, 1.0))
    entropy = np.zeros((len(posterior), len(kb.findings)))
    for chance in (kb.p, 1 - kb.p):
        overall = posterior @ chance
        entropy += overall * np.log(overall) - weighted @ chance - posterior @ (chance * np.log(chance))
    return entropy


def best_open(score: FloatArray, open_findings: BoolArray) -> IntArray:
    """Return the open finding of the highest score for each patient [B], `STOP` where none is open."""
    column = np.where(open_findings, score, -np.inf).argmax(axis=1)
    return np.where(open_findings.any(axis=1), column, STOP)


def likelihood(chance: FloatArray, present: BoolArray) -> FloatArray:
    """Return the chance of what was found, from the chance that it is present."""
    return np.where(present, chance, 1 - chance)


def _evidence(kb: KnowledgeBase, columns: IntArray, present: BoolArray) -> FloatArray:
    """Return the log likelihood of one answer each [n, D]."""
    return np.log(likelihood(kb.p[:, columns].T, present[:, None]))
