"""Changes to a row's outcome before advantages are taken: KL as reward, overlong penalty, shuffled control.

soft overlong (DAPO, arXiv 2503.14476, eq. 13): 0 up to L_max - L_c; (L_max - L_c - len) / L_c up to L_max; -1 beyond
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sciRL.advantage.base import AdvantageContext
from sciRL.trajectory import TrajectoryBatch


def overlong_penalty(length: Tensor, max_length: int, cache: int) -> Tensor:
    """Return the penalty in [-1, 0] of every length.

    Example: max_length 20, cache 4, lengths 15, 18, 20, 21 give 0, -0.5, -1, -1.
    """
    return ((max_length - cache - length.float()) / cache).clamp(min=-1.0, max=0.0)


class SoftOverlong:
    """Adds DAPO's soft overlong penalty to the outcome."""

    reads: ClassVar[frozenset[str]] = frozenset({"outcome", "role"})
    writes: ClassVar[frozenset[str]] = frozenset({"outcome"})
    needs: frozenset[str] = frozenset()

    def __init__(self, max_length: int, cache: int) -> None:
        if not 0 < cache <= max_length:
            raise ValueError(f"overlong cache must be in 1..{max_length}; found {cache}")
        self.max_length, self.cache = max_length, cache

    def apply(self, batch: TrajectoryBatch, context: AdvantageContext) -> dict[str, Tensor]:
        """Return the row column `outcome`."""
        length = batch.segment_sum(batch.action.long(), "row")
        return {"outcome": batch.outcome + overlong_penalty(length, self.max_length, self.cache)}


class OverlongFilter:
    """Masks truncated rows out of the loss: an answer cut by the token limit is not evidence of a bad answer.

    Placed before the advantage it also takes them out of their group's mean and standard deviation
    (DAPO, arXiv 2503.14476, section 3.4; CAD-RL, arXiv 2508.10118, eq. 9).

    Example: outcomes [1, 0, 0] of one group, the last cut off, give the advantages of [1, 0], and exactly 0.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"truncated", "weight"})
    writes: ClassVar[frozenset[str]] = frozenset({"weight"})
    needs: frozenset[str] = frozenset()

    def apply(self, batch: TrajectoryBatch, context: AdvantageContext) -> dict[str, Tensor]:
        """Return the token column `weight`."""
        return {"weight": batch.weight * ~batch.spread(batch.truncated, "row")}


class KlReward:
    """Subtracts `coefficient` times the row's summed log-ratio to the reference (k1) from the outcome."""

    reads: ClassVar[frozenset[str]] = frozenset({"outcome", "role", "logp_old", "logp_ref"})
    writes: ClassVar[frozenset[str]] = frozenset({"outcome"})
    needs: frozenset[str] = frozenset({"logp_old", "logp_ref"})

    def __init__(self, coefficient: float) -> None:
        self.coefficient = coefficient

    def apply(self, batch: TrajectoryBatch, context: AdvantageContext) -> dict[str, Tensor]:
        """Return the row column `outcome`."""
        assert batch.logp_old is not None
        assert batch.logp_ref is not None
        log_ratio = batch.segment_sum(batch.logp_old - batch.logp_ref, "row", batch.action)
        return {"outcome": batch.outcome - self.coefficient * log_ratio}


class ShuffledOutcome:
    """The negative control: permutes outcomes over all scorable rows, so that they say nothing about the answers.

    Rewards of turns are permuted over all turns of these rows likewise.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"outcome", "status"})
    writes: ClassVar[frozenset[str]] = frozenset({"outcome", "turn_reward"})
    needs: frozenset[str] = frozenset()

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def apply(self, batch: TrajectoryBatch, context: AdvantageContext) -> dict[str, Tensor]:
        """Return the row column `outcome`, and `turn_reward` where the batch has turns."""
        rng = np.random.default_rng([self.seed, context.step])
        columns = {"outcome": _permuted(batch.outcome, batch.scorable, rng)}
        if batch.turns:
            columns["turn_reward"] = _permuted(batch.turns["reward"], batch.scorable[batch.turns["row"]], rng)
        return columns


def _permuted(values: Tensor, chosen: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the values with the chosen ones permuted among themselves."""
    places = chosen.nonzero().flatten()
    order = torch.from_numpy(rng.permutation(len(places)))
    return values.index_copy(0, places, values[places[order]])
