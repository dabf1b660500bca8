"""Tokens for models made from scratch: programs, designs, parameter lines, descriptions and reasoning in few tokens.

Numbers are spelt digit by digit, so that a model sees what a number is made of; everything else comes in the largest
pieces that recur. The spacer's program is 14 tokens: the header with its first work plane, ".circle(", "2", "0",
" / 2).extrude(", "5", ")", the next statement, its work plane, ".hole(", "1", "0", ")" and the newline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import get_args

from domains.cad.design import SHAPES
from domains.cad.design_code import HEADER, SIDES
from domains.cad.design_features import Frame, Role
from domains.cad.parts.catalogue import FAMILIES, FRAME
from domains.cad.parts.family import descriptions
from domains.cad.parts.wording import DISTRACTORS, UNIT, VAGUE_COUNT, VAGUE_LENGTH

NUMBER_TOKENS = (*"0123456789", ".", "-")

_PIECES_OF_CODE = (
    "import cadquery as cq",
    "\nresult = result",
    "\n",
    ", ",
    ")",
    "))",
    "), (",
    ")])",
    ".rect(",
    ", centered=False)",
    ".circle(",
    " / 2)",
    " / 2, ",
    " / 2, both=True)",
    ".polygon(6, ",
    ", circumscribed=True)",
    ".polyline([(",
    ".close()",
    ".extrude(",
    ").extrude(",
    " / 2).extrude(",
    ").circle(",
    " / 2).circle(",
    ".revolve()",
    '.edges("|Z").fillet(',
    ".union(",
    ".cut(",
    '.faces(">Z").shell(',
    ".pushPoints([(",
    ".rarray(",
    ".polarArray(",
    ", 0, 360, ",
    ".hole(",
    ".slot2D(",
    ", 90",
    ").cutThruAll()",
    ".copyWorkplane(",
)

_PIECES_OF_DESIGN = (
    "\n",
    "hole: d=",
    "slot: x=",
    "shell: t=",
    " open=top",
    " x=",
    " y=",
    " z=",
    " r=",
    " d=",
    " h=",
    " w=",
    " flats=",
    " outer=",
    " inner=",
    " through",
    " depth=",
    " axis=x",
    " axis=y",
    " n=",
    "x",
    " pitch=",
    " pitch=(",
    " circle=",
    " at (",
    " at (0,0)",
    " at (0,0,",
    " at (0,0,0)",
    " (",
    ",",
    ",0)",
    ")",
    ") (",
)

_WORD = re.compile(r"[A-Za-z]+ ?|[^\w{}] ?")
_SIGNS = (" ", "/", ". ", ".")
_FIELD = re.compile(r"\{\w+\}")


@lru_cache(maxsize=1)
def code_tokens() -> tuple[str, ...]:
    """Return the tokens of programs: header, calls with their parentheses, punctuation, digits."""
    planes = [f'cq.Workplane("{plane}"' for _, plane in SIDES.values()]
    first = [f"{HEADER}result = {plane}" for plane in planes]
    ends = (")", ", origin=(")
    sides = [
        f'.faces("{side}").workplane({origin})' for side, _ in SIDES.values() for origin in ("", "origin=(0, 0, 0)")
    ]
    opened = [start + end for start in (*first, *planes) for end in ends]
    return _distinct([*opened, *sides, *_PIECES_OF_CODE, *NUMBER_TOKENS])


@lru_cache(maxsize=1)
def prompt_tokens() -> tuple[str, ...]:
    """Return the tokens of prompts and thinking: designs, parameter lines, descriptions of all levels, reasoning."""
    blocks = [f"{role}: {shape}" for role in get_args(Role) for shape in SHAPES]
    lines = [*blocks, *(f" {frame}" for frame in get_args(Frame)), *_PIECES_OF_DESIGN]
    names = [(family.name, list(family.Parameters.__dataclass_fields__)) for family in FAMILIES.values()]
    heads = [f"{family} {parameters[0]}=" for family, parameters in names]
    fields = [f" {name}=" for _, parameters in names for name in parameters[1:]]
    return _distinct([*lines, *heads, *fields, *_words(_sentences()), *_units(), *_SIGNS, *NUMBER_TOKENS])


def _sentences() -> Iterator[str]:
    """Yield every sentence with its fields: descriptions, what may stand beside them, reasoning."""
    for levels in descriptions().values():
        for templates in levels.values():
            yield from templates
    for family in FAMILIES.values():
        yield from family.steps
    yield from (*DISTRACTORS, *(unit.note for unit in UNIT.values()), FRAME)
    for vague in (VAGUE_LENGTH, VAGUE_COUNT):
        yield from (vague, f"{vague} ")


def _words(sentences: Iterable[str]) -> Iterator[str]:
    """Yield words and signs, each with the space that follows it."""
    for sentence in sentences:
        for part in _FIELD.split(sentence):
            found = _WORD.findall(part.strip(" "))
            yield from found
            if part.endswith(" "):
                yield f"{found[-1]} " if found else " "


def _units() -> Iterator[str]:
    """Yield units with the space before them and, where a word follows, the one after."""
    for unit in UNIT.values():
        yield from (f" {unit.label}", f" {unit.label} ")


def _distinct(tokens: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tokens))
