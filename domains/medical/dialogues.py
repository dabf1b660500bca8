"""Dialogues: a consultation as chat messages, and whether it is worth imitating.

Research software, not medical advice.
"""

from __future__ import annotations

from collections.abc import Iterator

from domains.medical.consultation import Consultation
from domains.medical.interview import read_after
from domains.medical.schema import normalised
from sciRL.task import Message


def messages(consultation: Consultation) -> Iterator[Message]:
    """Yield the doctor's turns as an assistant's messages and what was read after each as a user's."""
    for number, turn in enumerate(consultation.turns):
        yield {"role": "assistant", "content": turn.text}
        if number + 1 < len(consultation.turns) or not consultation.done:
            yield {"role": "user", "content": read_after(consultation, number)}


def is_exemplary(consultation: Consultation) -> bool:
    """Whether a consultation is worth imitating: right, with a question, every question understood and asked once."""
    asked = [
        turn.reply.key or normalised(turn.content)
        for turn in consultation.asking
        if turn.reply is not None and turn.reply.status in ("answered", "unknown")
    ]
    return consultation.correct and bool(asked) and len(set(asked)) == len(consultation.asking)
