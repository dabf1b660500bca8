"""Exact laws and flows of enumerable environments, by dynamic programming over the levels of the state graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.graph import StateGraph
from sciRL.flow.network import MASKED, FlowPolicy, FlowScores, masked_log_softmax, uniform_log
from sciRL.flow.tables import FlowTable


@dataclass(frozen=True)
class ExactFlow:
    """The only flow of a reward under a fixed backward policy, float64.

    Attributes:
        table: the flow as a policy: log P_F, log P_B, log F of all states, and log Z.
        log_edge: [N, n_actions] log flow of each edge, the stop edge's being log R; -inf where there is none.
    """

    table: FlowTable
    log_edge: Tensor


def reach(graph: StateGraph, log_forward: Tensor) -> Tensor:
    """Return the probability [N] that a trajectory of the forward policy visits each state, float64.

    Args:
        graph: the states and edges.
        log_forward: [N, n_actions] log P_F of all states.
    """
    forward = log_forward.detach().double().exp()[graph.parents, graph.actions]
    probability = torch.zeros(len(graph.states), dtype=torch.float64, device=forward.device)
    probability[0] = 1.0
    start = 0
    for count in graph.edge_counts:
        level = slice(start, start + count)
        probability.index_add_(0, graph.children[level], probability[graph.parents[level]] * forward[level])
        start += count
    return probability


@torch.no_grad()
def terminal_law(environment: FlowEnvironment, policy: FlowPolicy, graph: StateGraph | None = None) -> Tensor:
    """Return the probability [N] that a trajectory stops in each state, exactly: no sampling noise."""
    graph = StateGraph.of(environment) if graph is None else graph
    log_forward = policy.scores(environment, graph.states).log_forward
    return reach(graph, log_forward) * log_forward[:, environment.stop].double().exp()


def _object_log_rewards(environment: FlowEnvironment, graph: StateGraph) -> Tensor:
    log_reward = torch.full((len(graph.states),), -torch.inf, dtype=torch.float64, device=environment.device)
    log_reward[graph.may_stop] = environment.log_reward(graph.states[graph.may_stop]).double()
    return log_reward


def target_law(environment: FlowEnvironment, graph: StateGraph | None = None) -> Tensor:
    """Return R(x) / Z [N], float64; 0 for the states that may not stop."""
    graph = StateGraph.of(environment) if graph is None else graph
    return torch.softmax(_object_log_rewards(environment, graph), 0)


def log_partition(environment: FlowEnvironment, graph: StateGraph | None = None) -> float:
    """Return log Z = log of the sum of R over all objects."""
    graph = StateGraph.of(environment) if graph is None else graph
    return float(torch.logsumexp(_object_log_rewards(environment, graph), 0))


def l1_distance(p: Tensor, q: Tensor) -> float:
    """Return SUM |p - q|, twice the total variation, in [0, 2].

    Some libraries print the mean over the N states instead, which is N times smaller.
    """
    return float((p - q).abs().sum())


def exact_flow(
    environment: FlowEnvironment, log_backward: Tensor | None = None, graph: StateGraph | None = None
) -> ExactFlow:
    """Return the flow that the reward and a fixed backward policy determine.

    F(s) = R(s) [s may stop] + sum over children c of F(c) P_B(s | c), from the last level to the source, in logarithms.

    Args:
        environment: enumerable.
        log_backward: [N, n_back] log P_B of all states; uniform over the parents by default.
        graph: the environment's graph, if at hand.

    Example:
        A 3x3 hypergrid with uniform P_B has Z = 2.9 and F(0, 1) = 1.15, so P_F(stop | source) = 0.6 / 2.9.
    """
    graph = StateGraph.of(environment) if graph is None else graph
    log_backward = uniform_log(graph.backward_mask, torch.float64) if log_backward is None else log_backward
    # A float32 law sums to 1 within 1e-7 only; the sums over whole paths here are meant to be exact.
    log_backward = masked_log_softmax(log_backward.double(), graph.backward_mask)
    undo = graph.undo[graph.parents, graph.actions]
    log_undo = log_backward[graph.children, undo]
    log_edge = torch.full_like(graph.forward_mask, -torch.inf, dtype=torch.float64)
    log_edge[:, environment.stop] = _object_log_rewards(environment, graph)
    log_flow = log_edge[:, environment.stop].clone()
    end = len(graph.parents)
    for count in reversed(graph.edge_counts):
        level = slice(end - count, end)
        parents, actions, children = graph.parents[level], graph.actions[level], graph.children[level]
        # The children lie on later levels: their flows are complete.
        log_edge[parents, actions] = log_flow[children] + log_undo[level]
        log_flow[parents] = torch.logsumexp(log_edge[parents], 1)
        end -= count
    log_forward = torch.where(graph.forward_mask, log_edge - log_flow.unsqueeze(1), MASKED)
    return ExactFlow(FlowTable(FlowScores(log_forward, log_backward, log_flow), log_flow[0]), log_edge)
