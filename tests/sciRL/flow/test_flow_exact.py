"""Exact laws and flows against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from flow_cases import TREE_MODES, environments, network

from domains.gflownet.bits import AppendBits
from domains.gflownet.hypergrid import Hypergrid
from sciRL.errors import UserError
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.exact import exact_flow, l1_distance, log_partition, target_law, terminal_law
from sciRL.flow.graph import StateGraph

CASES = [pytest.param(case, id=f"{type(case).__name__}-{case.name}") for case in environments()]


def test_flows_of_the_three_by_three_grid() -> None:
    environment = Hypergrid(2, 3)
    flow = exact_flow(environment)
    cells = {tuple(cell): k for k, cell in enumerate(environment.enumerate().tolist())}
    expected = {(0, 0): 2.9, (0, 1): 1.15, (1, 0): 1.15, (0, 2): 0.8, (2, 0): 0.8}
    expected |= {(1, 1): 0.5, (1, 2): 0.4, (2, 1): 0.4, (2, 2): 0.6}
    for cell, value in expected.items():
        assert float(flow.table.all.log_flow[cells[cell]].exp()) == pytest.approx(value, abs=1e-12)
    source = flow.table.all.log_forward[0].exp().tolist()
    assert source[environment.stop] == pytest.approx(0.206897, abs=5e-7)
    assert source[0] == pytest.approx(0.396552, abs=5e-7)
    assert source[1] == pytest.approx(0.396552, abs=5e-7)
    assert float(flow.table.log_z) == pytest.approx(math.log(2.9), abs=1e-12)


@pytest.mark.parametrize("backward", ["learned", "uniform"])
@pytest.mark.parametrize("environment", CASES)
def test_exact_flow_of_any_backward_policy_samples_the_target(environment: FlowEnvironment, backward: str) -> None:
    graph = StateGraph.of(environment)
    policy = network(environment, backward=backward)
    flow = exact_flow(environment, policy.log_backward(environment, graph.states).detach(), graph)
    assert l1_distance(terminal_law(environment, flow.table), target_law(environment)) < 1e-12
    assert float(flow.table.log_z) == pytest.approx(log_partition(environment), abs=1e-10)


@pytest.mark.parametrize("environment", CASES)
def test_terminal_law_of_any_policy_sums_to_one(environment: FlowEnvironment) -> None:
    assert float(terminal_law(environment, network(environment)).sum()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("environment", CASES)
def test_in_flow_equals_out_flow_in_every_state(environment: FlowEnvironment) -> None:
    graph = StateGraph.of(environment)
    flow = exact_flow(environment, graph=graph)
    edges = flow.log_edge.exp()
    inward = torch.zeros(len(graph.states), dtype=torch.float64)
    inward.index_add_(0, graph.children, edges[graph.parents, graph.actions])
    scale = float(flow.table.log_z.exp())
    assert float((inward - edges.sum(1))[1:].abs().max()) < 1e-12 * scale
    assert float(edges[0].sum()) == pytest.approx(scale)


def test_partition_of_the_append_tree_is_the_sum_of_its_rewards() -> None:
    environment = AppendBits(3, 1, modes=TREE_MODES)
    objects = environment.read([f"{number:03b}" for number in range(8)])
    assert log_partition(environment) == pytest.approx(float(environment.log_reward(objects).logsumexp(0)), abs=1e-12)
    back = exact_flow(environment).table.all.log_backward
    assert bool((back[1:] == 0).all())


def test_distance_is_the_sum_over_states() -> None:
    p, q = torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0, 0.0])
    assert l1_distance(p, q) == 2.0


def test_levels_are_longest_paths_and_edges_are_ordered_by_them() -> None:
    environment = Hypergrid(2, 3)
    graph = StateGraph.of(environment)
    assert graph.edge_counts == [2, 4, 4, 2]
    assert graph.states[graph.parents].sum(1).tolist() == [0] * 2 + [1] * 4 + [2] * 4 + [3] * 2
    assert torch.equal(graph.states[graph.children].sum(1), graph.states[graph.parents].sum(1) + 1)


def test_environment_with_too_many_states_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="too many states"):
        StateGraph.of(Hypergrid(8, 16))
