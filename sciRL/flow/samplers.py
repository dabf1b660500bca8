"""FlowSampler: what a GFlowNet's run trains and evaluates, whichever way it draws objects.

    policy = SamplerPolicy(UniformSampler(), {"network": NetworkSampler})
    policy.sampler = NetworkSampler(network)       # an algorithm puts its learner's sampler here
    objects = policy.sampler.draw(environment, 1000, generator)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.network import FlowNetwork, FlowScores, uniform_log
from sciRL.flow.rollout import sample
from sciRL.policy_folder import read_policy, unknown_kind, write_policy


class FlowSampler(Protocol):
    """Draws objects of an environment, and can be written down."""

    kind: ClassVar[str]

    def draw(self, environment: FlowEnvironment, n: int, generator: torch.Generator) -> Tensor:
        """Return n objects [n, S]."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return the plain values from which `restore` makes the sampler's shape again."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return the learnt tensors by name."""
        ...

    @classmethod
    def restore(cls, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> FlowSampler:
        """Return the sampler that `describe` and `tensors` came from."""
        ...


class UniformSampler:
    """Takes every allowed action with equal probability: the sampler before any training."""

    kind: ClassVar[str] = "uniform"
    log_z = torch.zeros(())

    def scores(self, environment: FlowEnvironment, states: Tensor) -> FlowScores:
        """Return uniform laws over the allowed actions and a flow of 1."""
        forward, backward = environment.forward_mask(states), environment.backward_mask(states)
        return FlowScores(uniform_log(forward), uniform_log(backward), torch.zeros(len(states), device=states.device))

    def draw(self, environment: FlowEnvironment, n: int, generator: torch.Generator) -> Tensor:
        """Return n objects [n, S]."""
        return sample(environment, _UniformPolicy(), n, generator).objects

    def describe(self) -> dict[str, Any]:
        """There is nothing to say."""
        return {}

    def tensors(self) -> dict[str, Tensor]:
        """There are none."""
        return {}

    @classmethod
    def restore(cls, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> UniformSampler:
        """Return a uniform sampler."""
        return cls()
