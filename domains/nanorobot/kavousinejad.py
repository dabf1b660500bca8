"""Preset kavousinejad2024: the environment of S. Kavousinejad, arXiv 2411.02345 (2024). A scripted oracle.

Rebuilt for comparison, with one robot and one cell per row. Both actions move along directions that are taken from the
TRUE positions of biomarker and cell; within 8 units of the cell the action is ignored, and the reward does not depend
on the action. So every policy arrives, a random one included: success here shows no learning.

Frame by frame: 50 biomarker points lie anew within +-5 of the cell, which stands N(0, 0.2) per axis beside its home;
the sensed value is the mean of exp(-d^2 / 40^2) over the points. Farther than 8: action 0 steps 0.5 towards the nearest
point, 1 towards the cell, and the reward is the sensed value. Nearer: a step of 0.5 / (d + 0.1) towards the cell, and
the reward is -d. An obstacle point closer than 1 is stepped away from instead. Reached at d < 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from domains.nanorobot.lifecycle import Outcome, SearchLifecycle
from domains.nanorobot.motion import normalise
from domains.nanorobot.noise import Noise, RowNoise, padded, seed_tensor
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.starts import START_STEP, Starts
from sciRL.errors import UserError
from sciRL.task import Task

HALF_BOX = 50.0
POINTS, SPREAD, SENSE_LENGTH = 50, 5.0, 40.0
JITTER, NEAR, REACHED, STRIDE = 0.2, 8.0, 0.5, 0.5
OBSTACLES, AVOIDED = 10, 1.0
FRAMES, RECORD_EVERY = 1000, 10.0
JITTER_SLACK = 6 * JITTER * 3**0.5
"""How far the cell can stand beside its home: the verifiers know only the home."""


class Kavousinejad2024Environment(SearchLifecycle):
    """n scripted searches; observation [n, 2]: the sensed value, and whether the cell is within 8 (the two states).

    Args:
        options: with preset=kavousinejad2024.
        n: number of rows.
        device: where tensors live.
    """

    STATE = ("position", "home", "obstacles", "observed", "steps", "alive")
    observation_size, n_actions, n_cells = 2, 2, 2
    home: Tensor
    obstacles: Tensor
    observed: Tensor

    def __init__(self, options: NanorobotOptions, n: int, device: torch.device) -> None:
        super().__init__(options, n, device, 3 * POINTS + 3)

    def _starts_of(self, tasks: Sequence[Task]) -> Starts:
        for task in tasks:
            if not isinstance(task.reference, dict) or task.reference.get("preset") != "kavousinejad2024":
                raise UserError(f"task {task.id}: a task of preset kavousinejad2024 is needed")
        references: list[Any] = [task.reference for task in tasks]
        references += references[-1:] * (self.rows - len(references))
        start = torch.tensor([reference["start"] for reference in references], device=self.device)
        home = torch.tensor([reference["tumours"][0] for reference in references], device=self.device)
        return Starts(start.T.contiguous(), torch.zeros_like(start.T), home.T.contiguous().unsqueeze(0))

    def _fresh(self, rows: int, noise: Noise, starts: Starts | None) -> dict[str, Tensor]:
        counter = torch.full((rows,), START_STEP, dtype=torch.int64, device=self.device)
        normals = noise.fill(torch.empty(6 + 3 * OBSTACLES, rows, device=self.device), counter)
        places = torch.special.ndtr(normals).mul_(2 * HALF_BOX).sub_(HALF_BOX)
        position, home = places[:3].clone(), places[3:6].clone()
        if starts is not None:
            position, home = starts.position, starts.tumours[0].clone()
        first = noise.fill(torch.empty(self._normals.shape[0], rows, device=self.device), counter - 1)
        points, cell = _scene(home, first)
        return {
            "position": position,
            "home": home,
            "obstacles": places[6:].reshape(OBSTACLES, 3, rows).clone(),
            "observed": _sense(position, points, cell),
            "steps": torch.zeros(rows, dtype=torch.int64, device=self.device),
            "alive": torch.ones(rows, dtype=torch.bool, device=self.device),
        }

    def _advance(self, action: Tensor, normals: Tensor) -> Outcome:
        if action.shape != (self.n,):
            raise UserError(f"an action for each of {self.n} rows is needed; found shape {tuple(action.shape)}")
        padding = action.new_zeros(self.rows - self.n)
        to_cell = torch.cat([action, padding]) == 1
        points, cell = _scene(self.home, normals)
        distance = _length(cell - self.position)
        near = distance <= NEAR
        offsets = points - self.position
        nearest = _length(offsets.transpose(0, 1)).argmin(0)
        to_point = offsets.gather(0, nearest.expand(1, 3, -1)).squeeze(0)
        direction = normalise(torch.where(near | to_cell, cell - self.position, to_point))
        away = self.position - self.obstacles
        gap, closest = _length(away.transpose(0, 1)).min(0)
        escape = normalise(away.gather(0, closest.expand(1, 3, -1)).squeeze(0))
        direction = torch.where(gap < AVOIDED, escape, direction)
        stride = torch.where(near, STRIDE / (distance + 0.1), STRIDE)
        self.position = (self.position + direction * stride).clamp_(min=-HALF_BOX, max=HALF_BOX)
        self.observed = _sense(self.position, points, cell)
        self.steps += 1
        arrived = _length(cell - self.position)
        hit = arrived < REACHED
        reward = torch.where(arrived > NEAR, self.observed[0], -arrived)
        return Outcome(reward, (self.steps >= FRAMES) & ~hit, hit.unsqueeze(0))

    def _observation(self) -> Tensor:
        return self.observed[:, : self.n].T.contiguous()

    def cell(self, observation: Tensor) -> Tensor:
        """Return 0 (far) or 1 (near) [B] of each observation [B, 2]: the paper's two states."""
        return (observation[:, 1] > 0.5).to(torch.int64)


