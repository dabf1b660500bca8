"""Trajectories of a GFlowNet as flat ragged tensors: sampled forward, or walked back from given objects.

Entries are ordered by step, then by row, and each is a state with the action taken there. The living rows of step t + 1
are therefore the children of the entries of step t that did not stop, in the same order: the children of *all* entries
that did not stop are `states[B:]`, and log P_B needs no second pass of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.network import FlowPolicy


@dataclass(frozen=True)
class Trajectories:
    """B complete trajectories with K actions in all, each row's last one `stop`.

    Attributes:
        states: [K, S] where each action is taken; the first B entries are the source.
        actions: [K] forward actions.
        rows: [K] the trajectory that an entry belongs to.
        steps: [K] its place in the trajectory, from 0.
        moving: [K - B] positions of the entries that do not stop; their children are `states[B:]`.
        undo: [K - B] the backward action that undoes each of these.
        last: [B] position of each row's stop; its state is the object.
        log_reward: [B] log R of the objects, float64.
    """

    states: Tensor
    actions: Tensor
    rows: Tensor
    steps: Tensor
    moving: Tensor
    undo: Tensor
    last: Tensor
    log_reward: Tensor

    def __len__(self) -> int:
        """Return the number of trajectories, B."""
        return len(self.last)

    @property
    def lengths(self) -> Tensor:
        """[B] actions of each row, `stop` included."""
        return self.steps[self.last] + 1

    @property
    def objects(self) -> Tensor:
        """[B, S] the states in which the rows stopped."""
        return self.states[self.last]


def draw(cumulative: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one column a row by the inverse of the cumulative law [B, N] (float64, not necessarily ending in 1).

    The uniform number is at most 1 - 2^-53, so its product with the last entry rounds to less than that entry and a
    column of probability 0 is never drawn.
    """
    uniform = torch.rand(len(cumulative), 1, dtype=torch.float64, device=cumulative.device, generator=generator)
    return (cumulative <= uniform * cumulative[:, -1:]).sum(-1)


@torch.no_grad()
def sample(
    environment: FlowEnvironment,
    policy: FlowPolicy,
    n: int,
    generator: torch.Generator,
    epsilon: float = 0.0,
    temperature: float = 1.0,
) -> Trajectories:
    """Sample n trajectories forward, computing only the rows that have not stopped.

    Args:
        environment: the states.
        policy: gives P_F.
        n: trajectories, B.
        generator: on the environment's device.
        epsilon: share of uniform actions.
        temperature: P_F^(1/temperature) is sampled.
    """
    cumulative = policy.explorer(environment, epsilon, temperature)
    states = environment.source(n)
    rows = torch.arange(n, device=environment.device)
    entries: list[tuple[Tensor, Tensor, Tensor]] = []
    while len(rows):
        if len(entries) == environment.max_length:
            raise RuntimeError(f"{environment.name}: {len(rows)} trajectories exceed max_length")
        actions = draw(cumulative(states), generator)
        entries.append((states, actions, rows))
        moving = (actions != environment.stop).nonzero().squeeze(1)
        if not len(moving):
            break
        rows = rows[moving]
        states = environment.step(states[moving], actions[moving])
    return _assemble(environment, entries, None)


@torch.no_grad()
def walk_back(
    environment: FlowEnvironment,
    policy: FlowPolicy,
    objects: Tensor,
    generator: torch.Generator,
    log_reward: Tensor | None = None,
) -> Trajectories:
    """Return trajectories that end in the given objects, their parents drawn from P_B.

    Args:
        environment: the states.
        policy: gives P_B.
        objects: [B, S] states in which `stop` is allowed.
        generator: on the environment's device.
        log_reward: [B] where it is known already.
    """
    n = len(objects)
    rows = torch.arange(n, device=environment.device)
    states = objects
    actions = torch.full_like(rows, environment.stop)
    entries = [(states, actions, rows)]
    for _ in range(environment.max_length):
        living = environment.backward_mask(states).any(-1).nonzero().squeeze(1)
        if not len(living):
            break
        states, rows = states[living], rows[living]
        undo = draw(policy.log_backward(environment, states).double().exp().cumsum(-1), generator)
        actions = environment.forth_of(states, undo)
        states = environment.back(states, undo)
        entries.append((states, actions, rows))
    else:
        raise RuntimeError(f"{environment.name}: a backward walk exceeds max_length")
    lengths = torch.bincount(torch.cat([entry[2] for entry in entries]), minlength=n)
    ordered: list[tuple[Tensor, Tensor, Tensor]] = []
    flat_states, flat_actions, flat_rows = (torch.cat(column) for column in zip(*entries, strict=True))
    ends = torch.cat([torch.full_like(entry[2], back) for back, entry in enumerate(entries)])
    steps = lengths[flat_rows] - 1 - ends
    order = torch.argsort(steps * n + flat_rows)
    counts = torch.bincount(steps).tolist()
    for part in order.split(counts):
        ordered.append((flat_states[part], flat_actions[part], flat_rows[part]))
    return _assemble(environment, ordered, log_reward)


def join(environment: FlowEnvironment, parts: Sequence[Trajectories]) -> Trajectories:
    """Return the trajectories of all parts as one batch, rows in the order of the parts."""
    if len(parts) == 1:
        return parts[0]
    offsets = [sum(len(part) for part in parts[:k]) for k in range(len(parts))]
    steps = torch.cat([part.steps for part in parts])
    order = torch.argsort(steps, stable=True)
    states = torch.cat([part.states for part in parts])[order]
    actions = torch.cat([part.actions for part in parts])[order]
    rows = torch.cat([part.rows + offset for part, offset in zip(parts, offsets, strict=True)])[order]
    counts = torch.bincount(steps).tolist()
    entries = list(zip(states.split(counts), actions.split(counts), rows.split(counts), strict=True))
    return _assemble(environment, entries, torch.cat([part.log_reward for part in parts]))


def _assemble(
    environment: FlowEnvironment, entries: list[tuple[Tensor, Tensor, Tensor]], log_reward: Tensor | None
) -> Trajectories:
    """Put the entries (states, actions, rows) of steps 0, 1, ... into one flat batch."""
    states, actions, rows = (torch.cat(column) for column in zip(*entries, strict=True))
    n = len(entries[0][2])
    counts = torch.tensor([len(entry[2]) for entry in entries], device=rows.device)
    steps = torch.repeat_interleave(torch.arange(len(entries), device=rows.device), counts, output_size=len(rows))
    stopped = actions == environment.stop
    ends = stopped.nonzero().squeeze(1)
    moving = (~stopped).nonzero().squeeze(1)
    last = torch.empty(n, dtype=torch.int64, device=rows.device)
    last[rows[ends]] = ends
    if log_reward is None:
        log_reward = environment.log_reward(states[last])
    undo = environment.back_of(states[moving], actions[moving])
    return Trajectories(states, actions, rows, steps, moving, undo, last, log_reward.double())
