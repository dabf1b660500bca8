"""WyText: a crystal as space group, free cell parameters, and one line per Wyckoff site.

Grammar (lines end with "\\n"; the final one is optional)::

    crystal  = formula NL "SG " int NL "CELL" 1*6(" " num) NL site *(NL site)
    formula  = 1*(element int)            ; conventional-cell counts
    site     = element " " int letter *3(" " coord)
    coord    = ["0"/"1"] "." 1*6DIGIT     ; 0 <= value < 1
    num      = int ["." 1*3DIGIT]

Cell parameters by group: 1-2 a b c alpha beta gamma; 3-15 a b c beta; 16-74 a b c; 75-194 a c; 195-230 a. A site has
as many coordinates as its position has free variables, in the order x, y, z. Without `formula_line` the text starts
at "SG"; with `cell_last` the cell line follows the sites.

>>> WyText().decode("Ti4Ni4Sn4\\nSG 216\\nCELL 5.930\\nTi 4b\\nNi 4c\\nSn 4a").n_atoms
12
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from domains.crystal.codec.base import MAX_ATOMS, CodecError, check_cell
from domains.crystal.codec.lines import read_formula, write_formula
from domains.crystal.codec.symmetrize import crystal_from_atoms, crystal_from_structure
from domains.crystal.crystal import Crystal, Site, electronegativity_key
from domains.crystal.element_facts import element_facts
from domains.crystal.wyckoff import (
    GROUP_COUNT,
    LETTERS,
    SpaceGroup,
    WyckoffPosition,
    cell_parameter_names,
    full_cell,
    space_group,
)
from sciRL.errors import UserError

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_CHARACTERS = 20_000
"""Longest text that is read; 400 atoms in P1 need about 10,000 characters."""

_SETTLE_ROUNDS = 4

# Character classes are spelt out: \\d would accept the digits of other scripts.
_GROUP = re.compile(r"SG ([1-9][0-9]{0,2})")
_CELL = re.compile(r"CELL((?: [0-9]{1,3}(?:\.[0-9]{1,3})?){1,12})")
_SITE = re.compile(r"([A-Z][a-z]?) ([1-9][0-9]{0,2})([a-zA])((?: [01]?\.[0-9]{1,6}){0,6})")


@dataclass(frozen=True)
class WyText:
    """The Wyckoff text codec; `formula_line` and `cell_last` choose the variant, which reads only its own texts."""

    formula_line: bool = True
    cell_last: bool = False

    @property
    def name(self) -> str:
        """The codec's name: "wytext", "wytext-bare" (no formula line), "-cell-last" appended for that order."""
        return "wytext" + ("" if self.formula_line else "-bare") + ("-cell-last" if self.cell_last else "")

    def encode(self, structure: Structure, symprec: float = 0.1) -> str:
        """Return the canonical text of a structure, its symmetry found by spglib at `symprec` angstrom.

        A structure at the edge of a higher symmetry can cross it when its numbers are rounded; the text is then made
        again from the rounded atoms, so that it states the group that spglib measures on the decoded crystal.

        Raises `UserError` for disordered structures and for those that the format cannot hold.
        """
        where = f"structure {structure.composition.reduced_formula}"
        text = self.canonical(crystal_from_structure(structure, symprec))
        for _ in range(_SETTLE_ROUNDS):
            try:
                decoded = self.decode(text)
            except CodecError as error:
                raise UserError(f"{where} does not fit the text format: {error}") from error
            try:
                again = crystal_from_atoms(*decoded.primitive, symprec=symprec, where=where)
            except UserError:
                break  # the rounded atoms cannot be analysed; the text stands
            if again.sg == decoded.sg:
                break
            text = self.canonical(again)
        return text

    def decode(self, text: str) -> Crystal:
        """Return the crystal that `text` describes, or raise the `CodecError` of its first bad line."""
        reading = _Reading(text, self)
        if reading.errors:
            raise reading.errors[min(reading.errors)]
        return reading.crystal()

    def fraction_accepted(self, text: str) -> float:
        """Return the share of lines accepted; lines that an earlier error leaves without meaning are not."""
        reading = _Reading(text, self)
        accepted = reading.accepted - reading.errors.keys()
        return len(accepted) / max(len(reading.lines), reading.minimum)

    def canonical(self, crystal: Crystal) -> str:
        """Return the canonical text: sites ordered, of equivalent coordinates the smallest tuple, 3 decimals.

        It is canonical for a fixed origin: rock salt as 4a/4b and as 4b/4a are two texts (see `origin_variants`).
        """
        sites = canonical_sites(crystal)
        group_line = f"SG {crystal.sg}"
        cell_line = "CELL " + " ".join(_cell_fields(crystal))
        site_lines = [
            " ".join([site.element, f"{site.multiplicity}{site.letter}", *(f"{value:.3f}" for value in site.coords)])
            for site in sites
        ]
        lines = [group_line, *site_lines, cell_line] if self.cell_last else [group_line, cell_line, *site_lines]
        if self.formula_line:
            lines.insert(0, Crystal(crystal.sg, crystal.cell, sites).formula)
        return "\n".join(lines)


