"""Distances and volumes of a periodic cell, in numpy and exact for skewed cells."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

AMU_PER_CUBIC_ANGSTROM = 1.66053907
"""g/cm^3 of one atomic mass unit per cubic angstrom."""

_SHIFTS = np.array(list(product((-1, 0, 1), repeat=3)), dtype=float)
_ORIGIN = 13
_CHUNK_PAIRS = 40_000


def minkowski_reduce(lattice: Array, max_rounds: int = 200) -> tuple[Array, NDArray[np.int64]]:
    """Return the shortest basis of the same lattice and the integer matrix that makes it.

    In a Minkowski-reduced basis the nearest image of a wrapped difference is among the 27 neighbouring cells
    (the greedy algorithm in three dimensions: Nguyen and Stehle, ACM Trans. Algorithms 5, 46 (2009)).

    Args:
        lattice: [3, 3], rows are vectors in angstrom.
        max_rounds: stop after so many reductions (rounding may make equal lengths swap for ever).

    Returns:
        reduced [3, 3] and transform [3, 3] with `reduced = transform @ lattice`.
    """
    transform = np.eye(3, dtype=np.int64)
    for _ in range(max_rounds):
        basis = transform @ lattice
        order = np.argsort(np.einsum("ij,ij->i", basis, basis), kind="stable")
        transform, basis = transform[order], basis[order]
        lengths = np.einsum("ij,ij->i", basis, basis)
        # Gauss step on the two short vectors.
        step = round(float(basis[1] @ basis[0] / lengths[0]))
        if step:
            transform[1] -= step * transform[0]
            continue
        # Closest lattice point of the plane of the short vectors to the long one.
        gram = basis[:2] @ basis[:2].T
        floor = np.floor(np.linalg.solve(gram, basis[:2] @ basis[2]))
        best, combination = lengths[2] * (1 - 1e-12), None
        for dx, dy in product((-1, 0, 1, 2), repeat=2):
            candidate = (int(floor[0]) + dx, int(floor[1]) + dy)
            vector = basis[2] - candidate[0] * basis[0] - candidate[1] * basis[1]
            if vector @ vector < best:
                best, combination = float(vector @ vector), candidate
        if combination is None:
            break
        transform[2] -= combination[0] * transform[0] + combination[1] * transform[1]
    return transform @ lattice, transform


def nearest_pairs(lattice: Array, frac: Array, rows: Sequence[int] | None = None) -> Array:
    """Return the shortest periodic distance of atom pairs, an atom and its own images included.

    Args:
        lattice: [3, 3], rows are vectors in angstrom.
        frac: [n, 3] fractional coordinates.
        rows: atoms to measure from (all when None); one atom per Wyckoff site covers every distinct distance.

    Returns:
        [len(rows), n] distances in angstrom; entry (i, i) is the distance to the atom's nearest image.
    """
    reduced, transform = minkowski_reduce(np.asarray(lattice, dtype=float))
    # x_old = x_new @ transform, so the fractional coordinates in the reduced basis are:
    coords = np.asarray(frac, dtype=float) @ np.linalg.inv(transform.astype(float))
    picked = np.arange(len(coords)) if rows is None else np.asarray(rows, dtype=int)
    images = _SHIFTS @ reduced
    image_norms = np.einsum("ij,ij->i", images, images)
    out = np.empty((len(picked), len(coords)))
    block = max(1, _CHUNK_PAIRS // max(1, len(coords)))
    for start in range(0, len(picked), block):
        part = picked[start : start + block]
        difference = coords[part][:, None, :] - coords[None, :, :]
        difference -= np.round(difference)
        cart = (difference @ reduced).reshape(-1, 3)
        squared = np.einsum("ij,ij->i", cart, cart)[:, None] + 2 * (cart @ images.T) + image_norms
        same = np.arange(len(part)) * len(coords) + part
        squared[same, _ORIGIN] = np.inf
        out[start : start + block] = np.sqrt(np.maximum(squared.min(axis=1), 0.0)).reshape(len(part), -1)
    return out


def closest_contacts(
    lattice: Array, frac: Array, radii: Array, rows: Sequence[int] | None = None
) -> tuple[float, float]:
    """Return the shortest distance in angstrom and the smallest distance / (sum of the two radii).

    Args:
        lattice: [3, 3], rows are vectors in angstrom.
        frac: [n, 3] fractional coordinates.
        radii: [n] covalent radii in angstrom.
        rows: atoms to measure from, as in `nearest_pairs`.
    """
    distances = nearest_pairs(lattice, frac, rows)
    radii = np.asarray(radii, dtype=float)
    from_radii = radii if rows is None else radii[np.asarray(rows, dtype=int)]
    ratio = distances / (from_radii[:, None] + radii[None, :])
    return float(distances.min()), float(ratio.min())


def density(mass: float, volume: float) -> float:
    """Return the density in g/cm^3 of a cell of `mass` atomic mass units and `volume` cubic angstrom."""
    return mass * AMU_PER_CUBIC_ANGSTROM / volume if volume > 0 else float("inf")
