"""Cases: round trips, and one clear message for each way in which a case can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.medical.rows import load_cases
from domains.medical.schema import Case, Fact, option_labels
from sciRL.errors import UserError

WORDS = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip(" .?!:;,\t\n\r\x0b\x0c")))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    keys = draw(st.lists(WORDS, min_size=1, max_size=6, unique=True))
    values = st.one_of(st.booleans(), st.text(max_size=5))
    facts = tuple(Fact(f"id-{i}", draw(st.text(max_size=20)), f"key {key}", draw(values)) for i, key in enumerate(keys))
    known = tuple(fact.id for fact in facts if draw(st.booleans()))
    options = tuple(f"{letter} {draw(WORDS)}" for letter in "pqrst"[: draw(st.integers(2, 5))])
    answer = draw(st.sampled_from(option_labels(len(options))))
    return Case(draw(st.text()), facts, known, draw(st.text()), options, answer, {"note": draw(st.text())})


@given(cases())
def test_json_round_trip(case: Case) -> None:
    line = case.to_json()
    assert "\n" not in line
    assert Case.from_json(line) == case
    assert Case.from_json(line).mask(case.known_ids).tolist() == case.known.tolist()


def test_labels_go_on_after_z() -> None:
    assert option_labels(28)[-3:] == ("Z", "AA", "AB")


def changed(case: Case, **values: Any) -> dict[str, Any]:
    return {**case.to_dict(), **values}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"known_ids": ["f9"]}, "known_ids names 'f9'; allowed are 'f1', 'f2'"),
        ({"answer": "E"}, "answer is 'E'; allowed are 'A', 'B', 'C', 'D'"),
        ({"options": ["Gout", "gout."]}, "two options are equal"),
        ({"options": ["Gout"]}, "1 options; allowed are 2 to 702"),
        ({"facts": []}, "no facts"),
        ({"facts": [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}], "known_ids": []}, "'a' is used twice"),
        ({"facts": [{"id": "a", "words": "x"}]}, r"fact 1: missing \['text'\], unknown \['words'\]"),
        ({"facts": [{"id": "a", "text": "x", "value": 3}]}, "value true, false or a string"),
        ({"facts": {}}, "facts must be of type list"),
        ({"question": None}, "question must be of type str; found None"),
        ({"meta": {"world": "flat"}}, "meta.world is 'flat'; allowed: closed, open"),
    ],
)
def test_wrong_cases_say_what_was_found(text_case: Case, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Case.from_dict(changed(text_case, **change))
    assert "case 'exam'" in str(caught.value)


def test_contradictory_facts_are_refused() -> None:
    facts = (Fact("a", "Fever.", "fever", True), Fact("b", "No fever.", "fever", False))
    with pytest.raises(UserError, match="'a' and 'b' contradict each other: 'fever' is True and False"):
        Case("c", facts, (), "q", ("x", "y"), "A")


def test_unknown_and_missing_keys() -> None:
    with pytest.raises(UserError, match=r"missing \['answer', .*\], unknown \['diagnosis'\]"):
        Case.from_dict({"id": "x", "diagnosis": "y"})
    with pytest.raises(UserError, match="a JSON object is needed; found list"):
        Case.from_dict([])  # type: ignore[arg-type]


def test_a_malformed_line_is_named_with_its_file(tmp_path: Path, text_case: Case) -> None:
    lines = [text_case.to_json(), json.dumps(changed(text_case, answer="Q"))]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"train\.jsonl: line 2: not a case: case 'exam': answer is 'Q'"):
        load_cases(tmp_path, "train")


def test_the_group_is_that_of_the_facts(text_case: Case, three_case: Callable[..., Case]) -> None:
    other = Case.from_dict(changed(text_case, id="other", question="Which drug?", known_ids=["f2"]))
    assert other.group == text_case.group
    assert three_case((1, 1, 0)).group != three_case((1, 1, 1)).group
