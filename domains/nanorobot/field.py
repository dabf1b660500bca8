"""The biomarker's concentration and its gradient: superposed analytic solutions, or a look-up in a solved lattice.

Positions are [3, M] in um, tumour centres [K, 3, M] (every row may have its own), concentrations molecules/um^3.
The analytic field holds in unbounded space: walls and obstacles reflect the robot but not the biomarker.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from domains.nanorobot.options import NanorobotOptions


def squared_distances(position: Tensor, tumours: Tensor) -> Tensor:
    """Return |x - x_k|^2 as [K, M]."""
    offset = position.unsqueeze(0) - tumours
    offset.mul_(offset)
    return (offset[:, 0] + offset[:, 1]).add_(offset[:, 2])


class Field(Protocol):
    """A steady concentration field."""

    least: float
    """A lower bound of the concentration."""
    largest: float
    """An upper bound of the concentration outside the tumours."""

    def concentration(self, position: Tensor, squared: Tensor) -> Tensor:
        """Return c [M] at positions whose squared distances [K, M] to the tumours are known."""
        ...

    def gradient(self, position: Tensor, tumours: Tensor) -> Tensor:
        """Return grad c [3, M]."""
        ...


class AnalyticField:
    """c = c_bg + sum over tumours of A exp(-r / lambda) / r; within a tumour its surface value."""

    def __init__(self, options: NanorobotOptions) -> None:
        self.amplitude = options.amplitude
        self.inverse_length = 1 / options.screening
        self.radius = options.tumour_radius
        self.least = self.background = options.background
        surface = self.amplitude * float(torch.tensor(-self.radius * self.inverse_length).exp()) / self.radius
        self.largest = self.background + len(options.tumour_positions) * surface

    def concentration(self, position: Tensor, squared: Tensor) -> Tensor:
        """Return c [M]; only the squared distances [K, M] matter."""
        distance = squared.clamp(min=self.radius**2).sqrt_()
        parts = (distance * -self.inverse_length).exp_().div_(distance)
        total = parts[0]
        for part in parts[1:]:
            total += part
        return total.mul_(self.amplitude).add_(self.background)

    def gradient(self, position: Tensor, tumours: Tensor) -> Tensor:
        """Return grad c [3, M] = -sum of c_k (1 / r + 1 / lambda) (x - x_k) / r."""
        offset = position.unsqueeze(0) - tumours
        distance = squared_distances(position, tumours).clamp_(min=self.radius**2).sqrt_()
        part = (distance * -self.inverse_length).exp_().div_(distance).mul_(self.amplitude)
        slope = part * (1 / distance + self.inverse_length) / distance
        return -(slope.unsqueeze(1) * offset).sum(0)


class GridField:
    """A field solved on a lattice (see `lattice`), read by trilinear interpolation between cell centres.

    Args:
        values: [n, n, n] at the cell centres, background included.
        box: edge of the cube in um.
        device: where positions live.
    """

    def __init__(self, values: Tensor, box: float, device: torch.device) -> None:
        self.cells = values.shape[0]
        self.spacing = box / self.cells
        self.half = box / 2
        self.values = values.to(torch.float32).to(device).reshape(-1)
        self.least, self.largest = float(values.min()), float(values.max())
        corners = torch.tensor([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], device=device)
        strides = torch.tensor([self.cells**2, self.cells, 1], device=device)
        # A sum, not a matrix product: GPUs have none for integers.
        self.corner_shift = (corners * strides).sum(1, keepdim=True)
        self.corner = corners.to(torch.float32)[:, :, None]

    def concentration(self, position: Tensor, squared: Tensor) -> Tensor:
        """Return c [M] at positions [3, M]; beyond the outermost cell centres the value stays constant."""
        place = ((position + self.half) / self.spacing - 0.5).clamp_(min=0.0, max=self.cells - 1.001)
        low = place.floor()
        weight = place - low
        index = low.to(torch.int64)
        flat = (index[0] * self.cells + index[1]) * self.cells + index[2]
        parts = self.values[flat + self.corner_shift]
        shares = 1 - self.corner + (2 * self.corner - 1) * weight
        parts.mul_(shares[:, 0]).mul_(shares[:, 1]).mul_(shares[:, 2])
        total = parts[0]
        for part in parts[1:]:
            total += part
        return total

    def gradient(self, position: Tensor, tumours: Tensor) -> Tensor:
        """Return grad c [3, M] by central differences over one lattice spacing."""
        step = 0.5 * self.spacing
        unused = position[:1]
        rows = []
        for axis in range(3):
            shift = torch.zeros(3, 1, device=position.device)
            shift[axis] = step
            ahead = self.concentration(position + shift, unused)
            rows.append(ahead - self.concentration(position - shift, unused))
        return torch.stack(rows) / (2 * step)


def make_field(options: NanorobotOptions, device: torch.device) -> Field:
    """Return the field of the options."""
    if options.field == "analytic":
        return AnalyticField(options)
    from domains.nanorobot.lattice import solve

    return GridField(torch.from_numpy(solve(options)), options.box, device)
