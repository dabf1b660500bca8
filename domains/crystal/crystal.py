"""Crystal: space group, cell and Wyckoff sites, with numpy views of the conventional and the primitive cell.

>>> salt = Crystal(225, (5.64, 5.64, 5.64, 90.0, 90.0, 90.0), (Site("Na", "a", 4, ()), Site("Cl", "b", 4, ())))
>>> salt.reduced_formula, salt.n_atoms, salt.template
('NaCl', 8, '225:a-b')
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from domains.crystal.element_facts import element_facts
from domains.crystal.wyckoff import LETTERS, FloatArray, SpaceGroup, space_group

if TYPE_CHECKING:
    from pymatgen.core import Structure

# Formulas that chemistry does not reduce further (pymatgen's convention).
_UNREDUCED = {
    "LiO": "Li2O2", "NaO": "Na2O2", "KO": "K2O2", "HO": "H2O2", "CsO": "Cs2O2", "RbO": "Rb2O2",
    "O": "O2", "N": "N2", "F": "F2", "Cl": "Cl2", "H": "H2",
}  # fmt: skip
_POLYANION_GAP = 1.65

_Array = TypeVar("_Array", FloatArray, NDArray[np.int64])


@dataclass(frozen=True)
class Site:
    """An element on a Wyckoff position; `coords` are the position's free coordinates (fractions of the cell)."""

    element: str
    letter: str
    multiplicity: int
    coords: tuple[float, ...]


class PrimitiveCell(NamedTuple):
    """A primitive cell: lattice [3,3] (rows, angstrom), fractional coordinates [n,3], atomic numbers [n]."""

    lattice: FloatArray
    frac: FloatArray
    numbers: NDArray[np.int64]


