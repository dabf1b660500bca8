"""Scripted policies: the floor, the textbook answer and the ceiling beside a learnt policy.

Each has `act(observation, environment) -> actions [B]`; chance comes from the environment's rows, so the same seeds
give the same episodes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from domains.nanorobot.environment import AXES, NanorobotEnvironment
from sciRL.errors import UserError

LEAST_RATE, MOST_RATE = 0.05, 5.0


class Memoryless:
    """What policies without memory share."""

    def begin(self, environment: NanorobotEnvironment) -> None:
        """There is nothing to forget."""


class RandomPolicy(Memoryless):
    """Tumbles at a constant rate 1 / tau and ignores what it senses.

    Args:
        tau: mean run in s; by default the options' tau_run.
    """

    name = "random"

    def __init__(self, tau: float | None = None) -> None:
        self.tau = tau

    def act(self, observation: Tensor, environment: NanorobotEnvironment) -> Tensor:
        """Tumble with probability 1 - exp(-dt / tau); in other action sets choose uniformly among all actions."""
        options = environment.options
        share = -math.expm1(-options.dt / (options.tau_run if self.tau is None else self.tau))
        uniform = environment.uniform()
        if options.actions == "run_tumble":
            return (uniform < share).to(torch.int64)
        return (uniform * environment.n_actions).to(torch.int64).clamp_(max=environment.n_actions - 1)


class RunTumblePolicy(Memoryless):
    """Bacterial chemotaxis: tumble at the rate (1 / tau) exp(-alpha (fast - slow)), kept within 0.05 and 5 per second.

    Args:
        alpha: gain, 4 to 20 for bacteria.
        tau: mean run in s without a gradient; by default the options' tau_run.

    Raises:
        UserError: in `act`, when actions are not run_tumble or the observation is not temporal.
    """

    def __init__(self, alpha: float = 8.0, tau: float | None = None) -> None:
        self.alpha, self.tau = alpha, tau
        self.name = f"run_tumble(alpha={alpha:g})"

    def act(self, observation: Tensor, environment: NanorobotEnvironment) -> Tensor:
        """Tumble with probability 1 - exp(-rate dt)."""
        options = environment.options
        if options.actions != "run_tumble" or options.observation != "temporal":
            raise UserError("the run_tumble policy needs actions=run_tumble and observation=temporal")
        tau = options.tau_run if self.tau is None else self.tau
        rate = (observation[:, 2] * -self.alpha).exp_().mul_(1 / tau).clamp_(min=LEAST_RATE, max=MOST_RATE)
        return (environment.uniform() < -torch.expm1(rate.mul_(-options.dt))).to(torch.int64)


class OraclePolicy(Memoryless):
    """Follows the true gradient: exactly with actions=scripted, as well as the actions allow otherwise."""

    name = "oracle"

    def act(self, observation: Tensor, environment: NanorobotEnvironment) -> Tensor:
        """Head along the gradient; take the nearest axis; or tumble while pointing more than 60 degrees away."""
        kind = environment.options.actions
        if kind == "scripted":
            return torch.ones(environment.n, dtype=torch.int64, device=environment.device)
        gradient = environment.gradient()
        if kind == "run_tumble":
            heading = environment.heading[:, : environment.n].T
            return ((heading * gradient).sum(1) < 0.5).to(torch.int64)
        axes = torch.tensor(AXES, dtype=torch.float32, device=environment.device)[:, 1:]
        nearest = (gradient @ axes).argmax(1)
        return nearest if kind == "turn6" else nearest + 1
