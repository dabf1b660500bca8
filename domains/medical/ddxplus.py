"""DDXPlus: synthetic patients with coded evidences (Fansi Tchango et al. 2022, arXiv 2205.09148; data CC BY).

The release is `release_evidences.json`, `release_conditions.json` and CSV files with the columns AGE, SEX, PATHOLOGY,
EVIDENCES, INITIAL_EVIDENCE and DIFFERENTIAL_DIAGNOSIS; lists are Python literals, and an evidence with a value is
written `E_55_@_V_89`. Evidences are binary (B), categorical (C: one value) or multiple (M: a set of values).
Research software, not medical advice: the patients are synthetic.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from domains.medical.exam_items import ItemError
from domains.medical.matching import QuestionMatcher, Topic
from domains.medical.schema import Case, Fact, option_labels
from sciRL.errors import UserError

EVIDENCES, CONDITIONS = "release_evidences.json", "release_conditions.json"
COLUMNS = ("AGE", "SEX", "PATHOLOGY", "EVIDENCES", "INITIAL_EVIDENCE", "DIFFERENTIAL_DIAGNOSIS")
QUESTION = "Which pathology is the most likely?"
AGE, SEX = "AGE", "SEX"
VALUES_BETWEEN = "|"
"""Separates the values of a multiple evidence in a fact's value, sorted: "V_108|V_167|V_89"."""

EvidenceKind: TypeAlias = Literal["B", "C", "M"]


@dataclass(frozen=True)
class Evidence:
    """Something that a patient may be asked about: its question, kind, allowed values with their words, and default."""

    id: str
    question: str
    kind: EvidenceKind
    values: Mapping[str, str]
    default: str


@dataclass(frozen=True)
class Ontology:
    """The evidences by id and the names of the pathologies, in the order of the release."""

    evidences: Mapping[str, Evidence]
    pathologies: tuple[str, ...]

    @classmethod
    def load(cls, folder: Path) -> Ontology:
        """Read the release's two ontology files; a missing or malformed one raises `UserError`."""
        records = {name: _read_object(Path(folder) / name) for name in (EVIDENCES, CONDITIONS)}
        path = Path(folder) / EVIDENCES
        evidences = {name: _evidence(path, name, record) for name, record in records[EVIDENCES].items()}
        return cls(evidences, tuple(records[CONDITIONS]))

    @cached_property
    def matcher(self) -> QuestionMatcher:
        """The matcher of the evidences' questions; a question that fits several is not atomic."""
        topics = [Topic(evidence.id, evidence.question) for evidence in self.evidences.values()]
        return QuestionMatcher([Topic(AGE, "How old are you?"), Topic(SEX, "What is your sex?"), *topics])


@dataclass(frozen=True)
class DdxPatient:
    """One row: age in years, sex M or F, pathology, the values of each evidence, what was complained of first, and the
    ground-truth differential as (pathology, probability)."""

    age: int
    sex: str
    pathology: str
    evidences: Mapping[str, tuple[str, ...]]
    initial: str
    differential: tuple[tuple[str, float], ...]


def read_patient(record: Mapping[str, str], ontology: Ontology) -> DdxPatient:
    """Return the patient of a CSV row.

    Raises:
        ItemError: a column is missing or unreadable, or names what the ontology does not have.
    """
    if None in record:
        raise ItemError("more cells than columns", f"{record[None]}"[:60])  # type: ignore[index]
    missing = [name for name in COLUMNS if not record.get(name)]
    if missing:
        raise ItemError("missing columns", ", ".join(missing))
    if record["PATHOLOGY"] not in ontology.pathologies:
        raise ItemError("unknown pathology", record["PATHOLOGY"])
    if not record[AGE].isdecimal() or record[SEX] not in ("M", "F"):
        raise ItemError("age or sex unreadable", f"AGE {record[AGE]!r}, SEX {record[SEX]!r} (a number; M or F)")
    evidences: dict[str, list[str]] = {}
    for code in _literal(record, "EVIDENCES"):
        name, _, value = str(code).partition("_@_")
        _check_evidence(ontology, name, value)
        evidences.setdefault(name, []).append(value)
    if record["INITIAL_EVIDENCE"] not in evidences:
        raise ItemError("initial evidence is not among the evidences", record["INITIAL_EVIDENCE"])
    return DdxPatient(
        age=int(record[AGE]),
        sex=record[SEX],
        pathology=record["PATHOLOGY"],
        evidences={name: tuple(sorted(set(values))) for name, values in evidences.items()},
        initial=record["INITIAL_EVIDENCE"],
        differential=_differential(record, ontology),
    )


