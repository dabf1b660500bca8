"""Report figures of the medical domain, on consultations with the simulated patient."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from consultations import as_record, meet, patients

from domains.medical.belief import NaiveBayesBelief
from domains.medical.calibration import Tenth, stops, tenths
from domains.medical.clinic import Clinic
from domains.medical.cohort import cohort_of
from domains.medical.comparison import comparison_table, course_of, reference_courses
from domains.medical.conduct import conduct_html, gain_of_turn, gain_until, manner_shares, manners
from domains.medical.consultation import Consultation
from domains.medical.curves import spread
from domains.medical.datasets import build
from domains.medical.figures import NOTE, arms_to_read, make_figures, patients_to_read
from domains.medical.interview import Interview
from domains.medical.kb import KnowledgeBase
from domains.medical.matching import kb_matcher
from domains.medical.options import MedicalOptions
from domains.medical.patient import SimulatedPatient
from domains.medical.questioning import POLICIES, evaluate
from domains.medical.rows import load_cases
from domains.medical.schema import Case, Fact
from domains.medical.tasks import make_task
from domains.medical.teaching import ask_by_table
from domains.medical.transcripts import belief_bars
from sciRL.domain import Record
from sciRL.score import Score

BUDGET = 4
HOSTILE = "</details></section><script>alert(1)</script>"


@pytest.fixture(scope="module")
def clinic(drawn_folder: Path) -> Clinic:
    return Clinic(drawn_folder, MedicalOptions(budget=BUDGET))


def table_of(clinic: Clinic) -> KnowledgeBase:
    assert clinic.kb is not None
    return clinic.kb


def taught(clinic: Clinic, teacher: str, confidence: float = 1.0) -> list[Consultation]:
    cases, kb = patients(clinic, 24), table_of(clinic)
    lessons = ask_by_table(kb, cases, teacher, BUDGET, confidence, 0)
    found = []
    for case, lesson in zip(cases, lessons, strict=True):
        asked = [f"question: {kb.findings[kb.finding_index[name]].question}" for name in lesson.asked]
        found.append(meet(case, clinic, [*asked, f"answer: {lesson.answer}"]))
    return found


def arms_of(clinic: Clinic) -> dict[str, list[Record]]:
    hostile = [meet(case, clinic, [HOSTILE, f"question: {HOSTILE}?", "answer: A"]) for case in patients(clinic, 6)]
    return {
        "untrained": [as_record(one) for one in hostile],
        "random": [as_record(one) for one in taught(clinic, "random")],
        f"greedy {HOSTILE}": [as_record(one) for one in taught(clinic, "greedy", 0.9)],
    }


class Strict(HTMLParser):
    """Fails on a closing tag that does not match, and counts tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_figures_are_well_formed_escaped_and_say_that_patients_are_simulated(clinic: Clinic) -> None:
    figures = make_figures(arms_of(clinic), clinic)
    assert [figure.title for figure in figures] == [
        "Consultations", "Accuracy against questions", "What was asked and learned", "When the answer came",
    ]  # fmt: skip
    for figure in figures:
        strict = Strict(figure.html)
        assert strict.open == []
        assert "script" not in strict.seen
        assert "http" not in figure.html
        assert figure.caption.endswith(NOTE)
    assert "&lt;script&gt;alert(1)" in figures[0].html


def test_the_words_of_a_policy_are_escaped_in_its_transcript(clinic: Clinic) -> None:
    figure = make_figures({"untrained": arms_of(clinic)["untrained"]}, clinic)[0]
    # Both turns of the first patient: one that is no question, and a question that the patient cannot answer.
    first = figure.html.partition("</details>")[0]
    assert first.count("&lt;/details&gt;&lt;/section&gt;&lt;script&gt;") == 2
    assert "no question and no answer" in first
    assert "unclear: nothing the patient could know is asked for" in first


def test_without_a_belief_there_are_transcripts_and_conduct_and_a_line_about_the_rest(text_case: Case) -> None:
    clinic = Clinic(None, MedicalOptions(budget=2))
    record = as_record(meet(text_case, clinic, ["question: Do you have a fever?", "answer: A"]))
    figures = make_figures({"one": [record]}, clinic)
    assert [figure.title for figure in figures] == ["Consultations", "What was asked and learned"]
    assert "Not drawn: belief and calibration" in figures[0].caption
    assert "consult-bar" not in figures[0].html.partition("</style>")[2]
    assert "SIG" not in figures[0].html


