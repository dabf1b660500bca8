"""Structures to WyText and back: real rows, small displacements, and structures that cannot be written."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from pathlib import Path

import numpy as np
import pytest

from domains.crystal.codec import WyText
from sciRL.errors import UserError

CODEC = WyText()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_rows_round_trip(shared_data: Path) -> None:
    import spglib
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

    data = gzip.decompress((shared_data / "crystal/mp_20_biternary/val.csv.gz").read_bytes()).decode()
    rows = list(itertools.islice(csv.DictReader(io.StringIO(data)), 0, 7000, 35))
    assert len(rows) == 200
    matcher = StructureMatcher()
    for row in rows:
        structure = Structure.from_str(row["cif"], fmt="cif")
        text = CODEC.encode(structure)
        crystal = CODEC.decode(text)
        cell = crystal.primitive
        dataset = spglib.get_symmetry_dataset((cell.lattice, cell.frac, cell.numbers), symprec=0.1)
        assert crystal.reduced_formula == structure.composition.reduced_formula
        assert dataset.number == crystal.sg == int(row["spacegroup.number"]), row["material_id"]
        rms, _ = matcher.get_rms_dist(structure, crystal.to_structure(primitive=True)) or (1.0, 1.0)
        assert rms < 0.02, row["material_id"]
        assert CODEC.canonical(crystal) == text


def test_a_displaced_structure_is_idealised_within_symprec() -> None:
    ideal = CODEC.decode("Na4Cl4\nSG 225\nCELL 5.640\nNa 4a\nCl 4b")
    structure = ideal.to_structure()
    for index, step in enumerate(np.random.default_rng(0).uniform(-0.015, 0.015, (8, 3))):
        structure.translate_sites(index, step, frac_coords=False)
    assert CODEC.encode(structure, symprec=0.1).split("\n")[1] == "SG 225"
    assert CODEC.encode(structure, symprec=1e-4).split("\n")[1] != "SG 225"


def test_supercell_and_rotation_give_the_same_text() -> None:
    crystal = CODEC.decode("Ti2O4\nSG 136\nCELL 4.594 2.959\nTi 2a\nO 4f 0.305")
    structure = crystal.to_structure()
    text = CODEC.encode(structure)
    assert text == CODEC.canonical(crystal)
    assert CODEC.encode(structure.make_supercell(np.diag([2, 1, 1]), in_place=False)) == text
    assert CODEC.encode(structure.make_supercell([[0, 0, 1], [1, 0, 0], [0, 1, 0]], in_place=False)) == text


def test_oxidation_states_are_ignored() -> None:
    structure = CODEC.decode("Na4Cl4\nSG 225\nCELL 5.640\nNa 4a\nCl 4b").to_structure()
    text = CODEC.encode(structure)
    structure.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    assert CODEC.encode(structure) == text


def test_structures_that_cannot_be_written() -> None:
    from pymatgen.core import Lattice, Structure

    disordered = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(UserError, match=r"site 1: found Cu:0\.5"):
        CODEC.encode(disordered)
    dummy = Structure(Lattice.cubic(3.6), ["X"], [[0, 0, 0]])
    with pytest.raises(UserError, match="H to Lr"):
        CODEC.encode(dummy)
    points = np.random.default_rng(0).random((401, 3))
    with pytest.raises(UserError, match="401 atoms in the conventional cell; at most 400"):
        CODEC.encode(Structure(Lattice.cubic(60), ["H"] * 401, points), symprec=1e-3)


def test_text_states_the_group_that_its_rounded_atoms_show() -> None:
    from pymatgen.core import Lattice, Structure

    # Cl is 0.0003 off the centre, which leaves group 25; rounded to 3 decimals it is on the centre.
    structure = Structure(Lattice.orthorhombic(4, 5, 6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5003]])
    crystal = CODEC.decode(CODEC.encode(structure, symprec=1e-3))
    again = CODEC.encode(crystal.to_structure(), symprec=1e-3)
    assert again.split("\n")[1] == f"SG {crystal.sg}" == "SG 47"
