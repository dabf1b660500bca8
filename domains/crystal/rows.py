"""CrystalRow: one line of a dataset folder, and how a split is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from sciRL.dataset_folder import read_jsonl, split_file


@dataclass(frozen=True)
class CrystalRow:
    """One crystal of a dataset.

    `text` is canonical WyText with the formula line; `formula` the reduced formula; `e_form` and
    `e_hull` are eV/atom, `band_gap` eV; `n_atoms` counts the conventional cell, `n_sites` the Wyckoff sites.
    """

    id: str
    formula: str
    sg: int
    text: str
    template: str
    n_sites: int
    n_elements: int
    n_atoms: int
    e_form: float | None = None
    e_hull: float | None = None
    band_gap: float | None = None
    source: str = ""

    @property
    def elements(self) -> tuple[str, ...]:
        """The element symbols in the order of the reduced formula."""
        return tuple(re.findall(r"[A-Z][a-z]?", self.formula))

    def to_json(self) -> str:
        """Return one line of JSON without a newline."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CrystalRow:
        """Build a row from parsed JSON; missing or unknown keys raise `ValueError`."""
        known = {field.name for field in fields(cls)}
        if set(data) != known:
            raise ValueError(f"missing {sorted(known - set(data))}, unknown {sorted(set(data) - known)}")
        return cls(**data)


def load_rows(data: Path, split: str) -> tuple[CrystalRow, ...]:
    """Return the rows of a split in file order.

    Raises:
        UserError: missing folder or file, or a line that is not a row (file and line are named).
    """
    path = split_file(Path(data), split, "crystal")
    status = path.stat()
    return _read_rows(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=12)
def _read_rows(path: Path, mtime_ns: int, size: int) -> tuple[CrystalRow, ...]:
    """Read a split once per version of the file (`mtime_ns` and `size` are the cache key)."""
    return read_jsonl(path, CrystalRow.from_dict, "a crystal row")
