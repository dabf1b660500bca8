"""One rule finds the program of a text, and hostile texts never offer two."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.cad.reading import MAX_CHARACTERS, read_code, write_answer

CODE = "result = 1"


def block(code: str, language: str = "python") -> str:
    return f"```{language}\n{code}\n```"


def test_the_last_block_after_the_thinking_is_the_program() -> None:
    text = f"<think>{block('a = 0')}</think>\nfirst\n{block('b = 1')}\nthen\n{block('c = 2', 'py')}\nDone."
    reading = read_code(text)
    assert reading.code == "c = 2\n"
    assert "a = 0" in reading.think


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (CODE, "no fenced code block"),
        (f"<think>{block(CODE)}", "<think> is never closed"),
        (f"</think>{block(CODE)}", "</think> was never opened"),
        (f"<think>a</think><think>b</think>{block(CODE)}", "more than one <think> tag"),
        (f"<think>{block(CODE)}</think>", "no fenced code block"),
        (f"</think>{block(CODE)}<think>", "</think> before <think>"),
        (f"```python\n{CODE}", "the code block is never closed"),
        (block(CODE, "bash"), "no fenced code block"),
        (f"＜think＞{block(CODE)}", "looks like a tag"),
        ("x" * (MAX_CHARACTERS + 1), "at most"),
        ("", "no fenced code block"),
    ],
)
def test_other_texts_hold_no_program_and_say_why(text: str, problem: str) -> None:
    reading = read_code(text)
    assert reading.code is None
    assert problem in reading.problem


@pytest.mark.parametrize("text", ["```" + " " * 199_990 + "!", "```python" + "\t" * 199_990, "``` " * 49_990])
def test_a_long_text_is_read_in_linear_time(text: str) -> None:
    began = time.process_time()
    assert read_code(text).code is None
    # Trying every split of the spaces took minutes.
    assert time.process_time() - began < 2.0


def test_bare_code_is_a_program_only_where_it_is_allowed_and_untagged() -> None:
    assert read_code(CODE, bare=True).code == CODE + "\n"
    assert read_code(f"<think>a</think>{CODE}", bare=True).code is None
    assert read_code(" \n", bare=True).problem == "no code"


@given(st.text(), st.booleans())
def test_any_text_is_read_without_an_exception(text: str, bare: bool) -> None:
    reading = read_code(text, bare)
    assert (reading.code is None) == bool(reading.problem)


@given(st.text(alphabet=st.characters(exclude_characters="`<>\r\x85\u2028\u2029", codec="utf-8"), min_size=1))
def test_a_written_answer_reads_back(code: str) -> None:
    wanted = code.strip()
    for think in (None, "why"):
        reading = read_code(write_answer(code, think))
        if wanted:
            assert reading.code is not None
            assert reading.code.strip() == wanted
