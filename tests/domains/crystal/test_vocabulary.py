"""WyText tokens: every canonical text splits by longest match, in few tokens."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from domains.crystal.codec import WyText
from domains.crystal.tables import read_table
from domains.crystal.vocabulary import wytext_tokens

PROTOTYPES = [json.loads(line) for line in read_table("prototypes.jsonl").splitlines()]
TOKENS = wytext_tokens()
KNOWN = frozenset(TOKENS)
LONGEST = max(len(token) for token in TOKENS)


def split(text: str) -> list[str]:
    """Longest-match split; a character that no token starts with raises."""
    found, at = [], 0
    while at < len(text):
        size = next((n for n in range(LONGEST, 0, -1) if text[at : at + n] in KNOWN), None)
        if size is None:
            raise ValueError(f"no token for {text[at : at + 10]!r}")
        found.append(text[at : at + size])
        at += size
    return found


def test_tokens_are_unique() -> None:
    assert max(Counter(TOKENS).values()) == 1
    multiplicities, letters = 17, 27
    assert len(TOKENS) == 230 + 1 + 201 + 10 + 103 + multiplicities + letters + 1


@pytest.mark.parametrize("formula_line", [True, False])
@pytest.mark.parametrize("cell_last", [True, False])
def test_every_prototype_splits(formula_line: bool, cell_last: bool) -> None:
    codec = WyText(formula_line, cell_last)
    for row in PROTOTYPES:
        text = codec.canonical(WyText().decode(row["text"]))
        assert "".join(split(text)) == text


def test_widest_numbers_split() -> None:
    text = "SG 1\nCELL 200.000 100.125 99.999 120.00 90.55 100.01\nLr 1a 0.999 0.000 0.100"
    crystal = WyText(formula_line=False).decode(text)
    assert split(WyText(formula_line=False).canonical(crystal))[1:3] == ["CELL", " 200."]
    assert split("Mn24\nSG 47\n")[:4] == ["Mn", "2", "4", "\n"]
    assert split("SG 47\nCELL 5.000 6.000 7.000\nS 8A 0.100 0.200 0.300")[-15:-12] == ["S", " 8", "A"]


def test_rock_salt_is_fourteen_tokens() -> None:
    text = "SG 225\nCELL 5.640\nNa 4a\nCl 4b"
    assert split(text) == ["SG 225\n", "CELL", " 5.", *"640", "\n", "Na", " 4", "a", "\n", "Cl", " 4", "b"]
