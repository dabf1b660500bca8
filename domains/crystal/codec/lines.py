"""Line reading that the fixed-layout codecs share."""

from __future__ import annotations

import re
from collections.abc import Callable

from domains.crystal.codec.base import CodecError
from domains.crystal.crystal import Crystal

MAX_CHARACTERS = 40_000
"""Longest text that is read; 400 atoms with all coordinates need about 12,000 characters."""

# [0-9] and not \d, which would accept the digits of other scripts.
NUMBER = r"-?[0-9]{1,3}(?:\.[0-9]{1,8})?"
_NUMBERS = re.compile(rf"{NUMBER}(?: {NUMBER})*")
_FORMULA = re.compile(r"(?:[A-Z][a-z]?[1-9][0-9]{0,3}){1,40}")
_FORMULA_PART = re.compile(r"([A-Z][a-z]?)([0-9]+)")


def split_lines(text: str, minimum: int, maximum_characters: int = MAX_CHARACTERS) -> list[str]:
    """Return the lines of a text (one final newline is dropped); raises E_SIZE or E_SHORT."""
    if len(text) > maximum_characters:
        raise CodecError("E_SIZE", 1, f"{len(text)} characters", f"at most {maximum_characters} characters")
    lines = text.removesuffix("\n").split("\n")
    if len(lines) < minimum:
        raise CodecError("E_SHORT", len(lines), f"{len(lines)} lines", f"at least {minimum} lines")
    return lines


def read_numbers(text: str, count: int) -> tuple[float, ...] | None:
    """Return `count` numbers separated by single spaces, or None for any other text."""
    if not _NUMBERS.fullmatch(text):
        return None
    values = tuple(float(value) for value in text.split(" "))
    return values if len(values) == count else None


def read_formula(line: str) -> dict[str, int] | None:
    """Return the counts of a formula such as "Na4Cl4"; None for other text or an element named twice."""
    if not _FORMULA.fullmatch(line):
        return None
    parts = _FORMULA_PART.findall(line)
    counts = {element: int(count) for element, count in parts}
    return counts if len(counts) == len(parts) else None


def write_formula(counts: dict[str, int]) -> str:
    """Return the formula of counts in their order, for example "Na4Cl4"."""
    return "".join(f"{element}{count}" for element, count in counts.items())


def share_before_error(decode: Callable[[str], Crystal], text: str) -> float:
    """Return the share of lines before the first bad one: 1.0 when `decode(text)` gives a crystal."""
    try:
        decode(text)
    except CodecError as error:
        whole_text = error.code in ("E_SHORT", "E_SIZE")
        return 0.0 if whole_text else (error.line - 1) / max(1, text.count("\n") + 1)
    return 1.0
