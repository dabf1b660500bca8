"""Wyckoff positions of the 230 space groups as exact affine forms in integer 24ths.

An orbit point is `rotations[k] @ (x, y, z) + translations24[k] / 24 (mod 1)`. Because the forms are integers, the
number of atoms never depends on how 1/3 was rounded. Setting: unique axis b, hexagonal axes for R groups, origin
choice 2; conventional cell, centring included.

>>> space_group(136).positions["f"].representative
'x,x,0'
>>> space_group(225).positions["c"].multiplicity
8
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domains.crystal.tables import read_table

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

GROUP_COUNT = 230
LETTERS = "abcdefghijklmnopqrstuvwxyzA"
"""Wyckoff letters in order; `A` occurs only in group 47."""

# Primitive vectors (rows) in units of the conventional vectors, by the first letter of the group's symbol.
_PRIMITIVE_ROWS: dict[str, list[list[Fraction]]] = {
    letter: [[Fraction(value) for value in row.split()] for row in rows.split(",")]
    for letter, rows in {
        "P": "1 0 0, 0 1 0, 0 0 1",
        "A": "1 0 0, 0 1/2 -1/2, 0 1/2 1/2",
        "C": "1/2 1/2 0, -1/2 1/2 0, 0 0 1",
        "I": "-1/2 1/2 1/2, 1/2 -1/2 1/2, 1/2 1/2 -1/2",
        "F": "0 1/2 1/2, 1/2 0 1/2, 1/2 1/2 0",
        "R": "2/3 1/3 1/3, -1/3 1/3 1/3, -1/3 -2/3 1/3",
    }.items()
}


@dataclass(frozen=True, eq=False)
class WyckoffPosition:
    """One Wyckoff position: its orbit as `multiplicity` affine forms of the free coordinates.

    `axes` are the indices (0 x, 1 y, 2 z) of the free coordinates, so `dof == len(axes)`; `rotations` is int [m,3,3]
    and `translations24` is int [m,3] in 24ths; row 0 is the representative.
    """

    letter: str
    multiplicity: int
    representative: str
    axes: tuple[int, ...]
    rotations: IntArray
    translations24: IntArray

    @property
    def dof(self) -> int:
        """Number of free coordinates."""
        return len(self.axes)

    @property
    def label(self) -> str:
        """Multiplicity and letter, for example "4a"."""
        return f"{self.multiplicity}{self.letter}"

    @cached_property
    def _float_forms(self) -> tuple[FloatArray, FloatArray]:
        return self.rotations[:, :, list(self.axes)].astype(np.float64), self.translations24 / 24.0

    def orbit(self, coords: Sequence[float]) -> FloatArray:
        """Return the fractional coordinates [m,3] in [0, 1) of all atoms of a site with the given free coordinates."""
        rotations, translations = self._float_forms
        points = rotations @ np.asarray(coords, dtype=np.float64) + translations if coords else translations
        points = points % 1.0
        # A tiny negative number modulo 1 rounds to exactly 1.0.
        return np.where(points >= 1.0, 0.0, points)

    @cached_property
    def equivalences(self) -> tuple[IntArray, IntArray]:
        """Affine maps (int [e,dof,dof], 24ths [e,dof]) between free coordinates that describe the same orbit."""
        axes = list(self.axes)
        forms, shifts = self.rotations[:, :, axes], self.translations24
        linear, offset = forms[:, axes, :], shifts[:, axes]
        # The representative's form at (linear @ p + offset) must be form k at p, identically in p.
        same_linear = (forms[0] @ linear == forms).all(axis=(1, 2))
        same_shift = ((offset @ forms[0].T + shifts[0] - shifts) % 24 == 0).all(axis=1)
        keep = same_linear & same_shift
        return linear[keep], offset[keep]

    def solve(self, points: FloatArray, tolerance: float) -> tuple[float, ...] | None:
        """Return free coordinates that put the representative on one of `points` [n,3], or None.

        `tolerance` is the largest allowed deviation in fractional units.
        """
        rotations, translations = self._float_forms
        free = points[:, list(self.axes)]
        error = free @ rotations[0].T + translations[0] - points
        error = np.abs(error - np.round(error)).max(axis=1)
        best = int(error.argmin())
        return tuple(float(value) for value in free[best] % 1.0) if error[best] <= tolerance else None


@dataclass(frozen=True, eq=False)
class SpaceGroup:
    """A space group in the table's setting: symbol, spglib Hall number and Wyckoff positions by letter."""

    number: int
    symbol: str
    hall: int
    rotations: IntArray
    translations24: IntArray
    positions: dict[str, WyckoffPosition]

    @property
    def centring(self) -> str:
        """The lattice letter: P, A, C, I, F or R."""
        return self.symbol[0]

    @cached_property
    def centring_vectors24(self) -> IntArray:
        """Pure translations [c,3] in 24ths, the zero vector included."""
        identity = (self.rotations == np.eye(3, dtype=np.int64)).all(axis=(1, 2))
        return self.translations24[identity]

    @cached_property
    def primitive_basis(self) -> FloatArray:
        """Primitive lattice vectors [3,3] (rows) in units of the conventional ones."""
        return np.array(_PRIMITIVE_ROWS[self.centring], dtype=np.float64)

    @cache  # noqa: B019  (groups live as long as the process)
    def primitive_rows(self, letter: str) -> tuple[int, ...]:
        """Return the orbit rows of a position that are different atoms of the primitive cell."""
        position = self.positions[letter]
        rows: list[int] = []
        seen: set[bytes] = set()
        for row, (rotation, shift) in enumerate(zip(position.rotations, position.translations24, strict=True)):
            if rotation.tobytes() + shift.tobytes() in seen:
                continue
            rows.append(row)
            seen.update(rotation.tobytes() + image.tobytes() for image in (shift + self.centring_vectors24) % 24)
        return tuple(rows)


