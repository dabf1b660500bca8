"""Learners of the control family against exact values, a memory task, and their own resumed copies."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from control_domain import DOMAIN, WalkOptions, optimal_values
from pydantic import BaseModel, ValidationError
from torch import Tensor

from sciRL.algorithms.actor_critic import PPO, PPOConfig, normalised
from sciRL.algorithms.dqn import DQN, DQNConfig, bootstrap_value
from sciRL.algorithms.q_learning import QLearning, QLearningConfig, mean_by_entry, q_target
from sciRL.algorithms.setting import ComputeConfig, ControlSetting
from sciRL.control.episodes import play
from sciRL.control.policy import ControlPolicy, UniformActor
from sciRL.environments.vector import Step
from sciRL.errors import UserError
from sciRL.families.control import ACTORS
from sciRL.objective.policy import clipped_loss
from sciRL.objective.value import clipped_value_loss
from sciRL.run.checkpoint import load_tree, save_tree

GAMMA = 0.9
Q = QLearningConfig(
    environments=32, steps=8, gamma=GAMMA, learning_rate={"start": 1.0, "end": 1.0}, epsilon={"start": 0.5, "end": 0.5}
)
DEEP = DQNConfig(
    hidden=(32,),
    environments=16,
    steps=40,
    gamma=GAMMA,
    epsilon={"start": 1.0, "end": 1.0},
    capacity=3200,
    learning_starts=320,
    batch=64,
    target_every=10,
    optimizer={"learning_rate": 5e-3, "schedule": "linear"},
)
ACT = PPOConfig(hidden=(32,), environments=32, steps=8, gamma=GAMMA, optimizer={"learning_rate": 3e-3})
RECALL = WalkOptions(game="recall", limit=3)


def setting(options: WalkOptions | None = None, seed: int = 0) -> ControlSetting:
    policy = ControlPolicy(UniformActor(), {actor.kind: actor for actor in ACTORS}, {})
    nothing: Any = None
    compute = ComputeConfig(device="cpu")
    return ControlSetting(DOMAIN, options or WalkOptions(), Path(), policy, nothing, nothing, nothing, compute, seed)


def trained(make: Callable[..., Any], config: BaseModel, steps: int, given: ControlSetting | None = None) -> Any:
    algorithm = make(given or setting(), config, steps)
    for _ in range(steps):
        algorithm.iterate()
    return algorithm


def mean_reward(given: ControlSetting, rows: int = 64) -> float:
    environment = DOMAIN.environment(Path(), given.options, rows, torch.device("cpu"))
    tasks = list(DOMAIN.tasks(Path(), "test", given.options))
    asked = [tasks[row % len(tasks)] for row in range(rows)]
    return sum(json.loads(text)["reward"] for text in play(environment, given.policy.actor, asked, range(rows))) / rows


# -- exact values ----------------------------------------------------------------------------------


def test_the_chain_has_the_values_that_one_expects() -> None:
    assert optimal_values(GAMMA)[:, 1].tolist() == pytest.approx([0.9**4, 0.9**3, 0.9**2, 0.9, 1.0])


@pytest.mark.parametrize("limit", [2, 12])
def test_tabular_q_learning_equals_value_iteration_under_any_time_limit(limit: int) -> None:
    # The limit truncates and does not terminate, so that it must not change a value; and the observation of a
    # terminated row is that of a state of value 1, so that bootstrapping from it would be seen.
    algorithm = trained(QLearning, Q, 20, setting(WalkOptions(limit=limit)))
    assert (algorithm.values - optimal_values(GAMMA)).abs().max() < 1e-3


@pytest.mark.parametrize("double", [True, False])
def test_dqn_equals_value_iteration_under_a_time_limit(double: bool) -> None:
    config = DEEP.model_copy(update={"double": double})
    algorithm = trained(DQN, config, 15, setting(WalkOptions(limit=3)))
    with torch.no_grad():
        values = algorithm.network(torch.eye(5))
    assert (values - optimal_values(GAMMA)).abs().max() < 0.05


class Broken:
    """A walk whose steps are falsified: what a learner must not believe."""

    def __init__(self, change: Callable[[Step], Step]) -> None:
        self.change = change

    def __call__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from control_domain import WalkEnvironment

        honest = WalkEnvironment.step
        monkeypatch.setattr(WalkEnvironment, "step", lambda inner, action: self.change(honest(inner, action)))


@pytest.mark.parametrize(
    "change",
    [
        lambda step: replace(step, terminated=step.done, truncated=step.done & False),
        lambda step: replace(step, terminated=step.done & False, truncated=step.done),
        lambda step: replace(step, final_observation=step.observation),
    ],
    ids=["time limit taken for an end", "end taken for a time limit", "bootstrapped from the next episode"],
)
def test_the_values_show_every_confusion_of_ends(
    change: Callable[[Step], Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    Broken(change)(monkeypatch)
    algorithm = trained(QLearning, Q, 20, setting(WalkOptions(limit=2)))
    assert (algorithm.values - optimal_values(GAMMA)).abs().max() > 0.02


def test_ppo_values_an_ending_chain_as_it_should() -> None:
    given = setting(WalkOptions(limit=3))
    algorithm = trained(PPO, ACT.model_copy(update={"value_clip": None}), 40, given)
    network = algorithm.network
    with torch.no_grad():
        log_law, value, _ = network(torch.eye(5), network.no_memory(5))
    assert (log_law.exp()[:, 1] > 0.9).all()
    # A policy that explores a little stays a little below the best values.
    assert (value - optimal_values(GAMMA).amax(1)).abs().max() < 0.1


# -- targets ---------------------------------------------------------------------------------------


def test_targets() -> None:
    target, online = torch.tensor([[1.5, 0.5, 2.5]]), torch.tensor([[1.0, 3.0, 2.0]])
    assert float(0.5 + 0.99 * bootstrap_value(target)) == pytest.approx(2.975)
    assert float(0.5 + 0.99 * bootstrap_value(target, online)) == pytest.approx(0.995)
    reward = torch.tensor([0.5, 0.5])
    values = q_target(reward, target.expand(2, -1), torch.tensor([False, True]), 0.99)
    assert values.tolist() == pytest.approx([2.975, 0.5])


def test_losses() -> None:
    ratio, advantage = torch.tensor([1.5, 0.5, 1.5, 0.5]), torch.tensor([1.0, 1.0, -1.0, -1.0])
    loss = clipped_loss(ratio, advantage, 0.2, 0.2, None)
    assert (-loss).tolist() == pytest.approx([1.2, 0.5, -1.5, -0.8])
    assert float(loss.mean()) == pytest.approx(0.15)
    value, old, target = torch.tensor(0.9), torch.tensor(0.5), torch.tensor(1.0)
    assert float(clipped_value_loss(value, old, target, 0.2)) == pytest.approx(0.045)
    assert float(clipped_value_loss(value, old, target, None)) == pytest.approx(0.005)


def test_equal_advantages_do_not_move_a_policy() -> None:
    assert not normalised(torch.full((6,), 0.3)).any()
    assert not normalised(torch.tensor([0.3])).any()
    assert normalised(torch.tensor([1.0, 3.0])).tolist() == pytest.approx([-(0.5**0.5), 0.5**0.5])


def test_a_first_policy_follows_the_law_that_it_is_given() -> None:
    algorithm = PPO(setting(), ACT.model_copy(update={"first_probabilities": (0.9, 0.1)}), 1)
    with torch.no_grad():
        law = algorithm.network(torch.eye(5), algorithm.network.no_memory(5))[0].exp()
    assert law[:, 0].tolist() == pytest.approx([0.9] * 5, abs=0.01)


def test_changes_are_averaged_over_the_rows_of_an_entry() -> None:
    mean, count = mean_by_entry(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 2]), 3)
    assert mean.tolist() == [2.0, 0.0, 5.0]
    assert count.tolist() == [2.0, 0.0, 1.0]


# -- memory ----------------------------------------------------------------------------------------


def test_only_a_memory_solves_a_task_that_needs_one() -> None:
    without, with_memory = setting(RECALL), setting(RECALL)
    config = PPOConfig(
        hidden=(16,), memory=16, environments=32, steps=12, minibatches=2, optimizer={"learning_rate": 1e-2}
    )
    trained(PPO, config, 40, without)
    trained(PPO, config.model_copy(update={"recurrent": True}), 40, with_memory)
    assert mean_reward(without) < 0.75
    assert mean_reward(with_memory) > 0.95


# -- resuming --------------------------------------------------------------------------------------

LEARNERS = [
    pytest.param(QLearning, Q, id="q_learning"),
    pytest.param(DQN, DEEP.model_copy(update={"n_step": 3, "capacity": 800}), id="dqn"),
    pytest.param(PPO, ACT, id="ppo"),
    pytest.param(PPO, ACT.model_copy(update={"recurrent": True, "memory": 8, "target_kl": 1e-3}), id="ppo-recurrent"),
]


def tensors_of(given: ControlSetting) -> dict[str, Tensor]:
    actor: Any = given.policy.actor
    return {name: value.clone() for name, value in actor.tensors().items()}


@pytest.mark.parametrize(("make", "config"), LEARNERS)
def test_a_resumed_learner_is_the_uninterrupted_one(
    make: Callable[..., Any], config: BaseModel, tmp_path: Path
) -> None:
    whole = setting()
    algorithm = make(whole, config, 6)
    for _ in range(3):
        algorithm.iterate()
    save_tree(tmp_path / "state.safetensors", algorithm.state_dict())
    whole.policy.save(tmp_path / "policy")
    expected = [algorithm.iterate() for _ in range(3)]

    resumed = setting()
    resumed.policy.load(tmp_path / "policy")
    again = make(resumed, config, 6)
    again.load_state_dict(load_tree(tmp_path / "state.safetensors"))
    assert [again.iterate() for _ in range(3)] == expected
    assert again.compute == algorithm.compute
    mine, theirs = tensors_of(resumed), tensors_of(whole)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(("make", "config"), LEARNERS)
def test_the_seed_decides_everything(make: Callable[..., Any], config: BaseModel) -> None:
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(runs))  # the global generator must not matter
        given = setting(seed=seed)
        algorithm = make(given, config, 3)
        runs.append(([algorithm.iterate() for _ in range(3)], tensors_of(given)))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(tensor, runs[1][1][name]) for name, tensor in runs[0][1].items())
    assert runs[0][0] != runs[2][0]


@pytest.mark.parametrize(("make", "config"), LEARNERS)
def test_a_stage_goes_on_from_an_earlier_one_of_its_kind(make: Callable[..., Any], config: BaseModel) -> None:
    first = setting()
    trained(make, config, 2, first)
    learnt = tensors_of(first)
    make(first, config, 2)
    assert all(torch.equal(value, tensors_of(first)[name]) for name, value in learnt.items())


def test_a_stage_of_another_kind_starts_anew_and_other_sizes_are_refused() -> None:
    given = setting()
    trained(QLearning, Q, 1, given)
    DQN(given, DEEP, 1)
    fresh = setting()
    DQN(fresh, DEEP, 1)
    assert all(torch.equal(value, tensors_of(fresh)[name]) for name, value in tensors_of(given).items())
    with pytest.raises(UserError, match=r"'hidden': \[32\].*'hidden': \[16\]"):
        DQN(given, DEEP.model_copy(update={"hidden": (16,)}), 1)


# -- settings --------------------------------------------------------------------------------------


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValidationError, match="at least"):
        DQNConfig(capacity=100, learning_starts=200)
    with pytest.raises(ValidationError, match="32 sequences"):
        PPOConfig(environments=32, recurrent=True, minibatches=33)
    with pytest.raises(UserError, match="explore_probabilities"):
        QLearning(setting(), Q.model_copy(update={"explore_probabilities": (0.5, 0.4)}), 1)
    with pytest.raises(UserError, match="first_probabilities"):
        PPO(setting(), ACT.model_copy(update={"first_probabilities": (0.5, 0.6)}), 1)
    with pytest.raises(UserError, match="explore_probabilities"):
        DQN(setting(), DEEP.model_copy(update={"explore_probabilities": (1.0,)}), 1)


def test_compute_counts_environment_steps_and_metrics_tell_of_episodes() -> None:
    algorithm = QLearning(setting(WalkOptions(limit=4)), Q, 5)
    metrics = algorithm.iterate()
    assert algorithm.compute == 32 * 8
    assert metrics["epsilon"] == 0.5
    assert 0 < metrics["episode/terminated"] < 1
    assert metrics["episode/length"] <= 4
    assert metrics["episode/return"] == pytest.approx(metrics["episode/terminated"])
