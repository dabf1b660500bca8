"""Learnt actors: a table, a value network, a stochastic policy without and with memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from sciRL.control.networks import ActorCritic, QNetwork
from sciRL.control.policy import pick
from sciRL.environments.vector import Controller, VectorEnvironment
from sciRL.errors import UserError


class TableActor:
    """Takes the action of the highest value in the observation's cell; the first of equal ones.

    Args:
        values: [cells, actions] float32.
    """

    kind: ClassVar[str] = "table"

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def begin(self, environment: VectorEnvironment) -> None:
        """Move the table to the environment's device; nothing is remembered."""
        self.values = self.values.to(environment.device)

    def act(self, observation: Tensor, environment: VectorEnvironment) -> Tensor:
        """Return the greedy action [B] of observations [B, F]."""
        return self.values.argmax(1)[environment.cell(observation)]

    def describe(self) -> dict[str, Any]:
        """Return the table's sizes."""
        return {"cells": self.values.shape[0], "actions": self.values.shape[1]}

    def tensors(self) -> dict[str, Tensor]:
        """Return the table."""
        return {"values": self.values}

    @classmethod
    def restore(cls, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TableActor:
        """Return the actor of a saved table."""
        return cls(tensors["values"].clone())


class _NetworkActor:
    """What actors with a network share: the sizes that make it again, and its tensors."""

    network: nn.Module
    sizes: dict[str, Any]

    def begin(self, environment: VectorEnvironment) -> None:
        """Move the network to the environment's device; nothing is remembered."""
        self.network.to(environment.device)

    def describe(self) -> dict[str, Any]:
        """Return the network's sizes."""
        return dict(self.sizes)

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's weights and buffers."""
        return dict(self.network.state_dict())


class ValueActor(_NetworkActor):
    """Takes the action of the highest value of a Q network; the first of equal ones."""

    kind: ClassVar[str] = "value"

    def __init__(self, network: QNetwork, sizes: Mapping[str, Any]) -> None:
        self.network: QNetwork = network
        self.sizes = dict(sizes)

    @classmethod
    def make(cls, features: int, hidden: Sequence[int], actions: int, generator: torch.Generator) -> ValueActor:
        """Return an actor whose network's weights are drawn from `generator`."""
        sizes = {"features": features, "hidden": list(hidden), "actions": actions}
        return cls(QNetwork(features, hidden, actions, generator), sizes)

    def act(self, observation: Tensor, environment: VectorEnvironment) -> Tensor:
        """Return the greedy action [B] of observations [B, F]."""
        return self.network(observation).argmax(1)

    @classmethod
    def restore(cls, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> ValueActor:
        """Return the actor of a saved network."""
        actor = cls.make(**described, generator=torch.Generator())
        actor.network.load_state_dict(dict(tensors))
        return actor


class PolicyActor(_NetworkActor):
    """Draws actions from a policy network's probabilities, or takes the most probable one.

    Args:
        network: of memory size 0.
        sizes: what `make` takes, but for the generator.
    """

    kind: ClassVar[str] = "policy"

    def __init__(self, network: ActorCritic, sizes: Mapping[str, Any]) -> None:
        self.network: ActorCritic = network
        self.sizes = dict(sizes)
        self._memory = network.no_memory(0)

    @classmethod
    def make(
        cls,
        features: int,
        hidden: Sequence[int],
        actions: int,
        memory: int,
        greedy: bool,
        generator: torch.Generator,
    ) -> PolicyActor:
        """Return an actor whose network's weights are drawn from `generator`; `greedy` is how it acts."""
        sizes = {
            "features": features,
            "hidden": list(hidden),
            "actions": actions,
            "memory": memory,
            "greedy": greedy,
        }
        return cls(ActorCritic(features, hidden, actions, memory, generator), sizes)

    def begin(self, environment: VectorEnvironment) -> None:
        """Move the network to the environment's device and forget all episodes."""
        super().begin(environment)
        self._memory = self.network.no_memory(environment.n)

    def act(self, observation: Tensor, environment: VectorEnvironment) -> Tensor:
        """Return an action [B] for observations [B, F]."""
        log_law, _, self._memory = self.network(observation, self._memory)
        if self.sizes["greedy"]:
            return log_law.argmax(1)
        return pick(log_law.exp(), environment.uniform())

    @classmethod
    def restore(cls, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> PolicyActor:
        """Return the actor of a saved network."""
        actor = cls.make(**described, generator=torch.Generator())
        actor.network.load_state_dict(dict(tensors))
        return actor


class RecurrentActor(PolicyActor):
    """A `PolicyActor` whose network remembers the episode; `begin` forgets it."""

    kind: ClassVar[str] = "recurrent"


LearntActor = TypeVar("LearntActor", TableActor, ValueActor, PolicyActor)


def take_over(fresh: LearntActor, earlier: Controller) -> None:
    """Put the tensors of an earlier stage's actor into a fresh one, where both are of the same kind.

    Raises:
        UserError: the same kind with other sizes.
    """
    if type(earlier) is not type(fresh):
        return
    assert isinstance(earlier, TableActor | ValueActor | PolicyActor)
    mine, theirs = fresh.tensors(), earlier.tensors()
    differing = [name for name in mine if name not in theirs or mine[name].shape != theirs[name].shape]
    if differing or len(mine) != len(theirs):
        raise UserError(
            f"the stage starts from a {earlier.kind} policy with {earlier.describe()}, but its settings and its "
            f"environment make one with {fresh.describe()}: give both stages the same sizes"
        )
    with torch.no_grad():
        for name, tensor in mine.items():
            tensor.copy_(theirs[name])
