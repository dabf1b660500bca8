"""ControlPolicy: the policy of a run whose stages may each learn another kind of actor.

    policy = ControlPolicy(UniformActor(), {"table": TableActor, ...})
    policy.actor = TableActor(q)              # an algorithm puts its learner's actor here
    policy.save(folder)                       # its kind and sizes, and its tensors

Actors act greedily or by their own law, and take chance from `environment.uniform()`, never from a global generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from sciRL.environments.vector import Controller, VectorEnvironment
from sciRL.policy_folder import read_policy, unknown_kind, write_policy

SCRIPTED = "scripted"


class Actor(Controller, Protocol):
    """A controller that can be written down: what an algorithm of the control family learns."""

    kind: ClassVar[str]

    def describe(self) -> dict[str, Any]:
        """Return the plain values from which `restore` makes the actor's shape again."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return the learnt tensors by name."""
        ...

    @classmethod
    def restore(cls, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Actor:
        """Return the actor that `describe` and `tensors` came from."""
        ...


class UniformActor:
    """Chooses among all actions with equal probability: the policy before any training."""

    kind: ClassVar[str] = "uniform"

    def begin(self, environment: VectorEnvironment) -> None:
        """Nothing is remembered."""

    def act(self, observation: Tensor, environment: VectorEnvironment) -> Tensor:
        """Return a uniform action in each row."""
        return pick(torch.ones(environment.n, environment.n_actions, device=environment.device), environment.uniform())

    def describe(self) -> dict[str, Any]:
        """There is nothing to say."""
        return {}

    def tensors(self) -> dict[str, Tensor]:
        """There are none."""
        return {}

    @classmethod
    def restore(cls, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> UniformActor:
        """Return a uniform actor."""
        return cls()


def pick(weights: Tensor, uniform: Tensor) -> Tensor:
    """Return an action [B] for each row of weights [B, A] >= 0 by the inverse of their cumulative sum.

    Example: weights [1, 3] and uniform 0.2 give action 0, 0.3 gives action 1.
    """
    cumulative = weights.double().cumsum(1)
    target = uniform.double().unsqueeze(1) * cumulative[:, -1:]
    return (cumulative <= target).sum(1).clamp_(max=weights.shape[1] - 1)


@dataclass
class ControlPolicy:
    """The actor that a run trains at the moment, and the kinds that a saved one may be of."""

    actor: Controller
    kinds: Mapping[str, type[Any]]
    scripted: Mapping[str, Controller]
    """Scripted controllers by name; they are saved by name alone."""

    def save(self, folder: Path) -> None:
        """Write the actor: a scripted one by its name, another with its tensors."""
        for name, controller in self.scripted.items():
            if controller is self.actor:
                write_policy(folder, SCRIPTED, {"name": name}, {})
                return
        actor: Any = self.actor
        write_policy(folder, actor.kind, actor.describe(), actor.tensors())

    def load(self, folder: Path) -> None:
        """Take on the actor that `save` wrote.

        Raises:
            UserError: the folder holds no actor, or one of an unknown kind.
        """
        kind, described, tensors = read_policy(folder)
        if kind == SCRIPTED:
            self.actor = self.scripted[described["name"]]
        elif kind in self.kinds:
            self.actor = self.kinds[kind].restore(described, tensors)
        else:
            raise unknown_kind(folder, kind, {SCRIPTED: None, **self.kinds})
