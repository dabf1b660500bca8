"""Case: a patient as atomic facts, some known from the start, with one question of several options.

Research software, not medical advice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sciRL.errors import UserError

World: TypeAlias = Literal["closed", "open"]
BoolArray: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_OPTIONS = len(_LETTERS) * (1 + len(_LETTERS))


@dataclass(frozen=True)
class Fact:
    """One short self-contained statement about a patient.

    `key` is the finding it is about (None where a source has only text) and `value` what is known of it: present
    (True), absent (False), or a word. A negative is a fact too.

    Example: `Fact("f3", "Have you had a fever? No.", key="fever", value=False)`.
    """

    id: str
    text: str
    key: str | None = None
    value: bool | str = True

    @cached_property
    def entry(self) -> dict[str, Any]:
        """The fact as JSON: one dictionary, as ten thousand drawn patients have the same few facts."""
        return asdict(self)


@dataclass(frozen=True)
class Case:
    """A patient and a question about them; research software, not medical advice.

    Attributes:
        facts: what is true of the patient, in a fixed order (the columns of every coalition array).
        known_ids: ids of the facts that the doctor is told at the start.
        question: what the doctor must answer in the end.
        options: the answers to choose from; the first has label A, the 27th AA.
        answer: label of the right option.
        meta: JSON of the source; `meta["world"]` is "closed" where a finding without a fact is absent.

    Raises:
        UserError: no facts or fewer than two options, ids used twice, known ids that are no fact, one key with two
            values, equal options, or an answer that is no option.
    """

    id: str
    facts: tuple[Fact, ...]
    known_ids: tuple[str, ...]
    question: str
    options: tuple[str, ...]
    answer: str
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        self._check_facts()
        self._check_options()
        if self.meta.get("world", "open") not in ("closed", "open"):
            raise UserError(f"case {self.id!r}: meta.world is {self.meta['world']!r}; allowed: closed, open")

    def _check_facts(self) -> None:
        if not self.facts:
            raise UserError(f"case {self.id!r}: no facts; at least one is needed")
        by_id: dict[str, Fact] = {}
        by_key: dict[str, Fact] = {}
        for fact in self.facts:
            if fact.id in by_id:
                raise UserError(f"case {self.id!r}: the fact id {fact.id!r} is used twice; ids must be distinct")
            by_id[fact.id] = fact
            other = by_key.setdefault(asked_by(fact), fact)
            if other.value != fact.value:
                raise UserError(
                    f"case {self.id!r}: facts {other.id!r} and {fact.id!r} contradict each other: "
                    f"{asked_by(fact)!r} is {other.value!r} and {fact.value!r}"
                )
            if other is not fact:
                raise UserError(f"case {self.id!r}: facts {other.id!r} and {fact.id!r} have the same key {fact.key!r}")
        unknown = [known for known in self.known_ids if known not in by_id]
        if unknown:
            raise UserError(f"case {self.id!r}: known_ids names {unknown[0]!r}; allowed are {_some(list(by_id))}")
        if len(set(self.known_ids)) != len(self.known_ids):
            raise UserError(f"case {self.id!r}: known_ids names a fact twice")

    def _check_options(self) -> None:
        if not 2 <= len(self.options) <= MAX_OPTIONS:
            raise UserError(f"case {self.id!r}: {len(self.options)} options; allowed are 2 to {MAX_OPTIONS}")
        if any(not normalised(option) for option in self.options):
            raise UserError(f"case {self.id!r}: an option is empty")
        if len({normalised(option) for option in self.options}) != len(self.options):
            raise UserError(f"case {self.id!r}: two options are equal: {_some(self.options)}")
        if self.answer not in self.labels:
            raise UserError(f"case {self.id!r}: answer is {self.answer!r}; allowed are {_some(self.labels)}")

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The options' labels, in order: A, B, ..., Z, AA, AB, ..."""
        return option_labels(len(self.options))

    @property
    def answer_index(self) -> int:
        """Position of the right option."""
        return self.labels.index(self.answer)

    @property
    def answer_text(self) -> str:
        """The right option in words."""
        return self.options[self.answer_index]

    @property
    def world(self) -> World:
        """Whether a finding without a fact is absent ("closed") or not known ("open")."""
        return "closed" if self.meta.get("world") == "closed" else "open"

    @cached_property
    def known(self) -> BoolArray:
        """Which facts the doctor is told at the start [n_facts]."""
        known = set(self.known_ids)
        return np.array([fact.id in known for fact in self.facts])

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Position of every fact by its id."""
        return {fact.id: index for index, fact in enumerate(self.facts)}

    @cached_property
    def by_key(self) -> Mapping[str, Fact]:
        """Every fact by what it is asked for by: its key, or its id where the source has only text."""
        return {asked_by(fact): fact for fact in self.facts}

    @property
    def group(self) -> str:
        """A key that cases with the same facts share, so that one patient never stands in two splits."""
        texts = "\n".join(sorted(normalised(fact.text) for fact in self.facts))
        return hashlib.sha256(texts.encode()).hexdigest()[:16]

    def mask(self, fact_ids: Sequence[str]) -> BoolArray:
        """Return which facts are among the named ones [n_facts]; unknown ids raise `KeyError`."""
        chosen = np.zeros(len(self.facts), dtype=bool)
        chosen[[self.position[fact_id] for fact_id in fact_ids]] = True
        return chosen

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible dictionary; its facts are shared between cases and not to be changed."""
        return {
            "id": self.id,
            "facts": [fact.entry for fact in self.facts],
            "known_ids": list(self.known_ids),
            "question": self.question,
            "options": list(self.options),
            "answer": self.answer,
            "meta": dict(self.meta),
        }

    def to_json(self) -> str:
        """Return one line of JSON without a newline."""
        return json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Case:
        """Build a case from `to_dict` output; missing keys, unknown keys and wrong types raise `UserError`."""
        where = f"case {data.get('id')!r}" if isinstance(data, Mapping) else "a case"
        _check_keys(where, data, cls, optional={"meta"})
        facts = []
        for number, entry in enumerate(_typed(where, data, "facts", list), start=1):
            _check_keys(f"{where}: fact {number}", entry, Fact, optional={"key", "value"})
            facts.append(_fact(f"{where}: fact {number}", entry))
        for name in ("known_ids", "options"):
            if not all(isinstance(text, str) for text in _typed(where, data, name, list)):
                raise UserError(f"{where}: {name} must be a list of strings; found {data[name]!r}")
        return cls(
            id=_typed(where, data, "id", str),
            facts=tuple(facts),
            known_ids=tuple(data["known_ids"]),
            question=_typed(where, data, "question", str),
            options=tuple(data["options"]),
            answer=_typed(where, data, "answer", str),
            meta=_typed(where, data, "meta", dict) if "meta" in data else {},
        )

    @classmethod
    def from_json(cls, line: str) -> Case:
        """Build a case from one line of JSON."""
        return cls.from_dict(json.loads(line))


