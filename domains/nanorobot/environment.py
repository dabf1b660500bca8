"""NanorobotEnvironment: many robots that search for tumours at once, as a `VectorEnvironment`.

    environment = NanorobotEnvironment(NanorobotOptions(), n=4096, device=torch.device("cpu"))
    observation = environment.reset(seed=0)                        # [4096, 4]: fast, slow, fast - slow, since tumble
    step = environment.step(torch.zeros(4096, dtype=torch.int64))  # everyone runs for dt seconds

State tensors are component-first ([3, M]) and padded to M rows (see `noise`); what leaves the environment is [n, F].
The observation is not the state: no robot knows where it is, so a policy without memory acts on a partial view.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from domains.nanorobot import motion
from domains.nanorobot.field import make_field, squared_distances
from domains.nanorobot.lifecycle import Outcome, SearchLifecycle
from domains.nanorobot.noise import Noise
from domains.nanorobot.observations import N_CELLS, observer
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.physics import heading_noise
from domains.nanorobot.scenario import starts_of
from domains.nanorobot.sensor import LOG_OFFSET
from domains.nanorobot.starts import Starts, draw_starts, obstacle_tensor
from sciRL.errors import UserError
from sciRL.task import Task

AXES = ((0, 1, -1, 0, 0, 0, 0), (0, 0, 0, 1, -1, 0, 0), (0, 0, 0, 0, 0, 1, -1))
"""Components of no direction and of +x, -x, +y, -y, +z, -z."""
N_ACTIONS = {"run_tumble": 2, "turn6": 6, "steer": 7, "scripted": 2}


class NanorobotEnvironment(SearchLifecycle):
    """n searches by independent robots.

    Args:
        options: field, body, sensor, actions, observation and reward.
        n: number of robots.
        device: where tensors live.

    Raises:
        UserError: a preset with another environment, or n below 1.
    """

    STATE = ("position", "heading", "tumours", "memory", "potential", "steps", "alive")
    heading: Tensor
    tumours: Tensor
    memory: Tensor
    potential: Tensor

    def __init__(self, options: NanorobotOptions, n: int, device: torch.device) -> None:
        if options.preset == "kavousinejad2024":
            raise UserError("preset=kavousinejad2024 is another environment: use domains.nanorobot.make_environment")
        self.field = make_field(options, device)
        self.observer = observer(options, self.field, device)
        # Three normals for diffusion, three for turning, then those of the sensor.
        super().__init__(options, n, device, 6 + self.observer.normals)
        self.observation_size = self.observer.size
        self.n_actions, self.n_cells = N_ACTIONS[options.actions], N_CELLS
        self._axes = torch.tensor(AXES, dtype=torch.float32, device=device)
        self._spheres = obstacle_tensor(options, device)
        self._turn_noise = heading_noise(options.d_r, options.dt)
        self._jitter = math.sqrt(2 * options.d_t * options.dt)
        self._drift = (
            torch.tensor(options.drift, device=device).unsqueeze(1) * options.dt if any(options.drift) else None
        )
        self._surface = math.log(self.field.largest + LOG_OFFSET)

    def _starts_of(self, tasks: Sequence[Task]) -> Starts:
        return starts_of(tasks, self.options, self.rows, self.device)

    def _fresh(self, rows: int, noise: Noise, starts: Starts | None) -> dict[str, Tensor]:
        place = draw_starts(self.options, noise, rows, self.device) if starts is None else starts
        normals = torch.empty(self._normals.shape[0], rows, device=self.device)
        noise.fill(normals, torch.full((rows,), -1, dtype=torch.int64, device=self.device))
        true = self.field.concentration(place.position, squared_distances(place.position, place.tumours))
        return {
            "position": place.position,
            "heading": place.heading,
            "tumours": place.tumours,
            "memory": self.observer.first(place, true, normals[6:]),
            "potential": self._potential_at(true),
            "steps": torch.zeros(rows, dtype=torch.int64, device=self.device),
            "alive": torch.ones(rows, dtype=torch.bool, device=self.device),
        }

    def _advance(self, action: Tensor, normals: Tensor) -> Outcome:
        tumbled = self._turn(action, normals[3:6])
        contact = self._move(normals[:3])
        squared = squared_distances(self.position, self.tumours)
        true = self.field.concentration(self.position, squared)
        self.observer.update(self.memory, Starts(self.position, self.heading, self.tumours), true, normals[6:])
        self.steps += 1
        outcome = Outcome(true, self.steps >= self.options.steps, squared < self.options.hit_distance**2, tumbled)
        hit = outcome.hit
        outcome.truncated.logical_and_(~hit)
        outcome.reward = self._reward(hit, contact, true)
        return outcome

    def _turn(self, action: Tensor, normals: Tensor) -> Tensor | None:
        """Turn the headings by action and noise; return where a tumble took place [M] (None: no tumbles exist)."""
        options = self.options
        tumbled = None
        if action.dtype.is_floating_point:
            if options.actions != "steer" or action.shape != (self.n, 3):
                found = f"actions={options.actions}, shape {tuple(action.shape)}"
                raise UserError(f"directions [{self.n}, 3] need actions=steer; found {found}")
            self.heading = self._steered(self._pad(action).to(torch.float32).T.contiguous())
        elif action.shape != (self.n,):
            raise UserError(f"an action for each of {self.n} rows is needed; found shape {tuple(action.shape)}")
        elif options.actions == "run_tumble":
            tumbled = self._pad(action) != 0
            # A tumble forgets the heading: what is left is the noise alone, whose direction is uniform.
            kept = ~tumbled
            self.heading.mul_(kept)
            self.memory[-1].mul_(kept)
        elif options.actions == "turn6":
            self.heading = self._axes[:, self._pad(action) + 1]
        elif options.actions == "steer":
            self.heading = self._steered(self._axes[:, self._pad(action)])
        else:
            gradient = motion.normalise(self.field.gradient(self.position, self.tumours))
            self.heading = torch.where(self._pad(action) == 1, gradient, self.heading)
        self.heading.add_(normals, alpha=self._turn_noise)
        motion.normalise(self.heading)
        return tumbled

    def _steered(self, direction: Tensor) -> Tensor:
        return motion.turn_towards(self.heading, direction, self.options.turn_rate * self.options.dt)

    def _pad(self, action: Tensor) -> Tensor:
        if self.rows == self.n:
            return action
        return torch.cat([action, action.new_zeros(self.rows - self.n, *action.shape[1:])])

    def _move(self, normals: Tensor) -> Tensor:
        """Swim, drift and diffuse for dt; return which rows touched a wall or an obstacle [M]."""
        options = self.options
        before = self.position.clone() if len(self._spheres) else self.position
        if options.flow_peak:
            flow = motion.vessel_flow(self.position, options.vessel_radius, options.flow_peak)
            self.position[0].add_(flow, alpha=options.dt)
        if self._drift is not None:
            self.position.add_(self._drift)
        driven = self.heading
        if options.tumble_time:
            driven = self.heading * (self.memory[-1] >= options.tumble_time)
        self.position.add_(driven, alpha=options.speed * options.dt)
        self.position.add_(normals, alpha=self._jitter)
        contact = motion.reflect_box(self.position, options.wall)
        if len(self._spheres):
            contact |= motion.reflect_spheres(self.position, before, self._spheres, options.wall)
        return contact

    def _potential_at(self, true: Tensor) -> Tensor:
        """phi = beta (ln c - ln c_surface), at most 0, so that the end state's potential 0 is its continuation."""
        if not self.options.shaping:
            return torch.zeros_like(true)
        return (true + LOG_OFFSET).log_().sub_(self._surface).mul_(self.options.shaping)

    def _reward(self, hit: Tensor, contact: Tensor, true: Tensor) -> Tensor:
        options = self.options
        reward = hit * options.hit_reward
        reward.sub_(options.time_cost * options.dt)
        reward.sub_(contact * options.contact_cost)
        if options.shaping:
            # The end state has potential 0: otherwise shaping would change what is worth reaching.
            after = self._potential_at(true).mul_(~hit)
            reward.add_(after, alpha=options.shaping_discount).sub_(self.potential)
            self.potential = after
        return reward

    def _observation(self) -> Tensor:
        return self.memory[: self.observation_size, : self.n].T.contiguous()

    def cell(self, observation: Tensor) -> Tensor:
        """Return the cell [B] (int64, below 24) of each observation [B, F] (see `observations`)."""
        return self.observer.cell(observation)

    def gradient(self) -> Tensor:
        """Return the true direction of steepest concentration [n, 3] (unit vectors): what oracle policies know."""
        gradient = motion.normalise(self.field.gradient(self.position, self.tumours))
        return gradient[:, : self.n].T.contiguous()
