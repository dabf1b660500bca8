"""Reading a model's text: the one rule by which an answer is found in what a policy wrote.

The text may hold one `<think>...</think>` block and must hold one `<answer>...</answer>` block after it.
Nothing else counts, so that no text can offer two answers and be judged by the better one:

===============================================  ==========================================
text                                             `extract_answer`
===============================================  ==========================================
``<think>a</think> so <answer> 42 </answer>.``   ``"42"`` (text outside the tags is ignored)
``<answer></answer>``                            ``""`` (read, and empty)
``42``                                           None; ``"42"`` with ``require_tags=False``
``<answer>1</answer><answer>2</answer>``         None: several answers
``<answer>1<answer>2</answer></answer>``         None: nested
``<answer>1``                                    None: unclosed
``<think><answer>1</answer></think>``            None: the answer is inside the thinking
``<answer>1</answer><think>a</think>``           None: thinking after the answer
``<Answer>1</Answer>``, ``＜answer＞1＜/answer＞``   None: a tag that only looks like one
===============================================  ==========================================

A chat template that opens `<think>` itself must have it put back in front of the completion.
The time is linear in the length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

TAGS = ("<think>", "</think>", "<answer>", "</answer>")

_TAG = re.compile("|".join(TAGS))
_OPENING = "<＜﹤‹〈⟨〈≺˂ᐸ"
_CLOSING = ">＞﹥›〉⟩〉≻˃ᐳ"
# Both quantifiers are bounded and the class excludes both kinds of bracket: no backtracking beyond 32 characters.
_LOOK_ALIKE = re.compile(f"[{_OPENING}]([^{_OPENING}{_CLOSING}]{{5,32}})[{_CLOSING}]")
_TAG_NAMES = {tag[1:-1] for tag in TAGS}
# Letters of other scripts that are drawn like those of "think" and "answer" and survive NFKC.
_HOMOGLYPHS = str.maketrans("аɑαηոпѕꜱԝѡеєгһіιıкκтτ∕⁄⧸", "aaannnsswweerhiiikktt///")


@dataclass(frozen=True)
class Sections:
    """The parts of a text; `answer` is None exactly when `problem` says what is wrong with it."""

    think: str | None
    answer: str | None
    problem: str = ""


def extract_answer(text: str, require_tags: bool = True) -> str | None:
    """Return the inside of the single answer block, stripped, or None when the text is malformed.

    Args:
        text: what the policy wrote.
        require_tags: when False, a text that holds no tag at all is the answer itself.
    """
    sections = parse_sections(text)
    if sections.answer is None and not require_tags and sections.problem == NO_TAG:
        return text.strip()
    return sections.answer


NO_TAG = "no <answer> tag"


def parse_sections(text: str) -> Sections:
    """Split a text into thinking and answer; a malformed text has answer None and a one-line problem.

    Example:
        >>> parse_sections("<think>6*7</think><answer>42</answer>")
        Sections(think='6*7', answer='42', problem='')
        >>> parse_sections("<answer>1</answer><answer>2</answer>").problem
        'more than one <answer> tag'
    """
    tags = []
    for match in _TAG.finditer(text):
        tags.append(match)
        if len(tags) > len(TAGS):
            break
    names = [match.group() for match in tags]
    look_alike = look_alike_tag(text)
    if look_alike is not None:
        return Sections(None, None, f"{look_alike!r} looks like a tag but is none")
    if not names:
        return Sections(None, None, NO_TAG)
    if names == ["<answer>", "</answer>"]:
        return Sections(None, text[tags[0].end() : tags[1].start()].strip())
    if names == list(TAGS):
        think = text[tags[0].end() : tags[1].start()].strip()
        return Sections(think, text[tags[2].end() : tags[3].start()].strip())
    return Sections(None, None, _problem(names))


def _problem(names: list[str]) -> str:
    for tag in TAGS:
        if names.count(tag) > 1:
            return f"more than one {tag} tag"
    for name in ("think", "answer"):
        opened, closed = f"<{name}>" in names, f"</{name}>" in names
        if opened != closed:
            return f"<{name}> is never closed" if opened else f"</{name}> was never opened"
    if "<answer>" not in names:
        return "no <answer> after </think>"
    return "tags out of order: " + " ".join(names)


def look_alike_tag(text: str) -> str | None:
    """Return the first piece of a text that a reader would take for one of `TAGS` and that is none, or None."""
    for match in _LOOK_ALIKE.finditer(text):
        if match.group() not in TAGS and _folded(match.group(1)) in _TAG_NAMES:
            return match.group()
    return None


def _folded(name: str) -> str:
    """Reduce what stands between brackets to what a reader sees: no case, marks, spaces or invisible characters."""
    plain = unicodedata.normalize("NFKD", name).casefold().translate(_HOMOGLYPHS)
    return "".join(char for char in plain if unicodedata.category(char) not in _UNSEEN)


_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Mn", "Me", "Zs", "Zl", "Zp"})
