"""From atoms to Wyckoff sites: the space group by spglib, the positions by the exact orbits of the table."""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domains.crystal.codec.base import MAX_ATOMS
from domains.crystal.crystal import Crystal, Site
from domains.crystal.element_facts import element_facts
from domains.crystal.wyckoff import (
    FloatArray,
    SpaceGroup,
    WyckoffPosition,
    cell_parameter_names,
    full_cell,
    space_group,
)
from sciRL.errors import UserError

if TYPE_CHECKING:
    from pymatgen.core import Structure

_EXACT = 1e-4
"""Fractional deviation below which an idealised atom lies on a position."""


def crystal_from_structure(structure: Structure, symprec: float = 0.1) -> Crystal:
    """Return the idealised crystal of a structure in the table's setting.

    Args:
        structure: an ordered pymatgen structure (oxidation states and other site properties are ignored).
        symprec: spglib's distance tolerance in angstrom.

    Raises:
        UserError: disordered sites, elements beyond Lr, more than 400 atoms, or no symmetry found at `symprec`.
    """
    atoms = (np.asarray(structure.lattice.matrix), np.asarray(structure.frac_coords), _atomic_numbers(structure))
    return crystal_from_atoms(*atoms, symprec=symprec, where=f"structure {structure.composition.reduced_formula}")


def crystal_from_atoms(
    lattice: FloatArray, frac: FloatArray, numbers: NDArray[np.int64], *, symprec: float, where: str
) -> Crystal:
    """Return the idealised crystal of atoms: lattice [3,3] (rows, angstrom), fractions [n,3], atomic numbers [n].

    `where` names the structure in the `UserError` that is raised when it has no symmetry or too many atoms.
    """
    import spglib

    # spglib's annotations ask for nested lists; it takes arrays.
    cell: Any = (lattice, frac, numbers)
    try:
        dataset = spglib.get_symmetry_dataset(cell, symprec=symprec)
        if dataset is not None and dataset.hall_number != space_group(dataset.number).hall:
            hall = space_group(dataset.number).hall
            dataset = spglib.get_symmetry_dataset(cell, symprec=symprec, hall_number=hall)
    except spglib.SpglibError as error:
        raise UserError(f"{where}: spglib finds no symmetry at symprec {symprec:g} A ({error})") from error
    if dataset is None:
        raise UserError(f"{where}: spglib finds no symmetry at symprec {symprec:g} A")
    if len(dataset.std_types) > MAX_ATOMS:
        raise UserError(f"{where}: {len(dataset.std_types)} atoms in the conventional cell; at most {MAX_ATOMS}")
    number = int(dataset.number)
    lengths_angles = full_cell(number, _free_parameters(number, np.asarray(dataset.std_lattice)))
    atoms = (np.asarray(dataset.std_positions), np.asarray(dataset.std_types, dtype=np.int64))
    sites = sites_of_atoms(space_group(number), *atoms, tolerance=_EXACT)
    if sites is None:
        # Where spglib cannot idealise the positions it leaves them up to symprec away.
        loose = symprec / float(np.linalg.norm(dataset.std_lattice, axis=1).min())
        sites = sites_of_atoms(space_group(number), *atoms, tolerance=loose)
    if sites is None:
        raise UserError(f"{where}: the atoms do not fill Wyckoff positions of group {number} at symprec {symprec:g} A")
    return Crystal(number, lengths_angles, sites)


def p1_crystal(structure: Structure) -> Crystal:
    """Return a structure as it stands as a crystal of group 1: every atom is a site."""
    symbols = {facts.z: symbol for symbol, facts in element_facts().items()}
    sites = tuple(
        Site(symbols[int(number)], "a", 1, tuple(float(value) % 1.0 for value in point))
        for number, point in zip(_atomic_numbers(structure), structure.frac_coords, strict=True)
    )
    a, b, c, alpha, beta, gamma = (float(value) for value in structure.lattice.parameters)
    return Crystal(1, (a, b, c, alpha, beta, gamma), sites)


def sites_of_atoms(
    group: SpaceGroup, frac: FloatArray, numbers: NDArray[np.int64], tolerance: float
) -> tuple[Site, ...] | None:
    """Return the Wyckoff sites of atoms ([n,3], atomic numbers [n]) in the group's setting.

    None when the atoms are not a union of whole orbits within `tolerance` (fractional units).
    """
    symbols = {facts.z: symbol for symbol, facts in element_facts().items()}
    left = list(range(len(frac)))
    sites = []
    while left:
        found = locate(group, _orbit(group, frac[left[0]], tolerance), tolerance)
        if found is None:
            return None
        position, coords = found
        same = [index for index in left if numbers[index] == numbers[left[0]]]
        gap = frac[same][:, None, :] - position.orbit(coords)[None, :, :]
        members = (np.abs(gap - np.round(gap)).max(axis=2) < 2 * tolerance).any(axis=1)
        if int(members.sum()) != position.multiplicity:
            return None
        sites.append(Site(symbols[int(numbers[left[0]])], position.letter, position.multiplicity, coords))
        taken = {index for index, member in zip(same, members, strict=True) if member}
        left = [index for index in left if index not in taken]
    return tuple(sites)


