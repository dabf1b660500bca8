"""Deep Q-network: a value network learnt from replayed transitions of a vector environment.

    y = G + discount * Qt(o', argmax_a Q(o', a))   (double; without it: max_a Qt(o', a)),   loss = Huber(y - Q(o, a))

Mnih et al., Nature 518 (2015); double targets: van Hasselt, Guez and Silver, arXiv 1509.06461. G and discount are those
of `TransitionBuffer`: a terminated episode is not bootstrapped, a truncated one from its last observation.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from sciRL.algorithms.base import Metrics
from sciRL.algorithms.setting import ControlSetting
from sciRL.control.actors import ValueActor, take_over
from sciRL.control.exploration import EpsilonGreedy
from sciRL.control.stepper import Stepper
from sciRL.learning.optimizer import OptimizerConfig, learning_rate_factor, make_optimizer
from sciRL.learning.replay import TransitionBuffer
from sciRL.learning.schedule import LinearSchedule
from sciRL.seeding import request_seed


class DQNOptimizerConfig(OptimizerConfig):
    """Optimiser of a value network; schedules count training steps, not updates."""

    learning_rate: float = Field(2.5e-4, gt=0)
    """Peak learning rate."""
    gradient_clip: float = Field(10.0, gt=0)
    """Largest global gradient norm."""


class DQNConfig(BaseModel):
    """Settings of a deep Q-network."""

    model_config = ConfigDict(extra="forbid")

    algorithm: Literal["dqn"] = "dqn"
    """Names this algorithm in a stage."""
    hidden: tuple[int, ...] = Field((64, 64), min_length=1)
    """Widths of the hidden layers."""
    environments: int = Field(64, ge=1)
    """Episodes at once, B."""
    steps: int = Field(100, ge=1)
    """Steps of each episode in one training step; epsilon and learning rate are constant in it."""
    gamma: float = Field(0.99, ge=0, le=1)
    """Discount of one environment step."""
    double: bool = True
    """Let the learning network choose the action that the target network values."""
    n_step: int = Field(1, ge=1)
    """Rewards summed up before bootstrapping; above 1 returns are those of older policies."""
    epsilon: LinearSchedule = LinearSchedule(start=1.0, end=0.05, share=0.5)
    """Share of exploring actions."""
    explore_probabilities: tuple[float, ...] | None = None
    """Law of exploring actions, one probability an action; null is uniform."""
    capacity: int = Field(100_000, ge=1)
    """Transitions kept for replay."""
    learning_starts: int = Field(5_000, ge=1)
    """Transitions held before the first update."""
    update_every: int = Field(1, ge=1)
    """Steps of the environments between updates."""
    updates: int = Field(1, ge=1)
    """Updates at a time."""
    batch: int = Field(256, ge=1)
    """Transitions an update."""
    target_every: int = Field(500, ge=1)
    """Updates between copies of the network to the target network."""
    optimizer: DQNOptimizerConfig = DQNOptimizerConfig()
    """Optimiser and schedule."""

    @model_validator(mode="after")
    def _check(self) -> DQNConfig:
        held = self.capacity // self.environments * self.environments
        if held < max(self.learning_starts, self.environments * self.n_step):
            raise ValueError(
                f"capacity {self.capacity} holds {held} transitions of {self.environments} environments: it must be at "
                f"least learning_starts ({self.learning_starts}) and environments x n_step"
            )
        return self


class DQN:
    """Learns a value network from replay while acting epsilon-greedily on it."""

    def __init__(self, setting: ControlSetting, config: DQNConfig, total_steps: int) -> None:
        self.config, self.total_steps = config, total_steps
        self.step = self.env_steps = self.updates = 0
        device = setting.compute.torch_device()
        environment = setting.domain.environment(setting.data, setting.options, config.environments, device)
        self.stepper = Stepper(environment, request_seed(setting.seed, "episodes"))
        self.generator = torch.Generator(device).manual_seed(request_seed(setting.seed, "exploration"))
        self.exploration = EpsilonGreedy(config.explore_probabilities, environment.n_actions, self.generator)
        weights = torch.Generator().manual_seed(request_seed(setting.seed, "weights"))
        actor = ValueActor.make(environment.observation_size, config.hidden, environment.n_actions, weights)
        take_over(actor, setting.policy.actor)
        setting.policy.actor = actor
        self.network = actor.network.to(device)
        self.target = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = make_optimizer(config.optimizer, self.network.parameters())
        kept = config.capacity // config.environments
        self.buffer = TransitionBuffer(kept, environment.n, environment.observation_size, device)

    @property
    def compute(self) -> int:
        """Environment steps taken."""
        return self.stepper.steps

    def iterate(self) -> Metrics:
        """Take `steps` environment steps in each row, with updates on the way."""
        config, stepper = self.config, self.stepper
        epsilon = config.epsilon.at(self.step, self.total_steps)
        rate = config.optimizer.learning_rate * learning_rate_factor(config.optimizer, self.step, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses: list[tuple[Tensor, Tensor]] = []
        seen: list[Tensor] = []
        for _ in range(config.steps):
            observation = stepper.observation
            with torch.no_grad():
                greedy = self.network(observation).argmax(1)
            action = self.exploration.choose(greedy, epsilon)
            self.buffer.add(observation, action, stepper.step(action))
            seen.append(observation)
            self.env_steps += 1
            ready = len(self.buffer) >= config.learning_starts and self.buffer.held >= config.n_step
            if ready and self.env_steps % config.update_every == 0:
                losses += [self._update() for _ in range(config.updates)]
        self.network.scale.update(torch.stack(seen))
        self.step += 1
        metrics = stepper.metrics() | {
            "epsilon": epsilon,
            "learning_rate": rate,
            "replay/held": float(len(self.buffer)),
        }
        if losses:
            loss, value = (torch.stack(column).mean() for column in zip(*losses, strict=True))
            metrics |= {"loss": float(loss), "value/mean": float(value)}
        return metrics

    def _update(self) -> tuple[Tensor, Tensor]:
        """Take one optimiser step and return its loss and the mean value of the actions taken."""
        config = self.config
        drawn = self.buffer.draw(config.batch, self.generator, config.gamma, config.n_step)
        with torch.no_grad():
            online = self.network(drawn.following) if config.double else None
            value = bootstrap_value(self.target(drawn.following), online)
            target = drawn.returned + drawn.discount * value
        predicted = self.network(drawn.observation).gather(1, drawn.action.unsqueeze(1)).squeeze(1)
        loss = nn.functional.smooth_l1_loss(predicted, target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), config.optimizer.gradient_clip)
        self.optimizer.step()
        self.updates += 1
        if self.updates % config.target_every == 0:
            self.target.load_state_dict(self.network.state_dict())
        return loss.detach(), predicted.detach().mean()

    def state_dict(self) -> dict[str, Any]:
        """Return networks, optimiser, replay, episodes, generator and counters."""
        return {
            "network": {name: value.clone() for name, value in self.network.state_dict().items()},
            "target": {name: value.clone() for name, value in self.target.state_dict().items()},
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "buffer": self.buffer.state_dict(),
            "stepper": self.stepper.state_dict(),
            "generator": self.generator.get_state(),
            "counters": [self.step, self.env_steps, self.updates],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.target.load_state_dict(state["target"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.buffer.load_state_dict(state["buffer"])
        self.stepper.load_state_dict(state["stepper"])
        self.generator.set_state(state["generator"])
        self.step, self.env_steps, self.updates = state["counters"]


def bootstrap_value(target: Tensor, online: Tensor | None = None) -> Tensor:
    """Return the value [B] of the following states from the target network's values [B, A].

    Args:
        target: Qt(o', .).
        online: Q(o', .), which then chooses the action (double targets); None takes the target's own best.

    Example: target [1.5, 0.5, 2.5] gives 2.5; with online [1, 3, 2] it gives 0.5.
    """
    if online is None:
        return target.amax(1)
    return target.gather(1, online.argmax(1, keepdim=True)).squeeze(1)
