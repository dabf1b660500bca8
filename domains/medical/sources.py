"""Readers of case files: a knowledge base, MediQ or MedQA items, cases of our own, DDXPlus patients.

Research software, not medical advice.

=========================================  =================================================
source                                     rows
=========================================  =================================================
``toy``, or a ``.txt`` table               patients drawn from the knowledge base
``.jsonl`` with ``facts`` and ``context``  MediQ items
``.jsonl`` with ``known_ids``              cases as `Case.to_dict` writes them
other ``.jsonl``                           MedQA items
a ``.csv``, or a folder of them            DDXPlus patients; the ontology stands beside them
=========================================  =================================================
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from domains.medical.ddxplus import CONDITIONS, EVIDENCES, DdxPatient, Ontology, ddxplus_case, read_patient
from domains.medical.exam_items import ItemError, KnownRule, mediq_case, medqa_case
from domains.medical.kb import EMBEDDED
from domains.medical.schema import Case
from sciRL.dataset_folder import sha256
from sciRL.errors import UserError

Kind: TypeAlias = Literal["kb", "mediq", "medqa", "cases", "ddxplus"]
Maker: TypeAlias = Callable[[dict[str, Any], int], Case]

TOY = "toy"


@dataclass(frozen=True)
class SourceCase:
    """A case as read: where it stands, and its file's own split and its DDXPlus patient where there is one."""

    where: str
    case: Case
    split: str | None = None
    patient: DdxPatient | None = None


@dataclass(frozen=True)
class BadRow:
    """A row that is no usable case: where it stands, the reason in a few words, and what was found."""

    where: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Source:
    """A readable source: its name, kind and files."""

    name: str
    kind: Kind
    files: tuple[Path, ...]

    def hashes(self) -> dict[str, str]:
        """Return the sha256 of every file, by file name."""
        return {path.name: sha256(path) for path in self.files}


def open_source(source: str) -> Source:
    """Find out what a source is from its path and content.

    Raises:
        UserError: nothing there, nothing in it, or a kind that is not read.
    """
    path = Path(source)
    if source == TOY and not path.exists():
        return Source(TOY, "kb", (EMBEDDED,))
    if not path.exists():
        raise UserError(f"{source}: no such file or folder (the embedded knowledge base is called '{TOY}')")
    if path.is_dir():
        return _ddxplus(path, tuple(sorted(path.glob("*.csv"))))
    if path.suffix not in (".txt", ".jsonl", ".csv"):
        raise UserError(f"{source}: unsupported file type; allowed are .txt (knowledge base), .jsonl, .csv (DDXPlus)")
    if path.stat().st_size == 0:
        raise UserError(f"{source}: the file is empty")
    if path.suffix == ".csv":
        return _ddxplus(path.parent, (path,))
    return Source(path.name, "kb" if path.suffix == ".txt" else _sniff(path), (path,))


def read_cases(source: Source, known: KnownRule) -> Iterator[SourceCase | BadRow]:
    """Yield the rows of a source that holds cases, in order; those of a knowledge base are drawn, not read.

    Args:
        source: of any kind but "kb".
        known: which facts of an examination item are known at the start.

    Raises:
        UserError: a line that is no JSON object, or a CSV file without the columns (file and line are named).
    """
    if source.kind == "ddxplus":
        ontology = Ontology.load(source.files[-1].parent)
        for path in source.files[:-2]:
            yield from _read_csv(path, ontology)
        return
    makers: dict[str, Maker] = {
        "mediq": lambda record, number: mediq_case(record, known),
        "medqa": lambda record, number: medqa_case(record, known, f"medqa-{number}"),
        "cases": lambda record, number: Case.from_dict(record),
    }
    for path in source.files:
        for number, record in _json_lines(path):
            yield _attempt(f"{path.name}: line {number}", makers[source.kind], record, number)


def _attempt(where: str, make: Maker, record: dict[str, Any], number: int) -> SourceCase | BadRow:
    try:
        return SourceCase(where, make(record, number))
    except ItemError as error:
        return BadRow(where, error.reason, error.detail)
    except UserError as error:
        return BadRow(where, "malformed case", str(error))


def _ddxplus(folder: Path, files: tuple[Path, ...]) -> Source:
    ontology = (folder / EVIDENCES, folder / CONDITIONS)
    missing = [path.name for path in ontology if not path.is_file()]
    if not files or missing:
        lacking = ", ".join(missing) or "a .csv file of patients"
        raise UserError(f"{folder}: DDXPlus needs {EVIDENCES}, {CONDITIONS} and .csv files; missing: {lacking}")
    return Source(files[0].name if len(files) == 1 else folder.name, "ddxplus", (*files, *ontology))


def _sniff(path: Path) -> Kind:
    first = next(_json_lines(path), None)
    if first is None:
        raise UserError(f"{path}: no rows")
    keys = set(first[1])
    if "known_ids" in keys:
        return "cases"
    return "mediq" if {"facts", "context"} <= keys else "medqa"


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: line {number}: not valid JSON: {error}") from error
        if not isinstance(record, dict):
            raise UserError(f"{path}: line {number}: a JSON object is needed; found {type(record).__name__}")
        yield number, record


def _read_csv(path: Path, ontology: Ontology) -> Iterator[SourceCase | BadRow]:
    csv.field_size_limit(sys.maxsize)
    split = _split_of(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if "PATHOLOGY" not in (reader.fieldnames or ()):
                found = ", ".join(reader.fieldnames or ()) or "nothing"
                raise UserError(f"{path}: no column PATHOLOGY; the columns found are {found}")
            for number, record in enumerate(reader, start=1):
                yield _read_row(f"{path.name}: row {number}", record, ontology, f"{path.stem}-{number}", split)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as CSV: {error}") from error


def _read_row(
    where: str, record: dict[str, str], ontology: Ontology, identity: str, split: str | None
) -> SourceCase | BadRow:
    try:
        patient = read_patient(record, ontology)
        return SourceCase(where, ddxplus_case(patient, ontology, identity), split, patient)
    except ItemError as error:
        return BadRow(where, error.reason, error.detail)


def _split_of(path: Path) -> str | None:
    """Return the split that a DDXPlus release file is called after."""
    names = {"train": "train", "validate": "validation", "test": "test"}
    return next((split for word, split in names.items() if word in path.stem.lower()), None)
