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
        loss = clipped_value_loss(micro.value, old, target, self.clip)
        return loss, {"value_error": (micro.value - target).square()}


def clipped_value_loss(value: Tensor, old: Tensor, target: Tensor, clip: float | None) -> Tensor:
    """Return the loss of every value; `clip` None leaves out the second part of the maximum.

    Example: value 0.9, old 0.5, target 1, clip 0.2 gives 0.045.
    """
    error = (value - target).square()
    if clip is not None:
        error = torch.maximum(error, (torch.clamp(value, old - clip, old + clip) - target).square())
    return 0.5 * error
