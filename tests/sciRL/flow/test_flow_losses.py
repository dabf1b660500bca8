"""Every loss vanishes on the exact flow, and has the gradient its equation says."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from flow_cases import TREE_MODES, environments, generator, network
from torch import Tensor

from domains.gflownet.bits import AppendBits
from domains.gflownet.hypergrid import Hypergrid
from sciRL.errors import UserError
from sciRL.flow import losses
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.exact import exact_flow
from sciRL.flow.graph import StateGraph
from sciRL.flow.network import FlowScores
from sciRL.flow.rollout import sample
from sciRL.flow.tables import FlowTable

CASES = [pytest.param(case, id=f"{type(case).__name__}-{case.name}") for case in environments()]
LOSSES: dict[str, losses.Loss] = {
    "tb": losses.trajectory_balance,
    "db": losses.detailed_balance,
    "subtb": losses.sub_trajectory_balance,
    "subtb-2": lambda edges: losses.sub_trajectory_balance(edges, 2.0),
    "zvar": losses.log_partition_variance,
}


def forward_looking_table(environment: FlowEnvironment, exact: FlowTable) -> FlowTable:
    """The exact flow with log F~ = log F - log R~ in place of log F."""
    graph = StateGraph.of(environment)
    flow = exact.all.log_flow - environment.log_reward_partial(graph.states).double()
    return FlowTable(FlowScores(exact.all.log_forward, exact.all.log_backward, flow), exact.log_z)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("environment", CASES)
def test_residuals_of_the_exact_flow_are_zero(environment: FlowEnvironment, name: str) -> None:
    graph = StateGraph.of(environment)
    back = network(environment).log_backward(environment, graph.states).detach()
    exact = exact_flow(environment, back, graph).table
    batch = sample(environment, exact, 300, generator(), epsilon=0.3)
    residuals = LOSSES[name](losses.score_edges(environment, exact, batch))
    assert float(residuals.values.abs().max()) < 1e-10


@pytest.mark.parametrize("environment", CASES)
def test_forward_looking_residuals_of_the_exact_flow_are_zero(environment: FlowEnvironment) -> None:
    policy = forward_looking_table(environment, exact_flow(environment).table)
    batch = sample(environment, policy, 300, generator(), epsilon=0.3)
    edges = losses.forward_looking(losses.score_edges(environment, policy, batch))
    for residuals in (losses.detailed_balance(edges), losses.sub_trajectory_balance(edges)):
        assert float(residuals.values.abs().max()) < 1e-10


def test_residual_is_zero_on_every_trajectory_of_the_three_by_three_grid() -> None:
    environment = Hypergrid(2, 3)
    exact = exact_flow(environment).table
    batch = sample(environment, exact, 3000, generator(), epsilon=1.0)
    paths = {tuple(batch.actions[batch.rows == row].tolist()) for row in range(len(batch))}
    # Paths to cell (i, j): binomial(i + j, i).
    assert len(paths) == sum(math.comb(i + j, i) for i, j in itertools.product(range(3), repeat=2))
    residuals = losses.trajectory_balance(losses.score_edges(environment, exact, batch))
    assert float(residuals.values.abs().max()) < 1e-10


def test_modified_detailed_balance_and_flow_matching_of_the_exact_flow_are_zero() -> None:
    environment = Hypergrid(3, 4)
    exact = exact_flow(environment).table
    edges = losses.score_edges(environment, exact, sample(environment, exact, 200, generator(), epsilon=0.3))
    assert float(losses.modified_detailed_balance(edges).values.abs().max()) < 1e-10
    assert float(losses.flow_matching(edges).values.abs().max()) < 1e-10


def test_modified_detailed_balance_refuses_states_that_may_not_stop() -> None:
    environment = AppendBits(3, 1, modes=TREE_MODES)
    policy = network(environment)
    edges = losses.score_edges(environment, policy, sample(environment, policy, 4, generator()))
    with pytest.raises(UserError, match="mdb: every state must be allowed to stop"):
        losses.modified_detailed_balance(edges)


def test_flow_matching_of_a_tree_whose_inner_states_may_not_stop() -> None:
    environment = AppendBits(8, 2, beta=8.0)
    exact = exact_flow(environment).table
    edges = losses.score_edges(environment, exact, sample(environment, exact, 50, generator()))
    assert float(losses.flow_matching(edges).values.abs().max()) < 1e-10


def subtb_by_triple_loop(edges: losses.Edges, decay: float) -> float:
    """The published sum, trajectory by trajectory and term by term."""
    batch, total = edges.trajectories, 0.0
    for row in range(len(batch)):
        at = (batch.rows == row).nonzero().squeeze(1)
        gain = (edges.log_forward - edges.log_backward)[at].tolist()
        value = [*edges.log_flow[at].tolist(), float(batch.log_reward[row])]
        weighted, weight = 0.0, 0.0
        for i in range(len(value)):
            for j in range(i + 1, len(value)):
                residual = value[i] + sum(gain[i:j]) - value[j]
                weighted += decay ** (j - i) * residual**2
                weight += decay ** (j - i)
        total += weighted / weight
    return total / len(batch)


@pytest.mark.parametrize("decay", [0.5, 0.9, 1.0, 3.0])
def test_subtrajectory_balance_equals_the_triple_loop(decay: float) -> None:
    environment = Hypergrid(3, 4)
    policy = network(environment)
    edges = losses.score_edges(environment, policy, sample(environment, policy, 12, generator(), epsilon=0.5))
    fast = float(losses.sub_trajectory_balance(edges, decay).loss(losses.square).detach())
    assert fast == pytest.approx(subtb_by_triple_loop(edges, decay), rel=1e-6)


def test_limits_of_lambda_are_detailed_and_trajectory_balance() -> None:
    environment = AppendBits(8, 2)  # all trajectories have the same length, so DB has the same weights
    policy = network(environment)
    edges = losses.score_edges(environment, policy, sample(environment, policy, 9, generator()))
    small = losses.sub_trajectory_balance(edges, 1e-9).loss(losses.square)
    torch.testing.assert_close(small, losses.detailed_balance(edges).loss(losses.square), rtol=1e-6, atol=0)
    with torch.no_grad():
        policy.log_z.copy_(edges.log_flow[0])
    edges = losses.score_edges(environment, policy, edges.trajectories)
    large = losses.sub_trajectory_balance(edges, 1e200).loss(losses.square)
    torch.testing.assert_close(large, losses.trajectory_balance(edges).loss(losses.square), rtol=1e-6, atol=0)


def test_gradient_of_trajectory_balance_by_log_z_is_twice_the_mean_residual() -> None:
    environment = Hypergrid(2, 8)
    policy = network(environment)
    edges = losses.score_edges(environment, policy, sample(environment, policy, 64, generator()))
    residuals = losses.trajectory_balance(edges)
    residuals.loss(losses.square).backward()
    assert policy.log_z.grad is not None
    assert float(policy.log_z.grad) == pytest.approx(2 * float(residuals.values.detach().mean()), rel=1e-6)


def test_variance_loss_has_the_gradient_of_trajectory_balance_with_the_batch_mean_as_log_z() -> None:
    environment = Hypergrid(2, 8)
    policy = network(environment)
    batch = sample(environment, policy, 64, generator())
    edges = losses.score_edges(environment, policy, batch)
    with torch.no_grad():
        policy.log_z -= losses.trajectory_balance(edges).values.mean().float()
    gradients = []
    for loss in (losses.log_partition_variance, losses.trajectory_balance):
        policy.zero_grad()
        loss(losses.score_edges(environment, policy, batch)).loss(losses.square).backward()
        gradients.append(policy.heads.weight.grad.clone())
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*LOSSES, "fm", "fl"])
def test_no_gradient_is_nan(name: str) -> None:
    chosen = {
        **LOSSES,
        "fm": losses.flow_matching,
        "fl": lambda edges: losses.sub_trajectory_balance(losses.forward_looking(edges)),
    }
    for environment in environments():
        policy = network(environment)
        edges = losses.score_edges(environment, policy, sample(environment, policy, 8, generator()))
        chosen[name](edges).loss(losses.square).backward()
        for parameter in policy.parameters():
            assert parameter.grad is None or bool(torch.isfinite(parameter.grad).all())


@pytest.mark.parametrize("name", ["square", "shifted_cosh", "linex", "huber"])
def test_regressions_are_zero_at_zero_positive_elsewhere_and_quadratic_nearby(name: str) -> None:
    regression: Callable[[Tensor], Tensor] = getattr(losses, name)
    points = torch.tensor([-1000.0, -3.0, -0.5, 0.0, 0.5, 3.0, 1000.0], dtype=torch.float64)
    values = regression(points)
    assert bool(torch.isfinite(values).all())
    assert float(values[3]) == 0.0
    assert bool((values[points != 0] > 0).all())
    curvature = {"square": 2.0, "shifted_cosh": 2.0, "linex": 1.0, "huber": 2.0}[name]
    assert float(regression(torch.tensor(1e-3, dtype=torch.float64))) == pytest.approx(curvature / 2 * 1e-6, rel=1e-3)


def test_values_of_the_regressions_at_two() -> None:
    two = torch.tensor(2.0, dtype=torch.float64)
    assert float(losses.square(two)) == 4.0
    assert float(losses.shifted_cosh(two)) == pytest.approx(math.exp(2) + math.exp(-2) - 2)
    assert float(losses.linex(two)) == pytest.approx(math.exp(2) - 3)
    assert float(losses.linex(-two)) == pytest.approx(math.exp(-2) + 1)
    assert float(losses.huber(two)) == 3.0
