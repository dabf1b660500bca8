"""Export of medical consultations as chat messages and transcripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from consultations import as_record, patients

from domains.medical.clinic import Clinic
from domains.medical.export import DISCLAIMER, write_samples
from domains.medical.interview import REMINDER, Interview
from domains.medical.options import MedicalOptions
from domains.medical.schema import Case
from domains.medical.tasks import make_task
from sciRL.domain import Record
from sciRL.score import Score, Status

BUDGET = 3


@pytest.fixture(scope="module")
def clinic(drawn_folder: Path) -> Clinic:
    return Clinic(drawn_folder, MedicalOptions(budget=BUDGET))


@pytest.fixture(scope="module")
def case(clinic: Clinic) -> Case:
    return patients(clinic, 1)[0]


def met(case: Case, clinic: Clinic, turns: Sequence[str]) -> tuple[Record, list[str]]:
    """Return a record and what the doctor read after each turn."""
    interview = Interview(case, clinic.patient, BUDGET)
    read = [interview.step(turn) for turn in turns]
    score = Score.ok(float(interview.record.correct)) if interview.record.choice else Score.malformed("no answer")
    return as_record(interview.record, score), read


def test_messages_are_what_the_doctor_read_and_wrote(clinic: Clinic, case: Case, tmp_path: Path) -> None:
    assert clinic.kb is not None
    turns = [f"question: {clinic.kb.findings[3].question}", "I wonder", f"answer: {case.answer}"]
    record, read = met(case, clinic, turns)
    chat, transcript = write_samples([record], tmp_path / "samples")
    assert (chat.name, transcript.name) == ("consultations.jsonl", "transcripts.md")
    line = json.loads(chat.read_text())
    opening = [dict(message) for message in record.task.prompt]
    assert line["messages"] == [
        *opening,
        {"role": "assistant", "content": turns[0]},
        {"role": "user", "content": read[0]},
        {"role": "assistant", "content": turns[1]},
        {"role": "user", "content": read[1]},
        {"role": "assistant", "content": turns[2]},
    ]
    assert read[1].startswith(REMINDER)
    assert (line["case_id"], line["right"], line["score"], line["status"]) == (case.id, True, 1.0, "ok")
    assert (line["choice"], line["truth"], line["questions"]) == (case.answer_text, case.answer_text, 2)


def test_wrong_unanswered_and_masked_consultations_are_told_apart(clinic: Clinic, case: Case, tmp_path: Path) -> None:
    wrong = next(label for label in case.labels if label != case.answer)
    unanswered, _ = met(case, clinic, ["a", "b", "c", "d"])
    records = [met(case, clinic, [f"answer: {wrong}"])[0], unanswered]
    records.append(Record(unanswered.task, unanswered.answer, Score.failed(Status.ERROR, "patient: gone")))
    chat, transcript = write_samples(records, tmp_path)
    lines = [json.loads(line) for line in chat.read_text().splitlines()]
    assert [line["right"] for line in lines] == [False, False, None]
    assert [line["score"] for line in lines] == [0.0, 0.0, None]
    # The turn beyond the budget is the last message: nobody replied to it.
    assert lines[1]["messages"][-1] == {"role": "assistant", "content": "d"}
    heads = [line for line in transcript.read_text().splitlines() if line.startswith("## ")]
    assert [head.partition(": ")[2] for head in heads] == [
        "wrong, score 0", "no answer, score 0", "no answer, not judged",
    ]  # fmt: skip


def test_transcripts_begin_with_the_disclaimer_and_show_hostile_text_as_it_stands(
    clinic: Clinic, case: Case, tmp_path: Path
) -> None:
    record, _ = met(case, clinic, ["# a\n<script>x</script> [l](http://e.x)", "y" * 5000, "answer: A"])
    text = write_samples([record], tmp_path)[1].read_text()
    assert text.splitlines()[:3] == ["# Consultations", "", f"> {DISCLAIMER}"]
    assert r"- **Doctor**: \# a \<script\>x\</script\> \[l\](http://e.x)" in text
    assert "y" * 2000 + "…\n" in text
    assert "y" * 2001 not in text


def test_what_holds_no_consultation_is_one_message(case: Case, tmp_path: Path) -> None:
    task = make_task(case, "test", BUDGET)
    records = [Record(task, f"answer: {case.answer}", Score.ok(1.0)), Record(task, "\ud800", Score.malformed("no"))]
    chat, transcript = write_samples(records, tmp_path)
    lines = [json.loads(line) for line in chat.read_text(encoding="utf-8").splitlines()]
    assert [line["messages"][-1]["content"] for line in lines] == [f"answer: {case.answer}", "?"]
    assert [line["right"] for line in lines] == [True, False]
    assert transcript.read_text(encoding="utf-8").count(": no consultation, ") == 2


def test_no_records_give_files_that_say_so(tmp_path: Path) -> None:
    chat, transcript = write_samples([], tmp_path)
    assert chat.read_text() == ""
    assert DISCLAIMER in transcript.read_text()
