"""Samples as files of the field: one CIF per readable answer, and a table of all answers."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from domains.crystal.answers import read_any
from sciRL.domain import Record

COLUMNS = (
    "index", "file", "formula", "space_group", "n_atoms", "score", "passed", "status", "reason", "e_form", "e_hull",
    "task",
)  # fmt: skip


def write_samples(records: Sequence[Record], folder: Path) -> list[Path]:
    """Write `NNNN_<formula>.cif` for every readable answer and `samples.csv` with one line for every answer.

    The CIF lists all atoms of the conventional cell in P1; the space group is in its comment line and in the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    lines: list[dict[str, object]] = []
    for index, record in enumerate(records):
        crystal = read_any(record.answer)
        measured = record.score.measurements
        line: dict[str, object] = {
            "index": index,
            "score": record.score.value,
            "passed": measured.get("passed", ""),
            "status": record.score.status.value,
            "reason": record.score.reason,
            "e_form": measured.get("e_form", ""),
            "e_hull": measured.get("e_hull", ""),
            "task": record.task.id,
        }
        if crystal is not None:
            path = folder / f"{index:04d}_{crystal.reduced_formula}.cif"
            _write(path, crystal.to_cif())
            paths.append(path)
            line |= {"file": path.name, "formula": crystal.reduced_formula, "space_group": crystal.sg}
            line["n_atoms"] = crystal.n_atoms
        lines.append(line)
    table = folder / "samples.csv"
    aside = folder / ".samples.csv.part"
    with aside.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(lines)
    os.replace(aside, table)
    return [*paths, table]


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
