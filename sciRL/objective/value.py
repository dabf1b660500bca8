"""PPO's value loss, clipped around the old value (arXiv 1707.06347).

l_t = 0.5 max((V - target)^2, (clip(V, V_old - eps, V_old + eps) - target)^2)
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciRL.objective.base import Aggregation, MicroBatch, TokenTerm


class ValueLoss(TokenTerm):
    """Regresses the critic's value on `value_target`."""

    name = "value_loss"
    needs = frozenset({"value"})
    outputs = frozenset({"value"})

    def __init__(self, coefficient: float = 0.5, clip: float = 0.2, aggregation: Aggregation = "token-mean") -> None:
        super().__init__(aggregation, coefficient)
        self.clip = clip

    def per_token(self, micro: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the clipped squared error of every action token."""
        assert micro.value is not None
        target, old = micro.columns["value_target"], micro.columns["value"]
        clipped = torch.clamp(micro.value, old - self.clip, old + self.clip)
        loss = 0.5 * torch.maximum((micro.value - target).square(), (clipped - target).square())
        return loss, {"value_error": (micro.value - target).square()}