def test_ddxplus_has_bars_and_calibration_but_no_scripted_policies(
    ddxplus_folder: Callable[[int], Path], tmp_path: Path
) -> None:
    build(str(ddxplus_folder(100)), tmp_path / "out", {})
    clinic = Clinic(tmp_path / "out", MedicalOptions(budget=2))
    cases = load_cases(tmp_path / "out", "test")
    records = [as_record(meet(case, clinic, ["question: Do you wheeze?", "answer: A"])) for case in cases]
    figures = make_figures({"one": records}, clinic)
    assert [figure.title for figure in figures] == [
        "Consultations",
        "What was asked and learned",
        "When the answer came",
    ]
    assert "Not drawn: accuracy against questions and scripted policies" in figures[0].caption
    assert '<div class="consult-bar' in figures[0].html


def test_a_budget_of_no_question_is_drawn(clinic: Clinic) -> None:
    mute = Clinic(clinic.data, MedicalOptions(budget=0))
    records = [as_record(meet(case, mute, ["answer: A"])) for case in patients(clinic, 24)]
    figures = make_figures({"mute": records, "late": [as_record(meet(patients(clinic, 1)[0], mute, ["hm"]))]}, mute)
    assert len(figures) == 4
    assert not re.search(r"\bnan\b", "".join(figure.html for figure in figures))


def test_texts_that_are_no_consultation_give_no_figure(clinic: Clinic) -> None:
    task = make_task(patients(clinic, 1)[0], "test", BUDGET)
    assert make_figures({"one": [Record(task, "answer: A", Score.malformed("no record"))], "two": []}, clinic) == []


def test_reference_curves_are_those_of_questioning(clinic: Clinic) -> None:
    kb, cases = table_of(clinic), patients(clinic, 24)
    courses = {course.name: course for course in reference_courses(kb, cases, BUDGET)}
    assert list(courses) == list(POLICIES)
    for name, course in courses.items():
        accuracy = evaluate(POLICIES[name], kb, cohort_of(kb, cases), BUDGET, np.random.default_rng(0))
        assert np.array(course.believed) / course.total == pytest.approx(accuracy)
        assert course.questions == (0 if name == "ask nothing" else BUDGET)
    # Greedy questions that were asked of the simulated patient lead along the same curve.
    consulted = course_of("consulted", taught(clinic, "greedy"), kb, BUDGET)
    assert consulted.believed == courses["greedy information gain"].believed
    assert consulted.right == consulted.believed[-1]


def test_course_counts_who_stopped_where_it_stopped(three_kb: KnowledgeBase, three_case: Callable[..., Case]) -> None:
    # Sign 1 is absent: 0.5 * 0.1, 0.3 * 0.4 and 0.2 * 0.7 make illness 2, at first the least probable, the most.
    case = replace(three_case((0, 1, 0)), answer="C")
    interview = Interview(case, SimulatedPatient(kb_matcher(three_kb)), 3)
    interview.step("question: Is sign 1 there?")
    interview.step("answer: A")
    course = course_of("one", [interview.record], three_kb, 3)
    assert (course.believed, course.questions, course.right, course.total) == ((0, 1, 1, 1), 1.0, 0, 1)
    cells = comparison_table([course], [])
    assert '<td class="number">0<br><small>0 to 0.793</small></td>' in cells
    assert '<td class="number">1<br><small>0.207 to 1</small></td>' in cells


def test_manners_of_turns_within_the_budget(clinic: Clinic) -> None:
    kb, case = table_of(clinic), patients(clinic, 1)[0]
    known = kb.findings[kb.finding_index[case.known_ids[0]]].question
    other, another = [finding.question for finding in kb.findings if finding.id not in case.known_ids][:2]
    both = f"question: {other[:-1]} and {another}"
    turns = [f"question: {other}", f"question: {known}", "hello", both, f"question: {another}"]
    consultation = meet(case, clinic, turns)
    assert consultation.done
    assert manners(consultation, clinic.matcher) == ["new", "repeated", "invalid", "unclear"]
    shares = manner_shares([consultation], clinic.matcher)
    assert shares == {"new": 0.25, "repeated": 0.25, "unclear": 0.25, "invalid": 0.25}
    assert manner_shares([meet(case, clinic, ["answer: A"])], clinic.matcher) == {}


