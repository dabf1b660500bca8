"""One source row to one dataset row: parse, find the symmetry, write canonical WyText, read it back."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domains.crystal.codec import CodecError, WyText
from domains.crystal.rows import CrystalRow
from domains.crystal.sources import SourceRow

if TYPE_CHECKING:
    from domains.crystal.crystal import Crystal

Job = tuple[Sequence[SourceRow], float, int]


@dataclass(frozen=True)
class Rejected:
    """Why a source row was left out: a short reason that is counted, and a detail for the list."""

    reason: str
    detail: str = ""


def convert_chunk(job: Job) -> list[CrystalRow | Rejected]:
    """Convert (rows, symprec in Angstrom, largest conventional cell in atoms); one result per row, in order."""
    rows, symprec, max_atoms = job
    return [convert(row, symprec, max_atoms) for row in rows]


def convert(row: SourceRow, symprec: float, max_atoms: int) -> CrystalRow | Rejected:
    """Return the dataset row of a source row, or the reason why there is none."""
    codec = WyText()
    formula = ""
    if row.form == "wytext":
        text = str(row.payload)
    else:
        structure = _structure(row)
        if isinstance(structure, Rejected):
            return structure
        if not structure.is_ordered:
            return Rejected("disordered structure")
        if len(structure) > max_atoms:
            return Rejected(f"cell over {max_atoms} atoms", f"{len(structure)} atoms")
        formula = structure.composition.element_composition.reduced_formula
        try:
            text = codec.encode(structure, symprec=symprec)
        except Exception as error:
            # spglib and the codec raise several types on degenerate cells; each is one dropped row.
            return Rejected("no symmetry found", f"{type(error).__name__}: {error}")
    try:
        crystal = codec.decode(text)
    except CodecError as error:
        return Rejected("text does not parse", str(error))
    if crystal.n_atoms > max_atoms:
        return Rejected(f"cell over {max_atoms} atoms", f"{crystal.n_atoms} atoms in the conventional cell")
    if formula and crystal.reduced_formula != formula:
        return Rejected("formula changed by the conversion", f"{formula} became {crystal.reduced_formula}")
    return row_of(crystal, row)


def row_of(crystal: Crystal, origin: SourceRow) -> CrystalRow:
    """Return the dataset row of a crystal with the id and the properties of `origin`."""
    return CrystalRow(
        id=origin.id,
        formula=crystal.reduced_formula,
        sg=crystal.sg,
        text=WyText().canonical(crystal),
        template=crystal.template,
        n_sites=len(crystal.sites),
        n_elements=len(crystal.elements),
        n_atoms=crystal.n_atoms,
        e_form=_rounded(origin.e_form),
        e_hull=_rounded(origin.e_hull),
        band_gap=_rounded(origin.band_gap),
        source=origin.source,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _structure(row: SourceRow) -> Any:
    """Return the pymatgen structure of a row, or `Rejected`."""
    from pymatgen.core import Structure

    if not row.payload:
        return Rejected("no structure", "the cif cell is empty" if row.form == "cif" else "no periodic cell")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if isinstance(row.payload, str):
                return Structure.from_str(row.payload, fmt="cif")
            return Structure.from_dict(dict(row.payload))
        except Exception as error:
            # A CIF parser meets whatever people wrote: any failure is this row's and is counted.
            lines = str(error).strip().splitlines() or [""]
            return Rejected("structure unreadable", f"{type(error).__name__}: {lines[0][:120]}")
