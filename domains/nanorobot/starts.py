"""Start conditions: where tumours, robot and heading are when an episode begins."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from domains.nanorobot.motion import inside_spheres, normalise
from domains.nanorobot.noise import Noise
from domains.nanorobot.options import NanorobotOptions
from sciRL.errors import UserError

ATTEMPTS = 400
START_STEP = -10_000
"""Counters of row noise at and below this belong to start conditions, those from -1 on to the episode itself."""


@dataclass
class Starts:
    """M start conditions.

    Attributes:
        position: [3, M] in um.
        heading: [3, M] unit vectors.
        tumours: [K, 3, M] in um.
    """

    position: Tensor
    heading: Tensor
    tumours: Tensor


def obstacle_tensor(options: NanorobotOptions, device: torch.device) -> Tensor:
    """Return the obstacles [S, 4] with the body's radius added, so that they act on its centre."""
    spheres = torch.tensor(options.obstacles, dtype=torch.float32, device=device).reshape(-1, 4)
    spheres[:, 3] += options.robot_radius
    return spheres


def draw_starts(options: NanorobotOptions, noise: Noise, rows: int, device: torch.device) -> Starts:
    """Draw `rows` start conditions (a multiple of `noise.LANES`) by rejection.

    A start lies between `start_min` and `start_max` from the first tumour, in a uniform direction, at least `start_min`
    from the others, inside the box and outside obstacles.

    Raises:
        UserError: some row found no start in 400 attempts.
    """
    count = len(options.tumour_positions)
    fixed = torch.tensor(options.tumour_positions, dtype=torch.float32, device=device)
    spheres = obstacle_tensor(options, device)
    chosen = Starts(
        torch.zeros(3, rows, device=device),
        torch.zeros(3, rows, device=device),
        fixed.unsqueeze(-1).expand(count, 3, rows).clone(),
    )
    missing = torch.ones(rows, dtype=torch.bool, device=device)
    normals = torch.empty(8 + 3 * count + count % 2, rows, device=device)
    for attempt in range(ATTEMPTS):
        counter = torch.full((rows,), START_STEP - attempt, dtype=torch.int64, device=device)
        found = _candidate(options, noise.fill(normals, counter), chosen.tumours)
        good = missing & _allowed(options, found, spheres)
        chosen.position = torch.where(good, found.position, chosen.position)
        chosen.heading = torch.where(good, found.heading, chosen.heading)
        chosen.tumours = torch.where(good, found.tumours, chosen.tumours)
        missing &= ~good
        if not bool(missing.any()):
            return chosen
    raise UserError(
        f"start_min, start_max: no start condition found {options.start_min:g} to {options.start_max:g} um from the "
        f"tumour that is free of tumours and obstacles in a box of {options.box:g} um"
    )


def _candidate(options: NanorobotOptions, normals: Tensor, fixed: Tensor) -> Starts:
    tumours = fixed
    if options.placement == "random":
        count, room = len(options.tumour_positions), options.box / 2 - options.tumour_radius
        uniform = torch.special.ndtr(normals[8 : 8 + 3 * count])
        tumours = uniform.mul_(2 * room).sub_(room).reshape(count, 3, -1)
    share = torch.special.ndtr(normals[3])
    distance = options.start_min + share * (options.start_max - options.start_min)
    position = tumours[0] + normalise(normals[:3].clone()) * distance
    return Starts(position, normalise(normals[4:7].clone()), tumours)


def _allowed(options: NanorobotOptions, starts: Starts, spheres: Tensor) -> Tensor:
    good = (starts.position.abs() <= options.wall).all(0) & ~inside_spheres(starts.position, spheres)
    for number, tumour in enumerate(starts.tumours):
        if number:
            offset = starts.position - tumour
            good &= (offset * offset).sum(0) >= options.start_min**2
        for other in starts.tumours[:number]:
            apart = tumour - other
            good &= (apart * apart).sum(0) >= (2 * options.tumour_radius) ** 2
        if options.placement == "random":
            for x, y, z, radius in options.obstacles:
                away = tumour - tumour.new_tensor([[x], [y], [z]])
                free = radius + options.tumour_radius + 2 * options.robot_radius
                good &= (away * away).sum(0) >= free**2
    return good & torch.isfinite(starts.position).all(0)