def test_an_arm_that_asks_nothing_is_drawn(clinic: Clinic) -> None:
    html = conduct_html({"mute": [meet(case, clinic, ["answer: A"]) for case in patients(clinic, 24)]}, clinic)
    assert "asked nothing" in html
    assert Strict(html).open == []


def test_gains_by_turn() -> None:
    assert gain_of_turn([[0.4], [0.2, 0.1]], 3) == [(1.0, pytest.approx(0.3)), (2.0, pytest.approx(0.1))]
    assert gain_until([[0.4], [0.2, 0.1]], 2) == [(0.0, 0.0), (1.0, pytest.approx(0.3)), (2.0, pytest.approx(0.35))]


def test_belief_where_consultations_stopped(three_kb: KnowledgeBase, three_case: Callable[..., Case]) -> None:
    interview = Interview(three_case((0, 1, 0)), SimulatedPatient(kb_matcher(three_kb)), 3)
    interview.step("question: Is sign 1 there?")
    interview.step("answer: B")
    silent = Interview(three_case(), SimulatedPatient(kb_matcher(three_kb)), 0)
    silent.step("question: Is sign 1 there?")
    stopped = stops([interview.record, silent.record], NaiveBayesBelief(three_kb))
    assert stopped == [(pytest.approx(0.12 / (0.05 + 0.12 + 0.14)), False)]


def test_tenths_gather_beliefs() -> None:
    stopped = [(0.92, True), (0.98, False), (0.05, False), (1.0, True)]
    assert tenths(stopped) == [Tenth(0.05, 1, 0), Tenth(pytest.approx(2.9 / 3), 3, 2)]


def test_belief_bars_show_the_four_most_probable_and_tick_the_right_one() -> None:
    case = Case("c", (Fact("f", "A fact."),), (), "Which?", ("a", "b", "<c>", "d", "e"), "C")
    bars = belief_bars(case, np.array([0.1, 0.05, 0.3, 0.5, 0.05]))
    assert re.findall(r"<span>([^<]*)</span><div><i style=\"width:([\d.]*)%", bars) == [
        ("d", "50.0"), ("✓ &lt;c&gt;", "30.0"), ("a", "10.0"), ("b", "5.0"),
    ]  # fmt: skip


def test_the_arm_to_read_is_the_best_beside_the_one_before_it(clinic: Clinic) -> None:
    case = patients(clinic, 1)[0]
    right, wrong = meet(case, clinic, [f"answer: {case.answer}"]), meet(case, clinic, ["answer: nothing"])
    arms = {"untrained": [wrong, wrong], "sft": [right, wrong], "rl": [right, right], "shuffled": [right, wrong]}
    assert arms_to_read(arms) == ("rl", "sft")
    assert arms_to_read({"a": [right], "b": [wrong]}) == ("a", "b")
    assert arms_to_read({"a": [wrong], "b": [wrong]}) == ("b", "a")
    assert arms_to_read({"a": [wrong]}) == ("a", None)


def test_patients_to_read_are_one_of_each_kind(clinic: Clinic) -> None:
    cases = patients(clinic, 6)
    mine = [meet(case, clinic, [f"answer: {case.answer if row > 1 else 'none'}"]) for row, case in enumerate(cases)]
    other = [meet(case, clinic, [f"answer: {case.answer if row > 3 else 'none'}"]) for row, case in enumerate(cases)]
    chosen = [one.case.id for one, _ in patients_to_read(mine, other)]
    assert chosen == [cases[2].id, cases[4].id, cases[0].id]
    assert [beside for _, beside in patients_to_read(mine[:2], [])] == [None, None]


def test_labels_that_would_overlap_are_spread() -> None:
    assert spread([100.0, 104.0, 30.0], 400.0) == [100.0, 116.0, 30.0]
    assert spread([399.0, 398.0], 400.0) == [400.0, 384.0]
