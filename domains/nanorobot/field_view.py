"""The biomarker as figures show it: concentrations at points, and a slice of the box, on one logarithmic scale."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from domains.nanorobot.options import NanorobotOptions

MOLECULES_PER_NM = 0.60221
"""Molecules/um^3 of a solution of 1 nM."""
LEVELS = 4095
"""Steps of the logarithmic scale."""
DECADES = 3.0
"""The scale ends this far below the largest value, where the background is lower still."""

Points = NDArray[np.float64]


class FieldView:
    """Concentrations in nM (with preset kavousinejad2024: its sensed value, without a unit).

    Args:
        options: of the simulation; a field on a lattice is solved here once.
    """

    def __init__(self, options: NanorobotOptions) -> None:
        self.kavousinejad = options.preset == "kavousinejad2024"
        self.half = options.box / 2
        if self.kavousinejad:
            from domains.nanorobot.kavousinejad import REACHED

            self.unit, self.low, self.high, self.tumour_radius = "", 0.01, 1.0, REACHED
            return
        from domains.nanorobot.field import make_field

        self._field = make_field(options, torch.device("cpu"))
        self.unit, self.tumour_radius = "nM", options.tumour_radius
        self.high = self._field.largest / MOLECULES_PER_NM
        self.low = max(self._field.least / MOLECULES_PER_NM, self.high * 10**-DECADES)

    def values(self, points: Points, tumours: Points) -> Points:
        """Return the concentration [N] at points [N, 3] in um, of tumours at [K, 3]."""
        if self.kavousinejad:
            from domains.nanorobot.kavousinejad import SENSE_LENGTH

            squared = ((points - tumours[0]) ** 2).sum(1)
            return np.asarray(np.exp(-squared / SENSE_LENGTH**2), dtype=np.float64)
        from domains.nanorobot.field import squared_distances

        position = torch.from_numpy(points.T.copy()).float()
        centres = torch.from_numpy(tumours.copy()).float().unsqueeze(2)
        with torch.no_grad():
            found = self._field.concentration(position, squared_distances(position, centres))
        return found.double().numpy() / MOLECULES_PER_NM

    def levels(self, points: Points, tumours: Points) -> list[int]:
        """Return the place of each point [N, 3] on the scale from `low` (0) to `high` (4095)."""
        values = np.clip(self.values(points, tumours), self.low, self.high)
        return [int(level) for level in np.rint(LEVELS * np.log(values / self.low) / np.log(self.high / self.low))]

    def slice(self, tumours: Points, cells: int) -> list[int]:
        """Return the levels [cells * cells] at the cells' centres in the plane of the first tumour, row by row (y)."""
        axis = (np.arange(cells) + 0.5) / cells * 2 * self.half - self.half
        x, y = np.meshgrid(axis, axis)
        z = np.full(x.size, tumours[0, 2])
        return self.levels(np.stack([x.ravel(), y.ravel(), z], axis=1), tumours)