def _length(vector: Tensor) -> Tensor:
    """Return the length of vectors [3, ...]."""
    return (vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2).sqrt()


def _scene(home: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
    """Return this frame's biomarker points [50, 3, M] and cell [3, M]."""
    cell = home + normals[:3].clamp(min=-6, max=6) * JITTER
    uniform = torch.special.ndtr(normals[3 : 3 + 3 * POINTS]).reshape(POINTS, 3, -1)
    return cell + (2 * uniform - 1) * SPREAD, cell


def _sense(position: Tensor, points: Tensor, cell: Tensor) -> Tensor:
    """Return the sensed value and the near flag [2, M]."""
    squared = _length((points - position).transpose(0, 1)) ** 2
    total = (squared / -(SENSE_LENGTH**2)).exp_()
    value = total[0]
    for part in total[1:]:
        value = value + part
    return torch.stack([value / POINTS, (_length(cell - position) <= NEAR).to(torch.float32)])


def make_references(count: int, first_seed: int) -> list[dict[str, object]]:
    """Return the scenarios of `count` tasks; speeds and times are in the paper's units per frame."""
    seeds = seed_tensor(range(first_seed, first_seed + count), torch.device("cpu"))
    counter = torch.full((padded(count),), START_STEP, dtype=torch.int64)
    normals = RowNoise(seeds).fill(torch.empty(6, padded(count)), counter)
    places = torch.special.ndtr(normals).mul_(2 * HALF_BOX).sub_(HALF_BOX).T.tolist()
    fixed: dict[str, object] = {
        "preset": "kavousinejad2024",
        "wall": HALF_BOX,
        "hit_distance": REACHED,
        "hit_slack": JITTER_SLACK,
        "obstacles": [],
        # The largest step, taken where the cell's jitter lands on the robot (d = 0).
        "speed": STRIDE / 0.1,
        "diffusion": 0.0,
        "dt": 1.0,
        "duration": float(FRAMES),
        "record_every": RECORD_EVERY,
    }
    return [{**fixed, "start": place[:3], "tumours": [place[3:6]]} for place in places[:count]]
