"""Tabular Q-learning over the cells of a vector environment, averaged over its rows.

    Q(c, a) += alpha * mean over the rows in (c, a) of [ r + gamma max_a' Q(c', a') (1 - terminated) - Q(c, a) ]

Watkins and Dayan, "Q-learning", Machine Learning 8 (1992). c' is the cell of the observation that the step led to, also
where the episode ran out of time. Averaging over rows makes one step of B rows one update of low variance.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from sciRL.algorithms.base import Metrics
from sciRL.algorithms.setting import ControlSetting
from sciRL.control.actors import TableActor, take_over
from sciRL.control.exploration import EpsilonGreedy
from sciRL.control.stepper import Stepper
from sciRL.learning.schedule import LinearSchedule
from sciRL.seeding import request_seed


class QLearningConfig(BaseModel):
    """Settings of tabular Q-learning."""

    model_config = ConfigDict(extra="forbid")

    algorithm: Literal["q_learning"] = "q_learning"
    """Names this algorithm in a stage."""
    environments: int = Field(256, ge=1)
    """Episodes at once, B."""
    steps: int = Field(1200, ge=1)
    """Steps of each episode in one training step; its rates are constant."""
    gamma: float = Field(0.99, ge=0, le=1)
    """Discount of one environment step."""
    learning_rate: LinearSchedule = LinearSchedule(start=0.1, end=0.01)
    """Learning rate alpha."""
    epsilon: LinearSchedule = LinearSchedule(start=0.3, end=0.02)
    """Share of exploring actions."""
    explore_probabilities: tuple[float, ...] | None = None
    """Law of exploring actions, one probability an action; null is uniform."""
    first_value: float = 0.0
    """Value of every entry of a new table; above what can be reached it drives exploration."""


class QLearning:
    """Learns a table and acts epsilon-greedily on it while learning."""

    def __init__(self, setting: ControlSetting, config: QLearningConfig, total_steps: int) -> None:
        self.config, self.total_steps, self.step = config, total_steps, 0
        device = setting.compute.torch_device()
        environment = setting.domain.environment(setting.data, setting.options, config.environments, device)
        self.stepper = Stepper(environment, request_seed(setting.seed, "episodes"))
        self.generator = torch.Generator(device).manual_seed(request_seed(setting.seed, "exploration"))
        self.exploration = EpsilonGreedy(config.explore_probabilities, environment.n_actions, self.generator)
        self.values = torch.full((environment.n_cells, environment.n_actions), config.first_value, device=device)
        actor = TableActor(self.values)
        take_over(actor, setting.policy.actor)
        setting.policy.actor = actor

    @property
    def compute(self) -> int:
        """Environment steps taken."""
        return self.stepper.steps

    def iterate(self) -> Metrics:
        """Take `steps` environment steps in each row, with an update after each."""
        config, stepper = self.config, self.stepper
        environment, flat = stepper.environment, self.values.view(-1)
        epsilon = config.epsilon.at(self.step, self.total_steps)
        alpha = config.learning_rate.at(self.step, self.total_steps)
        error = torch.zeros((), device=flat.device)
        visits = torch.zeros_like(flat)
        for _ in range(config.steps):
            cell = environment.cell(stepper.observation)
            action = self.exploration.choose(self.values.argmax(1)[cell], epsilon)
            step = stepper.step(action)
            entry = cell * environment.n_actions + action
            following = environment.cell(step.final_observation)
            target = q_target(step.reward, self.values[following], step.terminated, config.gamma)
            change, count = mean_by_entry(target - flat[entry], entry, len(flat))
            flat.add_(change, alpha=alpha)
            error += change.abs().sum() / (count > 0).sum()
            visits += count
        self.step += 1
        return stepper.metrics() | {
            "td_error": float(error) / config.steps,
            "value/mean": float((flat * visits).sum() / visits.sum()),
            "entries_visited": float((visits > 0).float().mean()),
            "epsilon": epsilon,
            "learning_rate": alpha,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return table, episodes, generator and step."""
        return {
            "values": self.values.clone(),
            "stepper": self.stepper.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.values.copy_(state["values"])
        self.stepper.load_state_dict(state["stepper"])
        self.generator.set_state(state["generator"])
        self.step = int(state["step"])


def q_target(reward: Tensor, values: Tensor, terminated: Tensor, gamma: float) -> Tensor:
    """Return r + gamma max_a' Q(c', a') [B], without the second part where the episode terminated.

    Example: r 0.5, values [1.5, 0.5, 2.5], gamma 0.99 gives 2.975; terminated 0.5.
    """
    return reward + gamma * values.amax(1) * ~terminated


def mean_by_entry(change: Tensor, entry: Tensor, entries: int) -> tuple[Tensor, Tensor]:
    """Return the mean of the changes [B] of each entry [entries] and their number; 0 where there is none.

    Example: changes [1, 3, 5] of entries [0, 0, 2] of 3 give means [2, 0, 5] and counts [2, 0, 1].
    """
    total = torch.zeros(entries, dtype=change.dtype, device=change.device).index_add_(0, entry, change)
    count = torch.zeros_like(total).index_add_(0, entry, torch.ones_like(change))
    return total / count.clamp(min=1), count
