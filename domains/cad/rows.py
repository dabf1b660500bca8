"""CadRow: one line of a dataset folder, and how a split is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from domains.cad.spec import Spec
from sciRL.dataset_folder import read_jsonl, split_file

REFERENCES = "references"
IMAGES = "images"
IMPORTED = "imported"
"""Family of parts that come from a user's files; a choice of generated families does not leave them out."""
SHAPE_KINDS = ("code", "brep", "step", "stl")


@dataclass(frozen=True)
class CadRow:
    """One part of a dataset; lengths are in millimetres.

    `texts` are its descriptions by level; `design` the structured design, `think` the reasoning trace and `code` the
    program, each empty where the source has none. `shape` is the reference: `{"kind": "code", "text"}`, or
    `{"kind": "step" | "brep" | "stl", "path", "sha256"}` with a path inside the folder. `group` keeps near copies in
    one split. `image` is the path of the part's picture inside the folder, empty where it has none.
    """

    id: str
    family: str
    group: str
    shape: Mapping[str, str]
    spec: Mapping[str, Any]
    texts: Mapping[str, str] = field(default_factory=dict)
    design: str = ""
    think: str = ""
    code: str = ""
    source: str = ""
    licence: str = ""
    image: str = ""

    def to_json(self) -> str:
        """Return one line of JSON without a newline; a row without a picture does not speak of it."""
        values = {name: value for name, value in asdict(self).items() if name != "image" or value}
        return json.dumps(values, ensure_ascii=False, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CadRow:
        """Build a row from parsed JSON; missing or unknown keys and impossible specs raise `ValueError`."""
        known = {entry.name for entry in fields(cls)}
        required = {"id", "family", "group", "shape", "spec"}
        if not required <= set(data) <= known:
            raise ValueError(f"missing {sorted(required - set(data))}, unknown {sorted(set(data) - known)}")
        kind = data["shape"].get("kind")
        wanted = {"kind", "text"} if kind == "code" else {"kind", "path", "sha256"}
        if kind not in SHAPE_KINDS or set(data["shape"]) != wanted:
            raise ValueError(
                f"shape needs a kind ({', '.join(SHAPE_KINDS)}) and {sorted(wanted)}; found {data['shape']}"
            )
        Spec.from_json(data["spec"])
        return cls(**data)


def load_rows(data: Path, split: str) -> tuple[CadRow, ...]:
    """Return the rows of a split in file order.

    Raises:
        UserError: unknown split, missing folder or file, or a line that is not a row (file and line are named).
    """
    path = split_file(Path(data), split, "cad")
    status = path.stat()
    return _read_rows(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=12)
def _read_rows(path: Path, modified: int, size: int) -> tuple[CadRow, ...]:
    return read_jsonl(path, CadRow.from_dict, "a part")
