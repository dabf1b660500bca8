"""A tiny real control domain for tests of learners: a chain to walk along, and one bit to remember.

chain: states 0..4, actions 0 (left, stays at 0) and 1 (right); `right` in state 4 ends the episode with reward 1 and
leaves the observation of state 4. Episodes begin anywhere and are truncated after `limit` steps; `optimal_values` has
the exact values.
recall: the first observation shows a bit (as +1 or -1), the following ones nothing; the last of `limit` actions must be
that bit for reward 1, and every episode terminates there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from sciRL.domain import BuildReport, ControlDomain
from sciRL.environments.vector import Step
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import PerItemVerifier, Rubric, Stage

STATES = 5


class WalkOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    game: Literal["chain", "recall"] = "chain"
    limit: int = 12


def optimal_values(gamma: float) -> Tensor:
    """Value iteration [5, 2] on the chain without a time limit."""
    values = torch.zeros(STATES, 2, dtype=torch.float64)
    for _ in range(200):
        best = values.amax(1)
        left = gamma * best[torch.arange(STATES).sub(1).clamp(min=0)]
        right = gamma * best[torch.arange(STATES).add(1).clamp(max=STATES - 1)]
        right[-1] = 1.0
        values = torch.stack([left, right], 1)
    return values


class WalkEnvironment:
    """Both games; `place` is the state of the chain, or the bit to remember."""

    n_actions = 2
    n_cells = STATES

    def __init__(self, options: WalkOptions, n: int, device: torch.device) -> None:
        self.options, self.n, self.device = options, n, device
        self.chain = options.game == "chain"
        self.observation_size = STATES if self.chain else 2
        self.generator = torch.Generator().manual_seed(0)
        self.rows: list[torch.Generator] | None = None
        self.place = self.time = torch.zeros(n, dtype=torch.int64)
        self.alive = torch.ones(n, dtype=torch.bool)
        self.reward = torch.zeros(n)

    def reset(self, seed: int) -> Tensor:
        self.generator.manual_seed(seed)
        self.rows = None
        self.place, self.time = self._starts(), torch.zeros(self.n, dtype=torch.int64)
        self.alive = torch.ones(self.n, dtype=torch.bool)
        return self._observation()

    def begin(self, tasks: Sequence[Task], seeds: Sequence[int]) -> Tensor:
        self.reset(0)
        self.rows = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.place = torch.tensor([task.metadata["start"] for task in tasks])  # type: ignore[arg-type]
        self.reward = torch.zeros(self.n)
        return self._observation()

    def _starts(self) -> Tensor:
        return torch.randint(STATES if self.chain else 2, (self.n,), generator=self.generator)

    def _observation(self) -> Tensor:
        if self.chain:
            return torch.nn.functional.one_hot(self.place, STATES).float()
        first = (self.time == 0).float()
        return torch.stack([first * (2.0 * self.place - 1.0), first], 1)

    def step(self, action: Tensor) -> Step:
        place, self.time = self.place, self.time + 1
        late = self.time >= self.options.limit
        if self.chain:
            terminated = (place == STATES - 1) & (action == 1)
            reward = terminated.float()
            self.place = (place + 2 * action - 1).clamp(0, STATES - 1)
        else:
            terminated = late
            reward = (late & (action == place)).float()
        truncated = late & ~terminated
        final = self._observation()
        if self.rows is not None:
            self.reward += reward * self.alive
            self.alive = self.alive & ~(terminated | truncated)
            return Step(final, reward, terminated, truncated, final)
        done = terminated | truncated
        self.place = torch.where(done, self._starts(), self.place)
        self.time = torch.where(done, 0, self.time)
        return Step(self._observation(), reward, terminated, truncated, final)

    def cell(self, observation: Tensor) -> Tensor:
        return observation.argmax(1)

    def uniform(self) -> Tensor:
        if self.rows is None:
            return torch.rand(self.n, generator=self.generator)
        return torch.cat([torch.rand(1, generator=row) for row in self.rows])

    def running(self) -> Tensor:
        return self.alive.clone()

    def episodes(self) -> list[str]:
        return [json.dumps({"reward": reward}) for reward in self.reward.tolist()]

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place.clone(), "time": self.time.clone(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.place, self.time = state["place"].clone(), state["time"].clone()
        self.generator.set_state(state["generator"])


class Rewarded(PerItemVerifier):
    name = "rewarded"

    def verify_one(self, task: Task, answer: str) -> Score:
        return Score.ok(json.loads(answer)["reward"])


class OneAction:
    """The scripted policy that always takes one action."""

    def __init__(self, action: int) -> None:
        self.action = action

    def begin(self, environment: Any) -> None:
        pass

    def act(self, observation: Tensor, environment: Any) -> Tensor:
        return torch.full((len(observation),), self.action)


class WalkDomain(ControlDomain):
    name = "walk"
    title = "A walk along a chain"
    Options: ClassVar[type[BaseModel]] = WalkOptions  # type: ignore[misc]
    recipes = Path(__file__).parent

    def build(self, source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
        raise NotImplementedError("nothing is built")

    def check(self, folder: Path) -> list[str]:
        return []

    def tasks(self, data: Path, split: str, options: Any) -> Sequence[Task]:
        starts = STATES if options.game == "chain" else 2
        return [
            Task("walk", ({"role": "user", "content": f"walk {start}"},), metadata={"start": start})
            for start in range(starts)
        ]

    def rubric(self, data: Path | None, options: Any, preset: str | None = None) -> Rubric:
        return Rubric("rewarded", [Stage(Rewarded(), 1.0)])

    def default_data(self) -> Path:
        return Path(__file__).parent / "toy_data"

    def environment(self, data: Path, options: Any, n: int, device: torch.device) -> WalkEnvironment:
        return WalkEnvironment(options, n, device)

    def controllers(self, options: Any) -> Mapping[str, OneAction]:
        return {"left": OneAction(0), "right": OneAction(1)}


DOMAIN = WalkDomain()
