"""Dataset builder: files of SMILES to canonical, annotated rows split by scaffold, with a manifest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from domains.gflownet.reading import Problem, canonical_smiles
from domains.gflownet.sources import COMMON, COMMON_FILE, SourceRow, open_source, read_rows
from sciRL.dataset_folder import (
    SPLITS,
    across_splits,
    as_lines,
    at_most,
    count_problems,
    file_problems,
    parse_build_settings,
    read_jsonl,
    read_manifest,
    refuse_existing,
    seeded_order,
    sha256,
    split_file,
    write_folder,
)
from sciRL.domain import BuildReport
from sciRL.errors import UserError

BUILDER_VERSION = 1
LISTED = 50
"""How many dropped lines the manifest lists for each reason."""
LICENCES = {
    COMMON: "Names and SMILES written for this project from general knowledge; Apache-2.0 as the code.",
    "file": "The licence of the source file applies.",
}


class BuildSettings(BaseModel):
    """Options of a build, given as key=value."""

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    """Seed of the split and of the row order."""

    column: str = ""
    """Column of SMILES in a CSV or JSONL file; by default `smiles`, in any case."""

    max_atoms: int = Field(default=100, ge=1, le=100)
    """Most heavy atoms; larger molecules are dropped and counted."""

    limit: int = Field(default=0, ge=0)
    """Read only the first rows of the source; 0 reads all."""

    overwrite: bool = False
    """Whether an existing dataset folder may be replaced."""


@dataclass(frozen=True)
class MoleculeRow:
    """One molecule: canonical SMILES, Murcko scaffold (empty for molecules without rings), and its properties."""

    id: str
    name: str
    smiles: str
    scaffold: str
    qed: float
    logp: float
    sa: float
    atoms: int

    def to_json(self) -> str:
        """Return one line of JSON without a newline."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MoleculeRow:
        """Build a row from parsed JSON; missing or unknown keys raise `ValueError`."""
        known = {field.name for field in fields(cls)}
        if set(data) != known:
            raise ValueError(f"missing {sorted(known - set(data))}, unknown {sorted(set(data) - known)}")
        return cls(**data)


@dataclass
class Drops:
    """Rows left out, by reason, with the first lines of each."""

    counts: Counter[str] = field(default_factory=Counter)
    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, reason: str, row: SourceRow, detail: str) -> None:
        """Count one dropped row and list its line while there is room."""
        self.counts[reason] += 1
        if len(self.lines[reason]) < LISTED:
            self.lines[reason].append(f"line {row.line}: {row.smiles[:80]}: {detail}")


def build(source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
    """Turn a file of SMILES into a dataset folder, written aside and renamed when complete.

    Args:
        source: a .smi, .txt, .csv or .jsonl file (also .gz), or `common` for the embedded list.
        out: the dataset folder to make.
        options: fields of `BuildSettings` as text.

    Raises:
        UserError: unreadable source, bad option, no usable row, or `out` exists already.
    """
    settings = parse_build_settings(BuildSettings, options)
    path = open_source(source)
    out = Path(out)
    refuse_existing(out, settings.overwrite)
    drops = Drops()
    rows, read = _collect(path, settings, drops)
    if not rows:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in drops.counts.most_common())
        raise UserError(f"{source}: none of the {read} rows can be used: {reasons or 'there are none'}")
    parts = split_by_scaffold(rows, settings.seed)
    files = {f"{split}.jsonl": as_lines(part) for split, part in parts.items()}
    write_folder(out, files, _manifest(path, settings, parts, drops, read))
    sizes = {split: len(part) for split, part in parts.items()}
    return BuildReport(out, read, len(rows), dict(drops.counts), sizes, [row.smiles for row in rows[:3]])


def _collect(path: Path, settings: BuildSettings, drops: Drops) -> tuple[list[MoleculeRow], int]:
    """Canonicalise and measure every row; return the rows kept and the number read."""
    from domains.gflownet.properties import properties, scaffold

    rows: list[MoleculeRow] = []
    first_line: dict[str, int] = {}
    read = 0
    for row in read_rows(path, settings.column):
        if settings.limit and read == settings.limit:
            break
        read += 1
        smiles = canonical_smiles(row.smiles)
        found = smiles if isinstance(smiles, Problem) else properties(smiles)
        if isinstance(found, Problem):
            drops.add(found.code, row, found.partition(": ")[2])
        elif found.atoms > settings.max_atoms:
            drops.add("E_SIZE", row, f"{found.atoms} heavy atoms; at most {settings.max_atoms}")
        elif smiles in first_line:
            drops.add("duplicate", row, f"the molecule of line {first_line[smiles]}")
        else:
            first_line[smiles] = row.line
            identity = hashlib.sha256(smiles.encode()).hexdigest()[:16]
            measured = (round(found.qed, 4), round(found.logp, 4), round(found.sa, 4), found.atoms)
            rows.append(MoleculeRow(identity, row.name, str(smiles), scaffold(smiles), *measured))
    return rows, read