def asked_by(fact: Fact) -> str:
    """Return what a fact is asked for by: its key, or its id where the source has only text."""
    return fact.id if fact.key is None else fact.key


def option_labels(count: int) -> tuple[str, ...]:
    """Return the labels of `count` options.

    Example: 28 options have the labels A to Z, AA and AB.
    """
    pairs = (first + second for first in _LETTERS for second in _LETTERS)
    return (*_LETTERS, *pairs)[:count]


def normalised(text: str) -> str:
    """Return a text without case, outer punctuation and repeated spaces: what two equal texts share."""
    return " ".join(text.casefold().split()).strip(" .?!:;,")


def _fact(where: str, entry: Mapping[str, Any]) -> Fact:
    key, value = entry.get("key"), entry.get("value", True)
    if not isinstance(key, str | None) or not isinstance(value, bool | str):
        raise UserError(f"{where}: key must be a string or null and value true, false or a string; found {entry!r}")
    return Fact(_typed(where, entry, "id", str), _typed(where, entry, "text", str), key, value)


def _check_keys(where: str, data: Any, model: type, optional: set[str]) -> None:
    if not isinstance(data, Mapping):
        raise UserError(f"{where}: a JSON object is needed; found {type(data).__name__}")
    known = {entry.name for entry in fields(model)}
    missing, unknown = sorted(known - optional - set(data)), sorted(set(data) - known)
    if missing or unknown:
        raise UserError(f"{where}: missing {missing}, unknown {unknown}; allowed are {', '.join(sorted(known))}")


def _typed(where: str, data: Mapping[str, Any], name: str, kind: type) -> Any:
    if not isinstance(data[name], kind):
        raise UserError(f"{where}: {name} must be of type {kind.__name__}; found {data[name]!r}")
    return data[name]


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:12]))
    return shown if len(names) <= 12 else f"{shown}, ... ({len(names)} in all)"
