"""Stepper: an environment that a learner steps through without end, and what its episodes came to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sciRL.environments.vector import Step, VectorEnvironment


class Stepper:
    """Steps a vector environment and sums up reward and length of every episode that ends.

    Args:
        environment: the episodes; begun here.
        seed: of their chance.
    """

    def __init__(self, environment: VectorEnvironment, seed: int) -> None:
        self.environment = environment
        self.observation = environment.reset(seed)
        """[B, F]: what the next action is chosen on."""
        self.steps = 0
        """Environment steps taken, those of all rows together."""
        # Of each row's running episode; then of the steps and the finished episodes since the last `metrics`.
        self._return = torch.zeros(environment.n, dtype=torch.float64, device=environment.device)
        self._length = torch.zeros(environment.n, dtype=torch.int64, device=environment.device)
        self._reward = torch.zeros(2, dtype=torch.float64, device=environment.device)
        self._finished = torch.zeros(4, dtype=torch.float64, device=environment.device)

    def step(self, action: Tensor) -> Step:
        """Apply one action [B] in each row."""
        step = self.environment.step(action)
        self.observation = step.observation
        self.steps += self.environment.n
        reward, done = step.reward.double(), step.done
        self._reward += torch.stack([reward.sum(), torch.full_like(self._reward[0], len(reward))])
        self._return += reward
        self._length += 1
        ended = torch.stack([torch.ones_like(reward), self._return, self._length.double(), step.terminated.double()])
        self._finished += (ended * done).sum(1)
        self._return.masked_fill_(done, 0.0)
        self._length.masked_fill_(done, 0)
        return step

    def metrics(self) -> dict[str, float]:
        """Return what happened since the last call.

        `reward/mean` is a step's mean reward. Of the episodes that ended (absent when none did): their number
        `episode/finished`, mean `episode/return` and `episode/length`, and `episode/terminated`, the share that reached
        an end state instead of running out of time.
        """
        total, steps = self._reward.tolist()
        number, returned, length, terminated = self._finished.tolist()
        self._reward.zero_()
        self._finished.zero_()
        metrics = {"reward/mean": total / steps if steps else 0.0, "episode/finished": number}
        if number:
            metrics["episode/return"] = returned / number
            metrics["episode/length"] = length / number
            metrics["episode/terminated"] = terminated / number
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """Return the environment's state and all sums."""
        return {
            "environment": self.environment.state_dict(),
            "observation": self.observation.clone(),
            "steps": self.steps,
            "return": self._return.clone(),
            "length": self._length.clone(),
            "reward": self._reward.clone(),
            "finished": self._finished.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.environment.load_state_dict(state["environment"])
        device = self.environment.device
        self.observation = state["observation"].to(device, copy=True)
        self.steps = int(state["steps"])
        self._return, self._length, self._reward, self._finished = (
            state[name].to(device, copy=True) for name in ("return", "length", "reward", "finished")
        )
