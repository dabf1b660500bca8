"""Dataset builder: structure files to a folder of WyText rows, split by reduced formula, with a manifest."""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from domains.crystal.conversion import Rejected, convert_chunk
from domains.crystal.rows import CrystalRow
from domains.crystal.sources import Source, SourceRow, open_source
from sciRL.dataset_folder import (
    SPLITS,
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
LISTED = 20
"""How many ids the manifest lists for each reason of a drop."""

CHUNK = 32
PARALLEL_FROM = 400
"""Fewer rows than this are converted in the calling process: starting workers would cost more."""

LICENCES = {
    "prototypes": "Textbook structures written for this project; Apache-2.0 as the code.",
    "default": "The licence of the source applies (Materials Project data: CC BY 4.0, cite it).",
}


class BuildSettings(BaseModel):
    """Options of `scirl data build crystal`, given as key=value."""

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    """Seed of the split, the row order and the substitution."""

    workers: int = Field(default=2, ge=1, le=64)
    """Processes that convert structures."""

    symprec: float = Field(default=0.1, gt=0, le=1)
    """Symmetry tolerance in Angstrom for finding the space group."""

    max_atoms: int = Field(default=200, ge=1, le=400)
    """Largest conventional cell, in atoms; larger ones are dropped and counted."""

    substitute: int = Field(default=0, ge=0, le=1_000_000)
    """Rows to add by element substitution into the rows of the source."""

    split: Literal["formula", "source"] = "formula"
    """formula: 80/10/10 by reduced formula; source: as the files are called (train/val/test)."""

    limit: int = Field(default=0, ge=0)
    """Read only the first rows of the source; 0 reads all."""

    overwrite: bool = False
    """Whether an existing dataset folder may be replaced."""


@dataclass
class Drops:
    """Rows left out, by reason."""

    counts: Counter[str] = field(default_factory=Counter)
    ids: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, reason: str, identity: str, detail: str = "") -> None:
        """Count one dropped row and keep its id while there is room."""
        self.counts[reason] += 1
        if len(self.ids[reason]) < LISTED:
            self.ids[reason].append(f"{identity}: {detail}" if detail else identity)


def build(source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
    """Turn a source into a dataset folder, written aside and renamed when complete.

    Args:
        source: path of the source, or `prototypes` (see `sources.open_source`).
        out: the dataset folder to make.
        options: fields of `BuildSettings` as text.

    Raises:
        UserError: unreadable source, bad option, no usable row, or `out` exists already.
    """
    settings = parse_build_settings(BuildSettings, options)
    opened = open_source(source)
    out = Path(out)
    refuse_existing(out, settings.overwrite)
    drops = Drops()
    rows, own_splits, read = _collect(opened, settings, drops)
    if settings.substitute:
        rows += _substituted(rows, settings)
    if not rows:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in drops.counts.most_common())
        raise UserError(f"{source}: none of the {read} rows can be used: {reasons}")
    parts = _split(rows, own_splits, settings)
    manifest = _manifest(opened, settings, parts, drops, read)
    write_folder(out, {f"{split}.jsonl": as_lines(rows) for split, rows in parts.items()}, manifest)
    examples = [rows[0].text for rows in parts.values() if rows]
    sizes = {split: len(part) for split, part in parts.items()}
    return BuildReport(out, read, sum(sizes.values()), dict(drops.counts), sizes, examples)


def _collect(opened: Source, settings: BuildSettings, drops: Drops) -> tuple[list[CrystalRow], dict[str, str], int]:
    """Convert every source row; return the rows, the source's own split by row id, and the number read."""
    source_rows = _limited(opened.rows(), settings.limit)
    rows: list[CrystalRow] = []
    own_splits: dict[str, str] = {}
    used_ids: Counter[str] = Counter()
    texts: dict[str, str] = {}
    for original, result in zip(source_rows, _convert(source_rows, settings), strict=True):
        if isinstance(result, Rejected):
            drops.add(result.reason, original.id, result.detail)
            continue
        if result.text in texts:
            drops.add("same text as another row", original.id, texts[result.text])
            continue
        texts[result.text] = original.id
        used_ids[original.id] += 1
        if used_ids[original.id] > 1:
            result = replace(result, id=f"{original.id}#{used_ids[original.id]}")
        if original.split:
            own_splits[result.id] = original.split
        rows.append(result)
    return rows, own_splits, len(source_rows)


def _limited(rows: Iterable[SourceRow], limit: int) -> list[SourceRow]:
    collected: list[SourceRow] = []
    for row in rows:
        if limit and len(collected) == limit:
            break
        collected.append(row)
    return collected