def canonical_sites(crystal: Crystal) -> tuple[Site, ...]:
    """Return the sites in canonical order with canonical coordinates, rounded to 3 decimals."""
    positions = crystal.group.positions
    sites = [
        Site(site.element, site.letter, site.multiplicity, _canonical_coords(positions[site.letter], site.coords))
        for site in crystal.sites
    ]
    return tuple(
        sorted(
            sites,
            key=lambda s: (electronegativity_key(s.element), s.multiplicity, LETTERS.index(s.letter), s.coords),
        )
    )


def _canonical_coords(position: WyckoffPosition, coords: tuple[float, ...]) -> tuple[float, ...]:
    """Return the smallest rounded tuple among the equivalent coordinates of a site.

    Rounding can make another tuple the smallest (by 0.001, where the maps shift by thirds), so the step is repeated
    until it changes nothing; each repeat lowers the tuple, so it ends. Integers keep it exact.
    """
    if not coords:
        return ()
    linear, shift24 = position.equivalences
    current = tuple(round(value * 1_000_000) for value in coords)
    scale = 1_000_000
    while True:
        images = (24 * (linear @ np.array(current, dtype=np.int64)) + scale * shift24) % (24 * scale)
        unit = 24 * scale // 1000
        thousandths = (images + unit // 2) // unit % 1000
        smallest = min(tuple(int(value) for value in row) for row in thousandths)
        if scale == 1000 and smallest == current:
            return tuple(value / 1000 for value in smallest)
        current, scale = smallest, 1000


def _cell_fields(crystal: Crystal) -> list[str]:
    values = dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), crystal.cell, strict=True))
    return [
        f"{values[name]:.3f}" if len(name) == 1 else f"{values[name]:.2f}" for name in cell_parameter_names(crystal.sg)
    ]


