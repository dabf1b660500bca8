"""Outcome-conditioned flows, and their conversion to a sampler of any reward.

Pan, Jain, Madan and Bengio 2024, "Pre-Training and Fine-Tuning Generative Flow Networks", arXiv 2310.03419. With an
outcome y, an object, the reward is R(x | y) = [x = y]. Under a fixed backward policy its flow is the probability that
the backward walk from y visits s:

    F(y | y) = 1,  F(s | y) = sum over children s' of F(s' | y) P_B(s | s'),
    P_F(s' | s, y) = F(s' | y) P_B(s | s') / F(s | y),  P_F(stop | y, y) = 1.

For a reward R over objects, F_R(s -> s') = sum_y R(y) F(s | y) P_F(s' | s, y), stop being one more child, is the edge
flow of R under the same backward policy: its policy draws x with probability R(x) / Z, with no training on R.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.exact import terminal_law
from sciRL.flow.graph import StateGraph
from sciRL.flow.network import MASKED, FlowScores, masked_log_softmax, uniform_log
from sciRL.flow.tables import FlowTable


@dataclass(frozen=True)
class OutcomeFlow:
    """The exact flows of Y outcomes over N states, float64, `MASKED` for log 0.

    Attributes:
        graph: the states and edges.
        outcomes: [Y] rows of the outcomes in the graph.
        log_backward: [N, n_back] the backward policy.
        log_flow: [N, Y] log F(s | y).
    """

    graph: StateGraph
    outcomes: Tensor
    log_backward: Tensor
    log_flow: Tensor

    def log_forward(self) -> Tensor:
        """Return log P_F(a | s, y) [N, Y, n_actions]; `MASKED` throughout where y cannot be reached from s."""
        graph, n_actions = self.graph, self.graph.forward_mask.shape[1]
        log_forward = self.log_flow.new_full((*self.log_flow.shape, n_actions), MASKED)
        undo = self.log_backward[graph.children, graph.undo[graph.parents, graph.actions]]
        log_edge = self.log_flow[graph.children] + undo.unsqueeze(1)
        ratio = log_edge - self.log_flow[graph.parents]
        log_forward[graph.parents, :, graph.actions] = torch.where(log_edge > MASKED / 2, ratio, MASKED)
        log_forward[self.outcomes, torch.arange(len(self.outcomes), device=ratio.device), n_actions - 1] = 0.0
        return log_forward


@dataclass(frozen=True)
class Conversion:
    """A sampler of a reward, made from outcome-conditioned flows.

    Attributes:
        table: log P_F of all states, log F_R(s) as its flow, log Z = log F_R(source).
        law: [N] the exact probability that it stops in each state.
    """

    table: FlowTable
    law: Tensor


def object_rows(graph: StateGraph) -> Tensor:
    """Return the rows of all objects [Y]: the outcomes by default."""
    return graph.may_stop.nonzero().squeeze(1)


def outcome_flow(
    environment: FlowEnvironment,
    outcomes: Tensor | None = None,
    log_backward: Tensor | None = None,
    graph: StateGraph | None = None,
) -> OutcomeFlow:
    """Return the exact outcome-conditioned flows under a fixed backward policy.

    Args:
        environment: enumerable.
        outcomes: [Y] rows of the outcomes, states that may stop; all of them by default.
        log_backward: [N, n_back] log P_B of all states; uniform over the parents by default.
        graph: the environment's graph, if at hand.

    Example:
        On a 3x3 hypergrid and for y = (2, 2), F((1, 1) | y) = 0.5, F((2, 0) | y) = 0.25 and F(source | y) = 1.
    """
    graph = StateGraph.of(environment) if graph is None else graph
    outcomes = object_rows(graph) if outcomes is None else outcomes
    log_backward = uniform_log(graph.backward_mask, torch.float64) if log_backward is None else log_backward
    # A float32 law sums to 1 within 1e-7 only; the products along whole paths here are meant to be exact.
    log_backward = masked_log_softmax(log_backward.double(), graph.backward_mask)
    back = log_backward.exp()
    flow = torch.zeros(len(graph.states), len(outcomes), dtype=torch.float64, device=outcomes.device)
    flow[outcomes, torch.arange(len(outcomes), device=outcomes.device)] = 1.0
    end = len(graph.parents)
    for count in reversed(graph.edge_counts):
        level = slice(end - count, end)
        parents, actions, children = graph.parents[level], graph.actions[level], graph.children[level]
        # The children lie on later levels: their flows are complete.
        flow.index_add_(0, parents, flow[children] * back[children, graph.undo[parents, actions]].unsqueeze(1))
        end -= count
    log_flow = torch.where(flow > 0, flow.log(), MASKED)
    return OutcomeFlow(graph, outcomes, log_backward, log_flow)


def converted_edges(log_weight: Tensor, log_flow: Tensor, log_forward: Tensor) -> Tensor:
    """Return log sum_y w(y) F(s | y) P_F(a | s, y) [B, n_actions], float64.

    With w = R over all objects this is the edge flow of R. Over outcomes y_k drawn from a proposal q, w = R / q gives
    (but for a factor K) its unbiased Monte-Carlo estimate; `importance_weights` makes it.

    Args:
        log_weight: [Y] log w(y).
        log_flow: [B, Y] log F(s | y).
        log_forward: [B, Y, n_actions] log P_F(a | s, y).
    """
    # One `MASKED` factor makes a product of 0; two must not fall out of the range of the sums.
    terms = (log_weight.double() + log_flow.double()).unsqueeze(-1) + log_forward.double()
    return torch.logsumexp(terms.clamp(min=MASKED), dim=1)


def importance_weights(log_reward: Tensor, log_proposal: Tensor) -> Tensor:
    """Return log w [K] of outcomes drawn from a proposal: log R(y_k) - log q(y_k) - log K.

    Args:
        log_reward: [K] log R.
        log_proposal: [K] log q; for outcomes drawn evenly from M objects, -log M.
    """
    count = torch.tensor(float(len(log_reward)), dtype=torch.float64, device=log_reward.device)
    return log_reward.double() - log_proposal.double() - count.log()


def conversion_of(environment: FlowEnvironment, log_edge: Tensor, graph: StateGraph) -> Conversion:
    """Return the sampler with P_F in proportion to the edge flows exp(log_edge) [N, n_actions] of all states."""
    log_edge = torch.where(graph.forward_mask, log_edge, MASKED)
    # States from which no outcome is left have no flow and are not visited; any law will do there.
    log_forward = masked_log_softmax(log_edge, graph.forward_mask)
    log_flow = torch.logsumexp(log_edge, 1)
    scores = FlowScores(log_forward, uniform_log(graph.backward_mask, torch.float64), log_flow)
    table = FlowTable(scores, log_flow[int(environment.index(environment.source(1)))].clone())
    return Conversion(table, terminal_law(environment, table, graph))


def convert(
    environment: FlowEnvironment,
    log_flow: Tensor,
    log_forward: Tensor,
    log_reward: Tensor,
    graph: StateGraph | None = None,
) -> Conversion:
    """Convert outcome-conditioned flows over all states, exact or learnt, to a sampler of a reward.

    Args:
        environment: enumerable; its own reward is not read.
        log_flow: [N, Y] log F(s | y).
        log_forward: [N, Y, n_actions] log P_F(a | s, y).
        log_reward: [Y] log R(y).
        graph: the environment's graph, if at hand.

    Example:
        From the exact flows of a 3x3 hypergrid and its own reward: P(stop | source) = 0.6 / 2.9 and Z = 2.9.
    """
    graph = StateGraph.of(environment) if graph is None else graph
    return conversion_of(environment, converted_edges(log_reward, log_flow, log_forward), graph)
