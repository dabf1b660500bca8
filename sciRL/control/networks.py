"""Networks of control policies: action values, and action probabilities with a state value, with or without memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sciRL.models.networks import GatedMemory, ObservationScale, linear, mlp

FIRST_LOGITS = 0.01
"""Initial weights of the policy's head are so much smaller than usual: the first policy is nearly uniform."""


class QNetwork(nn.Module):
    """Action values Q(o, .) of scaled observations.

    Args:
        features: size of an observation, F.
        hidden: widths of the hidden layers (ReLU).
        actions: number of actions, A.
        generator: draws the initial weights.
    """

    def __init__(self, features: int, hidden: Sequence[int], actions: int, generator: torch.Generator) -> None:
        super().__init__()
        self.scale = ObservationScale(features)
        self.layers = mlp([features, *hidden, actions], generator)

    def forward(self, observation: Tensor) -> Tensor:
        """Return values [B, A] of observations [B, F]."""
        values: Tensor = self.layers(self.scale(observation))
        return values


class ActorCritic(nn.Module):
    """log pi(. | o) and V(o) over a shared trunk; with memory, of all observations since the episode began.

    Args:
        features: size of an observation, F.
        hidden: widths of the trunk's layers (tanh).
        actions: number of actions, A.
        memory: width of the gated memory above the trunk, H; 0 for none.
        generator: draws the initial weights.
    """

    def __init__(
        self, features: int, hidden: Sequence[int], actions: int, memory: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.memory_size = memory
        self.scale = ObservationScale(features)
        self.trunk = mlp([features, *hidden], generator, nn.Tanh, activate_last=True)
        self.memory = GatedMemory(hidden[-1], memory, generator) if memory else None
        self.policy = linear(memory or hidden[-1], actions, generator)
        self.value = linear(memory or hidden[-1], 1, generator)
        with torch.no_grad():
            self.policy.weight.mul_(FIRST_LOGITS)
            self.policy.bias.zero_()

    def no_memory(self, n: int) -> Tensor:
        """Return the memory [n, H] of a fresh episode."""
        return self.value.weight.new_zeros(n, self.memory_size)

    def forward(self, observation_BF: Tensor, memory_BH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log probabilities [B, A], values [B] and the memory [B, H] after the observations."""
        hidden = self.trunk(self.scale(observation_BF))
        if self.memory is not None:
            hidden = memory_BH = self.memory(hidden, memory_BH)
        return *self._heads(hidden), memory_BH

    def unroll(self, observation_TBF: Tensor, memory_BH: Tensor, fresh_TB: Tensor) -> tuple[Tensor, Tensor]:
        """Return log probabilities [T, B, A] and values [T, B] of sequences that begin with a memory [B, H].

        Where `fresh_TB` is true an episode begins, and its row forgets before that observation.
        """
        hidden = self.trunk(self.scale(observation_TBF))
        if self.memory is not None:
            hidden = self.memory.unroll(hidden, memory_BH, fresh_TB)
        return self._heads(hidden)

    def _heads(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        return torch.log_softmax(self.policy(hidden), dim=-1), self.value(hidden).squeeze(-1)
