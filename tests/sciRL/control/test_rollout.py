"""Rollouts: the card's numbers for GAE, and what a rollout must know of ends and of memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from control_domain import DOMAIN, WalkOptions

from sciRL.control.networks import ActorCritic
from sciRL.control.rollout import collect, generalised_advantage
from sciRL.control.stepper import Stepper


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


REWARD, VALUE = column(1, 0, 2), column(0.5, 0.4, 0.3)


@pytest.mark.parametrize(
    ("last", "done", "expected"),
    [
        (0.6, False, [2.8283, 2.0545, 2.2940]),
        (0.6, True, [2.8283, 2.0545, 2.2940]),
        (0.0, True, [2.3028, 1.4958, 1.7000]),
    ],
    ids=["running", "truncated", "terminated"],
)
def test_advantages_have_the_published_values(last: float, done: bool, expected: list[float]) -> None:
    ends = torch.tensor([[False], [False], [done]])
    advantage = generalised_advantage(REWARD, VALUE, column(0.4, 0.3, last), ends, 0.99, 0.95)
    assert advantage.flatten().tolist() == pytest.approx(expected, abs=5e-5)


def test_no_advantage_flows_back_over_an_end() -> None:
    ends = torch.tensor([[False], [True], [False]])
    following = column(0.4, 0.7, 0.6)
    first = generalised_advantage(REWARD, VALUE, following, ends, 0.99, 0.95)
    other = generalised_advantage(REWARD + column(0, 0, 9), VALUE, following, ends, 0.99, 0.95)
    assert torch.equal(first[:2], other[:2])
    assert float(first[1]) == pytest.approx(0.99 * 0.7 - 0.4)


def stepper(options: WalkOptions, rows: int = 16) -> Stepper:
    return Stepper(DOMAIN.environment(Path(), options, rows, torch.device("cpu")), 1)


def network(features: int, memory: int) -> ActorCritic:
    return ActorCritic(features, (8,), 2, memory, torch.Generator().manual_seed(0))


def test_a_truncated_row_is_valued_by_the_observation_that_its_last_step_led_to() -> None:
    walk, net = stepper(WalkOptions(limit=2)), network(5, 0)
    rollout, _ = collect(walk, net, net.no_memory(16), 12, torch.Generator().manual_seed(0))
    with torch.no_grad():
        state_values = net(torch.eye(5), net.no_memory(5))[1]
    state = rollout.observation.argmax(-1)
    led_to = (state + 2 * rollout.action - 1).clamp(0, 4)
    terminated = (state == 4) & (rollout.action == 1)
    expected = torch.where(terminated, 0.0, state_values[led_to])
    assert (rollout.done & ~terminated).any()
    assert terminated.any()
    assert torch.allclose(rollout.following_value, expected, atol=1e-6)


@pytest.mark.parametrize("memory", [0, 6])
def test_unrolling_repeats_the_rollout_and_forgets_at_ends(memory: int) -> None:
    walk, net = stepper(WalkOptions(limit=3)), network(5, memory)
    generator = torch.Generator().manual_seed(0)
    held = net.no_memory(16)
    for _ in range(2):  # the second rollout begins inside episodes
        rollout, held = collect(walk, net, held, 7, generator)
    assert rollout.fresh[1:].any()
    with torch.no_grad():
        log_law, value = net.unroll(rollout.observation, rollout.memory, rollout.fresh)
        blind, _ = net.unroll(rollout.observation, rollout.memory, torch.zeros_like(rollout.fresh))
    logp = log_law.gather(-1, rollout.action.unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(logp, rollout.logp, atol=1e-6)
    assert torch.allclose(value, rollout.value, atol=1e-6)
    assert torch.allclose(blind, log_law) == (memory == 0)


def test_sums_of_episodes() -> None:
    walk = stepper(WalkOptions(limit=3), rows=4)
    walk.environment.place = torch.tensor([4, 4, 3, 0])
    walk.step(torch.tensor([1, 0, 1, 1]))
    metrics = walk.metrics()
    assert metrics == {
        "reward/mean": 0.25,
        "episode/finished": 1.0,
        "episode/return": 1.0,
        "episode/length": 1.0,
        "episode/terminated": 1.0,
    }
    assert walk.steps == 4
    walk.environment.place[0] = 0
    walk.step(torch.tensor([0, 0, 0, 0]))
    walk.step(torch.tensor([0, 0, 0, 0]))
    metrics = walk.metrics()
    assert (metrics["episode/finished"], metrics["episode/length"], metrics["episode/terminated"]) == (3.0, 3.0, 0.0)
