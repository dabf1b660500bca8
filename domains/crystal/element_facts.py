"""Element facts that verifiers need (mass, radius, electronegativity, oxidation states), without importing pymatgen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).parent / "tables" / "element_facts.json"


@dataclass(frozen=True)
class ElementFacts:
    """Facts of one element.

    `mass` is in atomic mass units, `radius` the covalent radius in angstrom, `electronegativity` on Pauling's
    scale (None where there is none), `states` the oxidation states other than 0 that are common or seen in the ICSD.
    """

    symbol: str
    z: int
    mass: float
    radius: float
    electronegativity: float | None
    metal: bool
    states: tuple[int, ...]


@cache
def element_facts() -> dict[str, ElementFacts]:
    """Return the facts of the elements H to Lr by symbol."""
    rows = json.loads(_TABLE.read_text(encoding="utf-8"))["elements"]
    return {
        symbol: ElementFacts(
            symbol=symbol,
            z=row["z"],
            mass=row["mass"],
            radius=row["radius"],
            electronegativity=row["electronegativity"],
            metal=row["metal"],
            states=tuple(row["states"]),
        )
        for symbol, row in rows.items()
    }