def ddxplus_case(patient: DdxPatient, ontology: Ontology, identity: str) -> Case:
    """Return the case of a patient: age, sex and the first complaint are known, all pathologies are options.

    Evidences that the patient does not have are no facts; the world is closed, so asking for them is answered "No.".

    Raises:
        UserError: what the row holds makes no case.
    """
    evidence_facts = (_fact(ontology.evidences[name], values) for name, values in patient.evidences.items())
    sex = "male" if patient.sex == "M" else "female"
    facts = (
        Fact(AGE, f"The patient is {patient.age} years old.", AGE, str(patient.age)),
        Fact(SEX, f"The patient is {sex}.", SEX, patient.sex),
        *evidence_facts,
    )
    return Case(
        id=identity,
        facts=facts,
        known_ids=(AGE, SEX, patient.initial),
        question=QUESTION,
        options=ontology.pathologies,
        answer=option_labels(len(ontology.pathologies))[ontology.pathologies.index(patient.pathology)],
        meta={"world": "closed", "differential": [list(entry) for entry in patient.differential]},
    )


def _fact(evidence: Evidence, values: tuple[str, ...]) -> Fact:
    if evidence.kind == "B":
        return Fact(evidence.id, f"{evidence.question} Yes.", evidence.id, True)
    words = ", ".join(evidence.values[value] for value in values)
    return Fact(evidence.id, f"{evidence.question} {words}.", evidence.id, VALUES_BETWEEN.join(values))


def _check_evidence(ontology: Ontology, name: str, value: str) -> None:
    evidence = ontology.evidences.get(name)
    if evidence is None:
        raise ItemError("unknown evidence", name)
    if (value != "") != (evidence.kind != "B") or (value and value not in evidence.values):
        raise ItemError("unknown evidence value", f"{name} of kind {evidence.kind} with the value {value!r}")


def _literal(record: Mapping[str, str], column: str) -> list[Any]:
    try:
        values = ast.literal_eval(record[column])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        values = None
    if not isinstance(values, list):
        raise ItemError("list unreadable", f"{column} {record[column][:60]!r}")
    return values


def _differential(record: Mapping[str, str], ontology: Ontology) -> tuple[tuple[str, float], ...]:
    entries = _literal(record, "DIFFERENTIAL_DIAGNOSIS")
    try:
        found = tuple((str(name), float(probability)) for name, probability in entries)
    except (TypeError, ValueError):
        raise ItemError("list unreadable", "DIFFERENTIAL_DIAGNOSIS holds no [pathology, probability] pairs") from None
    unknown = [name for name, _ in found if name not in ontology.pathologies]
    if unknown:
        raise ItemError("unknown pathology", f"{unknown[0]} in DIFFERENTIAL_DIAGNOSIS")
    return found


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: the DDXPlus ontology file cannot be read: {error}") from error
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: a JSON object with entries is needed; found {type(content).__name__}")
    return content


def _evidence(path: Path, name: str, record: Any) -> Evidence:
    needed = ("question_en", "data_type", "possible-values", "value_meaning", "default_value")
    if not isinstance(record, dict) or any(key not in record for key in needed):
        raise UserError(f"{path}: {name}: an object with {', '.join(needed)} is needed")
    if record["data_type"] not in ("B", "C", "M"):
        raise UserError(f"{path}: {name}: data_type is {record['data_type']!r}; allowed are B, C, M")
    values, meanings = record["possible-values"], record["value_meaning"]
    if not isinstance(values, list) or not isinstance(meanings, dict):
        raise UserError(f"{path}: {name}: possible-values must be a list and value_meaning an object")
    words = {}
    for value in map(str, values):
        meaning = meanings.get(value, {})
        words[value] = str(meaning.get("en", value) if isinstance(meaning, dict) else value)
    return Evidence(name, record["question_en"], record["data_type"], words, str(record["default_value"]))
