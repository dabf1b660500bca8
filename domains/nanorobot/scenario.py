"""The scenario of a task: what `task.reference` says of an episode, and the start conditions made from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from domains.nanorobot.noise import padded
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.starts import Starts
from sciRL.errors import UserError
from sciRL.task import Task


def fixed_part(options: NanorobotOptions) -> dict[str, Any]:
    """Return the part of a reference that all tasks of the options share, in um and s.

    `speed` bounds directed motion (swimming and flow), `diffusion` is D_t of the body.
    """
    return {
        "preset": options.preset,
        "wall": options.wall,
        "hit_distance": options.hit_distance,
        "hit_slack": 0.0,
        "obstacles": [[x, y, z, radius + options.robot_radius] for x, y, z, radius in options.obstacles],
        "speed": options.speed + math.hypot(*options.drift) + options.flow_peak,
        "diffusion": options.d_t,
        "dt": options.dt,
        "duration": options.steps * options.dt,
        "record_every": options.record_stride * options.dt,
    }


def starts_of(tasks: Sequence[Task], options: NanorobotOptions, rows: int, device: torch.device) -> Starts:
    """Return the start conditions of tasks, padded with copies of the last one.

    Raises:
        UserError: a task of another domain or made for other options.
    """
    expected = fixed_part(options)
    references: list[dict[str, Any]] = []
    for task in tasks:
        reference = task.reference
        if task.domain != "nanorobot" or not isinstance(reference, dict):
            raise UserError(f"task {task.id}: a nanorobot task with a scenario is needed; found domain {task.domain!r}")
        for key, value in expected.items():
            if reference.get(key) != value:
                raise UserError(
                    f"task {task.id}: made for {key}={reference.get(key)!r}, but the environment has {value!r}; "
                    "make tasks and environment from the same options"
                )
        if options.placement == "fixed" and reference["tumours"] != [list(p) for p in options.tumour_positions]:
            raise UserError(f"task {task.id}: its tumours {reference['tumours']} are not those of tumour_positions")
        references.append(reference)
    references += references[-1:] * (padded(len(tasks)) - len(tasks))
    if len(references) != rows:
        raise UserError(f"{rows} rows need as many tasks; found {len(references)}")

    def tensor(key: str) -> torch.Tensor:
        return torch.tensor([reference[key] for reference in references], dtype=torch.float32, device=device)

    return Starts(
        tensor("start").T.contiguous(),
        tensor("heading").T.contiguous(),
        tensor("tumours").permute(1, 2, 0).contiguous(),
    )
