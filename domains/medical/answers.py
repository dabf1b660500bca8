"""What a doctor's turn says: one question or one answer, read strictly.

Research software, not medical advice.

============================================  ======================================================
turn                                          read as
============================================  ======================================================
``question: Do you have a fever?``            a question of form 1
``I wonder. Question: Any fever?``            a question of form 0.5 (the marker is not at the start)
``answer: B``, ``answer: (b).``               option B
``answer: B. influenza``, ``answer: influenza``  option B, if that is its text
``answer: A or B``, ``answer: A B C D``       an answer that chooses nothing
``answer: A. influenza``                      nothing, if A has another text
``question: a? answer: B``, ``B``             invalid: two markers, none
============================================  ======================================================

The time is linear in the length of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from domains.medical.schema import Case, normalised

TurnKind: TypeAlias = Literal["question", "answer", "invalid"]

BEGIN = "answer: "
"""How an answer turn begins."""

_MARKER = re.compile(r"(?<![^\W_])(question|answer)[ \t]{0,3}:", re.IGNORECASE)
_LABELLED = re.compile(r"\(?([A-Za-z]{1,2})\)?(?:[.:)]?\s+|[.:)]\s*)(.+)", re.DOTALL)
_LABEL = re.compile(r"\(?([A-Za-z]{1,2})\)?[.:)]?")
_LONGEST_ANSWER = 1000


@dataclass(frozen=True)
class TurnText:
    """A turn that was read: its kind, what follows the marker, its form in [0, 1], and why it is invalid."""

    kind: TurnKind
    content: str = ""
    form: float = 0.0
    problem: str = ""


def parse_turn(text: str) -> TurnText:
    """Read a turn; every text gives a result.

    Example: `parse_turn("question: Any fever?")` is a question "Any fever?" of form 1.
    """
    markers = []
    for marker in _MARKER.finditer(text):
        markers.append(marker)
        if len(markers) == 2:
            return TurnText("invalid", problem="more than one 'question:' or 'answer:'")
    if not markers:
        return TurnText("invalid", problem="no 'question:' and no 'answer:'")
    marker = markers[0]
    content = text[marker.end() :].strip()
    if not content:
        return TurnText("invalid", problem=f"nothing after {marker.group()!r}")
    kind: TurnKind = "question" if marker.group(1).lower() == "question" else "answer"
    return TurnText(kind, content, 0.5 if text[: marker.start()].strip() else 1.0)


def parse_choice(content: str, case: Case) -> str | None:
    """Return the label of the one option that an answer names, or None when it names none or is ambiguous.

    Example: with the options A influenza and B gout, "(b)", "B. gout" and "Gout" are B; "A. gout" and "A or B" nothing.
    """
    text = content.strip()
    if len(text) > _LONGEST_ANSWER:
        return None
    by_text = {normalised(option): label for label, option in zip(case.labels, case.options, strict=True)}
    readings = {by_text.get(normalised(text))}
    label = _LABEL.fullmatch(text)
    if label is not None:
        readings.add(_known_label(label.group(1), case))
    labelled = _LABELLED.fullmatch(text)
    if labelled is not None:
        named = _known_label(labelled.group(1), case)
        if named is not None and by_text.get(normalised(labelled.group(2))) == named:
            readings.add(named)
    readings.discard(None)
    return readings.pop() if len(readings) == 1 else None


def _known_label(text: str, case: Case) -> str | None:
    return text.upper() if text.upper() in case.labels else None
