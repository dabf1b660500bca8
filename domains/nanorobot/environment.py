"""NanorobotEnvironment: many robots that search for tumours at once, as a `VectorEnvironment`.

    environment = NanorobotEnvironment(NanorobotOptions(), n=4096, device=torch.device("cpu"))
    observation = environment.reset(seed=0)                        # [4096, 4]: fast, slow, fast - slow, time since tumble
    step = environment.step(torch.zeros(4096, dtype=torch.int64))  # everyone runs for dt seconds

State tensors are component-first ([3, M]) and padded to M rows (see `noise`); what leaves the environment is [n, F].
The observation is not the state: no robot knows where it is, so a policy without memory acts on a partial view.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from domains.nanorobot import motion
from domains.nanorobot.field import make_field, squared_distances
from domains.nanorobot.noise import RowNoise, SharedNoise, next_seeds, padded, seed_tensor
from domains.nanorobot.observations import N_CELLS, observer
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.physics import heading_noise
from domains.nanorobot.recorder import Recorder
from domains.nanorobot.sensor import LOG_OFFSET
from domains.nanorobot.starts import Starts, draw_starts, obstacle_tensor
from sciRL.environments.vector import Step
from sciRL.errors import UserError
from sciRL.task import Task

AXES = ((0, 1, -1, 0, 0, 0, 0), (0, 0, 0, 1, -1, 0, 0), (0, 0, 0, 0, 0, 1, -1))
"""Components of no direction and of the six directions along the axes."""
N_ACTIONS = {"run_tumble": 2, "turn6": 6, "steer": 7, "scripted": 2}
BANK = 1024
"""Start conditions drawn at once during training."""
POLICY_STEP = 1 << 40
"""Counters of row noise from here on belong to policies."""


class NanorobotEnvironment:
    """n searches by independent robots.

    Args:
        options: field, body, sensor, actions, observation and reward.
        n: number of robots.
        device: where tensors live.

    Raises:
        UserError: a preset with another environment, or n below 1.
    """

    def __init__(self, options: NanorobotOptions, n: int, device: torch.device) -> None:
        if options.preset == "kavousinejad2024":
            raise UserError("preset=kavousinejad2024 is another environment: use domains.nanorobot.make_environment")
        if n < 1:
            raise UserError(f"n: a nanorobot environment needs at least 1 row; found {n}")
        self.options, self.n, self.device = options, n, device
        self.rows = padded(n)
        self.field = make_field(options, device)
        self.observer = observer(options, self.field, device)
        self.observation_size = self.observer.size
        self.n_actions = N_ACTIONS[options.actions]
        self.n_cells = N_CELLS
        self._axes = torch.tensor(AXES, dtype=torch.float32, device=device)
        self._spheres = obstacle_tensor(options, device)
        self._turn_noise = heading_noise(options.d_r, options.dt)
        self._jitter = math.sqrt(2 * options.d_t * options.dt)
        self._drift = torch.tensor(options.drift, device=device).unsqueeze(1) * options.dt if any(options.drift) else None
        self._hit_squared = options.hit_distance**2
        self._surface = math.log(self.field.largest + LOG_OFFSET)
        # Six normals for motion and turning, then those of the sensor; an even number, as `RowNoise` makes pairs.
        self._normals = torch.empty(6 + self.observer.normals + self.observer.normals % 2, self.rows, device=device)
        self._shared: SharedNoise | None = None
        self._row_noise: RowNoise | None = None
        self._seeds = torch.zeros(self.rows, dtype=torch.int64, device=device)
        self._recorder: Recorder | None = None
        self._bank: dict[str, Tensor] = {}
        self._bank_used = 0
        self._begun = False
        self._ended_hit = self._ended_late = torch.zeros(self.rows, dtype=torch.bool, device=device)

    # ------------------------------------------------------------------------------------------------ beginning

    def reset(self, seed: int) -> Tensor:
        """Begin n fresh episodes from a seed and return their observations [n, F]; one generator serves all rows."""
        self._shared, self._row_noise, self._recorder = SharedNoise(seed, self.device), None, None
        self._bank = {}
        self._install(self._fresh(self.rows))
        return self._observation()

    def begin(self, tasks: Sequence[Task], seeds: Sequence[int]) -> Tensor:
        """Begin the episodes of n tasks, row i drawn from seed i alone, record them, and return observations [n, F].

        Raises:
            UserError: another number of tasks or seeds than n, or a task made for other options.
        """
        from domains.nanorobot.scenario import starts_of

        if len(tasks) != self.n or len(seeds) != self.n:
            raise UserError(f"begin: {self.n} tasks and seeds are needed; found {len(tasks)} and {len(seeds)}")
        starts = starts_of(tasks, self.options, self.rows, self.device)
        observation = self._begin_rows(seeds, starts)
        self._ended_hit = self._ended_late = torch.zeros_like(self._running)
        self._recorder = Recorder(self.options, seeds, self.position)
        return observation

    def begin_seeds(self, seeds: Sequence[int]) -> Tensor:
        """Begin n episodes, row i with start and noise from seed i alone; rows that end go on with their next seed.

        This is how the Gymnasium classes use the simulator. Returns observations [n, F].
        """
        if len(seeds) != self.n:
            raise UserError(f"begin_seeds: {self.n} seeds are needed; found {len(seeds)}")
        return self._begin_rows(seeds, None)

    def reseed(self, row: int, seed: int) -> Tensor:
        """Begin row `row` anew from a seed (after `begin_seeds`) and return all observations [n, F]."""
        assert self._row_noise is not None, "reseed needs begin_seeds first"
        self._restart_rows(torch.tensor([row], device=self.device), seed_tensor([seed], self.device))
        return self._observation()

    def _begin_rows(self, seeds: Sequence[int], starts: Starts | None) -> Tensor:
        self._shared, self._recorder, self._bank = None, None, {}
        self._seeds = seed_tensor(seeds, self.device)
        self._row_noise = RowNoise(self._seeds)
        self._install(self._fresh(self.rows, self._row_noise, starts))
        return self._observation()

    def _fresh(self, rows: int, noise: RowNoise | None = None, starts: Starts | None = None) -> dict[str, Tensor]:
        """Return the state of `rows` new episodes, drawn from row noise or, without it, from the shared generator."""
        source = noise if noise is not None else self._shared
        if source is None:
            raise UserError("the environment has not begun: call reset(seed) or begin(tasks, seeds) first")
        if starts is None:
            starts = draw_starts(self.options, source, rows, self.device)
        normals = torch.empty(self._normals.shape[0], rows, device=self.device)
        source.fill(normals, torch.full((rows,), -1, dtype=torch.int64, device=self.device))
        squared = squared_distances(starts.position, starts.tumours)
        true = self.field.concentration(starts.position, squared)
        memory = self.observer.first(starts, true, normals[6:])
        return {
            "position": starts.position,
            "heading": starts.heading,
            "tumours": starts.tumours,
            "memory": memory,
            "potential": self._potential(true),
            "steps": torch.zeros(rows, dtype=torch.int64, device=self.device),
            "running": torch.ones(rows, dtype=torch.bool, device=self.device),
        }

    def _install(self, state: dict[str, Tensor]) -> None:
        self.position, self.heading, self.tumours = state["position"], state["heading"], state["tumours"]
        self.memory, self._potentials = state["memory"], state["potential"]
        self.steps, self._running = state["steps"], state["running"]
        self._begun = True

    # ------------------------------------------------------------------------------------------------- stepping

    def step(self, action: Tensor) -> Step:
        """Apply one action in each row: int64 [n], or, with actions=steer, also directions [n, 3] (float).

        After `reset`, rows that end begin anew in the same step; after `begin` they stay as they ended, with reward 0
        and the flag of their end.
        """
        held = self._snapshot() if self._recorder is not None else None
        source = self._row_noise or self._shared
        assert source is not None, "step before reset or begin"
        normals = source.fill(self._normals, self.steps)
        tumbled = self._turn(action, normals[3:6])
        contact = self._move(normals[:3])
        squared = squared_distances(self.position, self.tumours)
        touching = squared < self._hit_squared
        hit = touching[0] if len(touching) == 1 else touching.any(0)
        true = self.field.concentration(self.position, squared)
        self.observer.update(self.memory, Starts(self.position, self.heading, self.tumours), true, normals[6:])
        self.steps += 1
        truncated = (self.steps >= self.options.steps) & ~hit
        reward = self._reward(hit, contact, true)
        if held is not None:
            reward = self._hold(held, reward, hit, truncated, tumbled, touching)
            hit, truncated = self._ended_hit, self._ended_late
            observation = final = self._observation()
        else:
            final = self._observation()
            observation = self._restart(hit | truncated, final)
        n = self.n
        return Step(observation, reward[:n], hit[:n].clone(), truncated[:n].clone(), final)

    def _turn(self, action: Tensor, normals: Tensor) -> Tensor | None:
        """Turn the headings; return where a tumble took place [M] (None for action sets without tumbles)."""
        kind = self.options.actions
        tumbled = None
        if action.dtype.is_floating_point:
            if kind != "steer" or action.shape != (self.n, 3):
                raise UserError(f"directions [{self.n}, 3] need actions=steer; found actions={kind}, {tuple(action.shape)}")
            self.heading = self._steered(self._pad(action).to(torch.float32).T.contiguous())
        elif action.shape != (self.n,):
            raise UserError(f"an action for each of {self.n} rows is needed; found shape {tuple(action.shape)}")
        elif kind == "run_tumble":
            tumbled = self._pad(action) != 0
            # A tumble forgets the heading: what is left is the noise alone, whose direction is uniform.
            kept = ~tumbled
            self.heading.mul_(kept)
            self.memory[-1].mul_(kept)
        elif kind == "turn6":
            self.heading = self._axes[:, self._pad(action) + 1]
        elif kind == "steer":
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

    def _potential(self, true: Tensor) -> Tensor:
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
            after = self._potential(true).mul_(~hit)
            reward.add_(after, alpha=options.shaping_discount).sub_(self._potentials)
            self._potentials = after
        return reward

    # --------------------------------------------------------------------------------------------- ends of rows

    def _snapshot(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self._state().items()}

    def _state(self) -> dict[str, Tensor]:
        return {
            "position": self.position,
            "heading": self.heading,
            "tumours": self.tumours,
            "memory": self.memory,
            "potential": self._potentials,
            "steps": self.steps,
            "running": self._running,
        }

    def _hold(
        self,
        held: dict[str, Tensor],
        reward: Tensor,
        hit: Tensor,
        truncated: Tensor,
        tumbled: Tensor | None,
        touching: Tensor,
    ) -> Tensor:
        """Put rows that had ended back as they were, record the others, and return the rewards."""
        assert self._recorder is not None
        running = held["running"]
        state = {name: torch.where(running, new, held[name]) for name, new in self._state().items()}
        turned = tumbled if tumbled is not None else torch.zeros_like(running)
        self._recorder.add(state["position"], running, turned, touching)
        self._ended_hit = torch.where(running, hit, self._ended_hit)
        self._ended_late = torch.where(running, truncated, self._ended_late)
        state["running"] = running & ~(hit | truncated)
        self._install(state)
        return torch.where(running, reward, 0.0)

    def _restart(self, done: Tensor, final: Tensor) -> Tensor:
        """Begin rows anew that ended and return the observations; without any such row `final` itself."""
        rows = done.nonzero().squeeze(1)
        count = len(rows)
        if not count:
            return final
        if self._row_noise is not None:
            self._restart_rows(rows, next_seeds(self._seeds[rows]))
            return self._observation()
        if not self._bank or self._bank["steps"].shape[0] - self._bank_used < count:
            # A block at once: drawing starts costs more in calls than in numbers.
            self._bank, self._bank_used = self._fresh(max(BANK, padded(count))), 0
        used = slice(self._bank_used, self._bank_used + count)
        self._bank_used += count
        for name, tensor in self._state().items():
            tensor.index_copy_(-1, rows, self._bank[name][..., used])
        return self._observation()

    def _restart_rows(self, rows: Tensor, seeds: Tensor) -> None:
        assert self._row_noise is not None
        count = len(rows)
        seeds = seeds[:count]
        filled = torch.cat([seeds, seeds[-1:].expand(padded(count) - count)])
        noise = RowNoise(filled)
        fresh = self._fresh(len(filled), noise)
        for name, tensor in self._state().items():
            tensor.index_copy_(-1, rows, fresh[name][..., :count])
        self._seeds[rows] = seeds
        self._row_noise.keys[rows] = noise.keys[:count]

    # -------------------------------------------------------------------------------------------------- reading

    def _observation(self) -> Tensor:
        return self.memory[: self.observation_size, : self.n].T.contiguous()

    def cell(self, observation: Tensor) -> Tensor:
        """Return the cell [B] (int64, below 24) of each observation [B, F] (see `observations`)."""
        return self.observer.cell(observation)

    def running(self) -> Tensor:
        """[n] bool: rows begun by `begin` that have not ended (after `reset`: all)."""
        return self._running[: self.n].clone()

    def episodes(self) -> list[str]:
        """Return the record of each episode since `begin` as JSON text (see `recorder`)."""
        if self._recorder is None:
            raise UserError("episodes are recorded after begin(tasks, seeds) only")
        return self._recorder.episodes()

    def uniform(self) -> Tensor:
        """Return one uniform number [n] per row for a policy's choice in the coming step, from the rows' own noise."""
        source = self._row_noise or self._shared
        assert source is not None, "uniform before reset or begin"
        normals = torch.empty(2, self.rows, device=self.device)
        return torch.special.ndtr(source.fill(normals, self.steps + POLICY_STEP)[0, : self.n])

    def gradient(self) -> Tensor:
        """Return the true direction of steepest concentration [n, 3] (unit vectors): what oracle policies know."""
        gradient = motion.normalise(self.field.gradient(self.position, self.tumours))
        return gradient[:, : self.n].T.contiguous()

    # -------------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides what follows; recorded episodes (after `begin`) cannot be saved."""
        if self._recorder is not None:
            raise UserError("a nanorobot environment cannot be saved during recorded episodes")
        return {
            "rows": self._snapshot() if self._begun else {},
            "seeds": self._seeds.clone(),
            "own_noise": self._row_noise is not None,
            "shared": self._shared.state_dict() if self._shared is not None else None,
            "bank": {name: tensor.clone() for name, tensor in self._bank.items()},
            "bank_used": self._bank_used,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._recorder = None
        if state["rows"]:
            self._install({name: tensor.clone() for name, tensor in state["rows"].items()})
        self._seeds = state["seeds"].clone()
        self._row_noise = RowNoise(self._seeds) if state["own_noise"] else None
        self._shared = None
        if state["shared"] is not None:
            self._shared = SharedNoise(0, self.device)
            self._shared.load_state_dict(state["shared"])
        self._bank = {name: tensor.clone() for name, tensor in state["bank"].items()}
        self._bank_used = state["bank_used"]
