"""Lifecycle: the part of a search environment that is not physics - seeds, ends of rows, records and saving.

Three ways to begin, which differ in where chance comes from and what happens to a row that ends:

=============  =============================  ==================================
begun by       chance                         a row that ends
=============  =============================  ==================================
`reset`        one generator for all rows     begins anew in the same step
`begin`        each row's own seed, recorded  stays as it ended
`begin_seeds`  each row's own seed            begins anew with its next seed
=============  =============================  ==================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from domains.nanorobot.noise import Noise, RowNoise, SharedNoise, next_seeds, padded, seed_tensor
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.recorder import Recorder
from domains.nanorobot.starts import Starts
from sciRL.environments.vector import Step
from sciRL.errors import UserError
from sciRL.task import Task

BANK = 1024
"""Fresh episodes drawn at once during training: drawing costs more in calls than in numbers."""
POLICY_STEP = 1 << 40
"""Counters of row noise from here on belong to policies."""


@dataclass
class Outcome:
    """What one step did to M rows.

    Attributes:
        reward: [M] float32.
        truncated: [M] bool, out of time without a hit.
        touching: [K, M] bool, which tumours are reached.
        tumbled: [M] bool, or None where actions know no tumble.
    """

    reward: Tensor
    truncated: Tensor
    touching: Tensor
    tumbled: Tensor | None = None

    @property
    def hit(self) -> Tensor:
        """[M] bool: some tumour is reached."""
        return self.touching[0] if len(self.touching) == 1 else self.touching.any(0)


class SearchLifecycle(ABC):
    """Base of the search environments: n rows in use, padded to `rows` (see `noise`).

    Args:
        options: the simulation.
        n: number of rows.
        device: where tensors live.
        normals: standard normals per row and step.

    Raises:
        UserError: n below 1.
    """

    STATE: ClassVar[tuple[str, ...]]
    """Attributes that are the rows' state: tensors with the rows last; `position`, `steps` and `alive` among them."""
    position: Tensor
    steps: Tensor
    alive: Tensor

    def __init__(self, options: NanorobotOptions, n: int, device: torch.device, normals: int) -> None:
        if n < 1:
            raise UserError(f"n: a nanorobot environment needs at least 1 row; found {n}")
        self.options, self.n, self.device = options, n, device
        self.rows = padded(n)
        # `RowNoise` makes normals in pairs.
        self._normals = torch.empty(normals + normals % 2, self.rows, device=device)
        self._noise: SharedNoise | RowNoise | None = None
        self._seeds = torch.zeros(self.rows, dtype=torch.int64, device=device)
        self._recorder: Recorder | None = None
        self._ended_hit = self._ended_late = torch.zeros(self.rows, dtype=torch.bool, device=device)
        self._bank: dict[str, Tensor] = {}
        self._bank_used = 0
        self._restarts = True

    @abstractmethod
    def _fresh(self, rows: int, noise: Noise, starts: Starts | None) -> dict[str, Tensor]:
        """Return the state of new episodes in `rows` rows, at given starts or at drawn ones."""

    @abstractmethod
    def _advance(self, action: Tensor, normals: Tensor) -> Outcome:
        """Advance every row by one step, in place."""

    @abstractmethod
    def _observation(self) -> Tensor:
        """Return the observations [n, F] in new memory."""

    @abstractmethod
    def _starts_of(self, tasks: Sequence[Task]) -> Starts:
        """Return the padded start conditions of tasks."""

    def reset(self, seed: int) -> Tensor:
        """Begin n fresh episodes from a seed and return their observations [n, F]."""
        return self._start_all(SharedNoise(seed, self.device), None)

    def begin(self, tasks: Sequence[Task], seeds: Sequence[int]) -> Tensor:
        """Begin the episodes of n tasks, row i drawn from seed i alone, record them, and return observations [n, F].

        Raises:
            UserError: another number of tasks or seeds than n, or a task made for other options.
        """
        if len(tasks) != self.n or len(seeds) != self.n:
            raise UserError(f"begin: {self.n} tasks and seeds are needed; found {len(tasks)} and {len(seeds)}")
        starts = self._starts_of(tasks)
        self._seeds = seed_tensor(seeds, self.device)
        observation = self._start_all(RowNoise(self._seeds), starts)
        self._recorder = Recorder(self.options, seeds, self.position)
        return observation

    def begin_seeds(self, seeds: Sequence[int], restart: bool = True) -> Tensor:
        """Begin n episodes, row i with start and noise from seed i alone, and return observations [n, F].

        This is how the Gymnasium classes use the simulator.

        Args:
            seeds: of the n rows.
            restart: whether a row that ends begins anew in the same step; else the caller begins again.
        """
        if len(seeds) != self.n:
            raise UserError(f"begin_seeds: {self.n} seeds are needed; found {len(seeds)}")
        self._seeds = seed_tensor(seeds, self.device)
        observation = self._start_all(RowNoise(self._seeds), None)
        self._restarts = restart
        return observation

    def row_seeds(self) -> list[int]:
        """Return the seed of each row's present episode (after `begin` or `begin_seeds`)."""
        return [int(seed) for seed in self._seeds[: self.n]]

    def _start_all(self, noise: SharedNoise | RowNoise, starts: Starts | None) -> Tensor:
        self._noise, self._recorder, self._bank, self._restarts = noise, None, {}, True
        self._ended_hit = self._ended_late = torch.zeros(self.rows, dtype=torch.bool, device=self.device)
        self._install(self._fresh(self.rows, noise, starts))
        return self._observation()

    def _install(self, state: dict[str, Tensor]) -> None:
        for name in self.STATE:
            setattr(self, name, state[name])

    def _state(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self.STATE}

    def _source(self) -> SharedNoise | RowNoise:
        if self._noise is None:
            raise UserError("the environment has not begun: call reset(seed) or begin(tasks, seeds) first")
        return self._noise

    def step(self, action: Tensor) -> Step:
        """Apply one action in each row.

        After `begin`, rows that have ended stay as they ended, with reward 0 and the flag of their end.
        """
        normals = self._source().fill(self._normals, self.steps)
        if self._recorder is not None:
            return self._recorded_step(self._recorder, action, normals)
        outcome = self._advance(action, normals)
        final = self._observation()
        hit, n = outcome.hit, self.n
        observation = self._restart(hit | outcome.truncated, final) if self._restarts else final
        return Step(observation, outcome.reward[:n], hit[:n], outcome.truncated[:n], final)

    def _recorded_step(self, recorder: Recorder, action: Tensor, normals: Tensor) -> Step:
        held = {name: tensor.clone() for name, tensor in self._state().items()}
        alive, n = self.alive.clone(), self.n
        outcome = self._advance(action, normals)
        state = {name: torch.where(alive, new, held[name]) for name, new in self._state().items()}
        recorder.add(state["position"], alive, outcome.tumbled, outcome.touching)
        self._ended_hit = torch.where(alive, outcome.hit, self._ended_hit)
        self._ended_late = torch.where(alive, outcome.truncated, self._ended_late)
        state["alive"] = alive & ~(outcome.hit | outcome.truncated)
        self._install(state)
        observation = self._observation()
        reward = torch.where(alive, outcome.reward, 0.0)
        return Step(observation, reward[:n], self._ended_hit[:n], self._ended_late[:n], observation)

    def _restart(self, done: Tensor, final: Tensor) -> Tensor:
        """Begin rows anew that ended and return the observations; without any such row `final` itself."""
        rows = done.nonzero().squeeze(1)
        count = len(rows)
        if not count:
            return final
        if isinstance(self._noise, RowNoise):
            self._restart_rows(self._noise, rows, next_seeds(self._seeds[rows]))
            return self._observation()
        if not self._bank or self._bank["steps"].shape[0] - self._bank_used < count:
            self._bank, self._bank_used = self._fresh(max(BANK, padded(count)), self._source(), None), 0
        used = slice(self._bank_used, self._bank_used + count)
        self._bank_used += count
        for name, tensor in self._state().items():
            tensor.index_copy_(-1, rows, self._bank[name][..., used])
        return self._observation()

    def _restart_rows(self, noise: RowNoise, rows: Tensor, seeds: Tensor) -> None:
        count = len(rows)
        own = RowNoise(torch.cat([seeds, seeds[-1:].expand(padded(count) - count)]))
        fresh = self._fresh(padded(count), own, None)
        for name, tensor in self._state().items():
            tensor.index_copy_(-1, rows, fresh[name][..., :count])
        self._seeds[rows] = seeds
        noise.keys[rows] = own.keys[:count]

    def running(self) -> Tensor:
        """[n] bool: rows begun by `begin` that have not ended (otherwise: all)."""
        return self.alive[: self.n].clone()

    def episodes(self) -> list[str]:
        """Return the record of each episode since `begin` as JSON text (see `recorder`)."""
        if self._recorder is None:
            raise UserError("episodes are recorded after begin(tasks, seeds) only")
        return self._recorder.episodes()

    def uniform(self) -> Tensor:
        """Return one uniform number [n] per row for a policy's choice in the coming step, from the rows' own noise."""
        normals = torch.empty(2, self.rows, device=self.device)
        return torch.special.ndtr(self._source().fill(normals, self.steps + POLICY_STEP)[0])[: self.n]

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides what follows.

        Raises:
            UserError: during recorded episodes (after `begin`), whose paths are not kept.
        """
        if self._recorder is not None:
            raise UserError("a nanorobot environment cannot be saved during recorded episodes")
        return {
            "begun": self._noise is not None,
            "rows": {name: tensor.clone() for name, tensor in self._state().items()} if self._noise is not None else {},
            "seeds": self._seeds.clone(),
            "restarts": self._restarts,
            "generator": self._noise.state() if isinstance(self._noise, SharedNoise) else None,
            "bank": {name: tensor.clone() for name, tensor in self._bank.items()},
            "bank_used": self._bank_used,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; its tensors may be on another device (those of a file are on the CPU)."""

        def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor.to(self.device, copy=True) for name, tensor in tensors.items()}

        self._recorder, self._noise = None, None
        self._seeds = state["seeds"].to(self.device, copy=True)
        if state["begun"]:
            self._install(copied(state["rows"]))
            if state["generator"] is None:
                self._noise = RowNoise(self._seeds)
            else:
                self._noise = SharedNoise(0, self.device)
                self._noise.set_state(state["generator"])
        self._bank = copied(state["bank"])
        self._bank_used = state["bank_used"]
        self._restarts = state["restarts"]
