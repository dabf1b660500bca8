"""Metrics of medical evaluations, on consultations whose figures can be counted by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from consultations import as_record, meet, patients

from domains.medical.clinic import Clinic
from domains.medical.datasets import build, load_bayes
from domains.medical.metrics import consultations_of, summarize
from domains.medical.options import MedicalOptions
from domains.medical.rows import load_cases
from domains.medical.schema import Case
from sciRL.domain import Record
from sciRL.score import Score, Status

BUDGET = 4


@pytest.fixture(scope="module")
def clinic(drawn_folder: Path) -> Clinic:
    return Clinic(drawn_folder, MedicalOptions(budget=BUDGET))


def met(case: Case, clinic: Clinic, turns: Sequence[str]) -> Record:
    return as_record(meet(case, clinic, turns))


def unknown_questions(case: Case, clinic: Clinic, count: int) -> list[str]:
    assert clinic.kb is not None
    asked = [finding.question for finding in clinic.kb.findings if finding.id not in case.known_ids]
    return [f"question: {question}" for question in asked[:count]]


def test_counts_of_three_consultations(clinic: Clinic) -> None:
    first, second, third = patients(clinic, 3)
    wrong = next(label for label in second.labels if label != second.answer)
    one, two = unknown_questions(first, clinic, 2)
    records = [
        met(first, clinic, [one, two, f"answer: {first.answer}"]),
        met(second, clinic, [*unknown_questions(second, clinic, 1) * 2, f"answer: {wrong}"]),
        met(third, clinic, ["hello", "question: Is it raining on Mars?", f"question: {third.options[0]}?", "x", "y"]),
    ]
    found = summarize(records, clinic)
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["unanswered"] == pytest.approx(1 / 3)
    assert found["questions"] == pytest.approx((2 + 2 + 4) / 3)
    assert found["repeats"] == pytest.approx(1 / 9)
    assert found["invalid"] == pytest.approx(3 / 9)
    assert found["unclear"] == pytest.approx(2 / 9)
    assert found["leaks"] == pytest.approx(1 / 9)
    assert found["stopped_early"] == pytest.approx(2 / 3)


def test_all_there_is_to_learn_is_one(clinic: Clinic) -> None:
    thorough = Clinic(clinic.data, MedicalOptions(budget=100))
    case = patients(clinic, 1)[0]
    found = summarize([met(case, thorough, [*unknown_questions(case, thorough, 100), "answer: A"])], thorough)
    assert found["learned"] == pytest.approx(1.0)
    assert found["sig_per_question"] == pytest.approx(1 / found["questions"])


def test_stopping_and_rank_of_the_belief_by_hand(clinic: Clinic) -> None:
    assert clinic.kb is not None
    kb = clinic.kb
    records, sure, ranks = [], [], []
    for case in patients(clinic, 12):
        asked = unknown_questions(case, clinic, 1)
        records.append(met(case, clinic, [*asked, f"answer: {case.answer}"]))
        # Bayes' rule over all diseases, written out: what is known, and the one finding that was asked for.
        posterior = kb.prior.copy()
        for question, present in [
            *((kb.findings[kb.finding_index[name]].question, True) for name in case.known_ids),
            (asked[0].removeprefix("question: "), None),
        ]:
            column = next(i for i, finding in enumerate(kb.findings) if finding.question == question)
            fact = case.by_key[kb.findings[column].id]
            assert present is None or fact.value is present
            posterior *= kb.p[:, column] if fact.value else 1 - kb.p[:, column]
        posterior /= posterior.sum()
        sure.append(posterior.max())
        ranks.append(1 + int((posterior > posterior[case.answer_index]).sum()))
    found = summarize(records, clinic)
    assert found["stopped_early"] == 1.0
    assert found["overconfidence"] == pytest.approx(float(np.mean(sure)) - 1.0)
    assert 0 < found["belief_top3"] < 1
    assert found["belief_top3"] == pytest.approx(np.mean([rank <= 3 for rank in ranks]))
    assert "belief_top1" not in found
    assert "ddr" not in found


def test_unreadable_and_masked_records_are_left_out(clinic: Clinic) -> None:
    case = patients(clinic, 1)[0]
    good = met(case, clinic, ["answer: A"])
    masked = Record(good.task, good.answer, Score.failed(Status.ERROR, "patient: gone"))
    unread = Record(good.task, "no record", Score.malformed("no record"))
    assert len(consultations_of([good, masked, unread], clinic)) == 1
    assert summarize([masked, unread], clinic) == {}


def test_ddxplus_belief_is_measured_against_differentials(
    ddxplus_folder: Callable[[int], Path], tmp_path: Path
) -> None:
    build(str(ddxplus_folder(300)), tmp_path / "out", {})
    clinic = Clinic(tmp_path / "out", MedicalOptions(budget=2))
    bayes, cases = load_bayes(tmp_path / "out"), load_cases(tmp_path / "out", "test")
    records = [met(case, clinic, [f"answer: {case.answer}"]) for case in cases]
    found = summarize(records, clinic)
    beliefs = [np.exp(bayes.option_logp(case, case.known[None])[0]) for case in cases]
    first = [
        case.options[int(belief.argmax())] == case.answer_text for case, belief in zip(cases, beliefs, strict=True)
    ]
    assert found["belief_top1"] == pytest.approx(np.mean(first))
    # There are three pathologies in all.
    assert (found["belief_top3"], found["belief_top5"]) == (1.0, 1.0)
    recalls, precisions = [], []
    for case, belief in zip(cases, beliefs, strict=True):
        wanted = {name for name, probability in case.meta["differential"] if probability > 0.01}
        named = {option for option, probability in zip(case.options, belief, strict=True) if probability > 0.01}
        recalls.append(len(wanted & named) / len(wanted))
        precisions.append(len(wanted & named) / len(named))
    assert found["ddr"] == pytest.approx(np.mean(recalls))
    assert found["ddp"] == pytest.approx(np.mean(precisions))
    assert min(found["ddr"], found["ddp"]) < found["ddf1"] < 1


def test_examination_items_have_no_metrics_of_belief(text_case: Case) -> None:
    clinic = Clinic(None, MedicalOptions(budget=2))
    found = summarize([met(text_case, clinic, ["question: Do you have a fever?", "answer: A"])], clinic)
    assert found["accuracy"] == 1.0
    assert set(found) == {"accuracy", "unanswered", "questions", "repeats", "invalid", "unclear", "leaks"}
