"""The control family: policies that act in a domain's vector environment, tabular, deep or scripted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sciRL.algorithms.actor_critic import PPO, PPOConfig
from sciRL.algorithms.dqn import DQN, DQNConfig
from sciRL.algorithms.q_learning import QLearning, QLearningConfig
from sciRL.algorithms.scripted import Scripted, ScriptedConfig
from sciRL.algorithms.setting import ComputeConfig, ControlSetting
from sciRL.control.actors import PolicyActor, RecurrentActor, TableActor, ValueActor
from sciRL.control.episodes import play
from sciRL.control.policy import ControlPolicy, UniformActor
from sciRL.domain import ControlDomain, Domain
from sciRL.families import AlgorithmKind, Answer, Family
from sciRL.run.settings import EvaluationConfig
from sciRL.seeding import request_seed
from sciRL.task import Task

ACTORS = (UniformActor, TableActor, ValueActor, PolicyActor, RecurrentActor)


class ControlSections(BaseModel):
    """The sections of a control recipe."""

    model_config = ConfigDict(extra="forbid")

    compute: ComputeConfig = ComputeConfig()
    """Device, threads, workers."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Held-out evaluation."""


def make_policy(domain: Domain, options: Any, config: Any, data: Path) -> ControlPolicy:
    """Return the uniform policy, which stages replace by what they learn."""
    assert isinstance(domain, ControlDomain)
    return ControlPolicy(UniformActor(), {actor.kind: actor for actor in ACTORS}, domain.controllers(options))


def answer(setting: ControlSetting, config: EvaluationConfig, tasks: Sequence[Task]) -> list[Answer]:
    """Play one episode a task; that of task i depends on the run's seed, the task and i alone."""
    device = setting.compute.torch_device()
    environment = setting.domain.environment(setting.data, setting.options, len(tasks), device)
    seeds = [request_seed(setting.seed, "evaluation", index, task.id) for index, task in enumerate(tasks)]
    return [Answer(text) for text in play(environment, setting.policy.actor, tasks, seeds)]


FAMILY = Family(
    name="control",
    sections=ControlSections,
    algorithms=(
        AlgorithmKind(ScriptedConfig, Scripted),
        AlgorithmKind(QLearningConfig, QLearning),
        AlgorithmKind(DQNConfig, DQN),
        AlgorithmKind(PPOConfig, PPO),
    ),
    setting=ControlSetting,
    make_policy=make_policy,
    answer=answer,
    compute_unit="environment steps",
    rate="steps_per_s",
)
