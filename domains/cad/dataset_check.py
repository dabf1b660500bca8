"""Checks of a dataset folder: file hashes, every row read back, programs screened, and shapes shared between splits."""

from __future__ import annotations

from pathlib import Path

from domains.cad.rows import CadRow, load_rows
from domains.cad.screen import Refusal, screen
from sciRL.dataset_folder import SPLITS, across_splits, at_most, count_problems, file_problems, read_manifest
from sciRL.errors import UserError


def check(folder: Path) -> list[str]:
    """Return the problems of a dataset folder, one line each, at most 50 and a count of the rest.

    Raises:
        UserError: the folder or its manifest cannot be read at all.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, "cad")
    problems = file_problems(folder, manifest)
    parts: dict[str, tuple[CadRow, ...]] = {}
    for split in SPLITS:
        try:
            parts[split] = load_rows(folder, split)
        except UserError as error:
            problems.append(str(error))
            continue
        problems += [f"{split}.jsonl: row {row.id}: {p}" for row in parts[split] for p in row_problems(row, folder)]
    problems += count_problems(parts, manifest)
    ids = [row.id for rows in parts.values() for row in rows]
    if len(set(ids)) != len(ids):
        problems.append(f"{len(ids) - len(set(ids))} row ids are used more than once")
    shared = across_splits(parts, lambda row: row.group)
    if shared:
        problems.append(f"{len(shared)} shapes are in more than one split, for example {shared[0]}")
    return at_most(problems)


def row_problems(row: CadRow, folder: Path) -> list[str]:
    """Return what is wrong with one row: a program that would not be run, a reference file that is not there."""
    problems = []
    for name, code in (("code", row.code), ("reference", row.shape.get("text", ""))):
        judged = screen(code) if code else None
        if isinstance(judged, Refusal):
            problems.append(f"{name}: {judged.code}: {judged.message}")
    if "path" in row.shape and not (folder / row.shape["path"]).is_file():
        problems.append(f"{row.shape['path']}: is missing")
    return problems
