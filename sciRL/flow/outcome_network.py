"""Outcome-conditioned networks: an environment of pairs (state, outcome), on which a `FlowNetwork` learns as on any.

A pair (s, y) moves as s moves, and its object is rewarded by R(x | y) = 1 where x = y and epsilon elsewhere (the paper
leaves log 0 open). P_F(a | s, y) and log F(s | y) are then the usual heads, sampling and losses the usual ones, and
log Z is 0. The backward policy is the uniform one: the conversion needs the same for all outcomes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.graph import StateGraph
from sciRL.flow.network import MASKED, FlowNetwork, FlowPolicy, FlowScores, explored
from sciRL.flow.outcome import Conversion, conversion_of, converted_edges
from sciRL.flow.rollout import sample

Reachability = Literal["none", "flow", "actions"]
"""How much of `environment.reaches` is used.

`flow`: F(s | y) = 0 where y cannot be reached from s. Flows that were trained on successes alone are meaningless there,
and the sum over outcomes would be swamped by them. `actions`: besides, P_F is limited to children from which y can be
reached, and to stop in y itself. With `none`, and where the environment gives None, flows and policies are as learnt.
"""
CHUNK = 16_384
"""Most pairs that pass the network at once."""


class OutcomePairs(FlowEnvironment):
    """The pairs [s, y] of an environment's states, rewarded for stopping in y; a state is 2 S integers.

    Args:
        environment: the states s.
        outcomes: [B, S] what `source(B)` hands out.
        log_epsilon: log R(x | y) where x is not y.
        reachability: `actions` limits the forward actions; nothing else is read here.
    """

    def __init__(
        self,
        environment: FlowEnvironment,
        outcomes: Tensor,
        log_epsilon: float = 0.0,
        reachability: Reachability = "none",
    ) -> None:
        self.base, self.outcomes, self.log_epsilon = environment, outcomes, log_epsilon
        self.narrow = reachability == "actions"
        self.name = f"{environment.name} with outcomes"
        self.n_actions, self.n_back = environment.n_actions, environment.n_back
        self.state_size, self.feature_size = 2 * environment.state_size, 3 * environment.feature_size
        self.max_length, self.device = environment.max_length, environment.device

    def split(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states and the outcomes [B, S] of pairs [B, 2 S]."""
        size = self.base.state_size
        return pairs[:, :size], pairs[:, size:]

    def ends(self) -> Tensor:
        """Return the pairs [y, y] that trajectories to the outcomes end in [B, 2 S]."""
        return torch.cat([self.outcomes, self.outcomes], 1)

    def source(self, n: int) -> Tensor:
        """Return the source beside each of the outcomes [B, 2 S]; `n` is their number."""
        if n != len(self.outcomes):
            raise ValueError(f"{n} trajectories for {len(self.outcomes)} outcomes")
        return torch.cat([self.base.source(n), self.outcomes], 1)

    def forward_mask(self, states: Tensor) -> Tensor:
        """Return the base's actions [B, n_actions], or those that keep y in reach; all where it is lost already."""
        at, y = self.split(states)
        mask = self.base.forward_mask(at)
        if not self.narrow:
            return mask
        rows, actions = mask[:, : self.stop].nonzero(as_tuple=True)
        reaches = self.base.reaches(self.base.step(at[rows], actions), y[rows])
        if reaches is None:
            return mask
        useful = torch.zeros_like(mask)
        useful[rows, actions] = reaches
        useful[:, self.stop] = mask[:, self.stop] & (at == y).all(1)
        return torch.where(useful.any(1, keepdim=True), useful, mask)

    def backward_mask(self, states: Tensor) -> Tensor:
        """Return the base's backward actions [B, n_back]."""
        return self.base.backward_mask(self.split(states)[0])

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the children beside the same outcomes."""
        at, y = self.split(states)
        return torch.cat([self.base.step(at, actions), y], 1)

    def back(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the parents beside the same outcomes."""
        at, y = self.split(states)
        return torch.cat([self.base.back(at, actions), y], 1)

    def back_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the base's undoing actions."""
        return self.base.back_of(self.split(states)[0], actions)

    def forth_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the base's redoing actions."""
        return self.base.forth_of(self.split(states)[0], actions)

    def encode(self, states: Tensor) -> Tensor:
        """Return the features of s, of y, and the latter less the former [B, 3 F]."""
        at, y = (self.base.encode(part) for part in self.split(states))
        return torch.cat([at, y, y - at], 1)

    def log_reward(self, states: Tensor) -> Tensor:
        """Return log R(x | y) [B], float64: 0 where x = y, `log_epsilon` elsewhere."""
        at, y = self.split(states)
        return torch.where((at == y).all(1), 0.0, self.log_epsilon).double()

    def texts(self, states: Tensor) -> list[str]:
        """Return the objects' texts."""
        return self.base.texts(self.split(states)[0])


