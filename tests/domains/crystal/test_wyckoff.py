"""Wyckoff table: orbits, their exactness, centring and the maps between equivalent coordinates."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from domains.crystal.wyckoff import (
    GROUP_COUNT,
    cell_parameter_names,
    full_cell,
    group_by_symbol,
    space_group,
    wyckoff_labels,
)

GENERIC = (0.1234, 0.3717, 0.2391)
GROUPS = range(1, GROUP_COUNT + 1)


def distinct(points: np.ndarray) -> int:
    gap = points[:, None, :] - points[None, :, :]
    same = np.abs(gap - np.round(gap)).max(axis=2) < 1e-6
    return int((same.argmax(axis=1) == np.arange(len(points))).sum())


def test_every_position_generates_an_orbit_of_its_multiplicity() -> None:
    checked = 0
    for number in GROUPS:
        group = space_group(number)
        for position in group.positions.values():
            points = position.orbit(GENERIC[: position.dof])
            assert points.shape == (position.multiplicity, 3)
            assert distinct(points) == position.multiplicity, (number, position.label)
            assert points.min() >= 0.0
            assert points.max() < 1.0
            checked += 1
    assert checked == 1731


def test_orbits_are_closed_under_the_group() -> None:
    for number in (14, 62, 148, 166, 194, 205, 227, 230):
        group = space_group(number)
        for position in group.positions.values():
            points = position.orbit(GENERIC[: position.dof])
            for rotation, shift in zip(group.rotations[::5], group.translations24[::5], strict=True):
                both = np.concatenate([points, points @ rotation.T + shift / 24.0])
                assert distinct(both) == position.multiplicity


def test_equivalent_coordinates_give_the_same_orbit() -> None:
    for number in (2, 12, 36, 136, 148, 160, 166, 194, 216, 227):
        for position in space_group(number).positions.values():
            coords = np.array(GENERIC[: position.dof])
            points = position.orbit(tuple(coords))
            linears, shifts = position.equivalences
            for linear, shift in zip(linears[::7], shifts[::7], strict=True):
                image = position.orbit(tuple(linear @ coords + shift / 24.0))
                assert distinct(np.concatenate([points, image])) == position.multiplicity


def test_general_position_has_one_map_per_operation() -> None:
    assert len(space_group(225).positions["l"].equivalences[0]) == 192


def test_letter_a_capital_occurs_only_in_group_47() -> None:
    assert [number for number in GROUPS if "A" in space_group(number).positions] == [47]


def test_known_positions() -> None:
    rutile = space_group(136).positions["f"]
    assert (rutile.label, rutile.dof, rutile.representative) == ("4f", 1, "x,x,0")
    assert {tuple(point) for point in space_group(216).positions["c"].orbit(())} == {
        (0.25, 0.25, 0.25),
        (0.25, 0.75, 0.75),
        (0.75, 0.25, 0.75),
        (0.75, 0.75, 0.25),
    }
    thirds = space_group(194).positions["c"].orbit(())
    assert thirds.tolist() == [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]


def test_symbols_are_a_bijection() -> None:
    symbols = group_by_symbol()
    assert len(symbols) == GROUP_COUNT
    assert symbols["Fm-3m"] == 225
    assert symbols["P6_3mc"] == 186


def test_centring_vectors_are_primitive_lattice_vectors() -> None:
    for number in GROUPS:
        group = space_group(number)
        inverse = np.linalg.inv(group.primitive_basis)
        assert round(1 / abs(np.linalg.det(group.primitive_basis))) == len(group.centring_vectors24)
        in_primitive = group.centring_vectors24 / 24.0 @ inverse
        assert np.allclose(in_primitive, np.round(in_primitive)), number


def test_primitive_rows_are_one_atom_per_centring_class() -> None:
    for number in (5, 38, 146, 167, 206, 229, 230):
        group = space_group(number)
        for letter, position in group.positions.items():
            rows = group.primitive_rows(letter)
            assert len(rows) * len(group.centring_vectors24) == position.multiplicity


def test_labels_are_sorted_and_complete() -> None:
    labels = wyckoff_labels()
    multiplicities = [int(label[:-1]) for label in labels]
    assert all(first <= second for first, second in pairwise(multiplicities))
    assert len(labels) == 186
    assert {"1a", "8A", "192l"} <= set(labels)


@pytest.mark.parametrize(("number", "names"), [(2, 6), (15, 4), (74, 3), (194, 2), (195, 1)])
def test_free_cell_parameters(number: int, names: int) -> None:
    assert len(cell_parameter_names(number)) == names


def test_full_cell_completes_by_symmetry() -> None:
    assert full_cell(186, [3.25, 5.207]) == (3.25, 3.25, 5.207, 90.0, 90.0, 120.0)
    assert full_cell(14, [5.0, 6.0, 7.0, 101.5]) == (5.0, 6.0, 7.0, 90.0, 101.5, 90.0)
    with pytest.raises(ValueError, match="zip"):
        full_cell(225, [5.0, 5.0])
