"""ReplayBuffer: objects met before, to be walked back from; distinct, oldest out first."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

TOP_SHARE = 0.1
"""The best tenth of the buffer ..."""
TOP_DRAWS = 0.5
"""... gives half of a reward-prioritised draw (Shen et al. 2023, arXiv 2305.07170)."""


class ReplayBuffer:
    """Up to `capacity` distinct objects [S] with their log R, on one device.

    Args:
        capacity: objects kept.
        state_size: integers a state, S.
        device: where the tensors live.
        priority: `uniform`, or `reward`: half of a draw from the tenth with the highest log R, half from the rest.
    """

    def __init__(
        self, capacity: int, state_size: int, device: torch.device, priority: Literal["uniform", "reward"] = "uniform"
    ) -> None:
        self.capacity, self.priority = capacity, priority
        self._states = torch.zeros(capacity, state_size, dtype=torch.int64, device=device)
        self._log_reward = torch.zeros(capacity, dtype=torch.float64, device=device)
        self._keys = torch.zeros(capacity, dtype=torch.int64, device=device)
        self._added = 0
        # Odd multipliers mod 2^64: two states share a key with a chance of about 2^-64.
        mixer = torch.Generator().manual_seed(0)
        limits = torch.iinfo(torch.int64)
        weights = torch.randint(limits.min, limits.max, (state_size,), generator=mixer) | 1
        self._weights = weights.to(device)

    def __len__(self) -> int:
        """Return the number of objects held."""
        return min(self._added, self.capacity)

    def _key(self, states: Tensor) -> Tensor:
        """Return a 64-bit key [B] of each state: a sum of mixed entries, wrapping."""
        mixed = (states + 1) * self._weights
        return ((mixed ^ (mixed >> 29)) * self._weights).sum(1)

    def add(self, states: Tensor, log_reward: Tensor) -> int:
        """Add objects [B, S] with log R [B] that are not held yet, and return how many were new."""
        keys = self._key(states)
        _, first = torch.unique(keys, return_inverse=True)
        place = torch.arange(len(keys), device=keys.device)
        earliest = torch.full_like(place, len(keys)).scatter_reduce(0, first, place, "amin")
        fresh = (earliest[first] == place) & ~torch.isin(keys, self._keys[: len(self)])
        new = fresh.nonzero().squeeze(1)[-self.capacity :]
        slots = (self._added + torch.arange(len(new), device=keys.device)) % self.capacity
        self._states[slots], self._log_reward[slots] = states[new], log_reward[new].double()
        self._keys[slots] = keys[new]
        self._added += len(new)
        return len(new)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw n objects with replacement: states [n, S] and log R [n]. The buffer must not be empty."""
        size = len(self)
        device = self._states.device
        uniform = torch.rand(n, dtype=torch.float64, device=device, generator=generator)
        if self.priority == "uniform":
            chosen = (uniform * size).long()
        else:
            order = torch.argsort(self._log_reward[:size], descending=True, stable=True)
            top = max(1, int(TOP_SHARE * size))
            rest = max(1, size - top)
            from_top = torch.arange(n, device=device) < round(TOP_DRAWS * n)
            rank = torch.where(from_top, uniform * top, (size - rest) + uniform * rest)
            chosen = order[rank.long()]
        return self._states[chosen], self._log_reward[chosen]

    def state_dict(self) -> dict[str, Any]:
        """Return all that the buffer holds (copies)."""
        size = len(self)
        return {
            "states": self._states[:size].clone(),
            "log_reward": self._log_reward[:size].clone(),
            "added": self._added,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned, from a buffer of the same capacity."""
        size = len(state["states"])
        self._states[:size], self._log_reward[:size] = state["states"], state["log_reward"]
        self._keys[:size] = self._key(self._states[:size])
        self._added = int(state["added"])
