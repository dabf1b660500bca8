"""The closest contacts of a crystal, using its symmetry."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from domains.crystal.crystal import Crystal
from domains.crystal.element_facts import element_facts
from domains.crystal.geometry import closest_contacts

UNKNOWN_RADIUS = 2.6
"""Covalent radius in angstrom of the elements after Lr, which have none: that of the largest atoms."""


@lru_cache(maxsize=16_384)
def contacts(crystal: Crystal) -> tuple[float, float]:
    """Return the shortest distance (angstrom) and the smallest share of the covalent radii sum, images included.

    One atom per Wyckoff site is measured against the primitive cell: by symmetry that covers every distance.
    """
    facts = element_facts()
    counts = [len(crystal.group.primitive_rows(site.letter)) for site in crystal.sites]
    rows = [0, *np.cumsum(counts)[:-1].tolist()]
    radii = [facts[s.element].radius if s.element in facts else UNKNOWN_RADIUS for s in crystal.sites]
    cell = crystal.primitive
    return closest_contacts(cell.lattice, cell.frac, np.repeat(radii, counts), rows)
