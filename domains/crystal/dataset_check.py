"""Checks of a dataset folder: file hashes, every row read back, counts, and formulas shared between splits."""

from __future__ import annotations

from pathlib import Path

from domains.crystal.codec import CodecError, WyText
from domains.crystal.rows import CrystalRow, load_rows
from sciRL.dataset_folder import SPLITS, across_splits, at_most, count_problems, file_problems, read_manifest
from sciRL.errors import UserError


def check(folder: Path) -> list[str]:
    """Return the problems of a dataset folder, one line each, at most 50 and a count of the rest.

    Raises:
        UserError: the folder or its manifest cannot be read at all.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, "crystal")
    problems = file_problems(folder, manifest)
    parts: dict[str, tuple[CrystalRow, ...]] = {}
    for split in SPLITS:
        try:
            parts[split] = load_rows(folder, split)
        except UserError as error:
            problems.append(str(error))
            continue
        for row in parts[split]:
            problems += [f"{split}.jsonl: row {row.id}: {problem}" for problem in row_problems(row)]
    problems += count_problems(parts, manifest)
    ids = [row.id for rows in parts.values() for row in rows]
    if len(set(ids)) != len(ids):
        problems.append(f"{len(ids) - len(set(ids))} row ids are used more than once")
    shared = across_splits(parts, lambda row: row.formula)
    if shared and manifest.get("split_by") != "source":
        problems.append(f"{len(shared)} reduced formulas are in more than one split, for example {shared[0]}")
    return at_most(problems)


def row_problems(row: CrystalRow) -> list[str]:
    """Return what is wrong with one row: text that does not parse or is not canonical, fields that differ from it."""
    codec = WyText()
    try:
        crystal = codec.decode(row.text)
    except CodecError as error:
        return [str(error)]
    problems = []
    if codec.canonical(crystal) != row.text:
        problems.append("the text is not in canonical form")
    actual = {
        "formula": crystal.reduced_formula,
        "sg": crystal.sg,
        "template": crystal.template,
        "n_sites": len(crystal.sites),
        "n_elements": len(crystal.elements),
        "n_atoms": crystal.n_atoms,
    }
    for name, value in actual.items():
        if getattr(row, name) != value:
            problems.append(f"{name} is {getattr(row, name)!r}, the text says {value!r}")
    return problems
