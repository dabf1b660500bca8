"""Tokens of WyText for models made from scratch: every canonical text splits by longest match, in few tokens.

Rock salt without its formula line is 12 tokens: "SG 225⏎", "CELL", " 5.", "6", "4", "0", "⏎", "Na", " 4a", "⏎", "Cl",
" 4b".
"""

from __future__ import annotations

from domains.crystal.codec.base import MAX_LENGTH
from domains.crystal.element_facts import element_facts
from domains.crystal.wyckoff import GROUP_COUNT, wyckoff_labels


def wytext_tokens() -> tuple[str, ...]:
    """Return the tokens of both WyText variants, the cell first or last.

    They are: the group line with its newline; "CELL"; the integer part of a number with its space and point (" 0." to
    " 200.", lengths and angles share them); digits; chemical symbols; multiplicity and letter with its space (only
    those of the table); the newline.
    """
    groups = tuple(f"SG {number}\n" for number in range(1, GROUP_COUNT + 1))
    integers = tuple(f" {value}." for value in range(int(MAX_LENGTH) + 1))
    digits = tuple("0123456789")
    labels = tuple(f" {label}" for label in wyckoff_labels())
    return (*groups, "CELL", *integers, *digits, *element_facts(), *labels, "\n")
