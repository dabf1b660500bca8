"""The space group that a decoded crystal really has, measured with spglib."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import spglib

from domains.crystal.crystal import Crystal

SYMPREC = 0.1
"""Distance tolerance in angstrom: with it spglib finds Materials Project's own group number on MP-20."""

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
    cell = crystal.primitive
    try:
        atoms: Any = (cell.lattice, cell.frac, cell.numbers)
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
