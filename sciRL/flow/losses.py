"""GFlowNet losses: each a set of residuals that vanish on an exact flow, and a regression function g of them.

All residuals come from one pass of the policy over the concatenated states of a batch (`score_edges`). With
d_t = log P_F(a_t | s_t) - log P_B(s_t | s_(t+1)) and log P_B = 0 for the stop edge, a trajectory of n actions
s_0 .. s_(n-1) that stops in x = s_(n-1) gives n edges. Sums are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sciRL.errors import UserError
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.network import FlowPolicy, FlowScores
from sciRL.flow.rollout import Trajectories

Regression = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Edges:
    """The scored edges of a batch of trajectories (K edges, B rows), float64.

    Attributes:
        log_forward: [K] log P_F of the action taken.
        log_backward: [K] log P_B of the state given its child; 0 where the action is stop.
        log_flow: [K] log F of the state.
        log_z: scalar log Z.
        scores: all that the policy said of the K states.
    """

    environment: FlowEnvironment
    policy: FlowPolicy
    trajectories: Trajectories
    log_forward: Tensor
    log_backward: Tensor
    log_flow: Tensor
    log_z: Tensor
    scores: FlowScores

    @property
    def log_stop(self) -> Tensor:
        """[K] log P_F(stop | state)."""
        return self.scores.log_forward[:, self.environment.stop].double()

    def row_sum(self, values: Tensor) -> Tensor:
        """Return the sums [B] of a column [K] over each trajectory."""
        total = values.new_zeros(len(self.trajectories))
        return total.index_add(0, self.trajectories.rows, values)


@dataclass(frozen=True)
class Residuals:
    """Residuals with their weights, which sum to 1; no weights means equal ones."""

    values: Tensor
    weights: Tensor | None = None

    def loss(self, regression: Regression) -> Tensor:
        """Return the weighted mean of g(r)."""
        if self.weights is None:
            return regression(self.values).mean()
        return (self.weights * regression(self.values)).sum()


Loss = Callable[[Edges], Residuals]


def score_edges(environment: FlowEnvironment, policy: FlowPolicy, trajectories: Trajectories) -> Edges:
    """Score all edges by one pass over `trajectories.states`; children are its entries from B on."""
    scores = policy.scores(environment, trajectories.states)
    log_forward = scores.log_forward.gather(1, trajectories.actions.unsqueeze(1)).squeeze(1).double()
    children = scores.log_backward[len(trajectories) :]
    log_undo = children.gather(1, trajectories.undo.unsqueeze(1)).squeeze(1).double()
    log_backward = torch.zeros_like(log_forward).index_copy(0, trajectories.moving, log_undo)
    log_z, log_flow = policy.log_z.double(), scores.log_flow.double()
    return Edges(environment, policy, trajectories, log_forward, log_backward, log_flow, log_z, scores)


def trajectory_balance(edges: Edges) -> Residuals:
    """TB: r = log Z + sum_t d_t - log R(x), one a trajectory (Malkin et al. 2022, arXiv 2201.13259)."""
    total = edges.row_sum(edges.log_forward - edges.log_backward)
    return Residuals(edges.log_z + total - edges.trajectories.log_reward)


def log_partition_variance(edges: Edges) -> Residuals:
    """ZVar (VarGrad): the TB residual without log Z, less its mean over the batch.

    Zhang et al. 2023, "Robust Scheduling with GFlowNets", arXiv 2302.05446.
    Minus that mean is the batch's estimate of log Z, so there is no log Z to learn.
    """
    total = edges.row_sum(edges.log_forward - edges.log_backward) - edges.trajectories.log_reward
    return Residuals(total - total.mean())


def detailed_balance(edges: Edges) -> Residuals:
    """DB: r_t = log F(s) + d_t - log F(s'), one an edge (Bengio et al. 2023, arXiv 2111.09266).

    On the stop edge log R(x) takes the place of log F(s').
    """
    trajectories = edges.trajectories
    target = torch.empty_like(edges.log_flow)
    target = target.index_copy(0, trajectories.moving, edges.log_flow[len(trajectories) :])
    target = target.index_copy(0, trajectories.last, trajectories.log_reward)
    return Residuals(edges.log_flow + edges.log_forward - edges.log_backward - target)


def sub_trajectory_balance(edges: Edges, decay: float = 0.9) -> Residuals:
    """SubTB(lambda): r_ij = V_i + sum_(i <= t < j) d_t - V_j for 0 <= i < j <= n (Madan et al. 2023, arXiv 2209.12782).

    V_i = log F(s_i) and V_n = log R(x). With z_t = V_t - sum_(u < t) d_u every residual is z_i - z_j, one outer
    difference. Weights lambda^(j - i) are normalised inside each trajectory: lambda to 0 is DB, to infinity TB.

    Args:
        edges: the scored batch.
        decay: lambda, > 0.
    """
    trajectories = edges.trajectories
    lengths = trajectories.lengths
    rows, steps, longest = trajectories.rows, trajectories.steps, int(lengths.max())
    padded = edges.log_forward.new_zeros(len(trajectories), longest + 1)
    row_index = torch.arange(len(trajectories), device=rows.device)
    gain = padded.index_put((rows, steps + 1), edges.log_forward - edges.log_backward)
    value = padded.index_put((rows, steps), edges.log_flow)
    value = value.index_put((row_index, lengths), trajectories.log_reward)
    z = value - gain.cumsum(1)
    place = torch.arange(longest + 1, device=rows.device)
    gap = place.unsqueeze(0) - place.unsqueeze(1)
    inside = (gap > 0) & (place <= lengths.unsqueeze(1)).unsqueeze(1)
    # Counted from each row's largest power, so that no lambda overflows.
    largest = lengths.double() * math.log(decay) if decay > 1 else torch.full_like(padded[:, 0], math.log(decay))
    weights = torch.where(inside, (gap * math.log(decay) - largest.view(-1, 1, 1)).exp(), 0.0)
    weights = weights / (weights.sum((1, 2), keepdim=True) * len(trajectories))
    return Residuals(torch.where(inside, z.unsqueeze(2) - z.unsqueeze(1), 0.0), weights)


def forward_looking(edges: Edges) -> Edges:
    """Return the edges with log F(s) = log R~(s) + log F~(s), the head being log F~.

    Pan et al. 2023, arXiv 2302.01687. R~ is `environment.log_reward_partial`. The result goes to `detailed_balance` or
    `sub_trajectory_balance`.
    """
    partial = edges.environment.log_reward_partial(edges.trajectories.states)
    return replace(edges, log_flow=edges.log_flow + partial.double())


def modified_detailed_balance(edges: Edges) -> Residuals:
    """Modified DB for environments where every state may stop; reads no flows.

    Deleu et al. 2022, arXiv 2202.13903:
    r = log R(s') + log P_B(s | s') + log P_F(stop | s) - log R(s) - log P_F(s' | s) - log P_F(stop | s').

    Raises:
        UserError: a state of the batch may not stop.
    """
    environment, trajectories = edges.environment, edges.trajectories
    if not bool(environment.forward_mask(trajectories.states)[:, environment.stop].all()):
        raise UserError(f"loss mdb: every state must be allowed to stop, and {environment.name} has ones that are not")
    log_reward = environment.log_reward(trajectories.states).double()
    at, children = trajectories.moving, slice(len(trajectories), None)
    after = log_reward[children] - edges.log_stop[children] + edges.log_backward[at]
    return Residuals(after - (log_reward[at] - edges.log_stop[at] + edges.log_forward[at]))


def flow_matching(edges: Edges) -> Residuals:
    """FM: in-flow against out-flow of each visited state but the source (Bengio et al. 2021, arXiv 2106.04399).

    r = log sum_p F(p -> s) - log(R(s) [s may stop] + sum_c F(s -> c)), with edge flows F(s) P_F. A second residual
    log F(s) + log P_F(stop | s) - log R(s) ties the stop edge that is sampled to the reward. All parents are scored:
    much slower than the other losses.
    """
    environment, policy, states = edges.environment, edges.policy, edges.trajectories.states
    edge_flow = edges.scores.log_forward.double() + edges.log_flow.unsqueeze(1)
    may_stop = environment.forward_mask(states)[:, environment.stop]
    reward = torch.full_like(edges.log_flow, -torch.inf)
    reward[may_stop] = environment.log_reward(states[may_stop]).double()
    stop_residual = (edge_flow[:, environment.stop] - reward)[may_stop]
    keep = [action for action in range(environment.n_actions) if action != environment.stop]
    outward = torch.logsumexp(torch.cat([edge_flow[:, keep], reward.unsqueeze(1)], 1), 1)

    inner = states[len(edges.trajectories) :]
    allowed = environment.backward_mask(inner)
    at, undo = allowed.nonzero(as_tuple=True)
    forward_action = environment.forth_of(inner[at], undo)
    parents = policy.scores(environment, environment.back(inner[at], undo))
    log_parent = parents.log_forward.gather(1, forward_action.unsqueeze(1)).squeeze(1)
    into = torch.full(allowed.shape, -torch.inf, dtype=torch.float64, device=states.device)
    into = into.index_put((at, undo), (parents.log_flow + log_parent).double())
    inward = torch.logsumexp(into, 1)
    return Residuals(torch.cat([inward - outward[len(edges.trajectories) :], stop_residual]))


def square(residual: Tensor) -> Tensor:
    """g(r) = r^2."""
    return residual.square()


def shifted_cosh(residual: Tensor) -> Tensor:
    """g(r) = e^r + e^-r - 2, r clamped to +-80 (Hu et al. 2024, arXiv 2410.02596)."""
    bounded = residual.clamp(-80.0, 80.0)
    return bounded.exp() + (-bounded).exp() - 2.0


def linex(residual: Tensor, a: float = 1.0) -> Tensor:
    """g(r) = (e^(a r) - a r - 1) / a^2, a r clamped to +-80 (Hu et al. 2024, arXiv 2410.02596)."""
    scaled = (a * residual).clamp(-80.0, 80.0)
    return (scaled.exp() - scaled - 1.0) / a**2


def huber(residual: Tensor, delta: float = 1.0) -> Tensor:
    """g(r) = r^2 within delta of 0 and 2 delta |r| - delta^2 outside: like `square` where r is small."""
    size = residual.abs()
    return torch.where(size <= delta, residual.square(), 2.0 * delta * size - delta**2)
