"""Token-level returns: REINFORCE++ (discounted return-to-go, whitened) and generalised advantage estimation.

    REINFORCE++   A_t = whiten(sum_{k >= t} gamma^(k - t) r_k)                       arXiv 2501.03262
    GAE           delta_t = r_t + gamma V_{t+1} - V_t
                  A_t = delta_t + gamma lambda A_{t+1}; returns = A + V (before whitening)   arXiv 1506.02438

The outcome of a row is the reward of its last action token; with `kl_coefficient` the per-token
estimate k1 = logp_old - logp_ref is subtracted from every token's reward. Tokens that the policy did
not write are stepped over: V and A are carried across them.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from sciRL.advantage.base import AdvantageContext
from sciRL.advantage.group import whiten
from sciRL.trajectory import TrajectoryBatch


def token_rewards(batch: TrajectoryBatch, kl_coefficient: float = 0.0) -> Tensor:
    """Return the reward of every token [S]: the outcome on the last action token, minus the KL penalty."""
    reward = torch.zeros(batch.n_tokens)
    if kl_coefficient:
        assert batch.logp_old is not None
        assert batch.logp_ref is not None
        reward = torch.where(batch.action, -kl_coefficient * (batch.logp_old - batch.logp_ref), reward)
    for row, (start, end) in enumerate(zip(batch.offsets[:-1].tolist(), batch.offsets[1:].tolist(), strict=True)):
        positions = batch.action[start:end].nonzero().flatten()
        if len(positions) and bool(batch.scorable[row]):
            reward[start + int(positions[-1])] += batch.outcome[row]
    return reward


def _action_grid(batch: TrajectoryBatch, column: Tensor) -> tuple[Tensor, Tensor]:
    """Return the action tokens of `column` as [N, A] (padded right with 0) and their mask."""
    lengths = batch.segment_sum(batch.action.long(), "row")
    width = int(lengths.max()) if len(lengths) else 0
    mask = torch.arange(width)[None, :] < lengths[:, None]
    grid = torch.zeros(len(batch), width, dtype=column.dtype)
    grid[mask] = column[batch.action]
    return grid, mask


def _flat(batch: TrajectoryBatch, grid: Tensor, mask: Tensor) -> Tensor:
    out = torch.zeros(batch.n_tokens, dtype=grid.dtype)
    out[batch.action] = grid[mask]
    return out


def return_to_go(batch: TrajectoryBatch, reward: Tensor, gamma: float) -> Tensor:
    """Return the discounted sum of later rewards of every action token [S]."""
    grid, mask = _action_grid(batch, reward.double())
    running = torch.zeros(len(batch), dtype=torch.float64)
    out = torch.zeros_like(grid)
    for t in reversed(range(grid.shape[1])):
        running = grid[:, t] + gamma * running
        out[:, t] = running
    return _flat(batch, out, mask).float()


def generalised_advantage(
    batch: TrajectoryBatch, reward: Tensor, value: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Return GAE advantages and value targets [S] (advantages not whitened).

    Example: r=[0,0,1], V=[.2,.5,.8], gamma 1, lambda .95 give [0.7655, 0.4900, 0.2000].
    """
    reward_NA, mask = _action_grid(batch, reward.double())
    value_NA, _ = _action_grid(batch, value.double())
    after = torch.zeros(len(batch), dtype=torch.float64)
    running = torch.zeros(len(batch), dtype=torch.float64)
    out = torch.zeros_like(reward_NA)
    for t in reversed(range(reward_NA.shape[1])):
        delta = reward_NA[:, t] + gamma * after - value_NA[:, t]
        inside = mask[:, t]
        running = torch.where(inside, delta + gamma * lam * running, running)
        after = torch.where(inside, value_NA[:, t], after)
        out[:, t] = running
    advantage = _flat(batch, out, mask)
    return advantage.float(), (advantage + value.double() * batch.action).float()


class ReturnToGo:
    """REINFORCE++: whitened return-to-go."""

    reads: ClassVar[frozenset[str]] = frozenset({"outcome", "status", "role", "weight"})
    writes: ClassVar[frozenset[str]] = frozenset({"advantage"})

    def __init__(self, gamma: float = 1.0, kl_coefficient: float = 0.0) -> None:
        self.gamma = gamma
        self.kl_coefficient = kl_coefficient
        self.needs = frozenset({"logp_old", "logp_ref"}) if kl_coefficient else frozenset()

    def apply(self, batch: TrajectoryBatch, context: AdvantageContext) -> dict[str, Tensor]:
        """Return the token column `advantage`."""
        reward = token_rewards(batch, self.kl_coefficient)
        returns = return_to_go(batch, reward, self.gamma)
        return {"advantage": whiten(returns, batch.action & (batch.weight > 0))}


class GeneralisedAdvantage:
    """PPO's GAE; also writes `value_target`, which the value loss regresses on."""

    reads: ClassVar[frozenset[str]] = frozenset({"outcome", "status", "role", "weight", "value"})
    writes: ClassVar[frozenset[str]] = frozenset({"advantage", "value_target"})

    def __init__(self, gamma: float = 1.0, lam: float = 0.95, kl_coefficient: float = 0.0) -> None:
        self.gamma, self.lam, self.kl_coefficient = gamma, lam, kl_coefficient
        self.needs = frozenset({"value", "logp_old"}) | (frozenset({"logp_ref"}) if kl_coefficient else frozenset())

    def apply(self, batch: TrajectoryBatch, context: AdvantageContext) -> dict[str, Tensor]:
        """Return the token columns `advantage` (whitened) and `value_target`."""
        assert batch.value is not None
        reward = token_rewards(batch, self.kl_coefficient)
        advantage, target = generalised_advantage(batch, reward, batch.value, self.gamma, self.lam)
        return {"advantage": whiten(advantage, batch.action & (batch.weight > 0)), "value_target": target}
