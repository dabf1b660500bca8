"""Coordinate text: lengths, angles, then one line per atom; it states no symmetry (crystal-text-llm's content).

>>> Coordinates().decode("3.005 3.005 3.005\\n90.00 90.00 90.00\\nPo 0.000 0.000 0.000").template
'1:a'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domains.crystal.codec.base import MAX_ATOMS, CodecError, check_cell
from domains.crystal.codec.lines import read_numbers, share_before_error, split_lines
from domains.crystal.codec.symmetrize import p1_crystal
from domains.crystal.crystal import Crystal, Site
from domains.crystal.element_facts import element_facts
from sciRL.errors import UserError

if TYPE_CHECKING:
    from pymatgen.core import Structure

_ATOM = re.compile(r"([A-Z][a-z]?) ([0-9. ]{5,40})")


@dataclass(frozen=True)
class Coordinates:
    """The coordinate codec; decoded crystals have group 1 and one site per atom."""

    @property
    def name(self) -> str:
        """The codec's name."""
        return "coords"

    def encode(self, structure: Structure, symprec: float = 0.1) -> str:
        """Return the text of a structure as it stands; `symprec` is not needed, no symmetry is searched.

        Raises `UserError` for disordered structures and for more than 400 atoms.
        """
        if len(structure) > MAX_ATOMS:
            raise UserError(f"structure has {len(structure)} atoms; the coordinate text holds at most {MAX_ATOMS}")
        return self.write(p1_crystal(structure))

    def write(self, crystal: Crystal) -> str:
        """Return the text of a crystal, all atoms of its conventional cell listed."""
        lengths, angles = crystal.cell[:3], crystal.cell[3:]
        lines = [" ".join(f"{value:.3f}" for value in lengths), " ".join(f"{value:.2f}" for value in angles)]
        for element, point in zip(crystal.species, crystal.frac, strict=True):
            x, y, z = (round(float(value), 3) % 1.0 for value in point)
            lines.append(f"{element} {x:.3f} {y:.3f} {z:.3f}")
        return "\n".join(lines)

    def decode(self, text: str) -> Crystal:
        """Return the crystal that `text` describes, or raise the `CodecError` of its first bad line."""
        lines = split_lines(text, minimum=3)
        lengths, angles = read_numbers(lines[0], 3), read_numbers(lines[1], 3)
        if lengths is None or angles is None:
            line_number = 1 if lengths is None else 2
            raise CodecError("E_CELL", line_number, lines[line_number - 1], "three numbers")
        check_cell((*lengths, *angles), 1)
        if len(lines) - 2 > MAX_ATOMS:
            raise CodecError("E_SIZE", 3 + MAX_ATOMS, f"{len(lines) - 2} atoms", f"at most {MAX_ATOMS} atoms")
        sites = tuple(_read_atom(line_number, line) for line_number, line in enumerate(lines[2:], start=3))
        a, b, c = lengths
        alpha, beta, gamma = angles
        return Crystal(1, (a, b, c, alpha, beta, gamma), sites)

    def fraction_accepted(self, text: str) -> float:
        """Return the share of lines before the first bad one."""
        return share_before_error(self.decode, text)


def _read_atom(line_number: int, line: str) -> Site:
    match = _ATOM.fullmatch(line)
    point = read_numbers(match[2], 3) if match else None
    if match is None or point is None:
        raise CodecError("E_SITE", line_number, line, "element and x y z")
    if match[1] not in element_facts():
        raise CodecError("E_ELEMENT", line_number, match[1], "a chemical symbol from H to Lr")
    if any(value >= 1.0 for value in point):
        raise CodecError("E_RANGE", line_number, line, "coordinates from 0 up to but not including 1")
    return Site(match[1], "a", 1, point)
