"""Entropy bonus: loss -coefficient x H(policy at the token)."""

from __future__ import annotations

from torch import Tensor

from sciRL.objective.base import Aggregation, MicroBatch, TokenTerm


class EntropyBonus(TokenTerm):
    """Rewards spread-out next-token distributions."""

    name = "entropy_bonus"
    outputs = frozenset({"entropy"})

    def __init__(
        self, coefficient: float, aggregation: Aggregation = "token-mean", constant_length: int | None = None
    ) -> None:
        super().__init__(aggregation, coefficient, constant_length)

    def per_token(self, micro: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return minus the entropy (nats) of every action token."""
        assert micro.entropy is not None
        return -micro.entropy, {}
