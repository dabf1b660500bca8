"""Learnt actors: what they choose, and that a saved one is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from control_domain import DOMAIN, WalkOptions

from sciRL.control.actors import PolicyActor, RecurrentActor, TableActor, ValueActor
from sciRL.control.episodes import play
from sciRL.control.exploration import EpsilonGreedy
from sciRL.control.policy import ControlPolicy
from sciRL.families.control import ACTORS


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def environment(rows: int = 5) -> Any:
    made = DOMAIN.environment(Path(), WalkOptions(), rows, torch.device("cpu"))
    made.reset(0)
    return made


def test_equal_values_give_the_first_action() -> None:
    actor = TableActor(torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0], [-1.0, -1.0], [0.0, 0.5]]))
    assert actor.act(torch.eye(5), environment()).tolist() == [0, 1, 0, 0, 1]


MADE = [
    TableActor(torch.rand(5, 2, generator=generator())),
    ValueActor.make(5, (8, 4), 2, generator()),
    PolicyActor.make(5, (8,), 2, 0, False, generator()),
    RecurrentActor.make(5, (8,), 2, 6, True, generator()),
]


@pytest.mark.parametrize("actor", MADE, ids=lambda actor: actor.kind)
def test_a_saved_actor_plays_the_same_episodes(actor: Any, tmp_path: Path) -> None:
    if hasattr(actor, "network"):
        actor.network.scale.update(torch.rand(40, 5, generator=generator(1)))
    policy = ControlPolicy(actor, {kind.kind: kind for kind in ACTORS}, {})
    policy.save(tmp_path)
    again = ControlPolicy(TableActor(torch.zeros(5, 2)), policy.kinds, {})
    again.load(tmp_path)
    assert type(again.actor) is type(actor)
    restored: Any = again.actor
    assert all(torch.equal(tensor, restored.tensors()[name]) for name, tensor in actor.tensors().items())
    tasks = list(DOMAIN.tasks(Path(), "test", WalkOptions())) * 8
    played = [play(environment(40), each, tasks, range(40)) for each in (actor, again.actor)]
    assert played[0] == played[1]


def test_a_policy_draws_by_its_law_and_a_greedy_one_does_not() -> None:
    drawing = PolicyActor.make(5, (8,), 2, 0, False, generator())
    greedy = PolicyActor.make(5, (8,), 2, 0, True, generator())
    with torch.no_grad():
        for actor in (drawing, greedy):
            actor.network.policy.weight.zero_()
            actor.network.policy.bias.copy_(torch.tensor([0.2, 0.8]).log())
    place = environment(4000)
    seen = torch.eye(5)[torch.zeros(4000, dtype=torch.int64)]
    for actor in (drawing, greedy):
        actor.begin(place)
    assert float(drawing.act(seen, place).float().mean()) == pytest.approx(0.8, abs=0.03)
    assert greedy.act(seen, place).all()


def test_memory_depends_on_what_was_seen_until_an_episode_begins() -> None:
    actor = RecurrentActor.make(5, (8,), 2, 6, True, generator())
    place = environment(1)
    kept = []
    for first in (0, 4):
        actor.begin(place)
        for seen in (first, 2):
            actor.act(torch.eye(5)[[seen]], place)
        kept.append(actor._memory.clone())
    assert not torch.allclose(kept[0], kept[1])
    actor.begin(place)
    assert not actor._memory.any()


def test_exploring_actions_follow_their_law() -> None:
    exploration = EpsilonGreedy((0.9, 0.1, 0.0), 3, generator())
    greedy = torch.full((20_000,), 2)
    chosen = exploration.choose(greedy, 0.5)
    shares = torch.bincount(chosen, minlength=3) / 20_000
    assert shares.tolist() == pytest.approx([0.45, 0.05, 0.5], abs=0.015)
    assert torch.equal(exploration.choose(greedy, 0.0), greedy)
