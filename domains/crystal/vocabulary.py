"""Tokens of WyText for models made from scratch: every canonical text splits by longest match, in few tokens.

Rock salt without its formula line is 14 tokens: "SG 225⏎", "CELL", " 5.", "6", "4", "0", "⏎", "Na", " 4", "a", "⏎",
"Cl", " 4", "b". Multiplicity and letter are apart because letters mean the same in every group (a is the most special
position).
"""

from __future__ import annotations

from domains.crystal.codec.base import MAX_LENGTH
from domains.crystal.element_facts import element_facts
from domains.crystal.wyckoff import GROUP_COUNT, wyckoff_labels


def wytext_tokens() -> tuple[str, ...]:
    """Return the tokens of both WyText variants, the cell first or last.

    They are: the group line with its newline; "CELL"; the integer part of a number with its space and point (" 0." to
    " 200.", lengths and angles share them); digits; chemical symbols; the multiplicities of the table with their
    space; Wyckoff letters; the newline.
    """
    groups = tuple(f"SG {number}\n" for number in range(1, GROUP_COUNT + 1))
    integers = tuple(f" {value}." for value in range(int(MAX_LENGTH) + 1))
    digits = tuple("0123456789")
    labels = wyckoff_labels()
    multiplicities = sorted({int(label[:-1]) for label in labels})
    letters = sorted({label[-1] for label in labels})
    return (*groups, "CELL", *integers, *digits, *element_facts(), *(f" {m}" for m in multiplicities), *letters, "\n")
