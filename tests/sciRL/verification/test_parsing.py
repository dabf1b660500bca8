"""The rule by which an answer is found: one reading for every text, and none for a text that offers two."""

from __future__ import annotations

import doctest
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciRL.verification import parsing
from sciRL.verification.parsing import TAGS, Sections, extract_answer, parse_sections


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>42</answer>", "42"),
        ("<think>6*7</think>\n<answer>\n 42 \n</answer><|im_end|>", "42"),
        ("so <answer>a < b > c, 2 <3> </answer> done", "a < b > c, 2 <3>"),
        ("<think></think><answer></answer>", ""),
        ("<b>bold</b> <answer>1</answer> [answer]2[/answer]", "1"),
        ("<answer>thinking of an answer</answer>", "thinking of an answer"),
    ],
)
def test_well_formed(text: str, answer: str) -> None:
    assert extract_answer(text) == answer == extract_answer(text, require_tags=False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<answer>1</answer><answer>2</answer>", "more than one <answer> tag"),
        ("<answer>1<answer>2</answer></answer>", "more than one <answer> tag"),
        ("<answer>1</answer></answer>", "more than one </answer> tag"),
        ("<think>a</think><think>b</think><answer>1</answer>", "more than one <think> tag"),
        ("<answer>1", "<answer> is never closed"),
        ("1</answer>", "</answer> was never opened"),
        ("</answer>1<answer>", "out of order"),
        ("<think>a<answer>1</answer>", "<think> is never closed"),
        ("a</think><answer>1</answer>", "</think> was never opened"),
        ("<think>a</think> 1", "no <answer> after </think>"),
        ("<think><answer>1</answer></think>", "out of order"),
        ("<think>a<answer></think>1</answer>", "out of order"),
        ("<answer><think>a</think>1</answer>", "out of order"),
        ("<answer>1</answer><think>a</think>", "out of order"),
        ("<think>like <answer>0</answer></think><answer>1</answer>", "more than one <answer> tag"),
    ],
)
def test_malformed_whatever_the_mode(text: str, problem: str) -> None:
    assert problem in parse_sections(text).problem
    assert extract_answer(text) is None
    assert extract_answer(text, require_tags=False) is None


@pytest.mark.parametrize(
    "tag",
    [
        "<Answer>", "<ANSWER>", "< answer>", "<answer >", "<an\u200bswer>", "＜answer＞", "﹤answer﹥", "<аnswer>",
        "‹answer›", "⟨answer⟩", "<ａｎｓｗｅｒ>", "<𝐚𝐧𝐬𝐰𝐞𝐫>", "<ánswer>", "</ answer>", "<\u2060/answer>", "<think\n>",
        "<THINK>",
    ],
)  # fmt: skip
def test_a_tag_that_only_looks_like_one_spoils_the_text(tag: str) -> None:
    for text in (f"{tag}1</answer>", f"<answer>1</answer>{tag}", f"<answer>1{tag}</answer>", tag):
        assert "looks like a tag" in parse_sections(text).problem
        assert extract_answer(text, require_tags=False) is None


def test_text_without_tags_is_an_answer_only_when_allowed() -> None:
    assert extract_answer(" 42 ") is None
    assert extract_answer(" 42 ", require_tags=False) == "42"
    assert extract_answer("", require_tags=False) == ""


PIECES = st.sampled_from([*TAGS, "<Answer>", "x", " ", "<", ">", "/", "answer", "1\n"])
PLAIN = st.text().filter(lambda text: not re.search("[<>‹›⟨⟩＜＞]", text))


@given(st.lists(PIECES, max_size=9).map("".join))
def test_an_answer_is_read_exactly_from_the_two_legal_shapes(text: str) -> None:
    tags = re.findall("</?(?:think|answer)>", text)
    legal = tags in (["<answer>", "</answer>"], list(TAGS)) and "<Answer>" not in text
    sections = parse_sections(text)
    assert (sections.answer is not None) == legal == (sections.problem == "")
    if legal:
        assert sections.answer == re.split("</?answer>", text)[1].strip()


@given(PLAIN, PLAIN, PLAIN)
def test_what_is_written_is_read_back(think: str, answer: str, around: str) -> None:
    text = f"{around}<think>{think}</think>{around}<answer>{answer}</answer>{around}"
    assert parse_sections(text) == Sections(think.strip(), answer.strip())
    assert extract_answer(answer, require_tags=False) == answer.strip()


@given(st.text())
def test_any_text_is_read_without_an_exception(text: str) -> None:
    sections = parse_sections(text)
    assert (sections.answer is None) == bool(sections.problem)


@pytest.mark.parametrize(
    "unit",
    ["<", ">", "<answer>", "<aaaaaa", "<thinkk>", "＜ａｎｓｗｅｒｒ＞", "< " * 16, "</answer><answer>", "\u0301"],
)
def test_time_is_linear(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    began = time.process_time()
    for hostile in (text, f"<answer>{text}</answer>", f"<think>{text}</think><answer>1</answer>"):
        parse_sections(hostile)
    assert time.process_time() - began < 6


def test_the_examples_of_the_docstrings() -> None:
    assert doctest.testmod(parsing).failed == 0
