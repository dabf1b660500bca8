"""VectorEnvironment: many independent episodes as one set of tensors, with no Python loop over them.

    environment = domain.environment(data, options, n=512, device=torch.device("cpu"))
    observation = environment.reset(seed=0)                       # [B, F]
    step = environment.step(policy.act(observation))              # Step of [B] and [B, F] tensors

A row whose episode ended is reset by the *same* call to `step` (autoreset "same step"): `Step.observation` is then the
first observation of its next episode and `Step.final_observation` the last one of the episode that ended, from which a
truncated (but not terminated) row still bootstraps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from sciRL.task import Task


@dataclass(frozen=True)
class Step:
    """What one step gave: all tensors have the batch B first.

    Attributes:
        observation: [B, F] float32; where an episode ended, the first one of the next episode.
        reward: [B] float32.
        terminated: [B] bool, the episode reached an end state: nothing is bootstrapped.
        truncated: [B] bool, the episode ran out of time: its value is bootstrapped from `final_observation`.
        final_observation: [B, F] the observation the step led to, before any reset.
    """

    observation: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_observation: Tensor

    @property
    def done(self) -> Tensor:
        """[B] bool: the episode ended either way."""
        return self.terminated | self.truncated


class VectorEnvironment(Protocol):
    """B independent episodes with discrete actions. All randomness comes from the environment's own generator."""

    n: int
    """Number of episodes at once, B."""
    observation_size: int
    """Number of features, F."""
    n_actions: int
    """Number of discrete actions."""
    n_cells: int
    """Number of cells that `cell` sorts observations into (for tabular learners)."""
    device: torch.device
    """Where all tensors live."""

    def reset(self, seed: int) -> Tensor:
        """Begin B fresh episodes from a seed and return their observations [B, F]."""
        ...

    def begin(self, tasks: Sequence[Task], seeds: Sequence[int]) -> Tensor:
        """Begin exactly the episodes that `tasks` describe (n of them), row i drawn from seed i alone, and record them.

        Rows that end stay ended (no autoreset); `episodes` returns the record of each.
        """
        ...

    def step(self, action: Tensor) -> Step:
        """Apply one action [B] (int64) in each row."""
        ...

    def cell(self, observation: Tensor) -> Tensor:
        """Return the cell [B] (int64, below `n_cells`) of each observation."""
        ...

    def uniform(self) -> Tensor:
        """Return one uniform number [B] per row, for the chance in a policy's decision.

        After `begin` it depends on the row's seed and time alone, so that an episode does not depend on its batch.
        """
        ...

    def running(self) -> Tensor:
        """[B] bool: rows begun by `begin` that have not ended (after `reset`: all)."""
        ...

    def episodes(self) -> list[str]:
        """Return the record of each episode since `begin` as the answer text that the domain's verifiers read."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides what follows, generator included."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        ...


class Controller(Protocol):
    """Chooses an action for each row; a scripted policy or a learnt one.

    `environment` is a `VectorEnvironment`; a scripted policy may ask more of its own domain's.
    """

    def begin(self, environment: Any) -> None:
        """Forget what was remembered of earlier episodes (policies with memory)."""
        ...

    def act(self, observation: Tensor, environment: Any) -> Tensor:
        """Return one action [B] (int64) for observations [B, F]."""
        ...
