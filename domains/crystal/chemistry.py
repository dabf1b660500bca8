"""Chemistry of a composition: reduced counts and charge neutrality, with a bounded enumerator.

Charge neutrality follows SMACT (Davies et al., Chem 1, 617 (2016)): some choice of one oxidation state per element
must sum to zero; elements alone and alloys of metals pass without one. Unlike SMACT, one metal of the formula may
hold two of its states (Fe3O4 = Fe2+ 2 Fe3+ 4 O2-), because mixed valence is common among real oxides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import gcd

from domains.crystal.element_facts import element_facts

MAX_COMBINATIONS = 100_000
"""Limit on the partial sums that one composition may cost; beyond it the answer is 'not decided', never a hang."""

KEPT_ASSIGNMENTS = 8
"""Assignments remembered for each partial charge: enough to find one that passes Pauling's test."""

_TERM = re.compile(r"(?P<element>[A-Z][a-z]?)(?P<count>[0-9]{0,6})|(?P<open>\()|\)(?P<times>[0-9]{0,6})")


@dataclass(frozen=True)
class Neutrality:
    """The verdict of `neutrality`: `kind` is "unary", "metallic", "ionic", "mixed_valence", "none" or "undecided".

    `states` holds the oxidation states found (two for the mixed-valence element); `pauling` says whether every
    cation is less electronegative than every anion in that assignment (None when there is none to test).
    """

    neutral: bool
    kind: str
    states: tuple[tuple[str, tuple[int, ...]], ...] = ()
    pauling: bool | None = None


def reduced_counts(composition: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return (element, count) sorted by symbol, counts divided by their greatest common divisor.

    Example:
        >>> reduced_counts({"O": 8, "Ti": 4})
        (('O', 2), ('Ti', 1))
    """
    divisor = gcd(*composition.values()) if composition else 1
    return tuple(sorted((element, count // divisor) for element, count in composition.items()))


def composition_key(composition: Mapping[str, int]) -> str:
    """Return a text that is equal for equal reduced compositions, whatever the order of the elements."""
    return " ".join(f"{element}{count}" for element, count in reduced_counts(composition))


def parse_formula(formula: str) -> dict[str, int] | None:
    """Read a formula with integer counts and groups ("SrTiO3", "Ti4 Ni4 Sn4", "Y(GaCo)6"); anything else gives None.

    Example:
        >>> parse_formula("Ca(OH)2")
        {'Ca': 1, 'O': 2, 'H': 2}
    """
    text = "".join(formula.split())
    if not text.isascii() or len(text) > 1000:
        return None
    stack: list[dict[str, int]] = [{}]
    end = 0
    for match in _TERM.finditer(text):
        element, count = match["element"], int(match["count"] or match["times"] or 1)
        if match.start() != end or count == 0 or (element and element not in element_facts()):
            return None
        end = match.end()
        if element:
            stack[-1][element] = stack[-1].get(element, 0) + count
        elif match["open"]:
            stack.append({})
        elif len(stack) == 1 or not stack[-1]:
            return None
        else:
            for inner, amount in stack.pop().items():
                stack[-1][inner] = stack[-1].get(inner, 0) + amount * count
    return stack[0] if len(stack) == 1 and stack[0] and end == len(text) else None


def neutrality(composition: Mapping[str, int]) -> Neutrality:
    """Decide whether a composition can be charge neutral.

    Args:
        composition: atoms by element symbol; only the ratio matters.

    Example:
        >>> neutrality({"Na": 4, "Cl": 4}).neutral, neutrality({"Na": 1, "Cl": 2}).neutral
        (True, False)
    """
    return _neutrality(reduced_counts(composition))


@lru_cache(maxsize=65536)
def _neutrality(counts: tuple[tuple[str, int], ...]) -> Neutrality:
    facts = element_facts()
    if any(element not in facts for element, _ in counts):
        return Neutrality(False, "none")
    if len(counts) == 1:
        return Neutrality(True, "unary")
    if all(facts[element].metal for element, _ in counts):
        return Neutrality(True, "metallic")
    budget = MAX_COMBINATIONS
    fallback: Neutrality | None = None
    # One state per element first; then each metal in turn may mix two of its states.
    for mixed in (None, *(element for element, _ in counts if facts[element].metal)):
        solutions, budget = _assignments(counts, mixed, budget)
        kind = "ionic" if mixed is None else "mixed_valence"
        for states in solutions:
            verdict = Neutrality(True, kind, states, _pauling(states))
            if verdict.pauling:
                return verdict
            fallback = fallback or verdict
        if fallback is not None:
            return fallback
        if budget <= 0:
            return Neutrality(False, "undecided")
    return Neutrality(False, "none")


Assignment = tuple[tuple[str, tuple[int, ...]], ...]


def _options(element: str, count: int, mixed: bool) -> dict[int, list[tuple[int, ...]]]:
    """Return the total charges that `count` atoms of an element may carry, each with the states behind it."""
    states = element_facts()[element].states
    totals: dict[int, list[tuple[int, ...]]] = {}
    if not mixed:
        for state in states:
            totals.setdefault(state * count, []).append((state,))
        return totals
    for low, high in combinations(states, 2):
        if low * high > 0:
            for n_low in range(1, min(count, 1000)):
                choices = totals.setdefault(low * n_low + high * (count - n_low), [])
                if len(choices) < KEPT_ASSIGNMENTS:
                    choices.append((low, high))
    return totals


def _assignments(counts: tuple[tuple[str, int], ...], mixed: str | None, budget: int) -> tuple[list[Assignment], int]:
    """Return the neutral assignments (at most `KEPT_ASSIGNMENTS` a partial charge) and what is left of the budget."""
    partial: dict[int, list[Assignment]] = {0: [()]}
    for element, count in counts:
        options = _options(element, count, element == mixed)
        grown: dict[int, list[Assignment]] = {}
        for charge, heads in partial.items():
            for total, choices in options.items():
                budget -= 1
                if budget <= 0:
                    return [], 0
                kept = grown.setdefault(charge + total, [])
                if len(kept) >= KEPT_ASSIGNMENTS:
                    continue
                room = KEPT_ASSIGNMENTS - len(kept)
                new = [(*head, (element, states)) for head in heads for states in choices[:room]][:room]
                kept.extend(new)
                budget -= len(new)
        partial = grown
    return partial.get(0, []), budget


def _pauling(states: Assignment) -> bool | None:
    """Whether every cation is less electronegative than every anion; None when an electronegativity is unknown."""
    cations: list[float] = []
    anions: list[float] = []
    for element, values in states:
        electronegativity = element_facts()[element].electronegativity
        if electronegativity is None:
            return None
        (cations if values[0] > 0 else anions).append(electronegativity)
    return not cations or not anions or max(cations) < min(anions)
