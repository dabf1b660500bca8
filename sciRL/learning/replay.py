"""TransitionBuffer: the latest transitions of a vector environment, drawn uniformly, as n-step returns if wanted.

    G = r_t + gamma r_{t+1} + ... over k <= n steps, ending at the first end of an episode
    target = G + discount * V(following),   discount = gamma^k, or 0 where step t + k - 1 terminated

A truncated episode is bootstrapped from the observation that its last step led to (`Step.final_observation`), never
from the first one of the next episode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sciRL.environments.vector import Step


@dataclass(frozen=True)
class Transitions:
    """N draws from a buffer.

    Attributes:
        observation: [N, F].
        action: [N] int64.
        returned: [N] float32, G above.
        discount: [N] float32, the weight of the value of `following`; 0 where nothing is bootstrapped.
        following: [N, F] the observation after the last of the k steps.
    """

    observation: Tensor
    action: Tensor
    returned: Tensor
    discount: Tensor
    following: Tensor


class TransitionBuffer:
    """A ring of the last `steps` steps of a vector environment, in tensors allocated once.

    Args:
        steps: time steps kept; the buffer holds steps x rows transitions.
        rows: episodes of the environment, B.
        features: size of an observation, F.
        device: where the tensors live.
    """

    def __init__(self, steps: int, rows: int, features: int, device: torch.device) -> None:
        self.steps, self.rows, self.device = steps, rows, device
        self._columns = {
            "observation": torch.zeros(steps, rows, features, device=device),
            "following": torch.zeros(steps, rows, features, device=device),
            "action": torch.zeros(steps, rows, dtype=torch.int64, device=device),
            "reward": torch.zeros(steps, rows, device=device),
            "terminated": torch.zeros(steps, rows, dtype=torch.bool, device=device),
            "truncated": torch.zeros(steps, rows, dtype=torch.bool, device=device),
        }
        self._added = 0

    @property
    def held(self) -> int:
        """Number of time steps held."""
        return min(self._added, self.steps)

    def __len__(self) -> int:
        """Return the number of transitions held."""
        return self.held * self.rows

    def add(self, observation: Tensor, action: Tensor, step: Step) -> None:
        """Add one step of all rows; the oldest one makes room."""
        place = self._added % self.steps
        columns = self._columns
        columns["observation"][place] = observation
        columns["following"][place] = step.final_observation
        columns["action"][place] = action
        columns["reward"][place] = step.reward
        columns["terminated"][place] = step.terminated
        columns["truncated"][place] = step.truncated
        self._added += 1

    def draw(self, n: int, generator: torch.Generator, gamma: float, n_step: int = 1) -> Transitions:
        """Draw n transitions uniformly, with replacement.

        Args:
            n: number of draws, N.
            generator: of the buffer's device.
            gamma: discount of one step.
            n_step: longest return; the newest n_step - 1 steps are not drawn yet.

        Raises:
            ValueError: fewer than `n_step` steps are held.
        """
        starts = self.held - n_step + 1
        if starts < 1:
            raise ValueError(f"{n_step}-step returns need as many steps; the buffer holds {self.held}")
        time = torch.randint(starts, (n,), device=self.device, generator=generator) + (self._added - self.held)
        row = torch.randint(self.rows, (n,), device=self.device, generator=generator)
        place = (time % self.steps) * self.rows + row
        flat = {name: column.flatten(0, 1) for name, column in self._columns.items()}
        observation, action = flat["observation"][place], flat["action"][place]
        returned, going = torch.zeros(n, device=self.device), torch.ones(n, device=self.device)
        discount, following = torch.zeros_like(returned), torch.zeros_like(observation)
        for k in range(n_step):
            place = ((time + k) % self.steps) * self.rows + row
            returned += gamma**k * going * flat["reward"][place]
            terminated = flat["terminated"][place]
            # The last step that still belongs to the episode decides what is bootstrapped.
            inside = going > 0
            following = torch.where(inside.unsqueeze(1), flat["following"][place], following)
            discount = torch.where(inside, gamma ** (k + 1) * (~terminated), discount)
            going = going * ~(terminated | flat["truncated"][place])
        return Transitions(observation, action, returned, discount, following)

    def state_dict(self) -> dict[str, Any]:
        """Return what is held (copies)."""
        return {"added": self._added} | {name: column[: self.held].clone() for name, column in self._columns.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned, from a buffer of the same sizes."""
        self._added = int(state["added"])
        for name, column in self._columns.items():
            column[: self.held] = state[name].to(self.device)
