"""Exact outcome-conditioned flows and their conversion, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from flow_cases import environments, generator, network
from hypothesis import given
from hypothesis import strategies as st

from domains.gflownet.bits import AppendBits
from domains.gflownet.hypergrid import Hypergrid, Reward
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.exact import exact_flow, l1_distance, reach, target_law
from sciRL.flow.exponent import RewardExponent
from sciRL.flow.graph import StateGraph
from sciRL.flow.network import MASKED
from sciRL.flow.outcome import convert, converted_edges, importance_weights, object_rows, outcome_flow
from sciRL.flow.tables import TableEnvironment

CASES = [pytest.param(case, id=f"{type(case).__name__}-{case.name}") for case in environments()]


def cell(x: int, y: int, side: int = 3) -> int:
    return x * side + y


def test_flows_of_outcomes_of_the_three_by_three_grid() -> None:
    flow = outcome_flow(Hypergrid(2, 3))
    visits = flow.log_flow.exp()
    corner, centre = cell(2, 2), cell(1, 1)
    assert float(visits[cell(1, 1), corner]) == pytest.approx(0.5, abs=1e-15)
    assert float(visits[cell(2, 0), corner]) == pytest.approx(0.25, abs=1e-15)
    assert float(visits[cell(1, 0), corner]) == pytest.approx(0.5, abs=1e-15)
    assert float(visits[cell(0, 1), centre]) == pytest.approx(0.5, abs=1e-15)
    assert float(visits[cell(0, 2), centre]) == 0.0
    assert visits[0].tolist() == pytest.approx([1.0] * 9, abs=1e-15)
    assert visits.diagonal().tolist() == [1.0] * 9
    forward = flow.log_forward().exp()
    assert float(forward[0, corner, 0]) == pytest.approx(0.5, abs=1e-15)
    assert float(forward[cell(1, 0), corner, 0]) == pytest.approx(0.25 * 1 / 0.5, abs=1e-15)


@pytest.mark.parametrize("environment", CASES)
def test_conditioned_policy_always_reaches_its_outcome(environment: FlowEnvironment) -> None:
    flow = outcome_flow(environment)
    forward = flow.log_forward()
    for place in range(0, len(flow.outcomes), max(1, len(flow.outcomes) // 7)):
        law = reach(flow.graph, forward[:, place]) * forward[:, place, -1].exp()
        assert float(law[flow.outcomes[place]]) == pytest.approx(1.0, abs=1e-12)
        assert torch.allclose(reach(flow.graph, forward[:, place]), flow.log_flow[:, place].exp(), atol=1e-12)


@pytest.mark.parametrize("backward", ["learned", "uniform"])
@pytest.mark.parametrize("environment", CASES)
def test_conversion_of_exact_flows_draws_the_reward(environment: FlowEnvironment, backward: str) -> None:
    graph = StateGraph.of(environment)
    log_backward = network(environment, backward=backward).log_backward(environment, graph.states).detach()
    flow = outcome_flow(environment, None, log_backward, graph)
    log_reward = environment.log_reward(graph.states[flow.outcomes])
    made = convert(environment, flow.log_flow, flow.log_forward(), log_reward, graph)
    assert l1_distance(made.law, target_law(environment)) < 1e-12
    # One flow in two ways: summed over outcomes, and from the reward itself.
    exact = exact_flow(environment, log_backward, graph).table
    torch.testing.assert_close(made.table.all.log_flow, exact.all.log_flow, rtol=0, atol=1e-10)
    torch.testing.assert_close(made.table.all.log_forward.exp(), exact.all.log_forward.exp(), rtol=0, atol=1e-12)


def test_one_pretrained_flow_serves_two_rewards_of_the_eight_by_eight_grid() -> None:
    flow = outcome_flow(Hypergrid(2, 8))
    forward = flow.log_forward()
    rewards: list[tuple[Reward, float | None]] = [("original", 22.4), ("cosine", None)]
    for reward, total in rewards:
        environment = Hypergrid(2, 8, reward)
        log_reward = environment.log_reward(flow.graph.states[flow.outcomes])
        made = convert(environment, flow.log_flow, forward, log_reward, flow.graph)
        assert l1_distance(made.law, target_law(environment)) < 1e-12
        expected = float(log_reward.exp().sum()) if total is None else total
        assert float(made.table.log_z.exp()) == pytest.approx(expected, rel=1e-12)


def test_converted_root_of_the_three_by_three_grid() -> None:
    environment = Hypergrid(2, 3)
    flow = outcome_flow(environment)
    log_reward = environment.log_reward(flow.graph.states)
    made = convert(environment, flow.log_flow, flow.log_forward(), log_reward)
    source = made.table.all.log_forward[0].exp().tolist()
    assert source == pytest.approx([1.15 / 2.9, 1.15 / 2.9, 0.6 / 2.9], abs=1e-12)
    assert source[2] == pytest.approx(0.206897, abs=5e-7)


def test_conversion_over_some_outcomes_draws_those_alone() -> None:
    environment = Hypergrid(2, 5)
    rows = torch.tensor([3, 7, 24])
    flow = outcome_flow(environment, rows)
    made = convert(environment, flow.log_flow, flow.log_forward(), torch.tensor([1.0, 2.0, 5.0]).log())
    assert made.law[rows].tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=1e-7)


def test_monte_carlo_conversion_is_unbiased_in_the_flows() -> None:
    environment = Hypergrid(2, 3)
    flow = outcome_flow(environment)
    graph, forward = flow.graph, flow.log_forward()
    log_reward = environment.log_reward(graph.states[flow.outcomes])
    exact = converted_edges(log_reward, flow.log_flow, forward).exp()
    proposal = torch.softmax(torch.linspace(0.0, 1.0, 9, dtype=torch.float64), 0)
    drawn = torch.multinomial(proposal, 40_000, True, generator=generator())
    weights = importance_weights(log_reward[drawn], proposal.log()[drawn])
    estimate = converted_edges(weights, flow.log_flow[:, drawn], forward[:, drawn]).exp()
    torch.testing.assert_close(estimate, exact, rtol=0.08, atol=1e-12)


def test_flows_of_zero_stay_zero_in_logarithms() -> None:
    edges = converted_edges(torch.tensor([0.0, 1.0]), torch.full((1, 2), MASKED), torch.full((1, 2, 3), MASKED))
    assert bool(torch.isfinite(edges).all())
    assert edges.exp().tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("environment", CASES)
def test_reachability_is_where_the_exact_flow_is_not_zero(environment: FlowEnvironment) -> None:
    graph = StateGraph.of(environment)
    outcomes = object_rows(graph)
    n, m = len(graph.states), len(outcomes)
    states, ends = graph.states.repeat_interleave(m, 0), graph.states[outcomes].repeat(n, 1)
    flow = outcome_flow(environment, graph=graph)
    expected = (flow.log_flow > MASKED / 2).flatten()
    table = TableEnvironment(environment, graph)
    for wrapped in (environment, RewardExponent(environment, 2.0, -9.0)):
        reaches = wrapped.reaches(states, ends)
        assert reaches is not None
        assert torch.equal(reaches, expected)
    rows = table.reaches(table.rows(states), table.rows(ends))
    assert rows is not None
    assert torch.equal(rows, expected)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=4), st.integers(0, 4))
def test_prefixes_of_a_sequence_reach_it_and_others_do_not(words: list[int], length: int) -> None:
    environment = AppendBits(8, 2)
    whole = torch.tensor([words])
    part = torch.where(torch.arange(4) < length, whole, -1)
    assert bool(environment.reaches(part, whole))
    if length:
        part[0, length - 1] = (part[0, length - 1] + 1) % 4
        assert not bool(environment.reaches(part, whole))