def cell_parameter_names(number: int) -> tuple[str, ...]:
    """Return the free cell parameters of a group, for example ("a", "c") for 136."""
    if number <= 2:
        return ("a", "b", "c", "alpha", "beta", "gamma")
    if number <= 15:
        return ("a", "b", "c", "beta")
    if number <= 74:
        return ("a", "b", "c")
    return ("a", "c") if number <= 194 else ("a",)


def full_cell(number: int, free: Sequence[float]) -> tuple[float, float, float, float, float, float]:
    """Return (a, b, c, alpha, beta, gamma) from a group's free cell parameters (angstrom, degrees)."""
    given = dict(zip(cell_parameter_names(number), free, strict=True))
    a = given["a"]
    gamma = 120.0 if 143 <= number <= 194 else 90.0
    return (
        a,
        given.get("b", a),
        given.get("c", a),
        given.get("alpha", 90.0),
        given.get("beta", 90.0),
        given.get("gamma", gamma),
    )


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(read_table("wyckoff_table.json"))
    return table


@cache
def group_by_symbol() -> dict[str, int]:
    """Return group numbers by Hermann-Mauguin symbol as the table writes it, for example "Fm-3m" -> 225."""
    return {entry["symbol"]: int(number) for number, entry in _table().items()}


@cache
def wyckoff_labels() -> tuple[str, ...]:
    """Return every multiplicity-and-letter label that occurs in some group, sorted ("1a", "1b", ..., "192l")."""
    labels = {(multiplicity, letter) for entry in _table().values() for letter, multiplicity, _ in entry["positions"]}
    return tuple(f"{multiplicity}{letter}" for multiplicity, letter in sorted(labels))


_TERM = re.compile(r"([+-]?)(?:(\d*)([xyz])|(\d+)(?:/(\d+))?)")


def _parse_representative(text: str) -> tuple[IntArray, IntArray]:
    """Return the matrix [3,3] and the shift in 24ths [3] of a coordinate triplet such as "x,-x+1/2,1/4"."""
    matrix, shift = np.zeros((3, 3), dtype=np.int64), np.zeros(3, dtype=np.int64)
    for row, expression in enumerate(text.split(",")):
        for sign, factor, variable, numerator, denominator in _TERM.findall(expression):
            unit = -1 if sign == "-" else 1
            if variable:
                matrix[row, "xyz".index(variable)] += unit * int(factor or 1)
            else:
                shift[row] += unit * 24 * int(numerator) // int(denominator or 1)
    return matrix, shift % 24


def _position(letter: str, multiplicity: int, text: str, rotations: IntArray, shifts24: IntArray) -> WyckoffPosition:
    matrix, shift = _parse_representative(text)
    forms = rotations @ matrix
    offsets = (rotations @ shift + shifts24) % 24
    rows = np.concatenate([forms.reshape(-1, 9), offsets], axis=1)
    _, first = np.unique(rows, axis=0, return_index=True)
    first.sort()
    if len(first) != multiplicity:
        raise RuntimeError(f"Wyckoff table: {multiplicity}{letter} generates {len(first)} points from {text}")
    axes = tuple(int(axis) for axis in np.flatnonzero(np.abs(matrix).sum(axis=0)))
    return WyckoffPosition(letter, multiplicity, text, axes, forms[first], offsets[first])


@cache
def space_group(number: int) -> SpaceGroup:
    """Return a space group, built on first use from the table and spglib's operations of its setting.

    Raises `KeyError` for a number outside 1..230.
    """
    import spglib

    entry = _table()[str(number)]
    operations = spglib.get_symmetry_from_database(entry["hall"])
    if operations is None:
        raise RuntimeError(f"spglib does not know Hall number {entry['hall']}")
    rotations = np.asarray(operations["rotations"], dtype=np.int64)
    shifts24 = np.rint(np.asarray(operations["translations"]) * 24).astype(np.int64) % 24
    positions = {
        letter: _position(letter, multiplicity, text, rotations, shifts24)
        for letter, multiplicity, text in entry["positions"]
    }
    return SpaceGroup(number, entry["symbol"], entry["hall"], rotations, shifts24, positions)
