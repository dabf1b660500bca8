"""PPO on the states of a GFlowNet: the same network and reward, but trained for the largest reward, as a comparison.

    L = -mean min(rho A, clip(rho, 1 - eps, 1 + eps) A) + c_v mean (V - R)^2 / 2 - c_H H,   A = R(x)^beta - V(s)

Schulman et al., arXiv 1707.06347, with the reward at the end only, no discount, and Monte-Carlo advantages. A policy
that maximises the reward tends to few objects, where a GFlowNet draws many in proportion to it.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from sciRL.algorithms.base import Metrics
from sciRL.algorithms.setting import FlowSetting
from sciRL.flow.exponent import RewardExponent
from sciRL.flow.network import FlowNetwork
from sciRL.flow.rollout import Trajectories, sample
from sciRL.flow.samplers import NetworkSampler, network_to_go_on_with
from sciRL.flow.trainer import FlowNetworkSettings
from sciRL.learning.optimizer import OptimizerConfig, learning_rate_factor, make_optimizer
from sciRL.objective.policy import clipped_loss
from sciRL.objective.value import clipped_value_loss
from sciRL.seeding import request_seed


class FlowPPOConfig(BaseModel):
    """Settings of a PPO stage on a flow environment."""

    model_config = ConfigDict(extra="forbid")

    algorithm: Literal["ppo"] = "ppo"
    """Names this algorithm in a stage."""
    batch: int = Field(64, ge=1)
    """Trajectories a step."""
    beta: float = Field(1.0, gt=0)
    """The reward is R(x)^beta."""
    epochs: int = Field(4, ge=1)
    """Passes over a batch."""
    clip: float = Field(0.2, gt=0, le=1)
    """Clip distance eps of the ratio."""
    value_coefficient: float = Field(0.5, ge=0)
    """Weight c_v of the value loss."""
    entropy_coefficient: float = Field(0.01, ge=0)
    """Weight c_H of the entropy bonus."""
    network: FlowNetworkSettings = Field(default_factory=lambda: FlowNetworkSettings(backward="uniform"))
    """The policy's network; its log F head is the value here."""
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-3, gradient_clip=0.5)
    """Optimiser and schedule."""


class FlowPPO:
    """Trains a network to build objects of large reward; one `iterate` is one batch of trajectories."""

    def __init__(self, setting: FlowSetting, config: FlowPPOConfig, total_steps: int) -> None:
        self.config, self.total_steps, self.step = config, total_steps, 0
        base = setting.environment()
        self.environment = RewardExponent(base, config.beta, lowest=-75.0)
        seed = request_seed(setting.seed, "ppo", setting.domain.name) % 2**62
        self.generator = torch.Generator(device=base.device).manual_seed(seed)
        network = network_to_go_on_with(setting.policy.sampler, base, config.network)
        if network is None:
            weights = torch.Generator().manual_seed(seed)
            network = FlowNetwork.of(base, weights, **config.network.model_dump())
        self.network = network
        setting.policy.sampler = NetworkSampler.of(base, self.network, config.network)
        self.optimizer = make_optimizer(config.optimizer, self.network.parameters())

    @property
    def compute(self) -> int:
        """Trajectories trained on."""
        return self.step * self.config.batch

    def iterate(self) -> Metrics:
        """Draw a batch and take `epochs` optimiser steps on it."""
        config = self.config
        batch = sample(self.environment, self.network, config.batch, self.generator)
        reward = batch.log_reward.exp().float()
        returns = reward[batch.rows]
        with torch.no_grad():
            scores = self.network.scores(self.environment, batch.states)
            old = scores.log_forward.gather(1, batch.actions.unsqueeze(1)).squeeze(1)
            value = scores.log_flow
            advantage = returns - value
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        factor = learning_rate_factor(config.optimizer, self.step, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = config.optimizer.learning_rate * factor
        losses = [self._update(batch, old, value, advantage, returns) for _ in range(config.epochs)]
        self.step += 1
        return {
            "loss": losses[0]["loss"],
            "entropy": losses[0]["entropy"],
            "reward/mean": float(reward.mean()),
            "log_reward": float(batch.log_reward.mean()),
            "length": float(batch.lengths.double().mean()),
            "distinct": len(torch.unique(batch.objects, dim=0)) / len(batch),
        }

    def _update(
        self,
        batch: Trajectories,
        old: torch.Tensor,
        old_value: torch.Tensor,
        advantage: torch.Tensor,
        returns: torch.Tensor,
    ) -> dict[str, float]:
        config = self.config
        scores = self.network.scores(self.environment, batch.states)
        log_forward = scores.log_forward.gather(1, batch.actions.unsqueeze(1)).squeeze(1)
        # Actions that are not allowed have probability exactly 0 and take no part in the sum.
        entropy = -(scores.log_forward.exp() * scores.log_forward).sum(1).mean()
        policy = clipped_loss((log_forward - old).exp(), advantage, config.clip, config.clip, dual_clip=None).mean()
        value = clipped_value_loss(scores.log_flow, old_value, returns, config.clip).mean()
        loss = policy + config.value_coefficient * value - config.entropy_coefficient * entropy
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.optimizer.gradient_clip)
        self.optimizer.step()
        return {"loss": float(loss.detach()), "entropy": float(entropy.detach())}

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimiser, random state and step."""
        return {
            "network": dict(self.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.step = int(state["step"])