@dataclass(frozen=True)
class Crystal:
    """A crystal in the conventional cell of its space group.

    `cell` is (a, b, c, alpha, beta, gamma) in angstrom and degrees. Views are computed on first use and read-only.
    """

    sg: int
    cell: tuple[float, float, float, float, float, float]
    sites: tuple[Site, ...]

    @cached_property
    def group(self) -> SpaceGroup:
        """The space group with its Wyckoff positions."""
        return space_group(self.sg)

    @cached_property
    def lattice(self) -> FloatArray:
        """Lattice vectors as rows [3,3] in angstrom, oriented as pymatgen's `Lattice.from_parameters`."""
        a, b, c = self.cell[:3]
        alpha, beta, gamma = (math.radians(angle) for angle in self.cell[3:])
        cosine = (math.cos(alpha) * math.cos(beta) - math.cos(gamma)) / (math.sin(alpha) * math.sin(beta))
        gamma_star = math.acos(max(-1.0, min(1.0, cosine)))
        rows = [
            [a * math.sin(beta), 0.0, a * math.cos(beta)],
            [
                -b * math.sin(alpha) * math.cos(gamma_star),
                b * math.sin(alpha) * math.sin(gamma_star),
                b * math.cos(alpha),
            ],
            [0.0, 0.0, c],
        ]
        return _frozen(np.array(rows))

    @cached_property
    def frac(self) -> FloatArray:
        """Fractional coordinates [n,3] of all atoms of the conventional cell, site by site."""
        positions = self.group.positions
        return _frozen(np.concatenate([positions[site.letter].orbit(site.coords) for site in self.sites]))

    @cached_property
    def species(self) -> list[str]:
        """Chemical symbols [n] in the order of `frac`."""
        return [site.element for site in self.sites for _ in range(site.multiplicity)]

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """Atomic numbers [n] in the order of `frac`."""
        numbers = [element_facts()[element].z for element in self.species]
        return _frozen(np.array(numbers, dtype=np.int64))

    @cached_property
    def composition(self) -> dict[str, int]:
        """Atoms of each element in the conventional cell, in order of first appearance in `sites`."""
        counts: dict[str, int] = {}
        for site in self.sites:
            counts[site.element] = counts.get(site.element, 0) + site.multiplicity
        return counts

    @property
    def formula(self) -> str:
        """Formula with conventional-cell counts in order of first appearance, for example "Na4Cl4"."""
        return "".join(f"{element}{count}" for element, count in self.composition.items())

    @cached_property
    def reduced_formula(self) -> str:
        """Reduced formula as pymatgen writes it, for example "NaCl" or "Ca(NO3)2"."""
        return reduced_formula(self.composition)

    @property
    def elements(self) -> tuple[str, ...]:
        """Distinct chemical symbols in order of first appearance."""
        return tuple(self.composition)

    @property
    def n_atoms(self) -> int:
        """Atoms in the conventional cell."""
        return sum(site.multiplicity for site in self.sites)

    @cached_property
    def volume(self) -> float:
        """Volume of the conventional cell in cubic angstrom."""
        return float(abs(np.linalg.det(self.lattice)))

    @cached_property
    def template(self) -> str:
        """Wyckoff template without elements: the group and the sorted letters of each element, as "225:a-b-c"."""
        letters: dict[str, str] = {}
        for site in self.sites:
            letters[site.element] = letters.get(site.element, "") + site.letter
        parts = ("".join(sorted(word, key=LETTERS.index)) for word in letters.values())
        return f"{self.sg}:" + "-".join(sorted(parts, key=lambda word: (len(word), [LETTERS.index(x) for x in word])))

    @cached_property
    def primitive(self) -> PrimitiveCell:
        """The primitive cell by the group's centring (one to four times smaller than the conventional cell)."""
        group = self.group
        orbits = [
            group.positions[site.letter].orbit(site.coords)[list(group.primitive_rows(site.letter))]
            for site in self.sites
        ]
        numbers = np.repeat([element_facts()[site.element].z for site in self.sites], [len(orbit) for orbit in orbits])
        basis = group.primitive_basis
        frac = (np.concatenate(orbits) @ np.linalg.inv(basis)) % 1.0
        return PrimitiveCell(basis @ self.lattice, frac, numbers)

    def to_structure(self, primitive: bool = False) -> Structure:
        """Return a pymatgen `Structure` of the conventional (or primitive) cell."""
        from pymatgen.core import Lattice, Structure

        if primitive:
            cell = self.primitive
            by_number = {element_facts()[symbol].z: symbol for symbol in self.elements}
            symbols = [by_number[int(number)] for number in cell.numbers]
            return Structure(Lattice(cell.lattice), symbols, cell.frac)
        return Structure(Lattice(self.lattice), self.species, self.frac)

    def to_cif(self) -> str:
        """Return a CIF with all atoms of the conventional cell listed in P1.

        The symmetry operations are left out on purpose: readers that rebuild orbits from rounded coordinates
        multiply atoms at 1/3 and 2/3.
        """
        a, b, c, alpha, beta, gamma = self.cell
        lines = [
            f"# space group {self.sg} ({self.group.symbol}); every atom is listed, so the symmetry below is P 1",
            f"data_{self.reduced_formula}",
            "_symmetry_space_group_name_H-M   'P 1'",
            "_symmetry_Int_Tables_number   1",
            *(f"_cell_length_{name}   {value:.6f}" for name, value in (("a", a), ("b", b), ("c", c))),
            *(
                f"_cell_angle_{name}   {value:.6f}"
                for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma))
            ),
            f"_chemical_formula_structural   {self.reduced_formula}",
            "_chemical_formula_sum   '" + " ".join(f"{el}{n}" for el, n in self.composition.items()) + "'",
            f"_cell_volume   {self.volume:.6f}",
            "loop_",
            " _symmetry_equiv_pos_site_id",
            " _symmetry_equiv_pos_as_xyz",
            "  1  'x, y, z'",
            "loop_",
            *(f" _atom_site_{name}" for name in ("type_symbol", "label", "fract_x", "fract_y", "fract_z", "occupancy")),
        ]
        for index, (element, (x, y, z)) in enumerate(zip(self.species, self.frac, strict=True)):
            lines.append(f"  {element}  {element}{index}  {x:.8f}  {y:.8f}  {z:.8f}  1")
        return "\n".join(lines) + "\n"


def reduced_formula(composition: dict[str, int]) -> str:
    """Return the reduced formula in pymatgen's convention.

    >>> reduced_formula({"O": 12, "Ca": 2, "N": 4})
    'Ca(NO3)2'
    """
    formula = _reduce(composition)
    return _UNREDUCED.get(formula, formula)


def electronegativity_key(symbol: str) -> tuple[float, str]:
    """Return an element's sort key in a formula: Pauling electronegativity (elements without one last), then symbol."""
    return _electronegativity(symbol), symbol


def _electronegativity(symbol: str) -> float:
    value = element_facts()[symbol].electronegativity
    return math.inf if value is None else value


def _reduce(composition: dict[str, int]) -> str:
    symbols = sorted(composition, key=electronegativity_key)
    factor = math.gcd(*composition.values())
    polyanion = ""
    if len(symbols) >= 3:
        gap = _electronegativity(symbols[-1]) - _electronegativity(symbols[-2])
        # An element without electronegativity gives an infinite or undefined gap: no polyanion.
        if gap < _POLYANION_GAP:
            anion = {symbol: composition[symbol] // factor for symbol in symbols[-2:]}
            repeat = math.gcd(*anion.values())
            if repeat != 1:
                polyanion = f"({_reduce(anion)}){repeat}"
                symbols = symbols[:-2]
    counts = ((symbol, composition[symbol] // factor) for symbol in symbols)
    return "".join(symbol if count == 1 else f"{symbol}{count}" for symbol, count in counts) + polyanion


def _frozen(array: _Array) -> _Array:
    array.flags.writeable = False
    return array
