"""PPO in a vector environment, without or with memory; a stage names it `ppo`.

    L = L_pi + c_v L_v - c_H H
    L_pi = -mean min(rho A, clip(rho, 1 - eps, 1 + eps) A),   rho = exp(log pi(a|o) - log pi_old(a|o))
    L_v  = 0.5 mean max((V - R)^2, (V_old + clip(V - V_old, -eps_v, eps_v) - R)^2),   R = A_GAE + V_old

Schulman et al., arXiv 1707.06347. With `recurrent`, the policy and its value see a gated memory of the episode,
gradients run back to the first step of the rollout (truncated backpropagation through time), and minibatches are made
of whole rows. Without it, they are made of single steps.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from sciRL.algorithms.base import Metrics
from sciRL.algorithms.setting import ControlSetting
from sciRL.control.actors import PolicyActor, RecurrentActor, take_over
from sciRL.control.exploration import action_law
from sciRL.control.rollout import Rollout, collect, generalised_advantage
from sciRL.control.stepper import Stepper
from sciRL.learning.optimizer import OptimizerConfig, learning_rate_factor, make_optimizer
from sciRL.objective.policy import clipped_loss
from sciRL.objective.value import clipped_value_loss
from sciRL.seeding import request_seed


class PPOOptimizerConfig(OptimizerConfig):
    """Optimiser of a policy network; schedules count training steps, not updates."""

    learning_rate: float = Field(2.5e-4, gt=0)
    """Peak learning rate."""
    gradient_clip: float = Field(0.5, gt=0)
    """Largest global gradient norm."""
    schedule: Literal["constant", "cosine", "linear"] = "linear"
    """How the rate falls after warm-up."""


class PPOConfig(BaseModel):
    """Settings of PPO in a vector environment."""

    model_config = ConfigDict(extra="forbid")

    algorithm: Literal["ppo"] = "ppo"
    """Names this algorithm in a stage."""
    hidden: tuple[int, ...] = Field((64, 64), min_length=1)
    """Widths of the layers that policy and value share."""
    recurrent: bool = False
    """Whether policy and value remember the episode."""
    memory: int = Field(64, ge=1)
    """Width of that memory."""
    greedy: bool = False
    """Whether the trained policy takes its most probable action when it is evaluated, instead of drawing one."""
    first_probabilities: tuple[float, ...] | None = None
    """Law of actions of a policy made from scratch; null is uniform."""
    environments: int = Field(64, ge=1)
    """Episodes at once, B."""
    steps: int = Field(128, ge=1)
    """Steps of each episode in one training step, T."""
    gamma: float = Field(0.99, ge=0, le=1)
    """Discount of one environment step."""
    gae_lambda: float = Field(0.95, ge=0, le=1)
    """0 for one-step errors as advantages, 1 for returns."""
    epochs: int = Field(4, ge=1)
    """Passes over a rollout."""
    minibatches: int = Field(4, ge=1)
    """Parts of a pass, with an update after each."""
    clip: float = Field(0.2, gt=0, le=1)
    """eps of the policy."""
    value_clip: float | None = Field(0.2, gt=0)
    """eps_v of the value; null does not clip it."""
    value_coefficient: float = Field(0.5, ge=0)
    """Weight c_v of the value loss."""
    entropy_coefficient: float = Field(0.01, ge=0)
    """Weight c_H of the entropy bonus."""
    target_kl: float | None = Field(None, gt=0)
    """No further pass once the estimated divergence from the rollout's policy exceeds this; null never stops."""
    optimizer: PPOOptimizerConfig = PPOOptimizerConfig()
    """Optimiser and schedule."""

    @model_validator(mode="after")
    def _check(self) -> PPOConfig:
        parts = self.environments if self.recurrent else self.environments * self.steps
        if self.minibatches > parts:
            raise ValueError(f"minibatches is {self.minibatches}; a rollout has {parts} sequences to share out")
        return self


@dataclass(frozen=True)
class Sequences:
    """A rollout as N sequences of L steps: rows with a memory, single steps without. All [L, N], but for `memory`."""

    observation: Tensor
    action: Tensor
    logp: Tensor
    value: Tensor
    advantage: Tensor
    target: Tensor
    fresh: Tensor
    memory: Tensor

    def take(self, chosen: Tensor) -> Sequences:
        """Return some of the sequences."""
        columns = {name: column[:, chosen] for name, column in vars(self).items() if name != "memory"}
        return Sequences(**columns, memory=self.memory[chosen])


