"""Lines of a dataset folder: whole cases, or, where the folder has a knowledge base, patients in its terms.

Research software, not medical advice.

A patient of a knowledge base is one short line; its hundred facts follow from the table `kb.txt` beside it:

    {"id": "kb-0-3", "disease": "dvt", "present": ["smoker", "calf_swelling"], "known": ["smoker"], "options": null}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from domains.medical.cohort import case_of_findings, disease_rows
from domains.medical.kb import KnowledgeBase
from domains.medical.schema import BoolArray, Case
from sciRL.dataset_folder import read_jsonl, split_file
from sciRL.errors import UserError

KB_FILE = "kb.txt"


@dataclass(frozen=True)
class KbRow:
    """A patient of a knowledge base: ids of the disease, of the present and known findings, and of the options.

    `options` None offers all diseases in the order of the table.
    """

    id: str
    disease: str
    present: tuple[str, ...]
    known: tuple[str, ...]
    options: tuple[str, ...] | None = None

    def to_json(self) -> str:
        """Return one line of JSON without a newline."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> KbRow:
        """Build a row from parsed JSON; missing or unknown keys raise `ValueError`."""
        known = {entry.name for entry in fields(cls)}
        if set(data) != known:
            raise ValueError(f"missing {sorted(known - set(data))}, unknown {sorted(set(data) - known)}")
        lists = [data["present"], data["known"], data["options"] or []]
        if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
            raise ValueError("present, known and options must be lists of ids (options may be null)")
        if not isinstance(data["id"], str) or not isinstance(data["disease"], str):
            raise ValueError("id and disease must be strings")
        options = None if data["options"] is None else tuple(data["options"])
        return cls(data["id"], data["disease"], tuple(data["present"]), tuple(data["known"]), options)

    @classmethod
    def of(cls, kb: KnowledgeBase, case: Case) -> KbRow:
        """Return the row of a case that was drawn from a knowledge base."""
        rows = disease_rows(kb, case)
        options = None if rows == list(range(len(kb.diseases))) else tuple(kb.diseases[row].id for row in rows)
        present = tuple(fact.id for fact in case.facts if fact.value is True)
        return cls(case.id, kb.diseases[rows[case.answer_index]].id, present, case.known_ids, options)

    def case(self, kb: KnowledgeBase) -> Case:
        """Return the whole case; an id that the knowledge base does not have raises `UserError`."""
        by_id = {disease.id: row for row, disease in enumerate(kb.diseases)}
        offered = tuple(by_id) if self.options is None else self.options
        for name in (self.disease, *offered):
            if name not in by_id:
                raise UserError(f"case {self.id!r}: {name!r} is no disease of {KB_FILE}")
        if self.disease not in offered:
            raise UserError(f"case {self.id!r}: its disease {self.disease!r} is not among the options")
        present, known = self._columns(kb, self.present), self._columns(kb, self.known)
        return case_of_findings(kb, self.id, by_id[self.disease], present, known, [by_id[name] for name in offered])

    def _columns(self, kb: KnowledgeBase, names: Sequence[str]) -> BoolArray:
        columns = np.zeros(len(kb.findings), dtype=bool)
        for name in names:
            if name not in kb.finding_index:
                raise UserError(f"case {self.id!r}: {name!r} is no finding of {KB_FILE}")
            columns[kb.finding_index[name]] = True
        return columns


def load_cases(data: Path, split: str) -> tuple[Case, ...]:
    """Return the cases of a split in file order.

    Raises:
        UserError: unknown split, missing folder or file, or a line that is no case (file and line are named).
    """
    path = split_file(Path(data), split, "medical")
    status = path.stat()
    return _read_cases(path, status.st_mtime_ns, status.st_size)


def folder_kb(data: Path) -> KnowledgeBase | None:
    """Return the knowledge base of a dataset folder, if it has one."""
    path = Path(data) / KB_FILE
    return KnowledgeBase.load(path) if path.is_file() else None


@lru_cache(maxsize=12)
def _read_cases(path: Path, modified: int, size: int) -> tuple[Case, ...]:
    """Read a split once per version of the file (`modified` and `size` are the cache key)."""
    kb = folder_kb(path.parent)
    if kb is None:
        return read_jsonl(path, Case.from_dict, "a case")
    return read_jsonl(path, lambda line: KbRow.from_dict(line).case(kb), "a patient of the knowledge base")
