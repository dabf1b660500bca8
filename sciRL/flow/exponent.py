"""RewardExponent: an environment whose reward is R(x)^beta, clipped from below."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sciRL.flow.environment import FlowEnvironment


class RewardExponent(FlowEnvironment):
    """The same states with log R'(x) = max(beta log R(x), lowest), and log R~ alike.

    Args:
        environment: the states and log R.
        beta: reward exponent; large values favour the best objects.
        lowest: least log R', for rewards of 0 or nearly so.
    """

    def __init__(self, environment: FlowEnvironment, beta: float, lowest: float) -> None:
        self.base, self.beta, self.lowest = environment, beta, lowest
        self.name = environment.name
        self.n_actions, self.n_back = environment.n_actions, environment.n_back
        self.state_size, self.feature_size = environment.state_size, environment.feature_size
        self.max_length, self.device = environment.max_length, environment.device

    def log_reward(self, states: Tensor) -> Tensor:
        """Return beta log R(x), clipped [B]."""
        return (self.beta * self.base.log_reward(states)).clamp(min=self.lowest)

    def log_reward_partial(self, states: Tensor) -> Tensor:
        """Return beta log R~(s), clipped [B]."""
        return (self.beta * self.base.log_reward_partial(states)).clamp(min=self.lowest)

    def source(self, n: int) -> Tensor:
        """Return the base's source states."""
        return self.base.source(n)

    def forward_mask(self, states: Tensor) -> Tensor:
        """Return the base's forward mask."""
        return self.base.forward_mask(states)

    def backward_mask(self, states: Tensor) -> Tensor:
        """Return the base's backward mask."""
        return self.base.backward_mask(states)

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the base's children."""
        return self.base.step(states, actions)

    def back(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the base's parents."""
        return self.base.back(states, actions)

    def back_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the base's undoing actions."""
        return self.base.back_of(states, actions)

    def forth_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the base's redoing actions."""
        return self.base.forth_of(states, actions)

    def encode(self, states: Tensor) -> Tensor:
        """Return the base's features."""
        return self.base.encode(states)

    def reaches(self, states: Tensor, outcomes: Tensor) -> Tensor | None:
        """Return the base's reachability."""
        return self.base.reaches(states, outcomes)

    def enumerate(self) -> Tensor | None:
        """Return the base's enumeration."""
        return self.base.enumerate()

    def index(self, states: Tensor) -> Tensor:
        """Return the base's rows of states."""
        return self.base.index(states)

    def texts(self, states: Tensor) -> list[str]:
        """Return the base's texts."""
        return self.base.texts(states)

    def read(self, texts: Sequence[str]) -> Tensor:
        """Return the base's states of texts."""
        return self.base.read(texts)
