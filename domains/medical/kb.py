"""Knowledge base: which findings a disease shows and how often, read from a text table.

Research software, not medical advice: the embedded table is coarse textbook knowledge, not reviewed by clinicians.

    F <id> | <question> | <leak>[ | <alias>; <alias>]       a finding and how often anyone has it
    D <id> | <name> | <vc|c|u|r> | A: <finding> ... ; C: <finding> ...
    R <name> | <finding> <finding> ...                      findings that together call for urgent help

A disease's own chance p of a finding (by its class) and the leak are independent causes (noisy-or):
P(finding | disease) = 1 - (1 - p)(1 - leak). Lines that begin with # are comments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np

from domains.medical.schema import Fact, FloatArray, normalised
from sciRL.errors import UserError

EMBEDDED = Path(__file__).parent / "data" / "toy_kb.txt"

CLASSES = {"A": 0.92, "C": 0.70, "S": 0.40, "U": 0.15, "R": 0.04}
"""Chance of a finding: almost always, common, sometimes, uncommon, rare."""

PRIORS = {"vc": 8.0, "c": 4.0, "u": 2.0, "r": 1.0}
"""Relative frequency of a disease: very common, common, uncommon, rare."""

_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Finding:
    """Something a patient has or has not: its id, the question that asks for it, how often anyone has it."""

    id: str
    question: str
    leak: float
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Disease:
    """A diagnosis: its id, name, relative frequency, and the chance of each finding it causes by itself."""

    id: str
    name: str
    frequency: float
    causes: Mapping[str, float]


@dataclass(frozen=True)
class KnowledgeBase:
    """D diseases and F findings as arrays; research software, not medical advice.

    Example: with leak 0.02 and class A, P(fever | flu) = 1 - 0.08 * 0.98 = 0.9216.
    """

    diseases: tuple[Disease, ...]
    findings: tuple[Finding, ...]
    red_flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> KnowledgeBase:
        """Read a table; a line that cannot be read raises `UserError` with file and line."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read as a knowledge base: {error}") from error
        return parse_kb(text, str(path))

    @cached_property
    def prior(self) -> FloatArray:
        """P(disease) [D]."""
        frequency = np.array([disease.frequency for disease in self.diseases])
        return frequency / frequency.sum()

    @cached_property
    def p(self) -> FloatArray:
        """P(finding present | disease) [D, F]."""
        own = np.array(
            [[disease.causes.get(finding.id, 0.0) for finding in self.findings] for disease in self.diseases]
        )
        return 1 - (1 - own) * (1 - self.leak)

    @cached_property
    def facts(self) -> tuple[tuple[Fact, Fact], ...]:
        """Each finding as the fact that it is absent and the fact that it is present [F]."""
        return tuple(
            (
                Fact(finding.id, f"{finding.question} No.", finding.id, False),
                Fact(finding.id, f"{finding.question} Yes.", finding.id, True),
            )
            for finding in self.findings
        )

    @cached_property
    def leak(self) -> FloatArray:
        """P(finding present) without any cause [F]."""
        return np.array([finding.leak for finding in self.findings])

    @cached_property
    def finding_index(self) -> Mapping[str, int]:
        """Column of every finding by its id."""
        return {finding.id: column for column, finding in enumerate(self.findings)}

    @cached_property
    def disease_index(self) -> Mapping[str, int]:
        """Row of every disease by its name."""
        return {disease.name: row for row, disease in enumerate(self.diseases)}

    def indistinct_pairs(self, findings: int = 2, gap: float = 0.3) -> list[tuple[str, str]]:
        """Return the pairs of diseases that differ by `gap` in fewer than `findings` findings."""
        return [
            (first.id, second.id)
            for (row, first), (other, second) in combinations(enumerate(self.diseases), 2)
            if int((np.abs(self.p[row] - self.p[other]) >= gap).sum()) < findings
        ]


@lru_cache(maxsize=1)
def embedded_kb() -> KnowledgeBase:
    """Return the knowledge base that ships: research software, not medical advice, not reviewed by clinicians."""
    return KnowledgeBase.load(EMBEDDED)


def first_diseases(text: str, count: int) -> str:
    """Return a table cut to its first `count` diseases, with the findings and red flags that they show."""
    kept: list[str] = []
    shown: set[str] = set()
    diseases = [line for line in text.splitlines() if line.startswith("D ")][:count]
    for line in diseases:
        shown |= {name for group in line.split("|")[3].split(";") for name in group.partition(":")[2].split()}
    for line in text.splitlines():
        findings = {"F": line[2:].split("|")[:1], "R": line.partition("|")[2].split()}.get(line[:1], [])
        concerned = line in diseases if line.startswith("D ") else {name.strip() for name in findings} <= shown
        if concerned:
            kept.append(line)
    return "\n".join(kept) + "\n"


