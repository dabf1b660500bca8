"""Export: evaluated consultations as chat messages for programs and as transcripts for people.

Research software, not medical advice: the patients are simulated.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from domains.medical.consultation import Consultation
from domains.medical.dialogues import messages
from domains.medical.interview import BUDGET
from domains.medical.record import read_record
from domains.medical.schema import Case
from domains.medical.tasks import case_of
from sciRL.domain import Record
from sciRL.task import Message

DISCLAIMER = (
    "Simulated patients; research software, not medical advice. Nothing here was said by or about a person, and "
    "nothing here may be used to treat one."
)
LONGEST = 2000
"""Characters of one turn in a transcript; the chat messages are whole."""

_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~&])")


def write_samples(records: Sequence[Record], folder: Path) -> list[Path]:
    """Write `consultations.jsonl` (an object a record) and `transcripts.md`; return their paths.

    Each object has `case_id`, `messages` (role and content, as the policy read and wrote them), `right` (null where the
    verifier failed), `choice` and `truth` (texts of options), `questions`, `score` and `status`. A record that holds
    no consultation (a single turn) is one assistant message after the prompt.
    """
    folder.mkdir(parents=True, exist_ok=True)
    read = [(record, case_of(record.task), consultation_of(record)) for record in records]
    lines = (json.dumps(as_chat(*each), ensure_ascii=False, separators=(",", ":")) + "\n" for each in read)
    blocks = (_transcript(number, *each) for number, each in enumerate(read, start=1))
    return [
        _write(folder / "consultations.jsonl", lines),
        _write(folder / "transcripts.md", ["# Consultations\n\n", f"> {DISCLAIMER}\n", *blocks]),
    ]


def consultation_of(record: Record) -> Consultation | None:
    """Return the consultation that a record holds, with the replies that were given; None where it holds none."""
    most_turns = record.task.metadata.get("max_turns", BUDGET + 1)
    try:
        return read_record(record.answer, case_of(record.task), most_turns - 1)
    except ValueError:
        return None


def as_chat(record: Record, case: Case, consultation: Consultation | None) -> dict[str, Any]:
    """Return a record as an object of `consultations.jsonl` (see `write_samples`)."""
    single: list[Message] = [{"role": "assistant", "content": record.answer}]
    score = record.score
    return {
        "case_id": case.id,
        "messages": [*map(dict, record.task.prompt), *(single if consultation is None else messages(consultation))],
        "right": bool(score.value == 1 if consultation is None else consultation.correct) if score.scorable else None,
        "choice": _chosen(consultation),
        "truth": case.answer_text,
        "questions": 0 if consultation is None else len(consultation.asking),
        "score": score.value,
        "status": score.status.value,
    }


def _chosen(consultation: Consultation | None) -> str | None:
    if consultation is None or consultation.choice is None:
        return None
    return consultation.case.options[consultation.case.labels.index(consultation.choice)]


def _transcript(number: int, record: Record, case: Case, consultation: Consultation | None) -> str:
    """Return one consultation as Markdown; the words of cases and policies are escaped."""
    score = record.score
    verdict = "not judged" if score.value is None else f"score {score.value:.3g}"
    known = [fact.text for fact in case.facts if fact.id in case.known_ids] or ["nothing yet"]
    lines = [f"\n## {number}. {_plain(case.id)}: {_outcome(consultation)}, {verdict}\n"]
    lines.append(f"Known at the start: {_plain(' '.join(known))}\n")
    if consultation is None:
        lines.append(f"- **Text**: {_plain(record.answer)}")
    else:
        for turn in consultation.turns:
            lines.append(f"- **Doctor**: {_plain(turn.text)}")
            if turn.reply is not None:
                lines.append(f"- **Patient**: {_plain(turn.reply.text)}")
    chosen = _chosen(consultation)
    lines.append(f"\nAnswered: {'nothing' if chosen is None else _plain(chosen)}. Right: {_plain(case.answer_text)}.\n")
    return "\n".join(lines)


def _outcome(consultation: Consultation | None) -> str:
    if consultation is None:
        return "no consultation"
    return "right" if consultation.correct else "no answer" if consultation.choice is None else "wrong"


def _plain(said: str) -> str:
    """Return a text on one line that Markdown shows as it stands, cut where it is too long to be read."""
    line = " ".join(said.split())
    return _MARKDOWN.sub(r"\\\1", line if len(line) <= LONGEST else line[:LONGEST] + "…")


def _write(path: Path, parts: Iterable[str]) -> Path:
    aside = path.with_name(f".{path.name}.part")
    # JSON can hold half of a surrogate pair, which UTF-8 cannot.
    with aside.open("w", encoding="utf-8", errors="replace") as handle:
        handle.writelines(parts)
    os.replace(aside, path)
    return path
