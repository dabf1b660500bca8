"""EpochOrder: an endless seeded order over a data set, with a position that can be saved."""

from __future__ import annotations

from typing import Any

import numpy as np


class EpochOrder:
    """Yields indices 0..size-1 in a fresh seeded permutation every epoch.

    Example: two orders of the same size and seed give the same indices; one restored from the other's
    `state_dict` goes on where it stood.
    """

    def __init__(self, size: int, seed: int) -> None:
        if size < 1:
            raise ValueError(f"an order needs at least one item; found {size}")
        self.size, self.seed = size, seed
        self.position = 0
        self._epoch = -1
        self._permutation = np.empty(0, dtype=np.int64)

    def take(self, n: int) -> list[int]:
        """Return the next `n` indices and move on."""
        taken = [self._at(position) for position in range(self.position, self.position + n)]
        self.position += n
        return taken

    def _at(self, position: int) -> int:
        epoch, offset = divmod(position, self.size)
        if epoch != self._epoch:
            self._epoch = epoch
            self._permutation = np.random.default_rng([self.seed, epoch]).permutation(self.size)
        return int(self._permutation[offset])

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the position."""
        self.position = int(state["position"])
