"""Codec: crystals as text, and the one error that reading a text can end in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from domains.crystal.crystal import Crystal

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_ATOMS = 400
"""Most atoms of a conventional cell that a codec reads."""
MAX_LENGTH = 200.0
"""Longest lattice vector that a codec reads, in angstrom."""
MIN_LENGTH = 1.0
MIN_ANGLE, MAX_ANGLE = 5.0, 175.0
MIN_VOLUME_RATIO = 1e-3
"""Smallest volume that a codec reads, as a share of a * b * c (flatter cells are numerically singular)."""

ERROR_CODES: dict[str, str] = {
    "E_SHORT": "fewer lines than the format needs",
    "E_FORMULA": "the formula line cannot be read",
    "E_SG": "the space-group line cannot be read or names no group",
    "E_CELL": "the cell line cannot be read",
    "E_CELL_COUNT": "the cell line has the wrong number of values for the group",
    "E_CELL_RANGE": "a cell length or angle is outside its range",
    "E_SITE": "a site line cannot be read",
    "E_ELEMENT": "not a chemical symbol",
    "E_LETTER": "the group has no such Wyckoff letter",
    "E_MULT": "the multiplicity is not the letter's",
    "E_DOF": "the coordinates do not fit the Wyckoff position",
    "E_RANGE": "a coordinate is outside [0, 1)",
    "E_REUSE": "a position without freedom is used twice",
    "E_SIZE": "too long a text or too many atoms",
    "E_COUNT": "the stated atom counts are not those of the sites",
}


class CodecError(ValueError):
    """A text that is no crystal: `code` (see `ERROR_CODES`), `line` (from 1), what was found and what was expected."""

    def __init__(self, code: str, line: int, found: str, expected: str) -> None:
        found = found if len(found) <= 60 else found[:57] + "..."
        super().__init__(code, line, found, expected)
        self.code, self.line, self.found, self.expected = code, line, found, expected

    def __str__(self) -> str:
        return f"{self.code} line {self.line}: found {self.found!r}, expected {self.expected}"


class Codec(Protocol):
    """A text form of crystals.

    `encode` raises `UserError` for structures that have no such text (disordered sites, too large).
    `decode` is total: every string gives a `Crystal` or a `CodecError`, in bounded time.
    """

    @property
    def name(self) -> str:
        """The codec's name, as `get_codec` takes it."""
        ...

    def encode(self, structure: Structure, symprec: float = 0.1) -> str:
        """Return the text of a structure; `symprec` is spglib's distance tolerance in angstrom."""
        ...

    def decode(self, text: str) -> Crystal:
        """Return the crystal that a text describes, or raise `CodecError`."""
        ...

    def fraction_accepted(self, text: str) -> float:
        """Return the share of the text's lines that were accepted: 1.0 exactly when `decode` succeeds."""
        ...


def check_cell(cell: tuple[float, ...], line: int) -> None:
    """Raise `CodecError` E_CELL_RANGE unless (a, b, c, alpha, beta, gamma) is a cell of sound size and shape."""
    for length in cell[:3]:
        if not MIN_LENGTH <= length <= MAX_LENGTH:
            raise CodecError("E_CELL_RANGE", line, f"{length:g}", f"lengths from {MIN_LENGTH:g} to {MAX_LENGTH:g} A")
    for angle in cell[3:]:
        if not MIN_ANGLE <= angle <= MAX_ANGLE:
            raise CodecError("E_CELL_RANGE", line, f"{angle:g}", f"angles from {MIN_ANGLE:g} to {MAX_ANGLE:g} degrees")
    x, y, z = (math.cos(math.radians(angle)) for angle in cell[3:])
    if 1 - x * x - y * y - z * z + 2 * x * y * z < MIN_VOLUME_RATIO**2:
        raise CodecError("E_CELL_RANGE", line, " ".join(f"{v:g}" for v in cell[3:]), "angles that span a volume")
