"""Proposers of questions for a search: by expected information gain over a knowledge base, or at random.

Research software, not medical advice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from domains.medical.cohort import disease_rows, finding_columns
from domains.medical.consultation import Consultation
from domains.medical.kb import KnowledgeBase
from domains.medical.questioning import expected_entropy, likelihood, normalise
from domains.medical.schema import BoolArray, FloatArray


class GainProposer:
    """Proposes the findings with the largest expected information gain given what the patient has said."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb

    def propose(self, consultation: Consultation, count: int, rng: np.random.Generator) -> Sequence[str]:
        """Return the best `count` questions that were not asked yet, best first."""
        settled = _settled(self.kb, consultation)
        entropy = np.where(settled, np.inf, expected_entropy(self.kb, self._posterior(consultation)[None])[0])
        order = np.argsort(entropy, kind="stable")[: min(count, int((~settled).sum()))]
        return [self.kb.findings[column].question for column in order]

    def _posterior(self, consultation: Consultation) -> FloatArray:
        """Return P(disease | what was told) [D]; only options are possible."""
        told = [fact for fact, known in zip(consultation.case.facts, consultation.knowledge[-1], strict=True) if known]
        columns, values = finding_columns(self.kb, consultation.case, told)
        evidence = np.log(likelihood(self.kb.p[:, columns], np.array(values, dtype=bool))).sum(axis=1)
        rows = disease_rows(self.kb, consultation.case)
        log_posterior = np.full(len(self.kb.diseases), -np.inf)
        log_posterior[rows] = np.log(self.kb.prior[rows]) + evidence[rows]
        return normalise(log_posterior)


class RandomProposer:
    """Proposes findings that were not asked yet, in any order."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb

    def propose(self, consultation: Consultation, count: int, rng: np.random.Generator) -> Sequence[str]:
        """Return `count` random questions that were not asked yet."""
        settled = _settled(self.kb, consultation)
        order = rng.permutation(np.flatnonzero(~settled))[:count]
        return [self.kb.findings[column].question for column in order]


def _settled(kb: KnowledgeBase, consultation: Consultation) -> BoolArray:
    """Return which findings are known or were asked for [F]."""
    knowledge = zip(consultation.case.facts, consultation.knowledge[-1], strict=True)
    settled = {fact.key for fact, known in knowledge if known}
    settled |= {turn.reply.key for turn in consultation.asking if turn.reply is not None}
    return np.array([finding.id in settled for finding in kb.findings])
