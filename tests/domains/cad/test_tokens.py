"""Precise spans: the program's numbers and operations, and nothing that a policy could pad an answer with."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.cad.reading import write_answer
from domains.cad.tokens import OPERATIONS, precise_spans


def texts(answer: str) -> list[str]:
    return [answer[start:end] for start, end in precise_spans(answer)]


PLATE = """import cadquery as cq

width, h2 = 40.0, 1e-1  # 2 sizes
result = (
    cq.Workplane("XY")
    .box(width, 30, .5)
    .faces(">Z").workplane(offset=-0x10)
    .hole(d := 8)
)
name = f"plate {30:.2f} {width}" + '7'
"""


@pytest.mark.parametrize("think", [None, "a 12 by 30 plate, box(1, 2)"])
def test_numbers_and_called_operations_of_the_program_alone(think: str | None) -> None:
    expected = ["40.0", "1e-1", "box", "30", ".5", "workplane", "0x10", "hole", "8"]
    assert texts(write_answer(PLATE, think)) == expected
    assert texts(PLATE) == expected
    assert texts(PLATE.replace("\n", "\r\n")) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("box(1)", ["1"]),
        ("a.box", []),
        ("a.box (2)", ["box", "2"]),
        ("a.boxes(3)", ["3"]),
        ("box = a.circle\nbox(4)", ["4"]),
        ('"""5\n6"""\na.cut(b)', ["cut"]),
        ("Übermaß = 7; 漢 = '8'; é = 9", ["7", "9"]),
        ("x = 1_000 + 2j", ["1_000", "2j"]),
    ],
)
def test_where_a_name_is_an_operation(code: str, expected: list[str]) -> None:
    assert texts(code) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("a.box(1, 2\nb = 3", ["box", "1", "2", "3"]),
        ("x = 1\ny = 'open 2\nz = 3", ["1"]),
        ("x = 1\ny = '''open 2\nz = 3", ["1"]),
        ("if x:\n    y = 1\n  z = 2", ["1"]),
        ("x = 1 $ 2", ["1"]),
    ],
)
def test_code_that_does_not_tokenize_counts_up_to_the_error(code: str, expected: list[str]) -> None:
    assert texts(code) == expected


@pytest.mark.parametrize(
    "answer",
    ["", "<think>x = 1", "</think> 1 <think>", "```python\nx = 1", "```json\n[1]\n```", "<think>1</think> x = 2"],
)
def test_an_answer_without_a_program_has_no_spans(answer: str) -> None:
    assert precise_spans(answer) == []


def test_only_the_last_block_counts() -> None:
    answer = "```python\nx = 1\n```\nthen\n```python\ny = 2\n```\nand 3"
    assert texts(answer) == ["2"]
    twice = "```\nx = 1\n```\n" * 2
    assert precise_spans(twice) == [(twice.rindex("1"), twice.rindex("1") + 1)]


@given(st.text(alphabet="ab.()=+-'\"#\n\t \\{}[]0123456789e_é漢<>think/`", max_size=60) | st.text(max_size=40))
def test_any_text_gives_ordered_spans_of_numbers_and_operations(text: str) -> None:
    for answer in (text, f"```python\n{text}\n```"):
        reached = 0
        for start, end in precise_spans(answer):
            assert reached <= start < end <= len(answer)
            assert answer[start:end] in OPERATIONS or re.match(r"\.?[0-9]", answer[start:end])
            reached = end


def test_a_long_program_takes_linear_time() -> None:
    assert len(precise_spans("a.box(1)\n" * 10_000)) == 20_000