@dataclass
class _Reading:
    """One pass over a text: what was read, the first error of each bad line, and the lines accepted."""

    text: str
    codec: WyText
    lines: list[str] = field(default_factory=list)
    errors: dict[int, CodecError] = field(default_factory=dict)
    accepted: set[int] = field(default_factory=set)
    counts: dict[str, int] | None = None
    group: SpaceGroup | None = None
    cell: tuple[float, float, float, float, float, float] | None = None
    sites: list[Site] = field(default_factory=list)

    @property
    def minimum(self) -> int:
        """Fewest lines of a text: header lines and one site."""
        return 4 if self.codec.formula_line else 3

    def __post_init__(self) -> None:
        if len(self.text) > MAX_CHARACTERS:
            self.lines = [""]
            self._fail("E_SIZE", 1, f"{len(self.text)} characters", f"at most {MAX_CHARACTERS} characters")
            return
        self.lines = self.text.split("\n")
        if self.lines[-1] == "" and len(self.lines) > 1:
            self.lines.pop()
        body = list(enumerate(self.lines, start=1))
        if len(body) < self.minimum:
            # Line 0 sorts before every other error, and is no line that could be accepted.
            self.errors[0] = CodecError("E_SHORT", len(body), f"{len(body)} lines", f"at least {self.minimum} lines")
        if self.codec.formula_line:
            self._read_formula(*body.pop(0))
        if body:
            self._read_group(*body.pop(0))
        if body and self.group is not None:
            self._read_cell(*body.pop(-1 if self.codec.cell_last else 0))
            self._read_sites(body)

    def crystal(self) -> Crystal:
        """Return the crystal of an error-free reading."""
        assert self.group is not None
        assert self.cell is not None
        return Crystal(self.group.number, self.cell, tuple(self.sites))

    def _fail(self, code: str, line: int, found: str, expected: str) -> None:
        self.errors.setdefault(line, CodecError(code, line, found, expected))

    def _read_formula(self, number: int, line: str) -> None:
        counts = read_formula(line)
        if counts is None or not counts.keys() <= element_facts().keys():
            return self._fail("E_FORMULA", number, line, "known elements, each once with its count, such as Na4Cl4")
        self.counts = counts
        self.accepted.add(number)

    def _read_group(self, number: int, line: str) -> None:
        match = _GROUP.fullmatch(line)
        if match is None or int(match[1]) > GROUP_COUNT:
            return self._fail("E_SG", number, line, f"SG and a number from 1 to {GROUP_COUNT}")
        self.group = space_group(int(match[1]))
        self.accepted.add(number)

    def _read_cell(self, number: int, line: str) -> None:
        assert self.group is not None
        names = cell_parameter_names(self.group.number)
        expected = "CELL " + " ".join(names)
        match = _CELL.fullmatch(line)
        if match is None:
            return self._fail("E_CELL", number, line, expected)
        values = [float(value) for value in match[1].split()]
        if len(values) != len(names):
            expected = f"{len(names)} values for group {self.group.number}: {expected}"
            return self._fail("E_CELL_COUNT", number, line, expected)
        # Angles are held to 0.01 degree, as they are written, so that writing a cell never moves it out of range.
        values = [round(value, 2) if len(name) > 1 else value for name, value in zip(names, values, strict=True)]
        cell = full_cell(self.group.number, values)
        try:
            check_cell(cell, number)
        except CodecError as error:
            self.errors.setdefault(number, error)
            return
        self.cell = cell
        self.accepted.add(number)

    def _read_sites(self, body: list[tuple[int, str]]) -> None:
        fixed: set[str] = set()
        atoms = 0
        for number, line in body:
            try:
                site = self._site(number, line, fixed)
            except CodecError as error:
                self.errors.setdefault(number, error)
                continue
            atoms += site.multiplicity
            if atoms > MAX_ATOMS:
                self._fail("E_SIZE", number, f"{atoms} atoms up to this line", f"at most {MAX_ATOMS} atoms in the cell")
                return
            if not site.coords:
                fixed.add(site.letter)
            self.sites.append(site)
            self.accepted.add(number)
        if self.counts is not None and not self.errors:
            stated, counted = self.counts, self.crystal_counts()
            if stated != counted:
                self._fail("E_COUNT", 1, write_formula(stated), f"the counts of the sites, {write_formula(counted)}")

    def crystal_counts(self) -> dict[str, int]:
        """Return the atoms of each element on the sites read."""
        counts: dict[str, int] = {}
        for site in self.sites:
            counts[site.element] = counts.get(site.element, 0) + site.multiplicity
        return counts

    def _site(self, number: int, line: str, fixed: set[str]) -> Site:
        assert self.group is not None
        match = _SITE.fullmatch(line)
        if match is None:
            raise CodecError("E_SITE", number, line, "element, multiplicity and letter, coordinates: O 4f 0.305")
        element, multiplicity, letter, tail = match[1], int(match[2]), match[3], match[4]
        if element not in element_facts():
            raise CodecError("E_ELEMENT", number, element, "a chemical symbol from H to Lr")
        position = self.group.positions.get(letter)
        if position is None:
            letters = "".join(self.group.positions)
            raise CodecError("E_LETTER", number, letter, f"a letter of group {self.group.number}: {letters}")
        if multiplicity != position.multiplicity:
            raise CodecError("E_MULT", number, f"{multiplicity}{letter}", position.label)
        coords = tuple(float(value) for value in tail.split())
        if len(coords) != position.dof:
            expected = f"{position.dof} coordinates for {position.label} ({position.representative})"
            raise CodecError("E_DOF", number, line, expected)
        if any(value >= 1.0 for value in coords):
            raise CodecError("E_RANGE", number, line, "coordinates from 0 up to but not including 1")
        if letter in fixed:
            raise CodecError("E_REUSE", number, line, f"{position.label} once: it has no free coordinate")
        return Site(element, letter, multiplicity, coords)
