"""Patients drawn from a knowledge base: as arrays for whole cohorts, and as cases for conversations.

Research software, not medical advice: the patients are synthetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from domains.medical.kb import KnowledgeBase
from domains.medical.schema import BoolArray, Case, Fact, IntArray, option_labels
from sciRL.errors import UserError

QUESTION = "Which diagnosis is the most likely?"
_MOST_DRAWS = 1000


@dataclass(frozen=True)
class Cohort:
    """B patients over a knowledge base of D diseases and F findings.

    Attributes:
        disease: the true disease [B].
        present: which findings the patient has [B, F].
        known: which findings the doctor is told about at the start [B, F].
        candidates: which diseases may be named [B, D].
    """

    disease: IntArray
    present: BoolArray
    known: BoolArray
    candidates: BoolArray

    def __len__(self) -> int:
        return len(self.disease)


def sample_cohort(kb: KnowledgeBase, rng: np.random.Generator, size: int, min_present: int = 0) -> Cohort:
    """Draw patients: a disease by its prior, findings by their chances, and one present finding as the chief complaint.

    Args:
        kb: the knowledge base.
        rng: source of randomness.
        size: patients, B.
        min_present: patients with fewer present findings are drawn again.

    Raises:
        UserError: patients with `min_present` findings hardly exist.
    """
    kept: list[tuple[IntArray, BoolArray]] = []
    missing = size
    for _ in range(_MOST_DRAWS):
        disease = rng.choice(len(kb.diseases), size=missing, p=kb.prior)
        present = rng.random((missing, len(kb.findings))) < kb.p[disease]
        enough = present.sum(axis=1) >= min_present
        kept.append((disease[enough], present[enough]))
        missing -= int(enough.sum())
        if not missing:
            break
    else:
        raise UserError(f"min_present={min_present}: hardly any patient of this knowledge base has so many findings")
    disease = np.concatenate([part[0] for part in kept])
    present = np.concatenate([part[1] for part in kept])
    # The largest of independent uniform numbers is a uniform choice; patients without any finding name none.
    complaint = np.where(present, rng.random(present.shape), -1.0).argmax(axis=1)
    known = np.zeros_like(present)
    known[np.arange(size), complaint] = present[np.arange(size), complaint]
    return Cohort(disease, present, known, np.ones((size, len(kb.diseases)), dtype=bool))


def sample_case(
    kb: KnowledgeBase, rng: np.random.Generator, identity: str, options: int | None = None, min_present: int = 1
) -> Case:
    """Draw one patient as a case whose facts are all findings, present and absent, in the order of the table.

    Args:
        kb: the knowledge base.
        rng: source of randomness.
        identity: the case's id.
        options: how many diagnoses to choose from, the others drawn uniformly; None offers all in the table's order.
        min_present: fewest present findings; one of them is the chief complaint.
    """
    cohort = sample_cohort(kb, rng, 1, max(1, min_present))
    truth = int(cohort.disease[0])
    rows = _option_rows(kb, rng, truth, options)
    return case_of_findings(kb, identity, truth, cohort.present[0], cohort.known[0], rows)


def case_of_findings(
    kb: KnowledgeBase, identity: str, disease: int, present: BoolArray, known: BoolArray, options: Sequence[int]
) -> Case:
    """Return the case of a patient.

    Args:
        kb: the knowledge base.
        identity: the case's id.
        disease: row of the true disease.
        present: which findings the patient has [F].
        known: which findings the doctor is told about [F].
        options: rows of the diseases to choose from, the true one among them.
    """
    facts = tuple(absent_or_present[int(value)] for absent_or_present, value in zip(kb.facts, present, strict=True))
    return Case(
        id=identity,
        facts=facts,
        known_ids=tuple(finding.id for finding, told in zip(kb.findings, known, strict=True) if told),
        question=QUESTION,
        options=tuple(kb.diseases[row].name for row in options),
        answer=option_labels(len(options))[list(options).index(disease)],
        meta={"world": "closed", "disease": kb.diseases[disease].id},
    )


def make_case(kb: KnowledgeBase, index: int, seed: int, options: int | None = None, min_present: int = 1) -> Case:
    """Return patient `index` of the endless sequence that `seed` begins: the same on every machine."""
    rng = np.random.default_rng([seed, index])
    return sample_case(kb, rng, f"kb-{seed}-{index}", options, min_present)


def cohort_of(kb: KnowledgeBase, cases: Sequence[Case]) -> Cohort:
    """Return cases over a knowledge base as arrays.

    Raises:
        UserError: an option is no disease of the table, or a fact no finding with true or false.
    """
    shape = (len(cases), len(kb.findings))
    present, known = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    candidates = np.zeros((len(cases), len(kb.diseases)), dtype=bool)
    disease = np.zeros(len(cases), dtype=np.int64)
    for row, case in enumerate(cases):
        rows = disease_rows(kb, case)
        candidates[row, rows] = True
        disease[row] = rows[case.answer_index]
        columns, values = finding_columns(kb, case, case.facts)
        present[row, columns] = values
        known[row, columns] = case.known
    return Cohort(disease, present, known, candidates)


def disease_rows(kb: KnowledgeBase, case: Case) -> list[int]:
    """Return the row of each option; an option that is no disease raises `UserError`."""
    missing = [option for option in case.options if option not in kb.disease_index]
    if missing:
        raise UserError(f"case {case.id!r}: the option {missing[0]!r} is no disease of the knowledge base")
    return [kb.disease_index[option] for option in case.options]


def finding_columns(kb: KnowledgeBase, case: Case, facts: Iterable[Fact]) -> tuple[list[int], list[bool]]:
    """Return column and value of each of a case's facts; one that is no finding, true or false, raises `UserError`."""
    columns, values = [], []
    for fact in facts:
        if fact.key is None or fact.key not in kb.finding_index or not isinstance(fact.value, bool):
            raise UserError(
                f"case {case.id!r}: fact {fact.id!r} (key {fact.key!r}, value {fact.value!r}) is no finding of the "
                "knowledge base with the value true or false"
            )
        columns.append(kb.finding_index[fact.key])
        values.append(fact.value)
    return columns, values


def _option_rows(kb: KnowledgeBase, rng: np.random.Generator, truth: int, options: int | None) -> list[int]:
    count = len(kb.diseases)
    if options is None:
        return list(range(count))
    if not 2 <= options <= count:
        raise UserError(f"options={options}: allowed are 2 to {count}, the diseases of the knowledge base")
    # Uniform distractors keep the posterior over the options exact: a drawn-to-be-plausible set would give truth away.
    others = rng.choice([row for row in range(count) if row != truth], size=options - 1, replace=False)
    return [int(row) for row in rng.permutation([truth, *others])]
