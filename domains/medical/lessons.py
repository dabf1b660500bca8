"""Lessons: consultations to imitate, by the findings asked for; the words follow from table and case.

Research software, not medical advice. `dialogues.jsonl` of a dataset folder holds one a line:

    {"case": "kb-0-3", "asked": ["calf_swelling", "immobile"], "answer": "B"}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from domains.medical.belief import NaiveBayesBelief
from domains.medical.dialogues import is_exemplary
from domains.medical.kb import KnowledgeBase
from domains.medical.matching import kb_matcher
from domains.medical.patient import SimulatedPatient
from domains.medical.proposers import GainProposer
from domains.medical.schema import Case
from domains.medical.search import SearchSettings, search_case
from domains.medical.shapley import case_weights
from sciRL.dataset_folder import read_jsonl
from sciRL.errors import UserError

DIALOGUES_FILE = "dialogues.jsonl"


@dataclass(frozen=True)
class Lesson:
    """A consultation over a knowledge base: the findings asked for, in order, and the label of the option answered."""

    case_id: str
    asked: tuple[str, ...]
    answer: str

    def to_json(self) -> str:
        """Return one line of JSON without a newline."""
        line = {"case": self.case_id, "asked": self.asked, "answer": self.answer}
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_dict(cls, data: dict[str, object]) -> Lesson:
        """Build a lesson from parsed JSON; another form raises `ValueError`."""
        asked = data.get("asked")
        if set(data) != {"case", "asked", "answer"} or not isinstance(asked, list):
            raise ValueError('needs "case", "answer" and a list "asked"')
        return cls(str(data["case"]), tuple(str(finding) for finding in asked), str(data["answer"]))


def load_lessons(data: Path) -> tuple[Lesson, ...]:
    """Return the searched dialogues of a dataset folder; a folder without any raises `UserError`."""
    path = data / DIALOGUES_FILE
    if not path.is_file():
        raise UserError(
            f"{data} has no {DIALOGUES_FILE}; build it with dialogues=uct, or imitate teacher=greedy or random"
        )
    status = path.stat()
    return _read_lessons(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _read_lessons(path: Path, modified: int, size: int) -> tuple[Lesson, ...]:
    """Read the file once per version (`modified` and `size` are the cache key)."""
    return read_jsonl(path, Lesson.from_dict, "a dialogue")


def search_lessons(kb: KnowledgeBase, cases: Sequence[Case], settings: SearchSettings) -> Iterator[Lesson | None]:
    """Yield for each case the best consultation that a search found, None where none is worth imitating."""
    patient, proposer, belief = SimulatedPatient(kb_matcher(kb)), GainProposer(kb), NaiveBayesBelief(kb)
    for case in cases:
        paths = search_case(case, patient, proposer, belief, case_weights(belief, case), settings)
        best = next((path.consultation for path in paths if is_exemplary(path.consultation)), None)
        if best is None or best.choice is None:
            yield None
        else:
            yield Lesson(case.id, tuple(turn.reply.key for turn in best.asking if turn.reply is not None), best.choice)
