"""Rollouts of a stochastic policy in a vector environment, and generalised advantage estimation over them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sciRL.control.networks import ActorCritic
from sciRL.control.policy import pick
from sciRL.control.stepper import Stepper


@dataclass(frozen=True)
class Rollout:
    """T steps of B rows; all but `memory` are [T, B] or [T, B, F].

    Attributes:
        observation: what the action was chosen on.
        action: int64.
        logp: log probability of the action under the policy that chose it.
        value: V(observation).
        following_value: V of the observation that the step led to; 0 where it terminated.
        reward: float32.
        done: the episode ended with this step.
        fresh: an episode begins with this observation.
        memory: [B, H] the policy's memory before the first observation.
    """

    observation: Tensor
    action: Tensor
    logp: Tensor
    value: Tensor
    following_value: Tensor
    reward: Tensor
    done: Tensor
    fresh: Tensor
    memory: Tensor


@torch.no_grad()
def collect(
    stepper: Stepper, network: ActorCritic, memory: Tensor, steps: int, generator: torch.Generator
) -> tuple[Rollout, Tensor]:
    """Take `steps` steps in each row.

    Args:
        stepper: the episodes, which go on where they stand.
        network: the policy and its value.
        memory: [B, H] the policy's memory of the running episodes.
        steps: T.
        generator: of the environment's device; draws the actions.

    Returns:
        The rollout, and the memory after it; rows whose episode ended have forgotten it.
    """
    first, taken = memory, []
    fresh = torch.zeros(stepper.environment.n, dtype=torch.bool, device=memory.device)
    log_law, value, after = network(stepper.observation, memory)
    for _ in range(steps):
        observation = stepper.observation
        uniform = torch.rand(len(observation), dtype=torch.float64, device=memory.device, generator=generator)
        action = pick(log_law.exp(), uniform)
        logp = log_law.gather(1, action.unsqueeze(1)).squeeze(1)
        step = stepper.step(action)
        done = step.done
        memory = after * (~done).unsqueeze(1)
        log_law, next_value, next_after = network(step.observation, memory)
        following = next_value
        if bool(step.truncated.any()):
            # The last observation of an episode that ran out of time is not the first of the next one.
            following = torch.where(done, network(step.final_observation, after)[1], next_value)
        following = following * ~step.terminated
        taken.append(
            {
                "observation": observation,
                "action": action,
                "logp": logp,
                "value": value,
                "following_value": following,
                "reward": step.reward,
                "done": done,
                "fresh": fresh,
            }
        )
        value, after, fresh = next_value, next_after, done
    columns = {name: torch.stack([moment[name] for moment in taken]) for name in taken[0]}
    return Rollout(**columns, memory=first), memory


def generalised_advantage(
    reward: Tensor, value: Tensor, following_value: Tensor, done: Tensor, gamma: float, lam: float
) -> Tensor:
    """Return GAE [T, B] (Schulman et al., arXiv 1506.02438).

        delta_t = r_t + gamma V(s_{t+1}) - V(s_t),    A_t = delta_t + gamma lambda (1 - done_t) A_{t+1}

    Args:
        reward: [T, B].
        value: [T, B] V(s_t).
        following_value: [T, B] V(s_{t+1}), 0 where step t terminated; of a truncated step, that of its last
            observation.
        done: [T, B] bool.
        gamma: discount.
        lam: lambda, 0 for one-step errors and 1 for returns.

    Example: r=[1,0,2], V=[.5,.4,.3], V after the last .6, gamma .99, lambda .95 give [2.8283, 2.0545, 2.2940]; with the
    last step terminated [2.3028, 1.4958, 1.7000].
    """
    delta = reward + gamma * following_value - value
    advantage = torch.zeros_like(delta)
    running = torch.zeros_like(delta[0])
    for t in reversed(range(len(delta))):
        running = delta[t] + gamma * lam * running * ~done[t]
        advantage[t] = running
    return advantage