def locate(group: SpaceGroup, orbit: FloatArray, tolerance: float) -> tuple[WyckoffPosition, tuple[float, ...]] | None:
    """Return the position of the multiplicity of a full orbit [m,3] that the orbit lies on, with free coordinates."""
    for position in group.positions.values():
        if position.multiplicity == len(orbit):
            coords = position.solve(orbit, tolerance)
            if coords is not None:
                return position, coords
    return None


def origin_variants(crystal: Crystal) -> list[Crystal]:
    """Return the same crystal at the other equivalent origins of its group, without the given one.

    The shifts tried are multiples of 1/4 (of 1/3 on hexagonal axes) that map the group onto itself. Rock salt has one
    variant: Na 4a, Cl 4b becomes Na 4b, Cl 4a. In the free directions of polar groups only these shifts are tried.
    """
    group = crystal.group
    variants: list[Crystal] = []
    for shift24 in _origin_shifts(group):
        sites = []
        for site in crystal.sites:
            found = locate(group, (group.positions[site.letter].orbit(site.coords) + shift24 / 24.0) % 1.0, _EXACT)
            if found is None:
                break
            position, coords = found
            # Digits beyond those of any text are noise of the shift.
            coords = tuple(round(value, 6) % 1.0 for value in coords)
            sites.append(Site(site.element, position.letter, position.multiplicity, coords))
        else:
            variants.append(Crystal(crystal.sg, crystal.cell, tuple(sites)))
    return variants


@cache
def _origin_shifts(group: SpaceGroup) -> list[NDArray[np.int64]]:
    """Return the shifts (24ths) that leave the group's operations unchanged, one per class of lattice vectors."""
    hexagonal = 143 <= group.number <= 194
    plane = (0, 8, 16) if hexagonal else (0, 6, 12, 18)
    operations = {(w.tobytes(), t.tobytes()) for w, t in zip(group.rotations, group.translations24, strict=True)}
    seen: set[bytes] = {(vector % 24).tobytes() for vector in group.centring_vectors24}
    shifts = []
    for values in product(plane, plane, (0, 6, 12, 18)):
        shift = np.array(values, dtype=np.int64)
        if shift.tobytes() in seen:
            continue
        # x -> x + s turns (W, t) into (W, t + s - W s).
        moved = (group.translations24 + shift - group.rotations @ shift) % 24
        if all((w.tobytes(), t.tobytes()) in operations for w, t in zip(group.rotations, moved, strict=True)):
            shifts.append(shift)
            seen.update(((vector + shift) % 24).tobytes() for vector in group.centring_vectors24)
    return shifts


def _orbit(group: SpaceGroup, point: FloatArray, tolerance: float) -> FloatArray:
    """Return the distinct images [m,3] of a point under the group, the point itself first."""
    images = (group.rotations @ point + group.translations24 / 24.0) % 1.0
    gap = images[:, None, :] - images[None, :, :]
    same = np.abs(gap - np.round(gap)).max(axis=2) < tolerance
    distinct: FloatArray = images[same.argmax(axis=1) == np.arange(len(images))]
    return distinct


def _free_parameters(number: int, lattice: FloatArray) -> list[float]:
    """Return the free cell parameters of a standardised lattice [3,3], averaged over those symmetry makes equal."""
    lengths = np.linalg.norm(lattice, axis=1)
    a, b, c = (float(length) for length in lengths)
    if number >= 75:
        a = (a + b) / 2 if number <= 194 else (a + b + c) / 3
    cosines = (lattice @ lattice.T) / np.outer(lengths, lengths)
    angles = [math.degrees(math.acos(max(-1.0, min(1.0, float(cosines[i, j]))))) for i, j in ((1, 2), (0, 2), (0, 1))]
    values = dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), (a, b, c, *angles), strict=True))
    return [values[name] for name in cell_parameter_names(number)]


def _atomic_numbers(structure: Structure) -> NDArray[np.int64]:
    """Return the atomic numbers [n] of an ordered structure; `UserError` names the first site that has none."""
    numbers = []
    largest = len(element_facts())
    for index, site in enumerate(structure):
        species = list(site.species)
        if not site.is_ordered or not 1 <= (z := int(getattr(species[0], "Z", 0))) <= largest:
            raise UserError(
                f"structure {structure.composition.reduced_formula}, site {index + 1}: found {site.species_string}; "
                "every site must hold one element from H to Lr"
            )
        numbers.append(z)
    return np.array(numbers, dtype=np.int64)
