"""FlowNetwork: one trunk that gives log P_F, log P_B and log F of a batch of states, and log Z."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from sciRL.flow.environment import FlowEnvironment
from sciRL.models.networks import linear

MASKED = -1e9
"""Stands for log 0: finite, so that a row with nothing allowed gives no NaN, and its exponential is exactly 0."""


@dataclass(frozen=True)
class FlowScores:
    """What a policy says of B states.

    Attributes:
        log_forward: [B, n_actions] log P_F, `MASKED` where an action is not allowed.
        log_backward: [B, n_back] log P_B, `MASKED` where not allowed (all of the source's row).
        log_flow: [B] log F.
    """

    log_forward: Tensor
    log_backward: Tensor
    log_flow: Tensor


class FlowPolicy(Protocol):
    """What sampling and the losses ask of a policy; a `FlowNetwork` and a `FlowTable` are ones."""

    log_z: Tensor

    def scores(self, environment: FlowEnvironment, states: Tensor) -> FlowScores:
        """Return all scores of the states [B, S]."""
        ...

    def log_backward(self, environment: FlowEnvironment, states: Tensor) -> Tensor:
        """Return log P_B [B, n_back]."""
        ...

    def explorer(self, environment: FlowEnvironment, epsilon: float, temperature: float) -> Callable[[Tensor], Tensor]:
        """Return a function from states [B, S] to the cumulative probabilities [B, n_actions] of `explored`."""
        ...


def masked_log_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the log of the softmax over the allowed entries of each row, `MASKED` elsewhere.

    A row with nothing allowed is `MASKED` throughout and passes no gradient.

    Args:
        logits: [B, N].
        mask: [B, N] bool, True where allowed.
    """
    return torch.where(mask, torch.log_softmax(torch.where(mask, logits, MASKED), dim=-1), MASKED)


def uniform_log(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return log of the uniform law [B, N] over the allowed entries of each row."""
    count = mask.sum(-1, keepdim=True).clamp(min=1).to(dtype)
    return torch.where(mask, -count.log(), MASKED)


def explored(log_forward: Tensor, mask: Tensor, epsilon: float, temperature: float) -> Tensor:
    """Return the cumulative sampling law [B, n_actions], float64: (1 - epsilon) P_F^(1/temperature) + epsilon uniform.

    Only the sampling is changed by it: the losses read log P_F itself.
    """
    log_law = log_forward.double()
    if temperature != 1.0:
        log_law = torch.log_softmax(log_law / temperature, dim=-1)
    law = log_law.exp()
    if epsilon > 0.0:
        allowed = mask.double()
        law = (1.0 - epsilon) * law + epsilon * allowed / allowed.sum(-1, keepdim=True)
    return law.cumsum(-1)


class FlowNetwork(nn.Module):
    """An MLP over `environment.encode(states)` with heads for log P_F, log P_B and log F, and log Z.

    Backward policies are either learned from the shared trunk or uniform over the parents (no head).

    Args:
        feature_size: features of a state, F.
        n_actions: forward actions, `stop` included.
        n_back: backward actions.
        generator: draws the initial weights.
        hidden: width of each hidden layer.
        layers: hidden layers (LeakyReLU).
        backward: `learned` or `uniform`.
        log_z: initial value of log Z.
        trunk: a module from [B, F] to [B, hidden] that takes the place of the MLP.
    """

    def __init__(
        self,
        feature_size: int,
        n_actions: int,
        n_back: int,
        generator: torch.Generator,
        hidden: int = 256,
        layers: int = 2,
        backward: Literal["learned", "uniform"] = "learned",
        log_z: float = 0.0,
        trunk: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.sizes = (n_actions, n_back if backward == "learned" else 0, 1)
        if trunk is None:
            widths = [feature_size] + [hidden] * layers
            stack: list[nn.Module] = []
            for width, following in pairwise(widths):
                stack += [linear(width, following, generator), nn.LeakyReLU()]
            trunk = nn.Sequential(*stack)
        self.trunk = trunk
        self.heads = linear(hidden, sum(self.sizes), generator)
        self.log_z: Tensor = nn.Parameter(torch.tensor(float(log_z)))

    @classmethod
    def of(
        cls,
        environment: FlowEnvironment,
        generator: torch.Generator,
        hidden: int = 256,
        layers: int = 2,
        backward: Literal["learned", "uniform"] = "learned",
        log_z: float = 0.0,
    ) -> FlowNetwork:
        """Return a network of the sizes of an environment, on its device (weights are drawn on the CPU)."""
        sizes = (environment.feature_size, environment.n_actions, environment.n_back)
        return cls(*sizes, generator, hidden, layers, backward, log_z).to(environment.device)

    def scores(self, environment: FlowEnvironment, states: Tensor) -> FlowScores:
        """Return log P_F, log P_B and log F of the states [B, S] by one forward pass."""
        forward, backward, flow = self.heads(self.trunk(environment.encode(states))).split(self.sizes, dim=-1)
        log_forward = masked_log_softmax(forward, environment.forward_mask(states))
        return FlowScores(log_forward, self._backward(environment, states, backward), flow.squeeze(-1))

    def log_backward(self, environment: FlowEnvironment, states: Tensor) -> Tensor:
        """Return log P_B [B, n_back]."""
        if not self.sizes[1]:
            return uniform_log(environment.backward_mask(states))
        return self.scores(environment, states).log_backward

    def explorer(self, environment: FlowEnvironment, epsilon: float, temperature: float) -> Callable[[Tensor], Tensor]:
        """Return a function from states [B, S] to the cumulative probabilities [B, n_actions] of `explored`."""

        def cumulative(states: Tensor) -> Tensor:
            hidden = self.trunk(environment.encode(states))
            logits = nn.functional.linear(hidden, self.heads.weight[: self.sizes[0]], self.heads.bias[: self.sizes[0]])
            mask = environment.forward_mask(states)
            return explored(masked_log_softmax(logits, mask), mask, epsilon, temperature)

        return cumulative

    def _backward(self, environment: FlowEnvironment, states: Tensor, logits: Tensor) -> Tensor:
        mask = environment.backward_mask(states)
        return masked_log_softmax(logits, mask) if self.sizes[1] else uniform_log(mask)
