"""Dialogues: the best paths of a search as chat messages to imitate.

Research software, not medical advice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from domains.medical.consultation import Consultation
from domains.medical.prompts import opening, reply_text
from domains.medical.schema import normalised
from domains.medical.search import Path


@dataclass(frozen=True)
class Dialogue:
    """A consultation as messages; the assistant's are to be imitated.

    `turn_rewards` is the SIG of each question and then 1 for a right answer; `states` names what was known before each
    of these turns, by the ids of the facts, so that equal knowledge can be compared.
    """

    case_id: str
    messages: tuple[dict[str, str], ...]
    turn_rewards: tuple[float, ...]
    states: tuple[str, ...]

    def to_json(self) -> str:
        """Return one line of JSON without a newline."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))


def export_dialogues(paths: Sequence[Path], top: int = 1) -> list[Dialogue]:
    """Return the best `top` paths that answer right, ask at least once, and repeat nothing, as dialogues."""
    good = [path for path in paths if is_exemplary(path.consultation)]
    return [dialogue(path) for path in sorted(good, key=lambda path: -path.value)[:top]]


def is_exemplary(consultation: Consultation) -> bool:
    """Whether a consultation is worth imitating: right, with a question, every question understood and asked once."""
    asked = [
        turn.reply.key or normalised(turn.content)
        for turn in consultation.asking
        if turn.reply is not None and turn.reply.status in ("answered", "unknown")
    ]
    return consultation.correct and bool(asked) and len(set(asked)) == len(consultation.asking)


def dialogue(path: Path) -> Dialogue:
    """Return a path as messages, in the words in which a doctor would have read and written them."""
    consultation = path.consultation
    messages = [dict(message) for message in opening(consultation.case, consultation.budget)]
    for number, turn in enumerate(consultation.turns):
        messages.append({"role": "assistant", "content": turn.text})
        if turn.reply is not None:
            left = consultation.budget - number - 1
            messages.append({"role": "user", "content": reply_text(turn.reply.text, left)})
    rewards = (*path.gains, float(consultation.correct))
    states = tuple(
        " ".join(fact.id for fact, known in zip(consultation.case.facts, row, strict=True) if known)
        for row in consultation.knowledge
    )
    return Dialogue(consultation.case.id, tuple(messages), rewards, states)
