"""EvidenceBayes: naive Bayes over DDXPlus evidences, estimated by counting patients.

Research software, not medical advice: it is estimated from synthetic patients.

With n_d patients of pathology d, of whom c show something, and Laplace's one added to every count:
binary evidence (c + 1) / (n_d + 2); value of a categorical one (c + 1) / (n_d + values), age groups likewise; each
value of a multiple one (c + 1) / (n_d + 2), as if values were independent. Prior (n_d + 1) / (N + pathologies).

Shapes: D pathologies, K columns (one for each binary evidence and for each value of the others), S sets of facts.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from domains.medical.belief import log_softmax
from domains.medical.ddxplus import AGE, SEX, VALUES_BETWEEN, DdxPatient, Ontology
from domains.medical.schema import BoolArray, Case, Fact, FloatArray, IntArray
from sciRL.errors import UserError

AGE_STARTS = (1, 5, 15, 30, 45, 60, 75)
"""First year of each age group but the youngest (those of DDXPlus's own environment)."""


@dataclass(frozen=True)
class EvidenceBayes:
    """A belief over pathologies; as a `BeliefModel` it values sets of a DDXPlus case's facts.

    Attributes:
        ontology: evidences and pathologies.
        patients: patients of each pathology [D].
        counts: of those, how many show each column [D, K].
    """

    ontology: Ontology
    patients: IntArray
    counts: IntArray

    @classmethod
    def estimate(cls, patients: Iterable[DdxPatient], ontology: Ontology) -> EvidenceBayes:
        """Count patients; an evidence that a patient does not list has its default value."""
        columns = _columns(ontology)
        row_of = {name: row for row, name in enumerate(ontology.pathologies)}
        total = np.zeros(len(row_of), dtype=np.int64)
        counts = np.zeros((len(row_of), len(columns)), dtype=np.int64)
        for patient in patients:
            row = row_of[patient.pathology]
            total[row] += 1
            counts[row, [columns[shown] for shown in _shown(patient, ontology)]] += 1
        return cls(ontology, total, counts)

    @cached_property
    def columns(self) -> Mapping[tuple[str, str], int]:
        """Position of each (evidence, value); a binary evidence has the value ""."""
        return _columns(self.ontology)

    @cached_property
    def log_prior(self) -> FloatArray:
        """Log probability of each pathology [D]."""
        return np.log((self.patients + 1) / (self.patients.sum() + len(self.patients)))

    @cached_property
    def log_present(self) -> FloatArray:
        """Log probability of each column given the pathology [D, K]."""
        choices = np.array([_choices(self.ontology, name) for name, _ in self.columns])
        return np.log((self.counts + 1) / (self.patients[:, None] + choices))

    @cached_property
    def log_absent(self) -> FloatArray:
        """Log probability that a column is not shown [D, K]."""
        return np.log1p(-np.exp(self.log_present))

    def logp(self, case: Case, fact_sets: BoolArray) -> FloatArray:
        """Return the log posterior of the right option given sets of facts [S]."""
        return self.option_logp(case, fact_sets)[:, case.answer_index]

    def option_logp(self, case: Case, fact_sets: BoolArray) -> FloatArray:
        """Return the log posterior of every option given sets of facts [S, n_options]."""
        rows = self._rows(case)
        evidence = np.array([self.log_likelihood(case, fact)[rows] for fact in case.facts])
        return log_softmax(self.log_prior[rows] + fact_sets @ evidence)

    def whole_logp(self, patient: DdxPatient) -> FloatArray:
        """Return the log posterior of every pathology from all that is and all that is not listed [D]."""
        shown = np.zeros(len(self.columns), dtype=bool)
        shown[[self.columns[entry] for entry in _shown(patient, self.ontology)]] = True
        evidence = self.log_present[:, shown].sum(axis=1)
        evidence += self.log_absent[:, ~shown & self._independent].sum(axis=1)
        return log_softmax(self.log_prior + evidence)

    def log_likelihood(self, case: Case, fact: Fact) -> FloatArray:
        """Return the log probability of a fact given each pathology [D]; one that is no evidence raises `UserError`."""
        name, value = str(fact.key), fact.value
        evidence = self.ontology.evidences.get(name)
        try:
            if name == AGE:
                return self.log_present[:, self.columns[AGE, _age_group(int(value))]]
            if isinstance(value, bool):
                log_p = self.log_present if value else self.log_absent
                return log_p[:, self.columns[name, ""]]
            if evidence is None or evidence.kind != "M":
                return self.log_present[:, self.columns[name, value]]
            named = {self.columns[name, one] for one in value.split(VALUES_BETWEEN)}
        except (KeyError, ValueError):
            raise UserError(
                f"case {case.id!r}: fact {fact.id!r} (key {fact.key!r}, value {value!r}) is no evidence of the ontology"
            ) from None
        others = [column for (owner, _), column in self.columns.items() if owner == name and column not in named]
        return self.log_present[:, sorted(named)].sum(axis=1) + self.log_absent[:, others].sum(axis=1)

    def to_json(self) -> str:
        """Return the counts as JSON; the ontology is not part of it."""
        return json.dumps({"patients": self.patients.tolist(), "counts": self.counts.tolist()}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, ontology: Ontology) -> EvidenceBayes:
        """Build a belief from `to_json` output; counts that do not fit the ontology raise `ValueError`."""
        data = json.loads(text)
        patients, counts = np.array(data["patients"], dtype=np.int64), np.array(data["counts"], dtype=np.int64)
        shape = (len(ontology.pathologies), len(_columns(ontology)))
        if counts.shape != shape or patients.shape != shape[:1]:
            raise ValueError(f"counts of shape {counts.shape} do not fit the ontology, which needs {shape}")
        return cls(ontology, patients, counts)

    @cached_property
    def _independent(self) -> BoolArray:
        """Which columns are shown or not by themselves, not as the one value of a categorical evidence [K]."""
        owners = [name for name, _ in self.columns]
        return np.array([name not in (AGE, SEX) and self.ontology.evidences[name].kind != "C" for name in owners])

    def _rows(self, case: Case) -> list[int]:
        unknown = [option for option in case.options if option not in self.ontology.pathologies]
        if unknown:
            raise UserError(f"case {case.id!r}: the option {unknown[0]!r} is no pathology of the ontology")
        return [self.ontology.pathologies.index(option) for option in case.options]


def _columns(ontology: Ontology) -> dict[tuple[str, str], int]:
    pairs = [(AGE, str(group)) for group in range(len(AGE_STARTS) + 1)] + [(SEX, "M"), (SEX, "F")]
    for evidence in ontology.evidences.values():
        pairs += [(evidence.id, "")] if evidence.kind == "B" else [(evidence.id, value) for value in evidence.values]
    return {pair: column for column, pair in enumerate(pairs)}


def _choices(ontology: Ontology, name: str) -> int:
    """Return what Laplace's ones add up to: how many answers there are to a column's question."""
    if name == AGE:
        return len(AGE_STARTS) + 1
    if name == SEX or ontology.evidences[name].kind != "C":
        return 2
    return len(ontology.evidences[name].values)


def _shown(patient: DdxPatient, ontology: Ontology) -> list[tuple[str, str]]:
    """Return every column that a patient shows."""
    shown = [(AGE, _age_group(patient.age)), (SEX, patient.sex)]
    for name, values in patient.evidences.items():
        shown += [(name, value) for value in values]
    for evidence in ontology.evidences.values():
        if evidence.kind != "B" and evidence.id not in patient.evidences and evidence.default in evidence.values:
            shown.append((evidence.id, evidence.default))
    return shown


def _age_group(age: int) -> str:
    return str(bisect_right(AGE_STARTS, age))
