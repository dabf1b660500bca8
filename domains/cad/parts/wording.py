"""Words for numbers: units, sentences with their numbers filled in, left out, or beside numbers that mean nothing."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from domains.cad.design_features import number

Units = Literal["mm", "cm", "inch"]
UNITS: tuple[Units, ...] = get_args(Units)
INCH = 25.4
"""Millimetres in an inch, exactly."""
SIXTY_FOURTHS = 64

VAGUE_LENGTH, VAGUE_COUNT = "to suit", "some"
"""What stands where a number was left out."""

DISTRACTORS = (
    "Order 40 pieces.",
    "It replaces drawing 2071, revision 3.",
    "It has to carry a load of 120 kg at 60 degrees.",
    "The part it is fixed to, not drawn here, is {other} thick.",
    "An earlier version was {other} larger; that no longer holds.",
    "It is packed in boxes of 24.",
)
"""Sentences whose numbers say nothing of the part; `other` is a length that no parameter has."""

_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Unit:
    """How lengths are written: the label after the number, the number itself, and a note at the end of the text."""

    label: str
    write: Callable[[float], str]
    note: str = ""


def _centimetres(length: float) -> str:
    return number(float(Fraction(str(length)) / 10))


def _inches(length: float) -> str:
    """Return inches to the nearest 1/64, as "2 3/8"; never zero."""
    parts = max(1, round(Fraction(str(length)) / Fraction(str(INCH)) * SIXTY_FOURTHS))
    whole, rest = divmod(parts, SIXTY_FOURTHS)
    fraction = str(Fraction(rest, SIXTY_FOURTHS)) if rest else ""
    return " ".join(filter(None, (str(whole) if whole else "", fraction)))


UNIT: Mapping[Units, Unit] = {
    "mm": Unit("mm", number),
    "cm": Unit("cm", _centimetres),
    "inch": Unit("in", _inches, " Inches are rounded to the nearest 1/64."),
}


def fill(template: str, values: Mapping[str, float | int], units: Units, leave_out: str | None = None) -> str:
    """Return a sentence with its numbers: lengths with their unit, counts bare; `leave_out` is put vaguely.

    Example:
        >>> fill("length {length}, {count} holes", {"length": 9.5, "count": 3}, "inch")
        'length 3/8 in, 3 holes Inches are rounded to the nearest 1/64.'
        >>> fill("length {length}, {count} holes", {"length": 9.5, "count": 3}, "mm", "length")
        'length to suit, 3 holes'
    """
    unit = UNIT[units]

    def write(name: str) -> str:
        value = values[name]
        if name == leave_out:
            return VAGUE_COUNT if isinstance(value, int) else VAGUE_LENGTH
        return str(value) if isinstance(value, int) else f"{unit.write(value)} {unit.label}"

    text = _FIELD.sub(lambda match: write(match.group(1)), template)
    return text + (unit.note if _FIELD.search(template) else "")


def fields_of(template: str) -> tuple[str, ...]:
    """Return the names of a sentence's fields, in order."""
    return tuple(_FIELD.findall(template))


def distraction(values: Mapping[str, float | int], units: Units, rng: random.Random) -> str:
    """Return a sentence whose number says nothing of the part."""
    taken = set(values.values())
    other = next(length for length in iter(lambda: rng.randint(10, 400) / 2, None) if length not in taken)
    unit = UNIT[units]
    return rng.choice(DISTRACTORS).replace("{other}", f"{unit.write(other)} {unit.label}")
