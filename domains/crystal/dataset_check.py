"""Checks of a dataset folder: file hashes, every row read back, counts, and formulas shared between splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from domains.crystal.codec import CodecError, WyText
from domains.crystal.datasets import formulas_across_splits
from domains.crystal.rows import MANIFEST, SPLITS, CrystalRow, load_rows
from domains.crystal.sources import sha256
from sciRL.errors import UserError

MAX_PROBLEMS = 50


def check(folder: Path) -> list[str]:
    """Return the problems of a dataset folder, one line each, at most 50 and a count of the rest.

    Raises:
        UserError: the folder or its manifest cannot be read at all.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    problems: list[str] = []
    parts: dict[str, tuple[CrystalRow, ...]] = {}
    for split in SPLITS:
        try:
            parts[split] = load_rows(folder, split)
        except UserError as error:
            problems.append(str(error))
            continue
        name = f"{split}.jsonl"
        expected = manifest.get("files", {}).get(name)
        found = sha256(folder / name)
        if found != expected:
            problems.append(f"{name}: sha256 {found} is not the manifest's {expected}")
        count = manifest.get("rows", {}).get(split)
        if len(parts[split]) != count:
            problems.append(f"{name}: {len(parts[split])} rows, the manifest says {count}")
        for row in parts[split]:
            problems += [f"{name}: row {row.id}: {problem}" for problem in row_problems(row)]
    ids = [row.id for rows in parts.values() for row in rows]
    if len(set(ids)) != len(ids):
        problems.append(f"{len(ids) - len(set(ids))} row ids are used more than once")
    shared = formulas_across_splits(parts)
    if shared and manifest.get("split_by") != "source":
        problems.append(f"{len(shared)} reduced formulas are in more than one split, for example {shared[0]}")
    if len(problems) > MAX_PROBLEMS:
        return [*problems[:MAX_PROBLEMS], f"... and {len(problems) - MAX_PROBLEMS} more problems"]
    return problems


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


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder}: not a crystal dataset folder ({MANIFEST} is missing)")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: a JSON object is needed; found {type(manifest).__name__}")
    return manifest