class Greedy:
    """Takes the likeliest action of a policy everywhere."""

    def __init__(self, policy: FlowPolicy) -> None:
        self.policy, self.log_z = policy, policy.log_z

    def scores(self, environment: FlowEnvironment, states: Tensor) -> FlowScores:
        """Return the policy's scores."""
        return self.policy.scores(environment, states)

    def log_backward(self, environment: FlowEnvironment, states: Tensor) -> Tensor:
        """Return the policy's log P_B."""
        return self.policy.log_backward(environment, states)

    def explorer(self, environment: FlowEnvironment, epsilon: float, temperature: float) -> Callable[[Tensor], Tensor]:
        """Return a function to cumulative laws [B, n_actions] that put all on one action."""

        def cumulative(states: Tensor) -> Tensor:
            log_forward = self.policy.scores(environment, states).log_forward
            best = torch.nn.functional.one_hot(log_forward.argmax(1), log_forward.shape[1])
            return explored(torch.where(best.bool(), 0.0, MASKED), environment.forward_mask(states), 0.0, 1.0)

        return cumulative


def outcome_network(
    environment: FlowEnvironment, generator: torch.Generator, hidden: int = 256, layers: int = 2
) -> FlowNetwork:
    """Return a network of (state, outcome, difference) features; its log Z stays at the true value of 0."""
    return FlowNetwork.of(OutcomePairs(environment, environment.source(0)), generator, hidden, layers, "uniform")


def success_rate(
    environment: FlowEnvironment,
    network: FlowPolicy,
    outcomes: Tensor,
    generator: torch.Generator,
    greedy: bool = False,
    reachability: Reachability = "none",
) -> float:
    """Return the share of trajectories asked for outcomes [B, S], one each, that stop exactly there."""
    pairs = OutcomePairs(environment, outcomes, MASKED, reachability)
    drawn = sample(pairs, Greedy(network) if greedy else network, len(outcomes), generator)
    return float((drawn.log_reward == 0).double().mean())


@torch.no_grad()
def pair_scores(
    environment: FlowEnvironment,
    network: FlowPolicy,
    states: Tensor,
    outcomes: Tensor,
    reachability: Reachability = "flow",
) -> tuple[Tensor, Tensor]:
    """Return log F(s | y) [B, Y], float64, and log P_F(a | s, y) [B, Y, n_actions] of all pairs.

    Args:
        environment: the states s.
        network: an outcome-conditioned network.
        states: [B, S].
        outcomes: [Y, S].
        reachability: what is masked.
    """
    pairs = OutcomePairs(environment, outcomes, reachability=reachability)
    every = torch.cat([states.repeat_interleave(len(outcomes), 0), outcomes.repeat(len(states), 1)], 1)
    flows, forwards = [], []
    for part in every.split(CHUNK):
        scores = network.scores(pairs, part)
        log_flow = scores.log_flow.double()
        reaches = None if reachability == "none" else environment.reaches(*pairs.split(part))
        flows.append(log_flow if reaches is None else torch.where(reaches, log_flow, MASKED))
        forwards.append(scores.log_forward)
    shape = (len(states), len(outcomes))
    return torch.cat(flows).view(shape), torch.cat(forwards).view(*shape, environment.n_actions)


def convert_network(
    environment: FlowEnvironment,
    network: FlowPolicy,
    log_reward: Tensor,
    outcomes: Tensor,
    reachability: Reachability = "flow",
    graph: StateGraph | None = None,
) -> Conversion:
    """Convert a network's flows to a sampler of a reward with no training, as `sciRL.flow.outcome.convert` does.

    Args:
        environment: enumerable; its own reward is not read.
        network: an outcome-conditioned network.
        log_reward: [Y] log R of the outcomes.
        outcomes: [Y, S], usually all objects.
        reachability: what is masked.
        graph: the environment's graph, if at hand.
    """
    graph = StateGraph.of(environment) if graph is None else graph
    # All N x Y conditioned laws at once would not fit for larger grids.
    parts = graph.states.split(max(1, CHUNK // len(outcomes)))
    edges = [
        converted_edges(log_reward, *pair_scores(environment, network, part, outcomes, reachability)) for part in parts
    ]
    return conversion_of(environment, torch.cat(edges), graph)
