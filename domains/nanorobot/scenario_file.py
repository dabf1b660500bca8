"""Scenario files: where tumours and obstacles stand, each remembering where in its source it was written.

    {"box": null, "tumours": [{"where": "line 2", "values": [0.0, 0.0, 0.0]}],
     "obstacles": [{"where": "line 3", "values": [60.0, 0.0, 0.0, 20.0]}]}

A CSV source has a header with the columns kind (tumour or obstacle), x, y, z and, for obstacles, radius; a JSON source
is {"tumours": [[x, y, z], ...], "obstacles": [[x, y, z, radius], ...], "box": edge}. All lengths are in um.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sciRL.errors import UserError

COLUMNS = ("kind", "x", "y", "z")
LENGTHS = {"tumours": 3, "obstacles": 4}
"""Numbers of one entry: a centre, and the radius of an obstacle."""
LARGEST = 1e6
"""Lengths in um beyond this are mistakes."""
KINDS = {"tumour": "tumours", "tumor": "tumours", "obstacle": "obstacles"}


@dataclass(frozen=True)
class Placed:
    """A tumour (x, y, z) or an obstacle (x, y, z, radius), and where in the source file it stands."""

    where: str
    values: tuple[float, ...]


@dataclass
class Scenario:
    """Tumours, obstacles and the edge of the box in um (None: the recipe's)."""

    tumours: list[Placed] = field(default_factory=list)
    obstacles: list[Placed] = field(default_factory=list)
    box: float | None = None

    def parts(self) -> dict[str, list[Placed]]:
        """Return the lists by name."""
        return {"tumours": self.tumours, "obstacles": self.obstacles}

    def to_json(self) -> str:
        """Return the text of `scenario.json`."""
        parts: dict[str, Any] = {
            name: [{"where": entry.where, "values": list(entry.values)} for entry in entries]
            for name, entries in self.parts().items()
        }
        return json.dumps({"box": self.box, **parts}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Scenario:
        """Return the scenario of `to_json`.

        Raises:
            ValueError: any other text.
        """
        try:
            data = json.loads(text)
            parts = {
                name: [Placed(str(entry["where"]), tuple(map(float, entry["values"]))) for entry in data[name]]
                for name in LENGTHS
            }
            box = None if data["box"] is None else float(data["box"])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"not a scenario ({type(error).__name__}: {error})") from None
        for name, entries in parts.items():
            for entry in entries:
                if len(entry.values) != LENGTHS[name] or not all(map(math.isfinite, entry.values)):
                    raise ValueError(f"{name}: {entry.where}: {LENGTHS[name]} finite numbers are needed")
        return cls(parts["tumours"], parts["obstacles"], box)


@dataclass
class Reading:
    """What a source file held.

    Attributes:
        scenario: the entries that could be read.
        dropped: (where, reason) of the others.
    """

    scenario: Scenario = field(default_factory=Scenario)
    dropped: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, where: str, values: object) -> None:
        """Keep an entry or note why not: no numbers, not finite, no positive radius, or written twice."""
        entries = self.scenario.parts()[name]
        problem = _problem(values, LENGTHS[name])
        if problem:
            self.dropped.append((where, problem))
            return
        assert isinstance(values, list)
        entry = Placed(where, tuple(float(value) for value in values))
        if any(known.values == entry.values for known in entries):
            self.dropped.append((where, f"the same {name[:-1]} again"))
        else:
            entries.append(entry)


def _problem(values: object, length: int) -> str:
    if not isinstance(values, list) or len(values) != length:
        return f"not {length} numbers"
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return f"not {length} numbers"
    # An integer of JSON can be larger than any float.
    if not all(abs(value) <= LARGEST for value in values):
        return f"not finite, or beyond {LARGEST:g} um"
    return "no radius above 0" if length == 4 and values[3] <= 0 else ""


def read_source(path: Path) -> Reading:
    """Read a CSV or JSON source.

    Raises:
        UserError: no such file, no text, another ending, missing columns, or another JSON form.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    if path.suffix.lower() == ".csv":
        return _read_csv(path, text)
    if path.suffix.lower() == ".json":
        return _read_json(path, text)
    raise UserError(f"{path}: a scenario is a .csv or a .json file; found {path.suffix or 'no ending'!r}")


def _read_csv(path: Path, text: str) -> Reading:
    rows = csv.reader(io.StringIO(text))
    reading = Reading()
    try:
        head = [name.strip().lower() for name in next(rows, [])]
        missing = [name for name in COLUMNS if name not in head]
        if missing:
            raise UserError(
                f"{path}: line 1: no column {missing[0]!r}; needed are {', '.join(COLUMNS)}, and radius for obstacles; "
                f"found {', '.join(head)[:120] or 'nothing'}"
            )
        for cells in rows:
            if any(cell.strip() for cell in cells):
                _add_row(reading, f"line {rows.line_num}", dict(zip(head, cells, strict=False)))
    except csv.Error as error:
        raise UserError(f"{path}: line {rows.line_num}: {error}") from None
    return reading


def _add_row(reading: Reading, where: str, row: Mapping[str, str]) -> None:
    name = KINDS.get(row.get("kind", "").strip().lower())
    if name is None:
        reading.dropped.append((where, "kind is neither tumour nor obstacle"))
        return
    columns = (*COLUMNS[1:], "radius")[: LENGTHS[name]]
    try:
        values: list[float] | None = [float(row[column]) for column in columns]
    except (KeyError, ValueError):
        values = None
    reading.add(name, where, values)


def _read_json(path: Path, text: str) -> Reading:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(data, dict) or not all(isinstance(data.get(name, []), list) for name in LENGTHS):
        raise UserError(f"{path}: an object with the lists tumours and obstacles is needed")
    unknown = sorted(set(data) - {*LENGTHS, "box"})
    if unknown:
        raise UserError(f"{path}: unknown key {unknown[0]!r}; allowed are tumours, obstacles and box")
    reading = Reading()
    for name in LENGTHS:
        for index, values in enumerate(data.get(name, [])):
            reading.add(name, f"{name}[{index}]", values)
    box = data.get("box")
    if box is not None and (isinstance(box, bool) or not isinstance(box, int | float) or not 0 < box <= LARGEST):
        raise UserError(f"{path}: box: a length in um above 0 is needed; found {str(box)[:40]}")
    reading.scenario.box = None if box is None else float(box)
    return reading
