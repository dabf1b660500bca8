"""What a robot knows: three observation sets, each a memory tensor [rows, M] whose first `size` rows are seen.

=========  ====  ==============================================================================================
set        size  features
=========  ====  ==============================================================================================
temporal   4     fast and slow average of y = ln(c^ + 0.05), fast - slow, seconds since the last tumble (at most 10)
spatial    7     y of all six receptors, their contrasts (c+ - c-) / (c+ + c- + 0.1) along x, y, z, the heading
oracle     7     y without noise, the direction of the true gradient, the heading
=========  ====  ==============================================================================================

`spatial` and `oracle` speak of the axes of the box: such a robot carries a compass. The last memory row is always the
time since the last tumble. `cell` sorts observations into 24 cells: six bins of fast - slow (temporal) or six
directions, the largest component and its sign (the others), times four bins of the concentration.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from domains.nanorobot import motion
from domains.nanorobot.field import Field, squared_distances
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.sensor import LOG_OFFSET, Sensor
from domains.nanorobot.starts import Starts

N_CELLS = 24
DIFFERENCE_EDGES = (-0.2, -0.05, 0.0, 0.05, 0.2)
LEVEL_EDGES = (1.0, 2.0, 4.0)
LONGEST_SINCE = 10.0


class Observer(Protocol):
    """Makes and updates the memory of one observation set."""

    size: int
    """Number of features seen, F."""
    normals: int
    """Standard normals per row and step."""

    def first(self, place: Starts, true: Tensor, normals: Tensor) -> Tensor:
        """Return the memory [rows, M] at the start, from the true concentration [M] and normals [normals, M]."""
        ...

    def update(self, memory: Tensor, place: Starts, true: Tensor, normals: Tensor) -> None:
        """Update the memory in place after a step."""
        ...

    def cell(self, observation: Tensor) -> Tensor:
        """Return the cell [B] of each observation [B, F]."""
        ...

    def bounds(self) -> tuple[list[float], list[float]]:
        """Return the lowest and highest value of each feature."""
        ...


class Temporal:
    """Fast and slow average of the log reading: the memory of a bacterium."""

    size, normals = 4, 1

    def __init__(self, options: NanorobotOptions, field: Field, device: torch.device) -> None:
        self.sensor = Sensor(options.counts_per_concentration, options.sensor, field.least)
        self.fast = 1 - math.exp(-options.dt / options.tau_fast)
        self.slow = 1 - math.exp(-options.dt / options.tau_slow)
        self.dt, self.largest = options.dt, self.sensor.largest(field.largest)
        self.difference_edges = torch.tensor(DIFFERENCE_EDGES, device=device)
        self.level_edges = torch.tensor(LEVEL_EDGES, device=device).log()

    def first(self, place: Starts, true: Tensor, normals: Tensor) -> Tensor:
        """Both averages begin at the first reading."""
        reading = self.sensor.log_reading(true, normals[0])
        return torch.stack([reading, reading, torch.zeros_like(reading), torch.zeros_like(reading)])

    def update(self, memory: Tensor, place: Starts, true: Tensor, normals: Tensor) -> None:
        """Move each average towards the new reading by 1 - exp(-dt / tau)."""
        reading = self.sensor.log_reading(true, normals[0])
        fast, slow, difference, since = memory.unbind(0)
        fast.lerp_(reading, self.fast)
        slow.lerp_(reading, self.slow)
        torch.sub(fast, slow, out=difference)
        since.add_(self.dt).clamp_(max=LONGEST_SINCE)

    def cell(self, observation: Tensor) -> Tensor:
        """Return 4 times the bin of fast - slow plus the bin of exp(slow)."""
        difference = torch.bucketize(observation[:, 2].contiguous(), self.difference_edges)
        return difference * 4 + torch.bucketize(observation[:, 1].contiguous(), self.level_edges)

    def bounds(self) -> tuple[list[float], list[float]]:
        """Return the range of the reading, of its difference and of the time since a tumble."""
        low, high = math.log(LOG_OFFSET) - 1e-3, math.log(self.largest + LOG_OFFSET) + 1e-3
        return [low, low, low - high, 0.0], [high, high, high - low, LONGEST_SINCE]


class Directional:
    """Base of the sets that name directions: log level, a direction [3], the heading [3]."""

    size = 7
    normals = 0
    dt: float
    largest: float
    level_edges: Tensor

    def __init__(self, options: NanorobotOptions, field: Field, device: torch.device) -> None:
        self.options, self.field, self.dt = options, field, options.dt
        self.largest = field.largest
        self.level_edges = torch.tensor(LEVEL_EDGES, device=device).log()

    def sense(self, place: Starts, true: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log level [M] and the direction [3, M]."""
        raise NotImplementedError

    def first(self, place: Starts, true: Tensor, normals: Tensor) -> Tensor:
        """Return the memory at the start."""
        memory = torch.zeros(self.size + 1, len(true), device=true.device)
        self.update(memory, place, true, normals)
        memory[-1] = 0.0
        return memory

    def update(self, memory: Tensor, place: Starts, true: Tensor, normals: Tensor) -> None:
        """Overwrite level, direction and heading."""
        memory[0], memory[1:4] = self.sense(place, true, normals)
        memory[4:7] = place.heading
        memory[-1].add_(self.dt).clamp_(max=LONGEST_SINCE)

    def cell(self, observation: Tensor) -> Tensor:
        """Return 4 times the number of the strongest direction (+x, -x, +y, -y, +z, -z) plus the bin of the level."""
        direction = observation[:, 1:4]
        axis = direction.abs().argmax(1)
        negative = direction.gather(1, axis.unsqueeze(1)).squeeze(1) < 0
        return (2 * axis + negative) * 4 + torch.bucketize(observation[:, 0].contiguous(), self.level_edges)

    def bounds(self) -> tuple[list[float], list[float]]:
        """Return the range of the level and of the components of unit vectors."""
        low, high = math.log(LOG_OFFSET) - 1e-3, math.log(self.largest + LOG_OFFSET) + 1e-3
        return [low] + [-1.001] * 6, [high] + [1.001] * 6