def _convert(rows: Sequence[SourceRow], settings: BuildSettings) -> Iterator[CrystalRow | Rejected]:
    """Yield one result per row, in order, from worker processes when there are enough rows."""
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    arguments = [(chunk, settings.symprec, settings.max_atoms) for chunk in chunks]
    if settings.workers == 1 or len(rows) < PARALLEL_FROM:
        results: Iterable[list[CrystalRow | Rejected]] = (convert_chunk(argument) for argument in arguments)
        yield from _with_progress(results, len(rows))
        return
    import multiprocessing

    # "spawn" starts clean processes: forking one that holds torch threads can deadlock.
    pool = multiprocessing.get_context("spawn").Pool(settings.workers, _start_worker)
    try:
        yield from _with_progress(pool.imap(convert_chunk, arguments), len(rows))
        pool.close()
    finally:
        # Also reached by Ctrl-C: the workers ignore the signal and are ended here.
        pool.terminate()
        pool.join()


def _start_worker() -> None:
    """Leave Ctrl-C to the calling process, and keep spglib's notes on hard cells out of the progress display."""
    import signal

    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _with_progress(results: Iterable[list[Any]], total: int) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("structures", total=total)
        for chunk in results:
            yield from chunk
            progress.advance(bar, len(chunk))


def _substituted(rows: Sequence[CrystalRow], settings: BuildSettings) -> list[CrystalRow]:
    from domains.crystal.substitution import Substitution

    maker = Substitution(rows)
    # A second KBr in rock salt would differ only by the scaling of its cell: one per formula and template.
    known = {(row.formula, row.template) for row in rows}
    made: list[CrystalRow] = []
    # Repeats grow as the combinations run out; the bound ends the search when few are left.
    for index in range(20 * settings.substitute):
        if len(made) == settings.substitute:
            break
        row = maker.make(index, settings.seed)
        if row is not None and (row.formula, row.template) not in known:
            known.add((row.formula, row.template))
            made.append(row)
    return made


def _split(
    rows: Sequence[CrystalRow], own_splits: Mapping[str, str], settings: BuildSettings
) -> dict[str, list[CrystalRow]]:
    """Deal the rows to the splits; the order inside a split is a seeded shuffle."""
    if settings.split == "source":
        missing = [row.id for row in rows if row.id not in own_splits]
        if missing:
            raise UserError(f"split=source needs files called train, val and test; row {missing[0]!r} has no split")
        where = {row.id: own_splits[row.id] for row in rows}
    else:
        formulas = sorted({row.formula for row in rows}, key=lambda formula: seeded_order(settings.seed, formula))
        held_out = max(1, round(len(formulas) / 10)) if len(formulas) >= 3 else 0
        ranks = {formula: rank for rank, formula in enumerate(formulas)}
        where = {
            row.id: SPLITS[2] if ranks[row.formula] < held_out
            else SPLITS[1] if ranks[row.formula] < 2 * held_out else SPLITS[0]
            for row in rows
        }  # fmt: skip
    parts: dict[str, list[CrystalRow]] = {split: [] for split in SPLITS}
    for row in sorted(rows, key=lambda row: seeded_order(settings.seed, row.id)):
        parts[where[row.id]].append(row)
    return parts


def _manifest(
    opened: Source, settings: BuildSettings, parts: Mapping[str, Sequence[CrystalRow]], drops: Drops, read: int
) -> dict[str, Any]:
    rule = {
        "formula": f"80/10/10 by reduced formula: sha256 of (seed {settings.seed}, formula), ranked",
        "source": "as the source files are called",
    }
    shared = across_splits(parts, lambda row: row.formula)
    return {
        "domain": "crystal",
        "builder_version": BUILDER_VERSION,
        "source": {"name": opened.name, "kind": opened.kind, "sha256": opened.hashes()},
        "settings": settings.model_dump(exclude={"workers", "overwrite"}),
        "rows_read": read,
        "rows": {split: len(rows) for split, rows in parts.items()},
        "substituted": sum(row.id.startswith("sub-") for rows in parts.values() for row in rows),
        "dropped": {reason: {"count": drops.counts[reason], "ids": drops.ids[reason]} for reason in drops.counts},
        "split_by": settings.split,
        "split_rule": rule[settings.split],
        "formulas_across_splits": {"count": len(shared), "first": shared[:LISTED]},
        "licence": LICENCES.get(opened.kind, LICENCES["default"]),
    }
