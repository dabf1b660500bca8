"""FlowEnvironment: the states of a GFlowNet as rows of an integer tensor.

States form a pointed directed acyclic graph: `source()` is the only one without parents, every action leads to a
child, and the last action, `stop`, ends the trajectory in the object that the state is. No state or action classes: B
states are one int64 tensor [B, S], actions are int64 [B].

Conventions (Bengio et al. 2023, "GFlowNet Foundations", arXiv 2111.09266):
- forward actions are 0 .. n_actions - 1; the last one is `stop` (`n_actions - 1`);
- backward actions are 0 .. n_back - 1 and never undo a stop: the stop edge has the single parent, log P_B = 0;
- masks are True where an action is allowed. Two different actions never lead to the same child.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor


class FlowEnvironment(ABC):
    """A directed acyclic graph of states with terminal rewards, on one device."""

    name: str
    n_actions: int
    """Forward actions, `stop` included (the last one)."""
    n_back: int
    """Backward actions."""
    state_size: int
    """Integers a state, S."""
    feature_size: int
    """Features that `encode` gives, F."""
    max_length: int
    """Longest trajectory in actions, `stop` included."""
    device: torch.device

    @property
    def stop(self) -> int:
        """The index of the stop action."""
        return self.n_actions - 1

    @abstractmethod
    def source(self, n: int) -> Tensor:
        """Return `n` copies of the source state [n, S]."""

    @abstractmethod
    def forward_mask(self, states: Tensor) -> Tensor:
        """Return the allowed forward actions [B, n_actions]; at least one a row."""

    @abstractmethod
    def backward_mask(self, states: Tensor) -> Tensor:
        """Return the allowed backward actions [B, n_back]; none for the source."""

    @abstractmethod
    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the children [B, S]; `actions` are allowed ones and not `stop`."""

    @abstractmethod
    def back(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the parents [B, S] by allowed backward actions."""

    @abstractmethod
    def back_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the backward action [B] that undoes a forward action taken at `states` (the parents)."""

    @abstractmethod
    def forth_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the forward action [B] that leads back to `states` from their parents by backward `actions`."""

    @abstractmethod
    def encode(self, states: Tensor) -> Tensor:
        """Return the network's input [B, F], float32."""

    @abstractmethod
    def log_reward(self, states: Tensor) -> Tensor:
        """Return log R(x) [B] of the objects that the states are (float64 or float32, finite)."""

    def log_reward_partial(self, states: Tensor) -> Tensor:
        """Return log R~(s) [B], the reward extended to states that are not yet objects (forward-looking losses)."""
        return self.log_reward(states)

    def reaches(self, states: Tensor, outcomes: Tensor) -> Tensor | None:
        """Return whether the object outcomes[b] can still be built from states[b] [B], a state from itself included.

        None where that is not known cheaply. Read by outcome-conditioned flows (`sciRL.flow.outcome_network`).
        """
        return None

    def enumerate(self) -> Tensor | None:
        """Return all states [N, S], parents before children and the source first; None when there are too many."""
        return None

    def index(self, states: Tensor) -> Tensor:
        """Return the row [B] of each state in `enumerate()`."""
        raise NotImplementedError(f"{self.name} does not enumerate its states")

    @abstractmethod
    def texts(self, states: Tensor) -> list[str]:
        """Return the objects as the answer texts that the domain's verifiers read."""

    def read(self, texts: Sequence[str]) -> Tensor:
        """Return the states [B, S] of answer texts (to learn from data by backward walks)."""
        raise NotImplementedError(f"{self.name} reads no objects")
