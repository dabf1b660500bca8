"""From a policy's text to the program it means: one rule, so that no text can offer two programs.

A text may hold one `<think>...</think>` block; after it, the last fenced code block is the program. Code inside the
thinking never counts. Without a fence a text is no program, unless bare code is allowed (models made from scratch),
and then a text that holds neither tag nor fence is the program itself.

===================================================  =======================================
text                                                 `read_code`
===================================================  =======================================
``<think>a</think>`` and one ```` ```python ```` block      the block
two blocks                                           the last
an open fence at the end                             None: the block is never closed
``<think>`` that is never closed                     None
``result = 1`` with bare code                        the text
===================================================  =======================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sciRL.verification.parsing import look_alike_tag

MAX_CHARACTERS = 200_000
"""A longer text is not read: no honest program comes near it, and every later step is linear in it."""

# Possessive: the parts share no character, and a fence with a megabyte of spaces must not be split in every way.
_FENCE = re.compile(r"^[ \t]{0,3}```[ \t]*+([A-Za-z0-9_+-]*+)[ \t]*+$", re.MULTILINE)
_LANGUAGES = ("", "python", "py", "python3", "cadquery")


@dataclass(frozen=True)
class Reading:
    """The program of a text; `code` is None exactly when `problem` says why there is none."""

    code: str | None
    think: str = ""
    problem: str = ""


def read_code(text: str, bare: bool = False) -> Reading:
    """Return the program that a policy's text offers, or why there is none; never raises.

    Args:
        text: what the policy wrote.
        bare: whether a text without tags and fences is itself the program.

    Example:
        >>> read_code("<think>a cube</think>\\n```python\\nresult = 1\\n```").code
        'result = 1\\n'
        >>> read_code("result = 1").problem
        'no fenced code block'
    """
    if len(text) > MAX_CHARACTERS:
        return Reading(None, problem=f"{len(text)} characters; at most {MAX_CHARACTERS} are read")
    imitation = look_alike_tag(text)
    if imitation is not None:
        return Reading(None, problem=f"{imitation!r} looks like a tag but is none")
    opened, closed = text.count("<think>"), text.count("</think>")
    if opened > 1 or closed > 1:
        return Reading(None, problem="more than one <think> tag" if opened > 1 else "more than one </think> tag")
    if opened != closed:
        return Reading(None, problem="<think> is never closed" if opened else "</think> was never opened")
    think, rest = "", text
    if opened:
        before, _, inside = text.partition("<think>")
        think, _, rest = inside.partition("</think>")
        if "</think>" in before:
            return Reading(None, problem="</think> before <think>")
    return _read_block(rest, think.strip(), bare and not opened)


def _read_block(text: str, think: str, bare: bool) -> Reading:
    code, start, language = None, -1, ""
    for fence in _FENCE.finditer(text):
        if start < 0:
            start, language = fence.end() + 1, fence.group(1).lower()
        elif not fence.group(1):
            if language in _LANGUAGES:
                code = text[start : fence.start()]
            start = -1
    if start >= 0:
        return Reading(None, think, "the code block is never closed")
    if code is not None:
        return Reading(code, think)
    if bare and text.strip():
        return Reading(text if text.endswith("\n") else text + "\n")
    return Reading(None, think, "no code" if bare else "no fenced code block")


def write_answer(code: str, think: str | None) -> str:
    """Return an answer in the form that `read_code` reads; `think` None leaves out the thinking."""
    block = f"```python\n{code.strip()}\n```"
    return block if think is None else f"<think>\n{think.strip()}\n</think>\n{block}"