def parse_kb(text: str, where: str) -> KnowledgeBase:
    """Read a table of findings, diseases and red flags.

    Args:
        text: the table (see the head of this module).
        where: what to call it in messages.

    Raises:
        UserError: a line that cannot be read (it is named), or a table without two diseases and one finding.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    by_letter: dict[str, list[tuple[str, list[str]]]] = {"F": [], "D": [], "R": []}
    for number, line in lines:
        if not line or line.startswith("#"):
            continue
        letter, _, rest = line.partition(" ")
        if letter not in by_letter:
            raise UserError(f"{where}: line {number}: begins with {letter!r}; allowed are F, D, R and #")
        by_letter[letter].append((f"{where}: line {number}", [part.strip() for part in rest.split("|")]))
    findings = [_finding(line, parts) for line, parts in by_letter["F"]]
    _distinct(by_letter["F"], "finding", [finding.id for finding in findings])
    _distinct_wordings(by_letter["F"], findings)
    known = {finding.id for finding in findings}
    diseases = [_disease(line, parts, known) for line, parts in by_letter["D"]]
    _distinct(by_letter["D"], "disease", [disease.id for disease in diseases])
    _distinct(by_letter["D"], "disease name", [disease.name for disease in diseases])
    flags = [_red_flag(line, parts, known) for line, parts in by_letter["R"]]
    _distinct(by_letter["R"], "red flag", [name for name, _ in flags])
    if len(diseases) < 2 or not findings:
        raise UserError(f"{where}: {len(diseases)} diseases and {len(findings)} findings; two and one are needed")
    return KnowledgeBase(tuple(diseases), tuple(findings), dict(flags))


def _finding(line: str, parts: Sequence[str]) -> Finding:
    if len(parts) not in (3, 4):
        raise UserError(f"{line}: a finding is 'F id | question | leak', with '| alias; alias' if wanted")
    try:
        leak = float(parts[2])
    except ValueError:
        leak = -1.0
    if not 0 < leak < 1:
        raise UserError(f"{line}: the leak of {parts[0]!r} is {parts[2]!r}; allowed is a number between 0 and 1")
    if not parts[1].endswith("?"):
        raise UserError(f"{line}: the question of {parts[0]!r} is {parts[1]!r}; it must end with '?'")
    aliases = tuple(alias.strip() for alias in parts[3].split(";")) if len(parts) == 4 else ()
    if "" in aliases:
        raise UserError(f"{line}: {parts[0]!r} has an empty alias; aliases are separated by ';'")
    return Finding(_identifier(line, parts[0]), parts[1], leak, aliases)


def _disease(line: str, parts: Sequence[str], known: set[str]) -> Disease:
    if len(parts) != 4 or not parts[1]:
        raise UserError(f"{line}: a disease is 'D id | name | prior class | class: findings ; class: findings'")
    if parts[2] not in PRIORS:
        raise UserError(f"{line}: the prior class of {parts[0]!r} is {parts[2]!r}; allowed are {', '.join(PRIORS)}")
    causes: dict[str, float] = {}
    for group in parts[3].split(";"):
        letter, colon, names = (part.strip() for part in group.partition(":"))
        if letter not in CLASSES or not colon or not names:
            raise UserError(
                f"{line}: {group.strip()!r} is no class with findings; the classes are {', '.join(CLASSES)}, "
                "for example 'C: fever cough'"
            )
        for name in names.split():
            if name not in known:
                raise UserError(f"{line}: {parts[0]!r} shows the unknown finding {name!r}; add a line 'F {name} | ...'")
            if name in causes:
                raise UserError(f"{line}: {parts[0]!r} lists the finding {name!r} twice")
            causes[name] = CLASSES[letter]
    return Disease(_identifier(line, parts[0]), parts[1], PRIORS[parts[2]], causes)


def _red_flag(line: str, parts: Sequence[str], known: set[str]) -> tuple[str, tuple[str, ...]]:
    names = tuple(parts[1].split()) if len(parts) == 2 else ()
    if len(set(names)) < 2:
        raise UserError(f"{line}: a red flag is 'R name | finding finding ...' with two or more findings")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"{line}: the red flag {parts[0]!r} has the unknown finding {unknown[0]!r}")
    return parts[0], names


def _identifier(line: str, text: str) -> str:
    if not _ID.fullmatch(text):
        raise UserError(f"{line}: {text!r} is no id; allowed are letters, digits and _, with a letter first")
    return text


def _distinct_wordings(lines: Sequence[tuple[str, list[str]]], findings: Sequence[Finding]) -> None:
    """Raise `UserError` for words that ask for two findings: the second could never be asked for by them."""
    owners: dict[str, str] = {}
    for (line, _), finding in zip(lines, findings, strict=True):
        for wording in (finding.id, finding.question, *finding.aliases):
            owner = owners.setdefault(normalised(wording), finding.id)
            if owner != finding.id:
                raise UserError(f"{line}: {wording!r} asks for the finding {owner!r} already")


def _distinct(lines: Sequence[tuple[str, list[str]]], what: str, names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for (line, _), name in zip(lines, names, strict=True):
        if name.casefold() in seen:
            raise UserError(
                f"{line}: the {what} {name!r} stands on {seen[name.casefold()].rpartition(': ')[2]} already"
            )
        seen[name.casefold()] = line
