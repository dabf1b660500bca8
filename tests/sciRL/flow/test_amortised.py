"""Amortised conversion from exact and learnt flows."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from flow_cases import environments, generator

from domains.gflownet.hypergrid import Hypergrid
from sciRL.flow.amortised import AmortisedSettings, AmortisedTrainer, candidates, exact_edges, network_edges
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.exact import exact_flow, l1_distance, target_law, terminal_law
from sciRL.flow.network import MASKED
from sciRL.flow.outcome import outcome_flow
from sciRL.flow.outcome_network import outcome_network
from sciRL.flow.rollout import sample
from sciRL.flow.samplers import UniformSampler


def amortised(environment: FlowEnvironment, seed: int = 0, **changes: Any) -> AmortisedTrainer:
    flow = outcome_flow(environment)
    settings = AmortisedSettings.model_validate({"network": {"hidden": 32}, "optimiser": {"lr": 5e-3}, **changes})
    objects = flow.graph.states[flow.outcomes]
    return AmortisedTrainer(environment, exact_edges(environment, flow), objects, settings, generator(seed))


def test_edge_flow_and_posterior_of_the_three_by_three_grid() -> None:
    environment = Hypergrid(2, 3)
    flow = outcome_flow(environment)
    every = torch.arange(9)
    states, actions = torch.zeros(9, 2, dtype=torch.int64), torch.ones(9, dtype=torch.int64)
    joint = (environment.log_reward(flow.graph.states) + exact_edges(environment, flow)(states, actions, every)).exp()
    assert float(joint.sum()) == pytest.approx(1.15, abs=1e-12)  # N((0, 1) | source)
    assert float(joint[8] / joint.sum()) == pytest.approx(0.260870, abs=5e-7)  # Q((2, 2) | (0, 1), source)


@pytest.mark.parametrize("environment", environments(), ids=lambda e: f"{type(e).__name__}-{e.name}")
def test_candidates_are_the_outcomes_of_positive_flow(environment: FlowEnvironment) -> None:
    flow = outcome_flow(environment)
    objects = flow.graph.states[flow.outcomes]
    batch = sample(environment, UniformSampler(), 20, generator())
    allowed = candidates(environment, batch.states, batch.actions, objects)
    edges = exact_edges(environment, flow)
    for place in range(0, len(objects), max(1, len(objects) // 9)):
        values = edges(batch.states, batch.actions, torch.full_like(batch.actions, place))
        assert torch.equal(values > MASKED / 2, allowed[:, place])


def test_residuals_of_exact_flow_and_posterior_are_zero() -> None:
    environment = Hypergrid(2, 3)
    trainer = amortised(environment)
    exact = exact_flow(environment)
    flow = outcome_flow(environment)
    log_reward = environment.log_reward(flow.graph.states)
    log_joint = log_reward.view(1, 9, 1) + flow.log_flow.unsqueeze(-1) + flow.log_forward()
    trainer.network = exact.table  # type: ignore[assignment]
    every = environment.enumerate()
    batch = sample(environment, exact.table, 200, generator(), epsilon=0.5)
    rows = environment.index(batch.states)
    trainer.posterior.forward = lambda features, actions: log_joint[rows, :, actions]  # type: ignore[method-assign]
    assert every is not None
    allowed = candidates(environment, batch.states, batch.actions, every)
    assert float(trainer.residuals(batch, allowed).abs().max()) < 1e-10


def test_sampler_of_a_small_grid_is_learnt_from_exact_flows() -> None:
    environment = Hypergrid(2, 4, r0=0.05)
    trainer = amortised(environment)
    start = l1_distance(terminal_law(environment, trainer.network), target_law(environment))
    while trainer.edges_seen < 4000:
        metrics = trainer.step()
    assert start > 0.3
    assert l1_distance(terminal_law(environment, trainer.network), target_law(environment)) < 0.1
    total = float(environment.log_reward(environment.enumerate()).logsumexp(0))
    assert metrics["log_z"] == pytest.approx(total, abs=0.1)


def test_outcomes_left_out_are_not_drawn() -> None:
    environment = Hypergrid(2, 3)
    rows = torch.tensor([4, 8])
    flow = outcome_flow(environment, rows)
    settings = AmortisedSettings.model_validate({"network": {"hidden": 32}, "optimiser": {"lr": 5e-3}})
    edges = exact_edges(environment, flow)
    trainer = AmortisedTrainer(environment, edges, flow.graph.states[rows], settings, generator())
    for _ in range(60):
        trainer.step()
    law = terminal_law(environment, trainer.network)
    assert float(law[rows].sum()) > 0.95
    # R is 0.1 in the centre and 0.6 in the corner.
    assert float(law[8] / law[rows].sum()) == pytest.approx(6 / 7, abs=0.05)


def test_resumed_training_repeats_the_uninterrupted_run_bit_for_bit() -> None:
    environment = Hypergrid(2, 4)
    network = outcome_network(environment, generator(5), 16)
    objects = environment.enumerate()
    assert objects is not None
    settings = AmortisedSettings.model_validate({"network": {"hidden": 16}, "optimiser": {"decay_steps": 30}})

    def made(seed: int) -> AmortisedTrainer:
        edges = network_edges(environment, network, objects)
        return AmortisedTrainer(environment, edges, objects, settings, generator(seed))

    whole = made(1)
    for _ in range(3):
        whole.step()
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    after = [whole.step() for _ in range(4)]
    resumed = made(99)
    file.seek(0)
    resumed.load_state_dict(torch.load(file))
    assert [resumed.step() for _ in range(4)] == after
    assert resumed.trajectories == 7 * settings.batch
