"""Rules of parts one can make: sizes in half-millimetre steps, and enough material around every hole and pocket."""

from __future__ import annotations

import math
import random

from sciRL.errors import UserError

STEP = 0.5
"""Sizes are multiples of this (mm)."""
MIN_WALL = 1.5
"""Least thickness of material (mm)."""
MARGIN = 2.0
"""Least material between a hole and an edge (mm)."""


def draw(rng: random.Random, low: float, high: float) -> float:
    """Draw a size from the multiples of `STEP` in [low, high].

    Raises:
        UserError: there is none.
    """
    first, last = math.ceil(low / STEP - 1e-9), math.floor(high / STEP + 1e-9)
    if first > last:
        raise UserError(f"no multiple of {STEP} mm lies between {low:g} and {high:g}")
    return rng.randint(first, last) * STEP


def material(where: str, found: float, least: float = MIN_WALL) -> None:
    """Refuse a part with less than `least` mm of material somewhere."""
    if found < least - 1e-9:
        raise UserError(f"{where}: found {found:g} mm of material; allowed is at least {least:g} mm")


def fillet(name: str, radius: float, thinnest: float) -> None:
    """Refuse a fillet that is not smaller than half of the thinnest section it rounds."""
    if radius >= thinnest / 2:
        raise UserError(f"{name}: found {radius:g} mm; allowed is less than half of the {thinnest:g} mm it rounds")