class Spatial(Directional):
    """Six receptors on the body along the axes of the box, each with a sixth of the absorber's counts."""

    normals = 6

    def __init__(self, options: NanorobotOptions, field: Field, device: torch.device) -> None:
        super().__init__(options, field, device)
        self.sensor = Sensor(options.counts_per_concentration / 6, options.sensor, field.least)
        # A receptor may lie inside the surface that its body's centre is outside of.
        self.largest = self.sensor.largest(field.largest)
        signs = torch.tensor([[1, -1, 0, 0, 0, 0], [0, 0, 1, -1, 0, 0], [0, 0, 0, 0, 1, -1]], device=device)
        self.places = (signs * options.robot_radius).unsqueeze(2)

    def sense(self, place: Starts, true: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log of the mean estimate and the contrasts along the axes."""
        receptors = (place.position.unsqueeze(1) + self.places).reshape(3, -1)
        squared = squared_distances(receptors, place.tumours.repeat(1, 1, 6))
        concentration = self.field.concentration(receptors, squared).reshape(6, -1)
        estimate = self.sensor.estimate(concentration, normals[:6])
        ahead, behind = estimate[0::2], estimate[1::2]
        level = (estimate.sum(0) / 6).add_(LOG_OFFSET).log_()
        return level, (ahead - behind) / (ahead + behind + 2 * LOG_OFFSET)


class Oracle(Directional):
    """The true gradient: an upper bound that no robot has."""

    def sense(self, place: Starts, true: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
        """Return the exact log level and the unit gradient."""
        gradient = motion.normalise(self.field.gradient(place.position, place.tumours))
        return (true + LOG_OFFSET).log_(), gradient


def observer(options: NanorobotOptions, field: Field, device: torch.device) -> Observer:
    """Return the observer of the options."""
    kinds: dict[str, type[Temporal] | type[Spatial] | type[Oracle]] = {
        "temporal": Temporal,
        "spatial": Spatial,
        "oracle": Oracle,
    }
    return kinds[options.observation](options, field, device)
