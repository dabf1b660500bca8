"""Look-up tables for environments with few states: all states pass the network once an iteration.

Sampling and losses are the usual ones, on an environment whose states are row numbers; the gradient is the same sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.graph import StateGraph
from sciRL.flow.network import MASKED, FlowPolicy, FlowScores, explored


class TableEnvironment(FlowEnvironment):
    """The same environment with states replaced by their rows [B, 1] in the enumeration; every method is a look-up."""

    def __init__(self, environment: FlowEnvironment, graph: StateGraph | None = None) -> None:
        self.base = environment
        self.graph = StateGraph.of(environment) if graph is None else graph
        self.name = environment.name
        self.n_actions, self.n_back = environment.n_actions, environment.n_back
        self.state_size, self.feature_size = 1, environment.feature_size
        self.max_length, self.device = environment.max_length, environment.device
        self._rows = torch.arange(len(self.graph.states), device=self.device).unsqueeze(1)
        self._source = environment.index(environment.source(1))
        self._features = environment.encode(self.graph.states)
        objects = self.graph.may_stop
        # States that may not stop have no reward, and no loss reads one there.
        self._log_reward = torch.full((len(objects),), MASKED, dtype=torch.float64, device=self.device)
        self._log_reward[objects] = environment.log_reward(self.graph.states[objects]).double()
        self._log_reward_partial: Tensor | None = None

    def states(self, rows: Tensor) -> Tensor:
        """Return the base environment's states [B, S] of rows [B, 1]."""
        return self.graph.states[rows[:, 0]]

    def rows(self, states: Tensor) -> Tensor:
        """Return the rows [B, 1] of the base environment's states [B, S]."""
        return self.base.index(states).unsqueeze(1)

    def source(self, n: int) -> Tensor:
        """Return the source's row n times [n, 1]."""
        return self._source.repeat(n).unsqueeze(1)

    def forward_mask(self, states: Tensor) -> Tensor:
        """Return the allowed forward actions [B, n_actions]."""
        return self.graph.forward_mask[states[:, 0]]

    def backward_mask(self, states: Tensor) -> Tensor:
        """Return the allowed backward actions [B, n_back]."""
        return self.graph.backward_mask[states[:, 0]]

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the children's rows [B, 1]."""
        return self.graph.child[states[:, 0], actions].unsqueeze(1)

    def back(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the parents' rows [B, 1]."""
        return self.graph.parent_of[states[:, 0], actions].unsqueeze(1)

    def back_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the backward actions [B] that undo forward ones."""
        return self.graph.undo[states[:, 0], actions]

    def forth_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the forward actions [B] that redo backward ones."""
        return self.graph.forth[states[:, 0], actions]

    def encode(self, states: Tensor) -> Tensor:
        """Return the base environment's features [B, F]."""
        return self._features[states[:, 0]]

    def log_reward(self, states: Tensor) -> Tensor:
        """Return log R [B]."""
        return self._log_reward[states[:, 0]]

    def log_reward_partial(self, states: Tensor) -> Tensor:
        """Return log R~ [B]."""
        if self._log_reward_partial is None:
            self._log_reward_partial = self.base.log_reward_partial(self.graph.states)
        return self._log_reward_partial[states[:, 0]]

    def reaches(self, states: Tensor, outcomes: Tensor) -> Tensor | None:
        """Return the base environment's reachability [B]."""
        return self.base.reaches(self.states(states), self.states(outcomes))

    def enumerate(self) -> Tensor:
        """Return all rows [N, 1]."""
        return self._rows

    def index(self, states: Tensor) -> Tensor:
        """Return the rows themselves [B]."""
        return states[:, 0]

    def texts(self, states: Tensor) -> list[str]:
        """Return the objects' texts."""
        return self.base.texts(self.states(states))

    def read(self, texts: Sequence[str]) -> Tensor:
        """Return the rows [B, 1] of answer texts."""
        return self.rows(self.base.read(texts))


class FlowTable:
    """The scores of all states, as a policy: from a network (with its gradient), or exact ones.

    Args:
        scores: of all N states in the order of `environment.enumerate()`.
        log_z: scalar log Z.
    """

    def __init__(self, scores: FlowScores, log_z: Tensor) -> None:
        self.all = scores
        self.log_z = log_z

    @classmethod
    def of(cls, environment: TableEnvironment, policy: FlowPolicy) -> FlowTable:
        """Return the table of a policy, by one pass over all states."""
        return cls(policy.scores(environment, environment.enumerate()), policy.log_z)

    def scores(self, environment: FlowEnvironment, states: Tensor) -> FlowScores:
        """Return the rows of the tables that belong to the states [B, S]."""
        rows = environment.index(states)
        every = self.all
        return FlowScores(*(x.index_select(0, rows) for x in (every.log_forward, every.log_backward, every.log_flow)))

    def log_backward(self, environment: FlowEnvironment, states: Tensor) -> Tensor:
        """Return log P_B [B, n_back]."""
        return self.all.log_backward[environment.index(states)]

    def explorer(self, environment: FlowEnvironment, epsilon: float, temperature: float) -> Callable[[Tensor], Tensor]:
        """Return a look-up of the cumulative sampling laws, which are computed here once for all states."""
        log_forward = self.all.log_forward.detach()
        cumulative = explored(log_forward, log_forward > MASKED / 2, epsilon, temperature)
        return lambda states: cumulative[environment.index(states)]


def tables_pay(environment: FlowEnvironment, batch: int) -> bool:
    """Say whether one pass over all states costs less than scoring the visited ones.

    A table passes N states forward and backward once; without one the K visited states pass forward twice (sampling,
    loss) and backward once, K being about batch * max_length / 2. Measured in `benchmarks/gflownet_step.py`.
    """
    states = environment.enumerate()
    return states is not None and 2 * len(states) <= batch * environment.max_length
