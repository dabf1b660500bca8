"""Masks and heads of the flow network."""

from __future__ import annotations

import pytest
import torch
from flow_cases import TREE_MODES, environments, generator, network

from domains.gflownet.bits import AppendBits
from domains.gflownet.hypergrid import Hypergrid
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.network import MASKED, FlowNetwork, masked_log_softmax

CASES = [pytest.param(case, id=f"{type(case).__name__}-{case.name}") for case in environments()]


@pytest.mark.parametrize("backward", ["learned", "uniform"])
@pytest.mark.parametrize("environment", CASES)
def test_policies_sum_to_one_over_what_is_allowed(environment: FlowEnvironment, backward: str) -> None:
    states = environment.enumerate()
    assert states is not None
    scores = network(environment, backward=backward).scores(environment, states)
    forward, back = scores.log_forward.exp(), scores.log_backward.exp()
    assert bool((forward[~environment.forward_mask(states)] == 0).all())
    assert bool((back[~environment.backward_mask(states)] == 0).all())
    torch.testing.assert_close(forward.sum(1), torch.ones(len(states)))
    has_parents = environment.backward_mask(states).any(1)
    assert has_parents.tolist() == [False] + [True] * (len(states) - 1)
    torch.testing.assert_close(back.sum(1), has_parents.float())


def test_no_nan_in_values_or_gradients_at_the_source_and_where_only_stop_is_left() -> None:
    environment = AppendBits(3, 1, modes=TREE_MODES)
    full = environment.read(["101"])
    states = torch.cat([environment.source(1), full])
    net = network(environment)
    scores = net.scores(environment, states)
    for values in (scores.log_forward, scores.log_backward, scores.log_flow):
        assert bool(torch.isfinite(values).all())
    assert float(scores.log_forward[1, environment.stop]) == 0.0
    assert scores.log_backward[0].tolist() == [MASKED]
    (scores.log_forward.sum() + scores.log_backward.sum() + scores.log_flow.sum()).backward()
    for parameter in net.parameters():
        assert parameter.grad is None or bool(torch.isfinite(parameter.grad).all())


def test_row_with_nothing_allowed_is_finite_and_passes_no_gradient() -> None:
    logits = torch.randn(2, 4, generator=generator(), requires_grad=True)
    mask = torch.tensor([[False] * 4, [True, False, True, False]])
    result = masked_log_softmax(logits, mask)
    assert bool(torch.isfinite(result).all())
    result.sum().backward()
    assert logits.grad is not None
    assert logits.grad[0].tolist() == [0.0] * 4
    assert bool(torch.isfinite(logits.grad).all())


def test_weights_come_from_the_generator_alone() -> None:
    environment = Hypergrid(2, 3)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = FlowNetwork.of(environment, generator(7))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = FlowNetwork.of(environment, generator(7))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_trunk_of_ones_own_replaces_the_mlp() -> None:
    environment = Hypergrid(2, 3)
    trunk = torch.nn.Linear(environment.feature_size, 8)
    net = FlowNetwork(6, 3, 2, generator(), hidden=8, trunk=trunk)
    net.scores(environment, environment.source(1)).log_flow.sum().backward()
    assert trunk.weight.grad is not None
    assert bool((trunk.weight.grad != 0).any())
