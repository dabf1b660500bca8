"""Hypergrid: cells of {0..H-1}^D reached by steps of +1 along one axis, with modes near the corners.

Bengio et al. 2021, arXiv 2106.04399. With a_d = |s_d / (H - 1) - 1/2| the rewards are
- original: R0 + R1 prod[a > 0.25] + R2 prod[0.3 < a < 0.4];
- cosine: R0 + R1 prod (cos(50 a) + 1) phi(5 a), phi the normal density;
- sparse: R1 where every coordinate is 1 or H - 2 and one at least is H - 2, R0 elsewhere (Pan et al. 2022, arXiv
  2210.03308);
- deceptive: R0 + R1 - R1 prod[a > 0.1] + R2 prod[0.3 < a < 0.4].
Inequalities are strict with a slack of 1e-9: at H = 11, a = 0.3 and 0.4 are not in the band, whatever the rounding.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from sciRL.errors import UserError
from sciRL.flow.environment import FlowEnvironment

Reward = Literal["original", "cosine", "sparse", "deceptive"]

SLACK = 1e-9
ENUMERABLE = 200_000
"""Most states that `enumerate` lists."""
LEVELS: dict[Reward, tuple[float, float, float]] = {
    "original": (0.1, 0.5, 2.0),
    "cosine": (0.1, 0.5, 0.0),
    "sparse": (1e-12, 1.0, 0.0),
    "deceptive": (1e-5, 0.1, 2.0),
}
"""R0, R1, R2 by default."""


class Hypergrid(FlowEnvironment):
    """A grid of H^D cells; a state is its coordinates [D], action d adds 1 to coordinate d, action D stops.

    Args:
        dimensions: D, >= 1.
        side: H, >= 2 (>= 4 for `sparse`).
        reward: which reward.
        r0: background, > 0; `LEVELS` by default.
        r1: height of the plateau.
        r2: height of the modes on it; read by `original` and `deceptive`.
        device: where the tensors live.

    Raises:
        UserError: a size or level out of its range.

    Example:
        `Hypergrid(2, 8)` has 64 cells, 4 modes of R = 2.6, sum of R = 22.4 and log Z = 3.109061.
    """

    def __init__(
        self,
        dimensions: int = 2,
        side: int = 8,
        reward: Reward = "original",
        r0: float | None = None,
        r1: float | None = None,
        r2: float | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        least = 4 if reward == "sparse" else 2
        if reward not in LEVELS:
            raise UserError(f"hypergrid reward: {reward!r} is none of {', '.join(LEVELS)}")
        if dimensions < 1 or side < least:
            raise UserError(f"hypergrid: dimensions {dimensions}, side {side}; at least 1 and {least} are needed")
        defaults = LEVELS[reward]
        given = (r0, r1, r2)
        self.r0, self.r1, self.r2 = (d if g is None else g for g, d in zip(given, defaults, strict=True))
        if self.r0 <= 0 or self.r1 < 0 or self.r2 < 0 or (reward == "sparse" and self.r1 == 0):
            raise UserError(
                f"hypergrid levels: r0 {self.r0}, r1 {self.r1}, r2 {self.r2}; r0 > 0, others >= 0 (sparse: r1 > 0)"
            )
        self.name = f"hypergrid-{dimensions}d-{side}"
        self.dimensions, self.side, self.reward = dimensions, side, reward
        self.n_actions, self.n_back = dimensions + 1, dimensions
        self.state_size, self.feature_size = dimensions, dimensions * side
        self.max_length = dimensions * (side - 1) + 1
        self.device = torch.device(device)
        self._axes = torch.arange(dimensions, device=self.device)
        self._strides = side ** self._axes.flip(0)
        self._units = torch.eye(dimensions + 1, dimensions, dtype=torch.int64, device=self.device)
        self._always = torch.ones(1, 1, dtype=torch.bool, device=self.device)
        self._one_hot = torch.eye(side, device=self.device)
        self._offset = (torch.arange(side, dtype=torch.float64, device=self.device) / (side - 1) - 0.5).abs()
        self._mode_cells = self._find_mode_cells()

    def source(self, n: int) -> Tensor:
        """Return the origin n times [n, D]."""
        return torch.zeros(n, self.dimensions, dtype=torch.int64, device=self.device)

    def forward_mask(self, states: Tensor) -> Tensor:
        """Return [B, D + 1]: an axis is open below H - 1, and stop is always."""
        return torch.cat([states < self.side - 1, self._always.expand(len(states), 1)], 1)

    def backward_mask(self, states: Tensor) -> Tensor:
        """Return [B, D]: the axes whose coordinate is above 0."""
        return states > 0

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the cells one further along the axes `actions`."""
        return states + self._units[actions]

    def back(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the cells one back along the axes `actions`."""
        return states - self._units[actions]

    def back_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the same axes."""
        return actions

    def forth_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the same axes."""
        return actions

    def encode(self, states: Tensor) -> Tensor:
        """Return one-hot coordinates [B, D * H]."""
        return self._one_hot[states].flatten(1)

    def log_reward(self, states: Tensor) -> Tensor:
        """Return log R [B], float64."""
        if self.reward == "sparse":
            inside = (self.mode_of(states) >= 0).double()
            return (self.r0 + (self.r1 - self.r0) * inside).log()
        offset = self._offset[states]
        if self.reward == "cosine":
            density = torch.exp(-0.5 * (5.0 * offset).square()) / math.sqrt(2.0 * math.pi)
            product = ((torch.cos(50.0 * offset) + 1.0) * density).prod(-1)
            return (self.r0 + self.r1 * product).log()
        plateau = offset > 0.25 + SLACK if self.reward == "original" else offset > 0.1 + SLACK
        on_plateau = plateau.all(-1).double()
        band = self._band()[states].all(-1).double()
        share = on_plateau if self.reward == "original" else 1.0 - on_plateau
        return (self.r0 + self.r1 * share + self.r2 * band).log()

    def reaches(self, states: Tensor, outcomes: Tensor) -> Tensor:
        """Return [B]: no coordinate is past the outcome's."""
        return (states <= outcomes).all(-1)

    def enumerate(self) -> Tensor | None:
        """Return all cells [H^D, D] in lexicographic order; None above `ENUMERABLE`."""
        n = self.side**self.dimensions
        if n > ENUMERABLE:
            return None
        return torch.arange(n, device=self.device).unsqueeze(1) // self._strides % self.side

    def index(self, states: Tensor) -> Tensor:
        """Return the lexicographic number [B] of each cell."""
        return (states * self._strides).sum(-1)

    def texts(self, states: Tensor) -> list[str]:
        """Return the cells as JSON lists of coordinates, such as `[1, 6]`."""
        return [json.dumps(state) for state in states.tolist()]

    def read(self, texts: Sequence[str]) -> Tensor:
        """Return the cells [B, D] of such texts.

        Raises:
            UserError: a text is not a JSON list of D whole numbers from 0 to H - 1.
        """
        return torch.tensor([self._read_one(text) for text in texts], dtype=torch.int64, device=self.device).view(
            len(texts), self.dimensions
        )

    def _read_one(self, text: str) -> list[int]:
        try:
            cell = json.loads(text)
        except (ValueError, RecursionError):
            cell = None
        if isinstance(cell, list) and len(cell) == self.dimensions:
            found = [x for x in cell if type(x) is int and 0 <= x < self.side]
            if len(found) == self.dimensions:
                return found
        raise UserError(
            f"{self.name}: {text[:80]!r} is no JSON list of {self.dimensions} whole numbers 0..{self.side - 1}"
        )

    @property
    def n_modes(self) -> int:
        """Number of modes: boxes of neighbouring best cells, one a corner region (`mode_of`)."""
        sides = torch.unique(self._half()[self._mode_cells])
        modes = len(sides) ** self.dimensions
        return modes - 1 if self.reward == "sparse" else modes

    def mode_of(self, states: Tensor) -> Tensor:
        """Return the mode [B] that a cell belongs to (0 .. 2^D - 1), -1 for none.

        A cell is in a mode where every coordinate is a best one: in the band 0.3 < a < 0.4 (original, deceptive), of
        the largest factor (cosine), or 1 or H - 2 but not 1 throughout (sparse). Bit d tells the half of axis d.
        """
        inside = self._mode_cells[states].all(-1)
        mode = (self._half()[states].long() << self._axes).sum(-1)
        if self.reward == "sparse":
            inside = inside & (mode > 0)
        return torch.where(inside, mode, -1)

    def _half(self) -> Tensor:
        """[H] bool, the coordinates of the upper half."""
        return 2 * torch.arange(self.side, device=self.device) > self.side - 1

    def _band(self) -> Tensor:
        """[H] bool, the coordinates with 0.3 < a < 0.4."""
        return (self._offset > 0.3 + SLACK) & (self._offset < 0.4 - SLACK)

    def _find_mode_cells(self) -> Tensor:
        """[H] bool, the best coordinates of an axis."""
        if self.reward == "sparse":
            place = torch.arange(self.side, device=self.device)
            return (place == 1) | (place == self.side - 2)
        if self.reward == "cosine":
            factor = (torch.cos(50.0 * self._offset) + 1.0) * torch.exp(-12.5 * self._offset.square())
            return factor >= factor.max() * (1 - SLACK)
        return self._band()
