"""Reward-free pre-training: pairs of states and outcomes, objectives, success, resumption."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from flow_cases import environments, generator
from pydantic import ValidationError

from domains.gflownet.bits import AppendBits, FillBits
from domains.gflownet.hypergrid import Hypergrid
from sciRL.errors import UserError
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.exact import l1_distance, target_law
from sciRL.flow.graph import StateGraph
from sciRL.flow.losses import detailed_balance, score_edges
from sciRL.flow.outcome import convert
from sciRL.flow.outcome_network import (
    OutcomePairs,
    convert_network,
    outcome_network,
    pair_scores,
    success_rate,
)
from sciRL.flow.outcome_trainer import OutcomeSettings, OutcomeTrainer, relabel, teleported
from sciRL.flow.rollout import sample, walk_back
from sciRL.flow.samplers import UniformSampler

CASES = [pytest.param(case, id=f"{type(case).__name__}-{case.name}") for case in environments()]


def settings(**changes: Any) -> OutcomeSettings:
    return OutcomeSettings.model_validate({"network": {"hidden": 32}, "optimiser": {"lr": 5e-3}, **changes})


def trained(environment: FlowEnvironment, steps: int, **changes: Any) -> OutcomeTrainer:
    trainer = OutcomeTrainer(environment, settings(**changes), generator())
    for _ in range(steps):
        trainer.step()
    return trainer


@pytest.mark.parametrize("environment", CASES)
def test_useful_actions_keep_the_outcome_in_reach(environment: FlowEnvironment) -> None:
    objects = sample(environment, UniformSampler(), 40, generator()).objects
    network = outcome_network(environment, generator(), 8)
    assert success_rate(environment, network, objects, generator(), reachability="actions") == 1.0
    pairs = OutcomePairs(environment, objects, reachability="actions")
    ends = pairs.forward_mask(pairs.ends())
    assert bool(ends[:, environment.stop].all())
    assert int(ends.sum()) == len(objects)


def test_only_the_outcome_itself_is_rewarded() -> None:
    environment = Hypergrid(2, 3)
    outcomes = torch.tensor([[1, 1], [2, 2]])
    pairs = OutcomePairs(environment, outcomes, log_epsilon=-6.0)
    states = torch.tensor([[1, 1], [1, 2]])
    assert pairs.log_reward(torch.cat([states, outcomes], 1)).tolist() == [0.0, -6.0]
    assert pairs.source(2).tolist() == [[0, 0, 1, 1], [0, 0, 2, 2]]
    assert pairs.encode(pairs.source(2)).shape == (2, 18)


def test_relabelled_trajectories_are_successes() -> None:
    environment = FillBits(8, 2)
    found = sample(environment, UniformSampler(), 30, generator())
    pairs = OutcomePairs(environment, found.objects, log_epsilon=-6.0)
    again = relabel(pairs, found)
    assert bool((again.log_reward == 0).all())
    states, outcomes = pairs.split(again.objects)
    assert torch.equal(states, outcomes)
    wrong = OutcomePairs(environment, found.objects.flip(0), log_epsilon=-6.0)
    other = torch.cat([found.objects, wrong.outcomes], 1)
    assert float(wrong.log_reward(other).min()) == -6.0


def test_teleportation_is_detailed_balance_on_successes_and_adds_the_reward_to_each_edge_of_a_failure() -> None:
    environment = Hypergrid(2, 5)
    network = outcome_network(environment, generator(), 8)
    objects = sample(environment, UniformSampler(), 40, generator()).objects
    pairs = OutcomePairs(environment, objects, log_epsilon=-6.0)
    edges = score_edges(pairs, network, walk_back(pairs, network, pairs.ends(), generator()))
    assert torch.equal(teleported(edges), detailed_balance(edges).values)

    edges = score_edges(pairs, network, sample(pairs, network, 40, generator()))
    gap = teleported(edges) - detailed_balance(edges).values
    failed = (edges.trajectories.log_reward < 0)[edges.trajectories.rows]
    stops = edges.trajectories.actions == pairs.stop
    assert bool((failed & ~stops).any())
    torch.testing.assert_close(gap, torch.where(failed & ~stops, 6.0, 0.0).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("objective", ["mle", "anchor", "contrastive", "teleport"])
@pytest.mark.parametrize("exploration", ["backward", "forward"])
def test_resumed_training_repeats_the_uninterrupted_run_bit_for_bit(objective: str, exploration: str) -> None:
    chosen = settings(objective=objective, exploration=exploration, batch=8, epsilon=0.1, optimiser={"decay_steps": 9})
    whole = OutcomeTrainer(Hypergrid(2, 4), chosen, generator(1))
    for _ in range(3):
        whole.step()
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    after = [whole.step() for _ in range(5)]
    resumed = OutcomeTrainer(Hypergrid(2, 4), chosen, generator(99))
    file.seek(0)
    resumed.load_state_dict(torch.load(file))
    assert [resumed.step() for _ in range(5)] == after
    for a, b in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(a, b)
    twice = objective in ("contrastive", "teleport")
    assert resumed.trajectories == 8 * 8 * (2 if twice else 1)


def test_likelihood_training_reaches_outcomes_and_converts_to_two_rewards() -> None:
    environment = Hypergrid(2, 4, r0=0.05)
    trainer = trained(environment, 250)
    assert trainer.success(400, generator(1)) > 0.9
    assert trainer.success(400, generator(1), greedy=True) > 0.98
    every = environment.enumerate()
    assert every is not None
    for other in (environment, Hypergrid(2, 4, "cosine")):
        made = convert_network(other, trainer.network, other.log_reward(every), every)
        assert l1_distance(made.law, target_law(other)) < 0.1
    unmasked = convert_network(environment, trainer.network, environment.log_reward(every), every, "none")
    assert l1_distance(unmasked.law, target_law(environment)) > 0.3


def test_detailed_balance_on_successes_alone_learns_nothing_without_its_anchor() -> None:
    environment = Hypergrid(2, 5)
    positives, anchored = (trained(environment, 200, objective=name) for name in ("positives", "anchor"))
    assert positives.step()["residual"] < 0.01
    assert positives.success(400, generator(1)) < 0.3
    assert anchored.success(400, generator(1)) > 0.6


def test_sequences_too_many_to_list_are_reached_after_training_on_relabelled_trajectories() -> None:
    environment = AppendBits(32, 4)
    assert environment.enumerate() is None
    trainer = trained(environment, 150, exploration="forward", network={"hidden": 64})
    assert trainer.success(100, generator(1), greedy=True) > 0.9


class SilentGrid(Hypergrid):
    """A grid that does not tell what a cell reaches."""

    def reaches(self, states: torch.Tensor, outcomes: torch.Tensor) -> None:  # type: ignore[override]
        return None


def test_flows_from_successes_alone_need_to_know_what_is_reached() -> None:
    environment = SilentGrid(2, 4)
    with pytest.raises(UserError, match="objective mle: hypergrid-2d-4 does not tell which outcomes a state reaches"):
        OutcomeTrainer(environment, settings(), generator())
    trainer = trained(environment, 200, objective="contrastive")
    assert trainer.success(400, generator(1)) > 0.6
    every = environment.enumerate()
    assert every is not None
    made = convert_network(environment, trainer.network, environment.log_reward(every), every)
    assert l1_distance(made.law, target_law(environment)) < 0.6


def test_outcomes_may_be_given() -> None:
    environment = Hypergrid(2, 6)
    given = torch.tensor([[5, 1], [0, 3]])
    trainer = OutcomeTrainer(environment, settings(), generator(), outcomes=given)
    drawn = torch.unique(trainer.draw(50), dim=0)
    assert drawn.tolist() == [[0, 3], [5, 1]]


def test_conversion_in_parts_is_the_conversion_of_the_whole() -> None:
    environment = Hypergrid(2, 4)
    graph = StateGraph.of(environment)
    network = outcome_network(environment, generator(), 8)
    scores = pair_scores(environment, network, graph.states, graph.states)
    log_reward = environment.log_reward(graph.states)
    whole = convert(environment, *scores, log_reward, graph)
    parts = convert_network(environment, network, log_reward, graph.states, graph=graph)
    torch.testing.assert_close(whole.law, parts.law, rtol=0, atol=1e-7)


@pytest.mark.parametrize("wrong", [{"objective": "tb"}, {"log_epsilon": 0.5}, {"reachability": "all"}, {"lr": 1}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OutcomeSettings.model_validate(wrong)
