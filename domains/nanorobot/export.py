"""Evaluated searches as CSV: one file of all positions, one with a line per search."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from domains.nanorobot.metrics import read_search
from sciRL.domain import Record

POINTS = ("search", "task", "t_s", "x_um", "y_um", "z_um")
SUMMARY = (
    "search", "task", "start_x_um", "start_y_um", "start_z_um", "found", "hit_time_s", "duration_s", "path_length_um",
    "tumbles", "valid", "score", "status", "reason",
)  # fmt: skip


def export_samples(records: Sequence[Record], folder: Path) -> list[Path]:
    """Write `trajectories.csv` (a line a recorded position) and `searches.csv` (a line a search); return their paths.

    Answers that are no episode record have a line in `searches.csv` alone. `search` counts the records from 0.
    """
    folder.mkdir(parents=True, exist_ok=True)
    points: list[tuple[object, ...]] = []
    lines: list[tuple[object, ...]] = []
    for index, record in enumerate(records):
        search, score = read_search(record), record.score
        told: tuple[object, ...] = ("",) * 9
        if search is not None:
            points += [(index, record.task.id, *point) for point in search.path]
            arrival = search.seconds if search.found else ""
            told = (*search.path[0][1:], search.found, arrival, search.seconds, search.path_length, search.tumbles)
            told = (*told, search.valid)
        verdict = ("" if score.value is None else score.value, score.status.value, score.reason)
        lines.append((index, record.task.id, *told, *verdict))
    return [
        _write(folder / "trajectories.csv", POINTS, points),
        _write(folder / "searches.csv", SUMMARY, lines),
    ]


def _write(path: Path, columns: Sequence[str], lines: Iterable[Sequence[object]]) -> Path:
    aside = path.with_name(f".{path.name}.part")
    with aside.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        writer.writerows(lines)
    os.replace(aside, path)
    return path
