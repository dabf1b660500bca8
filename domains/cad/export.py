"""Samples as files of the field: one CadQuery script each, and a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from domains.cad.reading import read_code
from sciRL.domain import Record

COLUMNS = ("file", "task", "family", "value", "status", "code", "iou", "volume", "reason")


def write_samples(records: Sequence[Record], folder: Path) -> list[Path]:
    """Write `sample-NNNN.py` for each answer that holds a program, and `samples.csv`; return the paths.

    A script starts with comments that say what it was asked and how it was judged. It is a model's text: run it only
    where a stranger's program may run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    rows = []
    for index, record in enumerate(records):
        code = read_code(record.answer, bare=True).code
        measured = record.score.measurements
        name = f"sample-{index:04d}.py" if code is not None else ""
        rows.append(
            (
                name,
                record.task.id,
                record.task.metadata.get("family", ""),
                record.score.value,
                record.score.status.value,
                measured.get("code", ""),
                measured.get("iou", ""),
                measured.get("volume", ""),
                record.score.reason,
            )
        )
        if code is not None:
            path = folder / name
            path.write_text(_header(record) + code, encoding="utf-8", errors="replace")
            written.append(path)
    table = folder / "samples.csv"
    with table.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return [*written, table]


def _header(record: Record) -> str:
    asked = "".join(f"# {line}\n" for line in record.task.text.splitlines())
    value = "none" if record.score.value is None else f"{record.score.value:.3f}"
    score = f"# score {value}: {record.score.status.value}\n"
    return f"# Written by a model; not checked beyond the score below.\n{asked}{score}"
