"""New structures from known ones by exchanging elements for similar ones, the cell scaled to the new radii."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from domains.crystal.chemistry import neutrality
from domains.crystal.codec import WyText
from domains.crystal.conversion import row_of
from domains.crystal.crystal import Crystal
from domains.crystal.element_facts import element_facts
from domains.crystal.rows import CrystalRow
from domains.crystal.sources import SourceRow

RADIUS_WIDTH = 0.12
"""Relative difference of covalent radii at which a substitute's weight has fallen to exp(-1/2)."""

NEGATIVITY_WIDTH = 0.25
"""Difference of Pauling electronegativities at which a substitute's weight has fallen to exp(-1/2)."""

MAX_Z = 83
"""Elements beyond bismuth are not used as substitutes: they are radioactive and rare in the data."""


@cache
def substitutes(symbol: str) -> tuple[tuple[str, float], ...]:
    """Return (element, weight) for every element that may replace `symbol`, itself included with weight 1.

    A substitute shares an oxidation state, is a metal when `symbol` is one, and lies within two widths in
    covalent radius and electronegativity: weight exp(-(dr^2 + dx^2) / 2) in those widths.
    """
    facts = element_facts()
    old = facts[symbol]
    found = [(symbol, 1.0)]
    for new in facts.values():
        if new.symbol == symbol or new.z > MAX_Z or new.metal != old.metal or not set(new.states) & set(old.states):
            continue
        if old.electronegativity is None or new.electronegativity is None:
            continue
        radius = (new.radius - old.radius) / old.radius / RADIUS_WIDTH
        negativity = (new.electronegativity - old.electronegativity) / NEGATIVITY_WIDTH
        if abs(radius) <= 2 and abs(negativity) <= 2:
            found.append((new.symbol, math.exp(-(radius**2 + negativity**2) / 2)))
    return tuple(found)


class Substitution:
    """A seeded generator over parent rows: item `index` of a seed is the same for ever.

    Example: from the parent NaCl (SG 225, a = 5.640) an item may be KBr (SG 225, a = 6.5): same letters, same free
    coordinates, lengths multiplied by the sum of the new covalent radii over the sum of the old.
    """

    def __init__(self, parents: Sequence[CrystalRow]) -> None:
        self._parents = tuple(parents)
        self._codec = WyText()

    def make(self, index: int, seed: int) -> CrystalRow | None:
        """Return item `index`, or None when its draw is the parent itself or has no charge-neutral states."""
        generator = random.Random(f"substitution {seed} {index}")
        parent = self._parents[generator.randrange(len(self._parents))]
        crystal = self._codec.decode(parent.text)
        mapping: dict[str, str] = {}
        for symbol in crystal.elements:
            choices = [item for item in substitutes(symbol) if item[0] not in mapping.values()]
            if not choices:
                return None
            mapping[symbol] = generator.choices([name for name, _ in choices], [weight for _, weight in choices])[0]
        if all(old == new for old, new in mapping.items()):
            return None
        changed = substitute(crystal, mapping)
        if not neutrality(changed.composition).neutral:
            return None
        origin = SourceRow(f"sub-{seed}-{index}", "wytext", "", source=f"substitution of {parent.id}")
        return row_of(changed, origin)


def substitute(crystal: Crystal, mapping: dict[str, str]) -> Crystal:
    """Return `crystal` with its elements renamed and its lengths scaled by the sum of covalent radii."""
    facts = element_facts()
    old = sum(count * facts[symbol].radius for symbol, count in crystal.composition.items())
    new = sum(count * facts[mapping[symbol]].radius for symbol, count in crystal.composition.items())
    a, b, c = (round(length * new / old, 3) for length in crystal.cell[:3])
    sites = tuple(replace(site, element=mapping[site.element]) for site in crystal.sites)
    return replace(crystal, cell=(a, b, c, *crystal.cell[3:]), sites=sites)
