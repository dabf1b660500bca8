"""Crystal: views of the cells, formulas, templates and CIF output, against pymatgen."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.crystal.codec import WyText
from domains.crystal.crystal import Crystal, Site, reduced_formula
from domains.crystal.element_facts import element_facts
from domains.crystal.tables import read_table

PROTOTYPES = [json.loads(line) for line in read_table("prototypes.jsonl").splitlines()]
CODEC = WyText()


def test_import_is_light() -> None:
    code = "import sys, domains.crystal.codec; print({'pymatgen', 'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_lattice_is_pymatgens() -> None:
    from pymatgen.core import Lattice

    cell = (5.1, 6.2, 7.3, 81.0, 95.5, 104.0)
    crystal = Crystal(1, cell, (Site("Po", "a", 1, (0.0, 0.0, 0.0)),))
    assert np.allclose(crystal.lattice, Lattice.from_parameters(*cell).matrix, atol=1e-12)
    assert crystal.volume == pytest.approx(Lattice.from_parameters(*cell).volume)


def test_views_are_read_only() -> None:
    crystal = CODEC.decode("Cu4\nSG 225\nCELL 3.615\nCu 4a")
    for array in (crystal.frac, crystal.lattice, crystal.numbers):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert crystal.frac is crystal.frac


def test_template_is_free_of_elements_and_order() -> None:
    salt = CODEC.decode("Na4Cl4\nSG 225\nCELL 5.640\nNa 4a\nCl 4b")
    swapped = CODEC.decode("Cl4Na4\nSG 225\nCELL 5.640\nCl 4a\nNa 4b")
    assert salt.template == swapped.template == "225:a-b"
    nitride = "Zn12N8\nSG 62\nCELL 12.021 3.405 5.900\nZn 4c .081 .576\nZn 4c .253 .251\nZn 4c .423 .590\n"
    assert CODEC.decode(nitride + "N 4c .253 .584\nN 4c .498 .247").template == "62:cc-ccc"


@pytest.mark.parametrize("row", PROTOTYPES[::12], ids=lambda row: row["formula"])
def test_primitive_cell_is_the_same_crystal(row: dict[str, str]) -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    crystal = CODEC.decode(row["text"])
    primitive = crystal.to_structure(primitive=True)
    assert len(primitive) * len(crystal.group.centring_vectors24) == crystal.n_atoms
    rms, _ = StructureMatcher(primitive_cell=False, attempt_supercell=True).get_rms_dist(
        crystal.to_structure(), primitive
    ) or (1.0, 1.0)
    assert rms < 1e-6


@given(st.dictionaries(st.sampled_from(sorted(element_facts())), st.integers(1, 60), min_size=1, max_size=5))
def test_reduced_formula_is_pymatgens(counts: dict[str, int]) -> None:
    from pymatgen.core import Composition

    assert reduced_formula(counts) == Composition(counts).reduced_formula


def test_reduced_formula_is_pymatgens_on_every_row(shared_data: Path) -> None:
    from pymatgen.core import Composition

    with gzip.open(shared_data / "crystal/mp_20_biternary/wytext_val.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    assert len(rows) == 7140
    for row in rows:
        formula = CODEC.decode(row["text"]).reduced_formula
        assert formula == row["formula"], row["material_id"]
        assert formula == Composition(row["formula"]).reduced_formula


def test_cif_is_read_by_pymatgen() -> None:
    from pymatgen.core import Structure

    for row in PROTOTYPES[::40]:
        crystal = CODEC.decode(row["text"])
        read = Structure.from_str(crystal.to_cif(), fmt="cif")
        assert Counter(str(site.specie) for site in read) == crystal.composition
        assert read.volume == pytest.approx(crystal.volume, rel=1e-5)
        assert crystal.to_structure().composition == read.composition
