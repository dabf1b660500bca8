"""Exploration: fixed laws of actions, and their use in a share of the steps instead of the best action."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sciRL.control.policy import pick
from sciRL.errors import UserError


def action_law(key: str, probabilities: Sequence[float] | None, n_actions: int) -> list[float]:
    """Return one probability an action; None is uniform.

    Args:
        key: the setting's name, for the message.
        probabilities: what the setting says.
        n_actions: number of actions.

    Raises:
        UserError: not one probability an action, a negative one, or a sum other than 1.
    """
    law = [1.0 / n_actions] * n_actions if probabilities is None else list(probabilities)
    if len(law) != n_actions or min(law) < 0 or abs(sum(law) - 1.0) > 1e-6:
        raise UserError(f"{key} = {law}: must be {n_actions} numbers of at least 0 that sum to 1, one an action")
    return law


class EpsilonGreedy:
    """Replaces greedy actions by exploring ones with probability epsilon.

    Args:
        probabilities: of each action when exploring (see `action_law`).
        n_actions: number of actions.
        generator: source of the chance; the actions' device is its device.
    """

    def __init__(self, probabilities: Sequence[float] | None, n_actions: int, generator: torch.Generator) -> None:
        law = action_law("explore_probabilities", probabilities, n_actions)
        self.generator = generator
        self._law = torch.tensor([law], dtype=torch.float64, device=generator.device)

    def choose(self, greedy: Tensor, epsilon: float) -> Tensor:
        """Return the actions [B] that are taken where `greedy` [B] are the best ones."""
        chance = torch.rand(2, len(greedy), dtype=torch.float64, device=greedy.device, generator=self.generator)
        return torch.where(chance[0] < epsilon, pick(self._law.expand(len(greedy), -1), chance[1]), greedy)
