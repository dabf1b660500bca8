"""Look-up tables give the same batches, losses and gradients as the network itself."""

from __future__ import annotations

import pytest
import torch
from flow_cases import environments, generator, network

from domains.gflownet.hypergrid import Hypergrid
from sciRL.flow import losses
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.rollout import sample, walk_back
from sciRL.flow.tables import FlowTable, TableEnvironment, tables_pay

CASES = [pytest.param(case, id=f"{type(case).__name__}-{case.name}") for case in environments()]


@pytest.mark.parametrize("environment", CASES)
def test_table_environment_is_the_environment(environment: FlowEnvironment) -> None:
    tables = TableEnvironment(environment)
    rows = tables.enumerate()
    states = tables.states(rows)
    assert torch.equal(tables.rows(states), rows)
    for name in ("forward_mask", "backward_mask", "encode", "log_reward_partial"):
        assert torch.equal(getattr(tables, name)(rows), getattr(environment, name)(states)), name
    objects = environment.forward_mask(states)[:, environment.stop]
    torch.testing.assert_close(tables.log_reward(rows[objects]), environment.log_reward(states[objects]).double())
    assert torch.equal(tables.states(tables.source(3)), environment.source(3))
    assert torch.equal(tables.read(environment.texts(states[objects])), rows[objects])
    assert tables.texts(rows[objects]) == environment.texts(states[objects])


@pytest.mark.parametrize("name", ["trajectory_balance", "sub_trajectory_balance", "flow_matching"])
@pytest.mark.parametrize("environment", CASES)
def test_gradient_by_look_up_is_the_gradient_of_the_network(environment: FlowEnvironment, name: str) -> None:
    loss = getattr(losses, name)
    policy, tables = network(environment), TableEnvironment(environment)
    found = []
    for place, scorer in ((environment, policy), (tables, FlowTable.of(tables, policy))):
        policy.zero_grad()
        batch = sample(place, scorer, 32, generator(3), epsilon=0.2, temperature=1.3)
        value = loss(losses.score_edges(place, scorer, batch)).loss(losses.square)
        value.backward()
        gradients = [p.grad.clone() for p in policy.parameters() if p.grad is not None]
        objects = batch.objects if place is environment else tables.states(batch.objects)
        found.append((objects, float(value.detach()), gradients))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-5)
    assert len(found[0][2]) == len(found[1][2]) > 0
    for a, b in zip(found[0][2], found[1][2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(a.abs().max() + 1))


def test_backward_walks_by_look_up_are_those_of_the_network() -> None:
    environment = Hypergrid(3, 4)
    policy, tables = network(environment), TableEnvironment(environment)
    objects = environment.enumerate()[20:50]
    plain = walk_back(environment, policy, objects, generator(2))
    looked_up = walk_back(tables, FlowTable.of(tables, policy), tables.rows(objects), generator(2))
    assert torch.equal(plain.states, tables.states(looked_up.states))
    assert torch.equal(plain.undo, looked_up.undo)


@pytest.mark.parametrize(
    ("side", "dimensions", "batch", "pays"),
    [(8, 2, 64, True), (8, 4, 64, False), (8, 4, 512, True), (16, 8, 64, False)],
)
def test_tables_are_chosen_where_they_pay(side: int, dimensions: int, batch: int, pays: bool) -> None:
    assert tables_pay(Hypergrid(dimensions, side), batch) is pays
