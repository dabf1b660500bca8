"""Examination items as cases: MediQ's (facts written out, CC BY 4.0) and MedQA's (sentences taken as facts).

MediQ: Li et al. 2024, arXiv 2406.00922. MedQA: Jin et al. 2021, arXiv 2009.13081. Research software, not medical
advice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from domains.medical.matching import shared_weight
from domains.medical.schema import Case, Fact, option_labels

KnownRule: TypeAlias = Literal["sentence", "half"]

_NUMBER = re.compile(r"^\s*\d+\s*[.)]\s*")
_SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=[A-Z0-9\"'(\[])")
_ABBREVIATION = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|St|vs|e\.g|i\.e|No|Fig|approx|ca)\.$")
_LEAST_SHARE = 0.6


class ItemError(Exception):
    """An item that is no usable case: the reason in a few words, and what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def mediq_case(record: Mapping[str, Any], known: KnownRule) -> Case:
    """Return the case of a MediQ item.

    Args:
        record: keys id, question, context, options, answer_idx, facts.
        known: what the doctor is told: the facts of the context's first sentence, or the first half of all.

    Raises:
        ItemError: a key is missing or of another form, or there are no facts.
        UserError: what the keys hold makes no case.

    Example: the fact "3. Patient complains of fever." becomes "Patient complains of fever.", asked for by the id f3.
    """
    _need(record, {"id", "question", "context", "options", "answer_idx", "facts"})
    facts = record["facts"]
    if not isinstance(facts, list) or not all(isinstance(text, str) for text in facts):
        raise ItemError("facts are no list of strings", f"found {str(facts)[:60]!r}")
    if not isinstance(record["id"], int | str):
        raise ItemError("id is no number or string", f"found {record['id']!r}")
    texts = [_NUMBER.sub("", text).strip() for text in facts]
    texts = list(dict.fromkeys(text for text in texts if text))
    if not texts:
        raise ItemError("no facts", f"item {record['id']}")
    context = record["context"]
    first = str(context[0]) if isinstance(context, list) and context else str(context)
    return _case(f"mediq-{record['id']}", texts, _known_count(texts, first, known), record)


def medqa_case(record: Mapping[str, Any], known: KnownRule, identity: str) -> Case:
    """Return the case of a MedQA item: its sentences are the facts, its last question the question.

    Raises:
        ItemError: a key is missing, or nothing stands before the question.
        UserError: what the keys hold makes no case.
    """
    _need(record, {"question", "options", "answer_idx"})
    texts, question = split_vignette(str(record["question"]))
    if not texts:
        raise ItemError("no facts", "nothing stands before the question")
    return _case(identity, texts, _known_count(texts, texts[0], known), {**record, "question": question})


def split_vignette(text: str) -> tuple[list[str], str]:
    """Return the statements of a vignette without repeats, and its question: the last sentence with a question mark.

    Example: "A man has a fever. He coughs. What is it?" gives (["A man has a fever.", "He coughs."], "What is it?").
    """
    sentences = split_sentences(text)
    asks = [number for number, sentence in enumerate(sentences) if sentence.rstrip("\"')] ").endswith("?")]
    at = asks[-1] if asks else len(sentences) - 1
    rest = dict.fromkeys(sentence for number, sentence in enumerate(sentences) if number != at)
    return list(rest), sentences[at] if sentences else ""


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text; abbreviations such as "Dr." and "e.g." end none."""
    sentences: list[str] = []
    for part in _SENTENCE_END.split(" ".join(text.split())):
        if sentences and _ABBREVIATION.search(sentences[-1]):
            sentences[-1] += f" {part}"
        elif part:
            sentences.append(part)
    return sentences


def _case(identity: str, texts: Sequence[str], known: int, record: Mapping[str, Any]) -> Case:
    options, answer = record["options"], record["answer_idx"]
    if not isinstance(options, Mapping):
        raise ItemError("options are no object of letters and texts", f"found {str(options)[:60]!r}")
    letters = sorted(options)
    if len(letters) < 2 or answer not in letters:
        raise ItemError("answer is no option", f"answer_idx {answer!r}, options {letters}")
    facts = tuple(Fact(f"f{number}", text) for number, text in enumerate(texts, start=1))
    return Case(
        id=identity,
        facts=facts,
        known_ids=tuple(fact.id for fact in facts[:known]),
        question=str(record["question"]).strip(),
        options=tuple(str(options[letter]).strip() for letter in letters),
        answer=option_labels(len(letters))[letters.index(answer)],
        meta={"world": "open"},
    )


def _known_count(texts: Sequence[str], sentence: str, rule: KnownRule) -> int:
    """Return how many leading facts are known: at least one, and less than all where there are two."""
    half = max(1, len(texts) // 2)
    if rule == "half":
        return half
    leading = 0
    while leading < half and shared_weight(texts[leading], sentence) >= _LEAST_SHARE:
        leading += 1
    return max(1, leading)


def _need(record: Mapping[str, Any], keys: set[str]) -> None:
    missing = sorted(keys - set(record))
    if missing:
        raise ItemError("missing keys", ", ".join(missing))
