"""Episodes of a policy on given tasks, for evaluation and figures."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sciRL.environments.vector import Controller, VectorEnvironment
from sciRL.task import Task


@torch.no_grad()
def play(
    environment: VectorEnvironment, controller: Controller, tasks: Sequence[Task], seeds: Sequence[int]
) -> list[str]:
    """Play one episode a task to its end and return the records; row i depends on its task and seed alone."""
    observation = environment.begin(tasks, seeds)
    controller.begin(environment)
    while bool(environment.running().any()):
        observation = environment.step(controller.act(observation, environment)).observation
    return environment.episodes()