class PPO:
    """Alternates rollouts and clipped updates."""

    def __init__(self, setting: ControlSetting, config: PPOConfig, total_steps: int) -> None:
        self.config, self.total_steps, self.step = config, total_steps, 0
        device = setting.compute.torch_device()
        environment = setting.domain.environment(setting.data, setting.options, config.environments, device)
        self.stepper = Stepper(environment, request_seed(setting.seed, "episodes"))
        self.generator = torch.Generator(device).manual_seed(request_seed(setting.seed, "exploration"))
        kind = RecurrentActor if config.recurrent else PolicyActor
        actor = kind.make(
            environment.observation_size,
            config.hidden,
            environment.n_actions,
            config.memory if config.recurrent else 0,
            config.greedy,
            torch.Generator().manual_seed(request_seed(setting.seed, "weights")),
        )
        first = action_law("first_probabilities", config.first_probabilities, environment.n_actions)
        with torch.no_grad():
            # A probability of 0 could never be learnt away.
            actor.network.policy.bias.copy_(torch.tensor(first).clamp(min=1e-6).log())
        take_over(actor, setting.policy.actor)
        setting.policy.actor = actor
        self.network = actor.network.to(device)
        self.memory = self.network.no_memory(environment.n)
        self.optimizer = make_optimizer(config.optimizer, self.network.parameters())

    @property
    def compute(self) -> int:
        """Environment steps taken."""
        return self.stepper.steps

    def iterate(self) -> Metrics:
        """Collect one rollout and update on it."""
        config = self.config
        rate = config.optimizer.learning_rate * learning_rate_factor(config.optimizer, self.step, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rollout, self.memory = collect(self.stepper, self.network, self.memory, config.steps, self.generator)
        sequences = self._sequences(rollout)
        passes: list[dict[str, Tensor]] = []
        for _ in range(config.epochs):
            updates = [self._update(sequences.take(part)) for part in self._parts(sequences.action.shape[1])]
            passes += updates
            kl = float(torch.stack([update["kl"] for update in updates]).mean())
            if config.target_kl is not None and kl > config.target_kl:
                break
        # Only now: the ratios above compare policies that see the same scaled observations.
        self.network.scale.update(rollout.observation)
        self.step += 1
        means = {name: float(torch.stack([update[name] for update in passes]).mean()) for name in passes[0]}
        unexplained = (sequences.target - sequences.value).var() / sequences.target.var().clamp(min=1e-12)
        return (
            self.stepper.metrics()
            | means
            | {
                "kl": kl,
                "epochs": len(passes) / config.minibatches,
                "value/mean": float(rollout.value.mean()),
                "value/explained": 1.0 - float(unexplained),
                "learning_rate": rate,
            }
        )

    def _sequences(self, rollout: Rollout) -> Sequences:
        config = self.config
        advantage = generalised_advantage(
            rollout.reward, rollout.value, rollout.following_value, rollout.done, config.gamma, config.gae_lambda
        )
        columns = {
            "observation": rollout.observation,
            "action": rollout.action,
            "logp": rollout.logp,
            "value": rollout.value,
            "advantage": advantage,
            "target": advantage + rollout.value,
            "fresh": rollout.fresh,
        }
        if config.recurrent:
            return Sequences(**columns, memory=rollout.memory)
        steps = {name: column.flatten(0, 1).unsqueeze(0) for name, column in columns.items()}
        return Sequences(**steps, memory=self.network.no_memory(rollout.action.numel()))

    def _parts(self, n: int) -> Iterator[Tensor]:
        order = torch.randperm(n, device=self.generator.device, generator=self.generator)
        return iter(order.tensor_split(self.config.minibatches))

    def _update(self, part: Sequences) -> dict[str, Tensor]:
        """Take one optimiser step on some sequences and return its figures."""
        config = self.config
        log_law, value = self.network.unroll(part.observation, part.memory, part.fresh)
        log_ratio = log_law.gather(-1, part.action.unsqueeze(-1)).squeeze(-1) - part.logp
        ratio = log_ratio.exp()
        policy_loss = clipped_loss(ratio, normalised(part.advantage), config.clip, config.clip, None).mean()
        value_loss = clipped_value_loss(value, part.value, part.target, config.value_clip).mean()
        entropy = -(log_law.exp() * log_law).sum(-1).mean()
        loss = policy_loss + config.value_coefficient * value_loss - config.entropy_coefficient * entropy
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), config.optimizer.gradient_clip)
        self.optimizer.step()
        figures = {
            "loss": loss,
            "loss/policy": policy_loss,
            "loss/value": value_loss,
            "entropy": entropy,
            # Non-negative estimate of the divergence: J. Schulman, "Approximating KL divergence" (2020).
            "kl": (ratio - 1 - log_ratio).mean(),
            "clip_share": ((ratio - 1).abs() > config.clip).float().mean(),
            "grad_norm": norm,
        }
        return {name: figure.detach() for name, figure in figures.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return network, memory, optimiser, episodes, generator and step."""
        return {
            "network": {name: value.clone() for name, value in self.network.state_dict().items()},
            "memory": self.memory.clone(),
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "stepper": self.stepper.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.memory = state["memory"].to(self.memory.device, copy=True)
        self.optimizer.load_state_dict(state["optimizer"])
        self.stepper.load_state_dict(state["stepper"])
        self.generator.set_state(state["generator"])
        self.step = int(state["step"])


def normalised(advantage: Tensor) -> Tensor:
    """Return advantages shifted to mean 0 and scaled to standard deviation 1; all 0 where they do not differ."""
    if advantage.numel() < 2:
        return torch.zeros_like(advantage)
    # Equal numbers can differ from their rounded mean, which the tiny deviation would blow up.
    differ = advantage.amax() > advantage.amin()
    return (advantage - advantage.mean()) / (advantage.std() + 1e-8) * differ
