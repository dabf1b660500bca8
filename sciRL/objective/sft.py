"""Cross-entropy on the answer's tokens: supervised fine-tuning; the prompt is never in the loss."""

from __future__ import annotations

from torch import Tensor

from sciRL.objective.base import MicroBatch, TokenTerm


class CrossEntropy(TokenTerm):
    """Negative log-likelihood of the action tokens."""

    name = "cross_entropy"
    weighted = True

    def per_token(self, micro: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return -logp of every action token."""
        return -micro.logp, {}
