"""The steady biomarker field of a closed box on a lattice: finite volumes, with walls, obstacles and vessel flow.

    sum over the faces of a cell of (D / h) (c_j - c_i) A  -  advection  -  k h^3 c_i  +  q_i  =  0

Cells whose centre lies in a tumour or an obstacle are solid: nothing crosses their faces. The secretion of a tumour
enters through the faces of its cells, each with the same share, so that the total is exactly Q. Walls let nothing
through, except where vessel flow enters (at the background's excess 0) and leaves (with what it carries).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sciRL.errors import UserError

if TYPE_CHECKING:
    from domains.nanorobot.options import NanorobotOptions

TOLERANCE = 1e-10


def solve(options: NanorobotOptions) -> np.ndarray:
    """Return the concentration [n, n, n] in molecules/um^3 at the cell centres, background included.

    Cells within a tumour or an obstacle carry the value of the nearest fluid cell, for the interpolation beside them.

    Raises:
        UserError: a tumour has no fluid around it, or the linear solver did not converge.
    """
    from scipy.ndimage import distance_transform_edt

    solid, owner = solids(options)
    fluid = ~solid
    source = _secretion(options, fluid, owner)
    excess = np.zeros(solid.shape)
    excess[fluid] = _solve_linear(options, fluid, source[fluid])
    nearest = distance_transform_edt(solid, return_distances=False, return_indices=True)
    return excess[tuple(nearest)] + options.background


def cell_centres(options: NanorobotOptions) -> np.ndarray:
    """Return the centres [n, n, n, 3] in um."""
    spacing = options.box / options.grid_cells
    axis = (np.arange(options.grid_cells) + 0.5) * spacing - options.box / 2
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def solids(options: NanorobotOptions) -> tuple[np.ndarray, np.ndarray]:
    """Return which cells are solid [n, n, n], and the number of the tumour that each belongs to (-1 for none)."""
    centres = cell_centres(options)
    owner = np.full(centres.shape[:3], -1)
    for number, position in enumerate(options.tumour_positions):
        owner[((centres - position) ** 2).sum(-1) < options.tumour_radius**2] = number
    solid = owner >= 0
    for x, y, z, radius in options.obstacles:
        solid |= ((centres - (x, y, z)) ** 2).sum(-1) < radius**2
    return solid, owner


def _secretion(options: NanorobotOptions, fluid: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return what enters each cell in molecules/s."""
    source = np.zeros(fluid.shape)
    for number in range(len(options.tumour_positions)):
        faces = np.zeros(fluid.shape)
        for axis in range(3):
            for step in (1, -1):
                # Walls are faces of no cell: the wrapped-around layer is taken out.
                neighbour = np.roll(owner == number, step, axis)
                edge: list[slice | int] = [slice(None)] * 3
                edge[axis] = 0 if step == 1 else -1
                neighbour[tuple(edge)] = False
                faces += fluid & neighbour
        if not faces.sum():
            raise UserError(
                f"field=grid: tumour {number} has no free surface on a lattice of {options.grid_cells} cells"
            )
        source += options.secretion * faces / faces.sum()
    return source


def _solve_linear(options: NanorobotOptions, fluid: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return the excess concentration of the fluid cells from the sparse balance of each."""
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import LinearOperator, bicgstab, cg

    count = int(fluid.sum())
    number = np.full(fluid.shape, -1)
    number[fluid] = np.arange(count)
    spacing = options.box / options.grid_cells
    exchange = options.diffusion * spacing
    diagonal = np.full(count, options.decay * spacing**3)
    rows, columns, entries = [], [], []
    for axis in range(3):
        left = number.take(range(options.grid_cells - 1), axis).ravel()
        right = number.take(range(1, options.grid_cells), axis).ravel()
        open_face = (left >= 0) & (right >= 0)
        left, right = left[open_face], right[open_face]
        carried = _carried(options, fluid, left) if axis == 0 else np.zeros(len(left))
        for here, there, inflow in ((left, right, np.zeros(len(left))), (right, left, carried)):
            rows.append(here)
            columns.append(there)
            entries.append(-exchange - inflow)
        np.add.at(diagonal, left, exchange + carried)
        np.add.at(diagonal, right, exchange)
    if options.flow_peak:
        outlet = number[-1].ravel()
        outlet = outlet[outlet >= 0]
        np.add.at(diagonal, outlet, _carried(options, fluid, outlet))
    matrix = coo_matrix(
        (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))), shape=(count, count)
    ).tocsr() + diags(diagonal)
    jacobi = LinearOperator((count, count), matvec=lambda x: x.ravel() / diagonal, dtype=np.float64)
    method = bicgstab if options.flow_peak else cg
    solution, status = method(matrix, source, rtol=TOLERANCE, atol=0.0, maxiter=20_000, M=jacobi)
    if status != 0 or not np.isfinite(solution).all():
        raise UserError(f"field=grid: the linear solver stopped with status {status}; try fewer grid_cells")
    return np.maximum(solution, 0.0)


def _carried(options: NanorobotOptions, fluid: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return the volume flow in um^3/s out of the cells towards +x (upwind: it carries the cell's own content)."""
    if not options.flow_peak:
        return np.zeros(len(cells))
    centres = cell_centres(options)[fluid][cells]
    spacing = options.box / options.grid_cells
    rho2 = (centres[:, 1:] ** 2).sum(-1)
    return options.flow_peak * np.maximum(0.0, 1 - rho2 / options.vessel_radius**2) * spacing**2
