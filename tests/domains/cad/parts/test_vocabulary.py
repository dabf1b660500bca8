"""Vocabulary: programs, prompts and reasoning of all families split by longest match, in few tokens."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from statistics import mean

import pytest

from domains.cad.design import parse_design
from domains.cad.design_code import design_to_code
from domains.cad.parts.catalogue import (
    FAMILIES,
    FRAME,
    describe,
    describe_ambiguous,
    describe_distracted,
    make_part,
    parameter_line,
    rebuild_part,
)
from domains.cad.parts.family import LEVELS, REGIONS
from domains.cad.parts.vocabulary import code_tokens, prompt_tokens
from domains.cad.parts.wording import UNITS

TOKENS = tuple(dict.fromkeys((*code_tokens(), *prompt_tokens())))
PATTERN = re.compile("|".join(re.escape(token) for token in sorted(TOKENS, key=len, reverse=True)))
CODE = re.compile("|".join(re.escape(token) for token in sorted(code_tokens(), key=len, reverse=True)))


def split(text: str, pattern: re.Pattern[str] = PATTERN) -> list[str]:
    """Longest-match split; text that no token covers raises."""
    tokens, at = [], 0
    while at < len(text):
        token = pattern.match(text, at)
        if token is None:
            raise ValueError(f"no token for {text[at : at + 20]!r} in {text!r}")
        tokens.append(token.group())
        at = token.end()
    return tokens


def test_tokens_are_distinct_and_numbers_come_in_digits() -> None:
    assert max(Counter(code_tokens()).values()) == max(Counter(prompt_tokens()).values()) == 1
    assert split("hole: d=12.5 through at (-20,8)") == [
        "hole: d=", "1", "2", ".", "5", " through", " at (", "-", "2", "0", ",", "8", ")"
    ]  # fmt: skip
    assert len(TOKENS) < 700
    assert len(code_tokens()) < 80


def test_two_thousand_parts_split_in_few_tokens() -> None:
    rng = random.Random(0)
    sizes: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index in range(2000):
        name = tuple(FAMILIES)[index % len(FAMILIES)]
        part = make_part(name, rng, REGIONS[index % 3])
        found = sizes[name]
        found["code"].append(len(split(part.code, CODE)))
        found["design"].append(len(split(f"{part.design}\n")))
        found["line"].append(len(split(f"{parameter_line(part)}\n")))
        found["expert"].append(len(split(describe(part, "expert", "mm", rng) + "\n")))
        split(part.reasoning)
        split(part.code)
    assert max(max(found["code"]) for found in sizes.values()) < 140
    assert max(max(found["line"]) for found in sizes.values()) < 50
    assert sum(mean(found["design"]) < 80 for found in sizes.values()) >= 12
    assert all(mean(found["expert"]) < 80 for found in sizes.values())


@pytest.mark.parametrize("name", FAMILIES)
def test_all_wordings_split(name: str) -> None:
    rng = random.Random(name)
    for index in range(12):
        part = make_part(name, rng, REGIONS[index % 3])
        for units in UNITS:
            split(describe_ambiguous(part, units, rng).text)
            for level in LEVELS:
                split(f"{describe(part, level, units, rng)} {FRAME}\n\n{part.design}\n")
                split(describe_distracted(part, level, units, rng))


@pytest.mark.parametrize(
    "text",
    [
        "base: box x=20 y=30 z=10.125 r=2 at (5,-3,2) corner\nshell: t=1.5 open=top\nhole: d=3 depth=5 axis=y at (2,7)",
        "base: cylinder d=20 h=30 axis=x at (0,0,0)\nhole: d=2 through axis=x at (1,-1) (2,2)",
        "base: revolve (0,0) (10,0) (6,8) (0,12)\nhole: d=3 through n=3 circle=10\ncut: prism w=3 (0,0) (9,0.5) (0,3)",
        "base: hexagon flats=20 h=10 at (3,0,0)\nslot: x=8 y=2 at (4,4) (4,-4)\nslot: x=2 y=8 at (0,0)",
        "base: ring outer=20 inner=10 h=4 at (0,0,0)\nadd: ring outer=20 inner=9 h=3 at (1,0,4)\n"
        "hole: d=2 through n=2x3 pitch=(9,7)",
    ],
)
def test_designs_of_users_split(text: str) -> None:
    design = parse_design(text)
    assert str(design) == text
    assert "".join(split(f"{text}\n")) == f"{text}\n"
    split(design_to_code(design), CODE)


def test_the_spacer_is_fourteen_tokens() -> None:
    part = rebuild_part("spacer", {"outer_d": 20, "inner_d": 10, "height": 5})
    assert split(part.code, CODE) == [
        'import cadquery as cq\n\nresult = cq.Workplane("XY")', ".circle(", "2", "0", " / 2).extrude(", "5", ")",
        "\nresult = result", '.faces(">Z").workplane()', ".hole(", "1", "0", ")", "\n",
    ]  # fmt: skip


def test_the_tokenizer_of_the_backbone_agrees() -> None:
    from sciRL.models.tiny import tokenizer_from_tokens

    tokenizer = tokenizer_from_tokens(TOKENS)
    for name in FAMILIES:
        part = make_part(name, random.Random(9))
        for text in (part.code, f"{part.design}\n", part.reasoning):
            ids = tokenizer.encode(text, add_special_tokens=False)
            assert tokenizer.convert_ids_to_tokens(ids) == split(text)