def split_by_scaffold(rows: Sequence[MoleculeRow], seed: int) -> dict[str, list[MoleculeRow]]:
    """Deal whole scaffolds to the splits: test, then validation, up to a tenth of the rows each; the rest trains.

    Scaffolds come in a seeded order; one that would overfill a split is passed on. Molecules without rings share the
    empty scaffold and stay together. With fewer than three scaffolds everything trains.
    """
    groups: dict[str, list[MoleculeRow]] = defaultdict(list)
    for row in rows:
        groups[row.scaffold].append(row)
    parts: dict[str, list[MoleculeRow]] = {split: [] for split in SPLITS}
    room = {"test": max(1, round(len(rows) / 10)), "validation": max(1, round(len(rows) / 10)), "train": len(rows)}
    if len(groups) < 3:
        room["test"] = room["validation"] = 0
    for scaffold in sorted(groups, key=lambda scaffold: seeded_order(seed, scaffold)):
        group = groups[scaffold]
        split = next(name for name in ("test", "validation", "train") if len(parts[name]) + len(group) <= room[name])
        parts[split] += group
    return {split: sorted(part, key=lambda row: seeded_order(seed, row.id)) for split, part in parts.items()}


def _manifest(
    path: Path, settings: BuildSettings, parts: Mapping[str, Sequence[MoleculeRow]], drops: Drops, read: int
) -> dict[str, Any]:
    import rdkit

    kind = COMMON if path == COMMON_FILE else "file"
    shared = across_splits(parts, lambda row: row.scaffold)
    return {
        "domain": "gflownet",
        "builder_version": BUILDER_VERSION,
        "rdkit": rdkit.__version__,
        "source": {"name": path.name, "kind": kind, "sha256": {path.name: sha256(path)}},
        "settings": settings.model_dump(exclude={"overwrite"}),
        "rows_read": read,
        "rows": {split: len(rows) for split, rows in parts.items()},
        "dropped": {reason: {"count": n, "lines": drops.lines[reason]} for reason, n in sorted(drops.counts.items())},
        "split_by": "scaffold",
        "split_rule": f"whole Murcko scaffolds by sha256 of (seed {settings.seed}, scaffold): test and validation take "
        "up to a tenth of the rows each, the rest trains",
        "scaffolds": len({row.scaffold for rows in parts.values() for row in rows}),
        "scaffolds_across_splits": {"count": len(shared), "first": shared[:LISTED]},
        "licence": LICENCES[kind],
    }


def load_rows(data: Path, split: str) -> tuple[MoleculeRow, ...]:
    """Return the rows of a split in file order.

    Raises:
        UserError: an unknown split, a missing folder or file, or a line that is not a row (file and line are named).
    """
    return read_jsonl(split_file(Path(data), split, "gflownet"), MoleculeRow.from_dict, "a molecule row")


def check(folder: Path) -> list[str]:
    """Return the problems of a dataset folder, one line each, at most 50 and a count of the rest.

    Raises:
        UserError: the folder or its manifest cannot be read at all.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, "gflownet")
    problems = file_problems(folder, manifest)
    parts: dict[str, tuple[MoleculeRow, ...]] = {}
    for split in SPLITS:
        name = f"{split}.jsonl"
        try:
            parts[split] = load_rows(folder, split)
        except UserError as error:
            problems.append(str(error))
            continue
        problems += [f"{name}: row {row.id}: {problem}" for row in parts[split] for problem in _row_problems(row)]
    problems += count_problems(parts, manifest)
    texts = [row.smiles for rows in parts.values() for row in rows]
    if len(set(texts)) != len(texts):
        problems.append(f"{len(texts) - len(set(texts))} molecules are there more than once")
    shared = across_splits(parts, lambda row: row.scaffold)
    if shared:
        problems.append(f"{len(shared)} scaffolds are in more than one split, for example {shared[0]!r}")
    return at_most(problems)


def _row_problems(row: MoleculeRow) -> list[str]:
    from domains.gflownet.properties import properties, scaffold

    smiles = canonical_smiles(row.smiles)
    found = smiles if isinstance(smiles, Problem) else properties(smiles)
    if isinstance(found, Problem):
        return [str(found)]
    problems = [] if smiles == row.smiles else [f"SMILES {row.smiles!r} is not canonical: {smiles!r}"]
    actual = {"scaffold": scaffold(smiles), "atoms": found.atoms}
    measured = {"qed": found.qed, "logp": found.logp, "sa": found.sa}
    problems += [f"{k} is {getattr(row, k)!r}, the SMILES has {v!r}" for k, v in actual.items() if getattr(row, k) != v]
    off = {key: value for key, value in measured.items() if abs(getattr(row, key) - value) > 1e-3}
    return problems + [f"{key} is {getattr(row, key)}, the SMILES has {value:.4f}" for key, value in off.items()]
