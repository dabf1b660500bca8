"""The space group that a decoded crystal really has, measured with spglib.

spglib takes 26 ms for a four-atom rock salt and about 1 ms for most other cells. A crystal written in a group of the
full cubic point group m-3m has every operation that a lattice can have, so it can only gain pure translations; where
none is near, the written group is the measured one without a search.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import spglib

from domains.crystal.contacts import contacts
from domains.crystal.crystal import Crystal

SYMPREC = 0.1
"""Distance tolerance in angstrom: with it spglib finds Materials Project's own group number on MP-20."""

FIRST_FULL_CUBIC = 221
"""Groups from here to 230 have the point group m-3m."""

Relation = Literal["equal", "upgraded", "lost"]


@dataclass(frozen=True)
class MeasuredGroup:
    """The measured group number and how it relates to the written one.

    "upgraded": the atoms have more symmetry than written (a supergroup); "lost": spglib finds less or other symmetry,
    which happens where atoms nearly coincide.
    """

    number: int
    relation: Relation


@lru_cache(maxsize=16_384)
def measure_space_group(crystal: Crystal, symprec: float = SYMPREC) -> MeasuredGroup | None:
    """Return the measured space group, or None when spglib finds none (atoms closer than `symprec`).

    The primitive cell is searched, which is up to four times smaller than the conventional one.

    Args:
        crystal: the decoded crystal.
        symprec: distance tolerance in angstrom.
    """
    if crystal.sg >= FIRST_FULL_CUBIC and _has_no_more_translations(crystal, symprec):
        return MeasuredGroup(crystal.sg, "equal")
    cell = crystal.primitive
    atoms: Any = (cell.lattice, cell.frac, cell.numbers)
    try:
        found = spglib.get_symmetry_dataset(atoms, symprec=symprec)
    except spglib.SpglibError:
        return None
    if found is None:
        return None
    if found.number == crystal.sg:
        return MeasuredGroup(int(found.number), "equal")
    # Operations per primitive cell: those written by the group against those that the atoms have.
    written = len(crystal.group.rotations) // len(crystal.group.centring_vectors24)
    return MeasuredGroup(int(found.number), "upgraded" if len(found.rotations) > written else "lost")


def _has_no_more_translations(crystal: Crystal, symprec: float) -> bool:
    """Whether no translation, to twice the tolerance, maps the primitive cell onto itself (False: not sure)."""
    tolerance = 2 * symprec
    cell = crystal.primitive
    species, counts = np.unique(cell.numbers, return_counts=True)
    rarest = cell.frac[cell.numbers == species[counts.argmin()]]
    if len(rarest) == 1:
        return contacts(crystal)[0] > tolerance
    for shift in rarest[1:] - rarest[0]:
        moved = cell.frac + shift
        gap = moved[:, None, :] - cell.frac[None, :, :]
        far = np.linalg.norm((gap - np.round(gap)) @ cell.lattice, axis=2)
        far[cell.numbers[:, None] != cell.numbers[None, :]] = np.inf
        if (far.min(axis=1) <= tolerance).all():
            return False
    return contacts(crystal)[0] > tolerance
