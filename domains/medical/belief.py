"""Belief models: how probable the right answer is to someone who knows some of a case's facts.

Research software, not medical advice.

A set of facts is a row of booleans in the order of `case.facts`; many sets are asked for at once ([S, n_facts]).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import numpy as np

from domains.medical.cohort import disease_rows, finding_columns
from domains.medical.kb import KnowledgeBase
from domains.medical.schema import BoolArray, Case, FloatArray, IntArray
from sciRL.errors import UserError


class BeliefModel(Protocol):
    """Values sets of facts by the log probability of the right answer."""

    def logp(self, case: Case, fact_sets: BoolArray) -> FloatArray:
        """Return log P(right answer | facts), in nats [S], of sets of facts [S, n_facts]."""
        ...


class OptionBelief(BeliefModel, Protocol):
    """A belief over all options, as a person watches it move."""

    def option_logp(self, case: Case, fact_sets: BoolArray) -> FloatArray:
        """Return log P(option | facts), in nats, normalised over the options [S, n_options]."""
        ...


class TableBelief:
    """Values that are written down, by the ids of the known facts: for tests and worked examples.

    Example: `TableBelief({(): -0.69, ("f1",): -0.43})` values a case of one fact.
    """

    def __init__(self, values: Mapping[Collection[str], float]) -> None:
        self._values = {frozenset(ids): value for ids, value in values.items()}

    def logp(self, case: Case, fact_sets: BoolArray) -> FloatArray:
        """Return the written values [S]; a set that is not in the table raises `UserError`."""
        return np.array([self._value(case, row) for row in fact_sets])

    def _value(self, case: Case, row: BoolArray) -> float:
        ids = frozenset(fact.id for fact, taken in zip(case.facts, row, strict=True) if taken)
        if ids not in self._values:
            raise UserError(f"case {case.id!r}: the table has no value for the facts {sorted(ids)}")
        return self._values[ids]


class NaiveBayesBelief:
    """The posterior over a case's options by a knowledge base, findings independent given the disease.

    The case's options must be diseases of the table and its facts findings that are present or absent.
    """

    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb

    def logp(self, case: Case, fact_sets: BoolArray) -> FloatArray:
        """Return the log posterior of the right option [S]."""
        return self.option_logp(case, fact_sets)[:, case.answer_index]

    def option_logp(self, case: Case, fact_sets: BoolArray) -> FloatArray:
        """Return the log posterior of every option [S, n_options]."""
        rows = disease_rows(self.kb, case)
        columns, values = finding_columns(self.kb, case, case.facts)
        chance = self.kb.p[np.ix_(rows, columns)]
        evidence = np.log(np.where(values, chance, 1 - chance))
        return log_softmax(np.log(self.kb.prior[rows]) + fact_sets @ evidence.T)

    def expected_gain(self, case: Case, fact_sets: BoolArray, asked: IntArray) -> FloatArray:
        """Return how much asking for a fact is expected to raise the probability of the right option [S].

        The expectation runs over all patients that fit the facts known so far: which option is right, with the belief's
        own probabilities q, and what they would reply. With c_d the chance of the finding under option d,

            sum_d (q_d c_d)^2 / sum_d q_d c_d + sum_d (q_d (1 - c_d))^2 / sum_d q_d (1 - c_d) - sum_d q_d^2

        Args:
            case: its options must be diseases of the table.
            fact_sets: the facts known before each question [S, n_facts].
            asked: column of the fact that is asked for [S].

        Example: two options, both 0.5, and a finding of chance 0.9 under one, 0.1 under the other: 0.82 - 0.5 = 0.32.
        """
        q = np.exp(self.option_logp(case, fact_sets))
        columns, _ = finding_columns(self.kb, case, case.facts)
        chance = self.kb.p[np.ix_(disease_rows(self.kb, case), columns)][:, asked].T
        after = sum(np.square(q * c).sum(axis=1) / (q * c).sum(axis=1) for c in (chance, 1 - chance))
        return np.asarray(after - np.square(q).sum(axis=1))


def known_logp(belief: OptionBelief, case: Case) -> FloatArray:
    """Return the belief over the options from what is known at the start [n_options]."""
    return belief.option_logp(case, case.known[None])[0]


def log_softmax(scores: FloatArray) -> FloatArray:
    """Return scores minus the logarithm of the sum of their exponentials, along the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
