"""Distances in periodic cells: against brute force, against pymatgen, and hand-made cells."""

from __future__ import annotations

import gzip
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.crystal.codec import WyText
from domains.crystal.contacts import contacts
from domains.crystal.geometry import closest_contacts, density, minkowski_reduce, nearest_pairs

SKEWED = st.lists(st.integers(-9, 9), min_size=9, max_size=9)


@given(SKEWED, st.integers(0, 2**32 - 1))
def test_nearest_pairs_equals_brute_force_in_skewed_cells(entries: list[int], seed: int) -> None:
    lattice = np.array(entries, dtype=float).reshape(3, 3)
    if abs(np.linalg.det(lattice)) < 20:
        return
    frac = np.random.default_rng(seed).random((3, 3))
    found = nearest_pairs(lattice, frac)
    # Enough images for any point within the longest vector, from the plane spacings.
    heights = abs(np.linalg.det(lattice)) / np.array(
        [np.linalg.norm(np.cross(lattice[(k + 1) % 3], lattice[(k + 2) % 3])) for k in range(3)]
    )
    reach = np.ceil(np.linalg.norm(lattice, axis=1).min() / heights).astype(int) + 1
    shifts = np.array(list(product(*(range(-r, r + 1) for r in reach))), dtype=float)
    for i, j in product(range(3), repeat=2):
        lengths = np.linalg.norm((frac[i] - frac[j] + shifts) @ lattice, axis=1)
        lengths = lengths[lengths > 1e-9] if i == j else lengths
        assert found[i, j] == pytest.approx(lengths.min(), abs=1e-7)


@given(SKEWED)
def test_minkowski_reduction_keeps_the_lattice(entries: list[int]) -> None:
    lattice = np.array(entries, dtype=float).reshape(3, 3)
    if abs(np.linalg.det(lattice)) < 1:
        return
    reduced, transform = minkowski_reduce(lattice)
    assert abs(round(float(np.linalg.det(transform)))) == 1
    assert np.allclose(transform @ lattice, reduced)
    assert np.linalg.norm(reduced, axis=1).max() <= np.linalg.norm(lattice, axis=1).max() + 1e-9


def test_an_atom_meets_its_own_image() -> None:
    shortest, share = closest_contacts(np.diag([2.0, 9.0, 9.0]), np.zeros((1, 3)), np.array([1.0]))
    assert (shortest, share) == (2.0, 1.0)


def test_copper_density_and_contact() -> None:
    copper = WyText().decode("Cu4\nSG 225\nCELL 3.615\nCu 4a")
    assert contacts(copper)[0] == pytest.approx(3.615 / 2**0.5)
    assert density(4 * 63.546, copper.volume) == pytest.approx(8.93, abs=0.01)


def test_contacts_equal_pymatgen_on_real_rows(shared_data: Path) -> None:
    path = shared_data / "crystal" / "mp_20_biternary" / "wytext_val.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with gzip.open(path, "rt") as stream:
        rows = [json.loads(line) for _, line in zip(range(300), stream, strict=False)]
    for row in rows:
        crystal = WyText().decode(row["text"])
        structure = crystal.to_structure(primitive=True)
        between = structure.distance_matrix + np.diag([np.inf] * len(structure))
        own = min(np.linalg.norm(vector) for vector in structure.lattice.get_niggli_reduced_lattice().matrix)
        assert contacts(crystal)[0] == pytest.approx(min(between.min(), own), abs=1e-6), row["material_id"]
