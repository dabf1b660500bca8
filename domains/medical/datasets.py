"""Dataset builder: a source of cases to a folder of splits by patient, with what belief and patient need beside them.

Research software, not medical advice.

A folder from a knowledge base holds `kb.txt`; one from DDXPlus its ontology and `bayes.json`, counted on the training
split alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from domains.medical.cohort import make_case
from domains.medical.ddxplus import CONDITIONS, EVIDENCES, Ontology
from domains.medical.evidence_bayes import EvidenceBayes
from domains.medical.exam_items import KnownRule
from domains.medical.kb import KnowledgeBase, first_diseases, parse_kb
from domains.medical.lessons import DIALOGUES_FILE, search_lessons
from domains.medical.rows import KB_FILE, KbRow
from domains.medical.schema import Case
from domains.medical.search import SearchSettings
from domains.medical.sources import BadRow, Source, SourceCase, open_source, read_cases
from sciRL.dataset_folder import (
    SPLITS,
    JsonRow,
    across_splits,
    as_lines,
    parse_build_settings,
    refuse_existing,
    seeded_order,
    write_folder,
)
from sciRL.domain import BuildReport
from sciRL.errors import UserError

BUILDER_VERSION = 1
LISTED = 50
"""How many dropped rows the manifest lists for each reason."""

BAYES_FILE = "bayes.json"
DISCLAIMER = "Research software, not medical advice; not reviewed by clinicians."
READ_BY = {
    **dict.fromkeys(("count", "diseases", "options", "min_present", "dialogues"), ("kb",)),
    "known": ("mediq", "medqa"),
    "limit": ("mediq", "medqa", "cases", "ddxplus"),
}
"""Options that only some kinds of sources read."""

OF_SEARCH = ("iterations", "budget", "confidence", "completion")
"""Options that only a search for dialogues reads."""

LICENCES = {
    "kb": "Patients drawn from a table of frequencies; the embedded table is the project's own text (Apache-2.0).",
    "mediq": "CC BY 4.0 (MediQ, Li et al. 2024, arXiv 2406.00922; items derived from MedQA).",
    "ddxplus": "CC BY (DDXPlus, Fansi Tchango et al. 2022, arXiv 2205.09148).",
    "default": "The licence of the source applies.",
}


class BuildSettings(BaseModel):
    """Options of `scirl data build medical`, given as key=value."""

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    """Seed of the drawn patients, the split and the row order."""

    count: int = Field(default=2000, ge=10, le=1_000_000)
    """Patients to draw from a knowledge base."""

    diseases: int = Field(default=0, ge=0)
    """Draw patients of the first diseases of a knowledge base only; 0 takes all."""

    options: int = Field(default=0, ge=0)
    """Diagnoses to choose from in drawn cases; 0 offers all of the knowledge base."""

    min_present: int = Field(default=3, ge=1)
    """Fewest present findings of a drawn patient."""

    known: KnownRule = "sentence"
    """What is known at the start of an examination item: its first sentence, or the first half of its facts."""

    split: Literal["patient", "source"] = "patient"
    """patient: 80/10/10 by what is true of the patient; source: as the files are called (train/validate/test)."""

    dialogues: Literal["none", "uct", "bon"] = "none"
    """Search consultations to imitate for the training cases of a knowledge base: by tree search or best of N."""

    iterations: int = Field(default=24, ge=1)
    """Paths that a search tries for each case."""

    budget: int = Field(default=10, ge=1)
    """Questions of a searched consultation."""

    confidence: float = Field(default=0.95, gt=0, le=1)
    """Probability of a diagnosis from which a searched consultation asks no more; 1 asks to the end."""

    completion: Literal["any", "first"] = "any"
    """Whether a tree search completes its paths with any of the proposer's suggestions or with the first, whose
    questions are easier to imitate."""

    limit: int = Field(default=0, ge=0)
    """Read only the first rows of the source; 0 reads all."""

    overwrite: bool = False
    """Whether an existing dataset folder may be replaced."""


@dataclass
class Collected:
    """Cases of a build, and what was left out."""

    cases: list[SourceCase] = field(default_factory=list)
    read: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    listed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def drop(self, row: BadRow) -> None:
        """Count one dropped row and list it while there is room."""
        self.counts[row.reason] += 1
        if len(self.listed[row.reason]) < LISTED:
            self.listed[row.reason].append(f"{row.where}: {row.detail}"[:300])


def build(source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
    """Turn a source into a dataset folder, written aside and renamed when complete.

    Args:
        source: see `sources`.
        out: the dataset folder to make.
        options: fields of `BuildSettings` as text.

    Raises:
        UserError: unreadable source, bad option, no usable row, or `out` exists already.
    """
    settings = parse_build_settings(BuildSettings, options)
    opened = open_source(source)
    _refuse_unread(settings, opened)
    out = Path(out)
    refuse_existing(out, settings.overwrite)
    table = _table(opened, settings)
    kb = None if table is None else parse_kb(table, opened.name)
    collected = _draw(kb, settings) if kb is not None else _collect(opened, settings)
    if not collected.cases:
        first = "; ".join(f"{reason} ({collected.listed[reason][0]})" for reason in collected.counts)
        raise UserError(f"{source}: none of the {collected.read} rows can be used: {first or 'there are none'}")
    parts = _split(collected.cases, settings)
    files: dict[str, str | bytes] = {}
    for split, part in parts.items():
        rows: list[JsonRow] = [row.case if kb is None else KbRow.of(kb, row.case) for row in part]
        files[f"{split}.jsonl"] = as_lines(rows)
    files |= _beside(opened, parts["train"])
    if kb is not None and table is not None:
        files[KB_FILE] = table
        if settings.dialogues != "none":
            files[DIALOGUES_FILE] = _search(kb, [row.case for row in parts["train"]], settings)
    write_folder(out, files, _manifest(opened, settings, parts, collected))
    sizes = {split: len(part) for split, part in parts.items()}
    examples = [row.case.to_json()[:2000] for part in parts.values() for row in part[:1]]
    return BuildReport(out, collected.read, sum(sizes.values()), dict(collected.counts), sizes, examples)


def _refuse_unread(settings: BuildSettings, opened: Source) -> None:
    """Raise `UserError` for an option that was set to something and that nothing would read."""
    for name in sorted(settings.model_fields_set):
        value = getattr(settings, name)
        if value == BuildSettings.model_fields[name].default:
            continue
        kinds = READ_BY.get(name, (opened.kind,))
        if opened.kind not in kinds:
            raise UserError(
                f"build option {name}={value}: a source of kind {opened.kind} ({opened.name}) does not read it; "
                f"it is for {', '.join(kinds)}"
            )
        if name in OF_SEARCH and settings.dialogues == "none":
            raise UserError(f"build option {name}={value} is read with dialogues=uct or dialogues=bon only")


def _table(opened: Source, settings: BuildSettings) -> str | None:
    """Return the text of a source that is a knowledge base, cut to the diseases that are asked for."""
    if opened.kind != "kb":
        return None
    kb = KnowledgeBase.load(opened.files[0])
    if settings.diseases and not 2 <= settings.diseases <= len(kb.diseases):
        raise UserError(f"diseases={settings.diseases}: allowed are 0 or 2 to {len(kb.diseases)}, those of the table")
    text = opened.files[0].read_text(encoding="utf-8")
    return first_diseases(text, settings.diseases) if settings.diseases else text


def _search(kb: KnowledgeBase, cases: Sequence[Case], settings: BuildSettings) -> str:
    """Search a consultation for every case; those whose best path is worth imitating are kept, one a line."""
    search = SearchSettings(
        "uct" if settings.dialogues == "uct" else "bon",
        settings.iterations,
        settings.budget,
        confidence=settings.confidence,
        completion=settings.completion,
        seed=settings.seed,
    )
    lines = []
    for done, lesson in enumerate(search_lessons(kb, cases, search), start=1):
        if lesson is not None:
            lines.append(f"{lesson.to_json()}\n")
        if done % 100 == 0:
            print(f"searched {done} of {len(cases)} cases: {len(lines)} dialogues", flush=True)
    return "".join(lines)


def _draw(kb: KnowledgeBase, settings: BuildSettings) -> Collected:
    offered = settings.options or None
    cases = [make_case(kb, index, settings.seed, offered, settings.min_present) for index in range(settings.count)]
    return Collected([SourceCase(case.id, case) for case in cases], settings.count)


def _collect(opened: Source, settings: BuildSettings) -> Collected:
    collected = Collected()
    where: dict[str, str] = {}
    for row in read_cases(opened, settings.known):
        if settings.limit and collected.read == settings.limit:
            break
        collected.read += 1
        if isinstance(row, SourceCase) and row.case.id in where:
            row = BadRow(row.where, "id used twice", f"{row.case.id} is also at {where[row.case.id]}")
        if isinstance(row, BadRow):
            collected.drop(row)
        else:
            where[row.case.id] = row.where
            collected.cases.append(row)
    return collected


def _split(rows: Sequence[SourceCase], settings: BuildSettings) -> dict[str, list[SourceCase]]:
    """Deal the cases to the splits, whole groups of equal facts together; the order is a seeded shuffle."""
    parts: dict[str, list[SourceCase]] = {split: [] for split in SPLITS}
    ordered = sorted(rows, key=lambda row: seeded_order(settings.seed, row.case.id))
    if settings.split == "source":
        for row in ordered:
            if row.split is None:
                raise UserError(f"split=source needs files called train, validate and test; {row.where} has no split")
            parts[row.split].append(row)
        return parts
    group_of = {row.case.id: row.case.group for row in rows}
    groups = sorted(set(group_of.values()), key=lambda group: seeded_order(settings.seed, group))
    held_out = max(1, round(len(groups) / 10)) if len(groups) >= 3 else 0
    rank = {group: number for number, group in enumerate(groups)}
    for row in ordered:
        place = rank[group_of[row.case.id]]
        parts["test" if place < held_out else "validation" if place < 2 * held_out else "train"].append(row)
    return parts


def _beside(opened: Source, train: Sequence[SourceCase]) -> dict[str, str | bytes]:
    """Return the files that belief and patient need beside the cases."""
    if opened.kind != "ddxplus":
        return {}
    ontology = Ontology.load(opened.files[-1].parent)
    bayes = EvidenceBayes.estimate((row.patient for row in train if row.patient is not None), ontology)
    copied: dict[str, str | bytes] = {path.name: path.read_bytes() for path in opened.files[-2:]}
    return {**copied, BAYES_FILE: bayes.to_json()}


def load_bayes(folder: Path) -> EvidenceBayes:
    """Return the naive Bayes of a folder built from DDXPlus; another folder raises `UserError`."""
    path = Path(folder) / BAYES_FILE
    if not path.is_file() or not all((Path(folder) / name).is_file() for name in (EVIDENCES, CONDITIONS)):
        raise UserError(f"{folder}: no folder built from DDXPlus ({BAYES_FILE}, {EVIDENCES}, {CONDITIONS})")
    try:
        return EvidenceBayes.from_json(path.read_text(encoding="utf-8"), Ontology.load(folder))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no counts of patients and evidences: {error}") from error


def _manifest(
    opened: Source, settings: BuildSettings, parts: Mapping[str, Sequence[SourceCase]], collected: Collected
) -> dict[str, Any]:
    shared = across_splits(parts, lambda row: row.case.group)
    facts = sorted(len(row.case.facts) for row in collected.cases)
    return {
        "domain": "medical",
        "disclaimer": DISCLAIMER,
        "builder_version": BUILDER_VERSION,
        "source": {"name": opened.name, "kind": opened.kind, "sha256": opened.hashes()},
        "settings": settings.model_dump(exclude={"overwrite"}),
        "rows_read": collected.read,
        "rows": {split: len(rows) for split, rows in parts.items()},
        "dropped": {
            reason: {"count": count, "rows": collected.listed[reason]}
            for reason, count in sorted(collected.counts.items())
        },
        "facts_per_case": {"least": facts[0], "median": facts[len(facts) // 2], "most": facts[-1]},
        "split_by": settings.split,
        "groups_across_splits": {"count": len(shared), "first": shared[:LISTED]},
        "licence": LICENCES.get(opened.kind, LICENCES["default"]),
    }
