"""FlowSampler: what a GFlowNet's run trains and evaluates, whichever way it draws objects.

policy = SamplerPolicy(UniformSampler(), {"network": NetworkSampler})
policy.sampler = NetworkSampler(network)       # an algorithm puts its learner's sampler here
objects = policy.sampler.draw(environment, 1000, generator)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from sciRL.errors import UserError
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.exact import terminal_law
from sciRL.flow.network import FlowNetwork, FlowPolicy, FlowScores, uniform_log
from sciRL.flow.rollout import sample
from sciRL.flow.trainer import FlowNetworkSettings
from sciRL.policy_folder import read_policy, unknown_kind, write_policy


class FlowSampler(Protocol):
    """Draws objects of an environment, and can be written down."""

    kind: ClassVar[str]

    def draw(self, environment: FlowEnvironment, n: int, generator: torch.Generator) -> Tensor:
        """Return n objects [n, S]."""
        ...

    def law(self, environment: FlowEnvironment) -> Tensor | None:
        """Return the exact probability [N] of each state as an object; None where the states cannot be listed."""
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

    def log_backward(self, environment: FlowEnvironment, states: Tensor) -> Tensor:
        """Return log P_B [B, n_back], uniform over the parents."""
        return uniform_log(environment.backward_mask(states))

    def explorer(self, environment: FlowEnvironment, epsilon: float, temperature: float) -> Callable[[Tensor], Tensor]:
        """Return a function from states [B, S] to the cumulative law [B, n_actions]; uniform whatever is asked."""
        return lambda states: environment.forward_mask(states).double().cumsum(-1)

    def draw(self, environment: FlowEnvironment, n: int, generator: torch.Generator) -> Tensor:
        """Return n objects [n, S]."""
        return sample(environment, self, n, generator).objects

    def law(self, environment: FlowEnvironment) -> Tensor | None:
        """Return the exact law [N], or None where there are too many states."""
        return exact_law(environment, self)

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


class NetworkSampler:
    """Draws by the forward policy of a `FlowNetwork`, without exploration.

    Args:
        network: the policy.
        shape: the arguments that `FlowNetwork` is made from again, but for its weights.
    """

    kind: ClassVar[str] = "network"

    def __init__(self, network: FlowNetwork, shape: Mapping[str, Any]) -> None:
        self.network, self.shape = network, dict(shape)

    @classmethod
    def of(cls, environment: FlowEnvironment, network: FlowNetwork, settings: FlowNetworkSettings) -> NetworkSampler:
        """Return the sampler of a network that was made for an environment from settings."""
        sizes = {name: getattr(environment, name) for name in ("feature_size", "n_actions", "n_back")}
        kept = settings.model_dump(include={"hidden", "layers", "backward"})
        return cls(network, sizes | kept)

    def draw(self, environment: FlowEnvironment, n: int, generator: torch.Generator) -> Tensor:
        """Return n objects [n, S]."""
        return sample(environment, self.network, n, generator).objects

    def law(self, environment: FlowEnvironment) -> Tensor | None:
        """Return the exact law [N], or None where there are too many states."""
        return exact_law(environment, self.network)

    def describe(self) -> dict[str, Any]:
        """Return the network's sizes."""
        return self.shape

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's weights."""
        return dict(self.network.state_dict())

    @classmethod
    def restore(cls, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> NetworkSampler:
        """Return the sampler with the weights given, on their device."""
        device = next(iter(tensors.values())).device
        network = FlowNetwork(generator=torch.Generator(), **described).to(device)
        network.load_state_dict(dict(tensors))
        return cls(network, described)


def network_to_go_on_with(
    sampler: FlowSampler, environment: FlowEnvironment, settings: FlowNetworkSettings
) -> FlowNetwork | None:
    """Return the network of the sampler that a stage starts from; None where that has none.

    Raises:
        UserError: a network of other sizes than the stage's settings and environment make.
    """
    if not isinstance(sampler, NetworkSampler):
        return None
    wanted = NetworkSampler.of(environment, sampler.network, settings).shape
    if wanted != sampler.shape:
        raise UserError(
            f"network: the stage starts from one of {sampler.shape}, but its settings and its environment make one of "
            f"{wanted}: give both stages the same sizes"
        )
    return sampler.network


def exact_law(environment: FlowEnvironment, policy: FlowPolicy) -> Tensor | None:
    """Return the probability [N] that a policy stops in each state, or None where there are too many states."""
    return None if environment.enumerate() is None else terminal_law(environment, policy)


@dataclass
class SamplerPolicy:
    """The sampler that a run trains at the moment, and the kinds that a saved one may be of."""

    sampler: FlowSampler
    kinds: Mapping[str, type[Any]]
    device: torch.device

    def save(self, folder: Path) -> None:
        """Write the sampler's kind, sizes and tensors."""
        write_policy(folder, self.sampler.kind, self.sampler.describe(), self.sampler.tensors())

    def load(self, folder: Path) -> None:
        """Take on the sampler that `save` wrote.

        Raises:
            UserError: the folder holds no sampler, or one of an unknown kind.
        """
        kind, described, tensors = read_policy(folder)
        if kind not in self.kinds:
            raise unknown_kind(folder, kind, self.kinds)
        tensors = {name: value.to(self.device) for name, value in tensors.items()}
        self.sampler = self.kinds[kind].restore(described, tensors)
