"""CIF as a codec: written and read by pymatgen; the crystal read has group 1 with every atom as a site."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domains.crystal.codec.base import MAX_ATOMS, CodecError, check_cell
from domains.crystal.codec.lines import MAX_CHARACTERS, share_before_error
from domains.crystal.codec.symmetrize import p1_crystal
from domains.crystal.crystal import Crystal

if TYPE_CHECKING:
    from pymatgen.core import Structure


@dataclass(frozen=True)
class Cif:
    """The CIF codec. A CIF may name a group, but its atoms are read as they stand: decoded crystals have group 1."""

    @property
    def name(self) -> str:
        """The codec's name."""
        return "cif"

    def encode(self, structure: Structure, symprec: float = 0.1) -> str:
        """Return the CIF of a structure, atoms listed in P1; `symprec` is not needed, no symmetry is searched."""
        from pymatgen.io.cif import CifWriter

        return str(CifWriter(structure))

    def decode(self, text: str) -> Crystal:
        """Return the crystal of a CIF's first data block, or raise `CodecError`."""
        if len(text) > MAX_CHARACTERS:
            raise CodecError("E_SIZE", 1, f"{len(text)} characters", f"at most {MAX_CHARACTERS} characters")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                crystal = p1_crystal(_parse(text))
            except CodecError:
                raise
            except Exception as error:  # the parser raises whatever its input leads it to
                raise CodecError("E_SITE", 1, f"{type(error).__name__}: {error}", "a CIF with ordered atoms") from error
        if crystal.n_atoms > MAX_ATOMS:
            raise CodecError("E_SIZE", 1, f"{crystal.n_atoms} atoms", f"at most {MAX_ATOMS} atoms")
        check_cell(crystal.cell, 1)
        return crystal

    def fraction_accepted(self, text: str) -> float:
        """Return 1.0 for a CIF that can be read, else 0.0: its parser does not say which line is bad."""
        return share_before_error(self.decode, text)


def _parse(text: str) -> Structure:
    """Return the structure of the first data block; sizes are checked before atoms are multiplied by symmetry."""
    from pymatgen.io.cif import CifFile, CifParser

    blocks = CifFile.from_str(text).data
    if not blocks:
        raise CodecError("E_SHORT", 1, text[:40], "a data block")
    parser = CifParser.from_str(text)
    block = next(iter(blocks.values()))
    rows = block.data.get("_atom_site_fract_x", [])
    images = len(rows) * len(parser.get_symops(block))
    # An atom of the highest site symmetry (m-3m) is its own image under 48 operations.
    if images > 48 * MAX_ATOMS:
        raise CodecError("E_SIZE", 1, f"{images} images of the listed atoms", f"at most {48 * MAX_ATOMS}")
    structure: Structure = parser.parse_structures(primitive=False)[0]
    return structure
