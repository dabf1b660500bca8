"""The knowledge base: the embedded table keeps its promises, and every wrong line is named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.medical.cohort import cohort_of, make_case, sample_cohort
from domains.medical.kb import EMBEDDED, KnowledgeBase, parse_kb
from sciRL.errors import UserError

SMALL = """# a comment
F fever | Have you had a fever? | 0.02 | high temperature; feverish
F cough | Do you cough? | 0.05
D flu | influenza | c | A: fever ; S: cough
D cold | common cold | vc | C: cough
R bad | fever cough
"""


def test_embedded_table_is_large_and_its_diseases_are_distinct(kb: KnowledgeBase) -> None:
    assert len(kb.diseases) >= 40
    assert kb.indistinct_pairs(findings=2, gap=0.3) == []
    assert len(kb.red_flags) >= 5
    used = {name for disease in kb.diseases for name in disease.causes}
    assert used == set(kb.finding_index)
    head = EMBEDDED.read_text().splitlines()[:3]
    assert any("Research software, not medical advice; not reviewed by clinicians" in line for line in head)


def test_it_extends_the_smaller_table(kb: KnowledgeBase, shared_data: Path) -> None:
    small = KnowledgeBase.load(shared_data / "medical" / "toy_kb.txt")
    assert (len(small.diseases), len(small.findings)) == (29, 68)
    assert small.indistinct_pairs() == []
    ours = {disease.id: disease for disease in kb.diseases}
    assert all(ours[disease.id] == disease for disease in small.diseases)


def test_noisy_or_and_prior() -> None:
    kb = parse_kb(SMALL, "small")
    assert kb.p == pytest.approx(np.array([[1 - 0.08 * 0.98, 1 - 0.6 * 0.95], [0.02, 1 - 0.3 * 0.95]]))
    assert kb.prior == pytest.approx([1 / 3, 2 / 3])
    assert kb.findings[0].aliases == ("high temperature", "feverish")
    assert kb.red_flags == {"bad": ("fever", "cough")}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("D x | ill | c | A: fever sneeze", "line 7: 'x' shows the unknown finding 'sneeze'"),
        ("D x | ill | c | Z: fever", "line 7: 'Z: fever' is no class with findings; the classes are A, C, S, U, R"),
        ("D x | ill | c | A fever", "line 7: 'A fever' is no class"),
        ("D x | ill | rare | A: fever", "line 7: the prior class of 'x' is 'rare'; allowed are vc, c, u, r"),
        ("D x | ill | c | A: fever ; C: fever", "line 7: 'x' lists the finding 'fever' twice"),
        ("D flu | ill | c | A: fever", "line 7: the disease 'flu' stands on line 4 already"),
        ("D x | Influenza | c | A: fever", "line 7: the disease name 'Influenza' stands on line 4 already"),
        ("D x | ill | c", "line 7: a disease is 'D id"),
        ("D 3x | ill | c | A: fever", "line 7: '3x' is no id"),
        ("F fever | Fever? | 0.1", "line 7: the finding 'fever' stands on line 2 already"),
        ("F x | X? | high", "line 7: the leak of 'x' is 'high'"),
        ("F x | X? | 1", "line 7: the leak of 'x' is '1'"),
        ("F x | X? | nan", "line 7: the leak of 'x' is 'nan'"),
        ("F x | X | 0.1", "line 7: the question of 'x' is 'X'; it must end with"),
        ("F x | X? | 0.1 | a;;b", "line 7: 'x' has an empty alias"),
        ("F x | X?", "line 7: a finding is 'F id"),
        ("F x | X? | 0.1 | Feverish", "line 7: 'Feverish' asks for the finding 'fever' already"),
        ("F x | do you cough? | 0.1", "line 7: 'do you cough\\?' asks for the finding 'cough' already"),
        ("R alone | fever", "line 7: a red flag is"),
        ("R odd | fever rash", "line 7: the red flag 'odd' has the unknown finding 'rash'"),
        ("fever is bad", "line 7: begins with 'fever'; allowed are F, D, R and #"),
    ],
)
def test_wrong_lines_are_named(line: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse_kb(SMALL + line, "small.txt")
    assert str(caught.value).startswith("small.txt: ")


@given(st.lists(st.text(alphabet="FDR |:;?#.019ACfevrcough \t", max_size=40), max_size=5))
def test_any_text_is_a_table_or_a_named_error(lines: list[str]) -> None:
    kb, message = None, "table: line 0: "
    try:
        kb = parse_kb(SMALL + "\n".join(lines), "table")
    except UserError as error:
        message = str(error)
    assert re.match(r"table: line \d+: ", message)
    assert kb is None or (len(kb.diseases) >= 2 and ((kb.p > 0) & (kb.p < 1)).all())


def test_a_table_needs_two_diseases_and_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="0 diseases and 0 findings"):
        parse_kb("# nothing", "empty")
    with pytest.raises(UserError, match=r"none\.txt: cannot be read"):
        KnowledgeBase.load(tmp_path / "none.txt")


def test_drawn_cases_are_a_function_of_seed_and_index(kb: KnowledgeBase) -> None:
    first, again, other = make_case(kb, 5, 1), make_case(kb, 5, 1), make_case(kb, 6, 1)
    assert first == again
    assert first.facts != other.facts
    assert len(first.facts) == len(kb.findings)
    assert [fact.value for fact in first.facts if fact.id in first.known_ids] == [True]


def test_options_are_drawn_around_the_truth(kb: KnowledgeBase) -> None:
    cases = [make_case(kb, index, 0, options=4, min_present=3) for index in range(40)]
    assert {len(case.options) for case in cases} == {4}
    assert len({case.answer for case in cases}) == 4
    assert all(sum(fact.value is True for fact in case.facts) >= 3 for case in cases)
    truth = {disease.id: disease.name for disease in kb.diseases}
    assert all(case.answer_text == truth[case.meta["disease"]] for case in cases)
    with pytest.raises(UserError, match="options=1: allowed are 2 to"):
        make_case(kb, 0, 0, options=1)


def test_cohorts_follow_the_table(kb: KnowledgeBase) -> None:
    cohort = sample_cohort(kb, np.random.default_rng(0), 20_000)
    shares = np.bincount(cohort.disease, minlength=len(kb.diseases)) / len(cohort)
    assert np.abs(shares - kb.prior).max() < 0.01
    cold = kb.disease_index["common cold"]
    found = cohort.present[cohort.disease == cold].mean(axis=0)
    assert np.abs(found - kb.p[cold]).max() < 0.06
    assert (cohort.known.sum(axis=1) == cohort.present.any(axis=1)).all()
    assert not (cohort.known & ~cohort.present).any()
    with pytest.raises(UserError, match="min_present=100"):
        sample_cohort(kb, np.random.default_rng(0), 2, min_present=100)


def test_cases_as_a_cohort(kb: KnowledgeBase) -> None:
    cases = [make_case(kb, index, 0, options=3) for index in range(5)]
    cohort = cohort_of(kb, cases)
    assert [kb.diseases[row].name for row in cohort.disease] == [case.answer_text for case in cases]
    assert cohort.candidates.sum(axis=1).tolist() == [3] * 5
    assert cohort.present[2].tolist() == [fact.value for fact in cases[2].facts]
