"""GFlowNet training as a stage: trajectory balance and its kin on a domain's flow environment."""

from __future__ import annotations

from typing import Any, Literal

import torch

from sciRL.algorithms.base import Metrics
from sciRL.algorithms.setting import FlowSetting
from sciRL.flow.samplers import NetworkSampler, network_to_go_on_with
from sciRL.flow.trainer import FlowSettings, FlowTrainer


class GFlowNetConfig(FlowSettings):
    """Settings of a GFlowNet stage."""

    algorithm: Literal["gflownet"] = "gflownet"
    """Names this algorithm in a stage."""


class GFlowNet:
    """Trains a network to draw objects in proportion to the environment's reward; one `iterate` is one optimiser step.

    A stage that starts from another GFlowNet's end goes on with that network (fine-tuning to another reward exponent);
    another size of network is a `UserError`.
    """

    def __init__(self, setting: FlowSetting, config: GFlowNetConfig, total_steps: int) -> None:
        self.setting, self.config = setting, config
        environment = setting.environment()
        generator = torch.Generator(device=environment.device).manual_seed(int(torch.randint(2**62, (1,))))
        network = network_to_go_on_with(setting.policy.sampler, environment, config.network)
        self.trainer = FlowTrainer(environment, config, generator, network)
        setting.policy.sampler = NetworkSampler.of(environment, self.trainer.network, config.network)

    @property
    def compute(self) -> int:
        """Trajectories trained on."""
        return self.trainer.steps * self.config.batch

    def iterate(self) -> Metrics:
        """Draw a batch of trajectories and take one optimiser step."""
        return self.trainer.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the trainer's whole state."""
        return self.trainer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.trainer.load_state_dict(state)
