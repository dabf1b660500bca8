"""Explicit Wyckoff text: every cell parameter and every coordinate of each site's first atom (PLaID++'s form).

>>> head = "Cu4\\nSpacegroup: Fm-3m\\nabc: 3.61 3.61 3.61\\nangles: 90.00 90.00 90.00\\nSites (4)\\n"
>>> ExplicitWyckoff().decode(head + "Cu 0.000 0.000 0.000 4a").n_atoms
4
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from domains.crystal.codec.base import MAX_ATOMS, CodecError, check_cell
from domains.crystal.codec.lines import read_formula, read_numbers, share_before_error, split_lines, write_formula
from domains.crystal.codec.symmetrize import crystal_from_structure
from domains.crystal.codec.wytext import canonical_sites
from domains.crystal.crystal import Crystal, Site
from domains.crystal.element_facts import element_facts
from domains.crystal.wyckoff import SpaceGroup, cell_parameter_names, full_cell, group_by_symbol, space_group

if TYPE_CHECKING:
    from pymatgen.core import Structure

_HEADER_LINES = 5
_NAMES = ("a", "b", "c", "alpha", "beta", "gamma")
_COUNT = re.compile(r"Sites \(([1-9][0-9]{0,3})\)")
_SITE = re.compile(r"([A-Z][a-z]?) ([0-9. ]{5,40}) ([1-9][0-9]{0,2})([a-zA])")

_CELL_TOLERANCE = 0.011
"""Largest difference between parameters that symmetry makes equal: both are written with 2 decimals."""
_COORD_TOLERANCE = 0.003
"""Largest deviation from the position: 3 decimals, amplified by forms such as x-y and 2x."""


@dataclass(frozen=True)
class ExplicitWyckoff:
    """The explicit Wyckoff codec: formula, group symbol, six cell parameters, sites with three coordinates."""

    @property
    def name(self) -> str:
        """The codec's name."""
        return "explicit"

    def encode(self, structure: Structure, symprec: float = 0.1) -> str:
        """Return the text of a structure; raises `UserError` as `crystal_from_structure` does."""
        return self.write(crystal_from_structure(structure, symprec))

    def write(self, crystal: Crystal) -> str:
        """Return the text of a crystal, its sites in canonical order."""
        sites = canonical_sites(crystal)
        a, b, c, alpha, beta, gamma = crystal.cell
        lines = [
            Crystal(crystal.sg, crystal.cell, sites).formula,
            f"Spacegroup: {crystal.group.symbol}",
            f"abc: {a:.2f} {b:.2f} {c:.2f}",
            f"angles: {alpha:.2f} {beta:.2f} {gamma:.2f}",
            f"Sites ({crystal.n_atoms})",
        ]
        for site in sites:
            first = crystal.group.positions[site.letter].orbit(site.coords)[0]
            x, y, z = (round(float(value), 3) % 1.0 for value in first)
            lines.append(f"{site.element} {x:.3f} {y:.3f} {z:.3f} {site.multiplicity}{site.letter}")
        return "\n".join(lines)

    def decode(self, text: str) -> Crystal:
        """Return the crystal that `text` describes, or raise the `CodecError` of its first bad line."""
        lines = split_lines(text, minimum=_HEADER_LINES + 1)
        counts = read_formula(lines[0])
        if counts is None or not counts.keys() <= element_facts().keys():
            raise CodecError("E_FORMULA", 1, lines[0], "known elements, each once with its count, such as Na4Cl4")
        number = group_by_symbol().get(lines[1].removeprefix("Spacegroup: "))
        if number is None or not lines[1].startswith("Spacegroup: "):
            raise CodecError("E_SG", 2, lines[1], "Spacegroup: and a Hermann-Mauguin symbol such as Fm-3m")
        cell = _read_cell(lines, number)
        match = _COUNT.fullmatch(lines[4])
        if match is None:
            raise CodecError("E_COUNT", 5, lines[4], "Sites (atoms in the cell)")
        sites = _read_sites(lines, space_group(number))
        crystal = Crystal(number, cell, sites)
        if int(match[1]) != crystal.n_atoms:
            raise CodecError("E_COUNT", 5, lines[4], f"Sites ({crystal.n_atoms})")
        if counts != crystal.composition:
            raise CodecError("E_COUNT", 1, lines[0], f"the counts of the sites, {write_formula(crystal.composition)}")
        return crystal

    def fraction_accepted(self, text: str) -> float:
        """Return the share of lines before the first bad one."""
        return share_before_error(self.decode, text)


def _read_cell(lines: list[str], number: int) -> tuple[float, float, float, float, float, float]:
    values: list[float] = []
    for line_number, label in ((3, "abc: "), (4, "angles: ")):
        line = lines[line_number - 1]
        numbers = read_numbers(line.removeprefix(label), 3) if line.startswith(label) else None
        if numbers is None:
            raise CodecError("E_CELL", line_number, line, f"{label}and three numbers")
        values.extend(numbers)
    check_cell(tuple(values), 3)
    named = dict(zip(_NAMES, values, strict=True))
    cell = full_cell(number, [named[name] for name in cell_parameter_names(number)])
    for index, (name, found, expected) in enumerate(zip(_NAMES, values, cell, strict=True)):
        if abs(found - expected) > _CELL_TOLERANCE:
            line_number = 3 if index < 3 else 4
            raise CodecError("E_CELL_RANGE", line_number, f"{name} {found:g}", f"{expected:g} in group {number}")
    return cell


def _read_sites(lines: list[str], group: SpaceGroup) -> tuple[Site, ...]:
    sites: list[Site] = []
    atoms = 0
    for line_number, line in enumerate(lines[_HEADER_LINES:], start=_HEADER_LINES + 1):
        site = _read_site(line_number, line, group)
        if not site.coords and any(site.letter == other.letter for other in sites):
            raise CodecError("E_REUSE", line_number, line, f"{site.multiplicity}{site.letter} once: it has no freedom")
        atoms += site.multiplicity
        if atoms > MAX_ATOMS:
            raise CodecError("E_SIZE", line_number, f"{atoms} atoms", f"at most {MAX_ATOMS} atoms in the cell")
        sites.append(site)
    return tuple(sites)


def _read_site(line_number: int, line: str, group: SpaceGroup) -> Site:
    match = _SITE.fullmatch(line)
    point = read_numbers(match[2], 3) if match else None
    if match is None or point is None:
        raise CodecError("E_SITE", line_number, line, "element, x y z, multiplicity and letter")
    element, multiplicity, letter = match[1], int(match[3]), match[4]
    if element not in element_facts():
        raise CodecError("E_ELEMENT", line_number, element, "a chemical symbol from H to Lr")
    position = group.positions.get(letter)
    if position is None:
        raise CodecError("E_LETTER", line_number, letter, f"a letter of {group.symbol}: {''.join(group.positions)}")
    if multiplicity != position.multiplicity:
        raise CodecError("E_MULT", line_number, f"{multiplicity}{letter}", position.label)
    if any(value >= 1.0 for value in point):
        raise CodecError("E_RANGE", line_number, line, "coordinates from 0 up to but not including 1")
    # Any atom of the orbit may be written: try all its images on the representative.
    images = (group.rotations @ np.array(point) + group.translations24 / 24.0) % 1.0
    coords = position.solve(images, _COORD_TOLERANCE)
    if coords is None:
        raise CodecError("E_DOF", line_number, line, f"a point on {position.label} ({position.representative})")
    return Site(element, letter, multiplicity, tuple(round(value, 6) % 1.0 for value in coords))
