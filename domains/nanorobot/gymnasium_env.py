"""Gymnasium's view of the simulator: `gymnasium.make` and `gymnasium.make_vec` of `sciRL/Nanorobot-v0`.

    import gymnasium, domains.nanorobot
    environment = gymnasium.make("sciRL/Nanorobot-v0", preset="strong", actions="steer")
    many = gymnasium.make_vec("sciRL/Nanorobot-v0", num_envs=512)

Both wrap `NanorobotEnvironment`. Row i of a vector environment that was reset with seed s is the single environment
that was reset with seed s + i, episode after episode: each episode's seed follows from that of the one before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from domains.nanorobot.environment import NanorobotEnvironment
from domains.nanorobot.noise import next_seed
from domains.nanorobot.options import NanorobotOptions
from sciRL.errors import UserError

Array = np.ndarray[Any, Any]


def _simulator(options: NanorobotOptions | None, fields: Mapping[str, Any], n: int) -> NanorobotEnvironment:
    if options is not None and fields:
        raise UserError(f"give either options or single fields; found both (options and {', '.join(sorted(fields))})")
    return NanorobotEnvironment(options or NanorobotOptions(**fields), n, torch.device("cpu"))


def _spaces(simulator: NanorobotEnvironment) -> tuple[spaces.Box, spaces.Space[Any]]:
    low, high = simulator.observer.bounds()
    observation = spaces.Box(np.array(low, dtype=np.float32), np.array(high, dtype=np.float32), dtype=np.float32)
    if simulator.options.actions == "steer":
        return observation, spaces.Box(-1.0, 1.0, (3,), dtype=np.float32)
    return observation, spaces.Discrete(simulator.n_actions)


def _action_tensor(action: Any, steer: bool) -> torch.Tensor:
    return torch.from_numpy(np.array(action, dtype=np.float32 if steer else np.int64))


class NanorobotEnv(gymnasium.Env[Array, Any]):
    """One search. Actions are those of the options, except that `steer` takes a direction, Box(3), to turn towards.

    `info` holds the true position in um, which is no part of the observation.

    Args:
        options: the simulation; or give its fields by name, as `gymnasium.make` does.
        render_mode: none is offered.
        **fields: fields of `NanorobotOptions`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - the base class declares it so

    def __init__(self, options: NanorobotOptions | None = None, render_mode: str | None = None, **fields: Any) -> None:
        if render_mode is not None:
            raise UserError(f"render_mode: none is offered; found {render_mode!r}")
        self.render_mode = None
        self.simulator = _simulator(options, fields, 1)
        self.observation_space, self.action_space = _spaces(self.simulator)
        self._seed: int | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin an episode: with the given seed, else with the seed that follows from the last episode's."""
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(1 << 62)) if self._seed is None else next_seed(self._seed)
        self._seed = seed
        observation = self.simulator.begin_seeds([seed], restart=False)
        return observation[0].numpy(), self._info()

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Apply an action for dt seconds."""
        step = self.simulator.step(_action_tensor(action, self.simulator.options.actions == "steer")[None])
        terminated, truncated = bool(step.terminated[0]), bool(step.truncated[0])
        return step.observation[0].numpy(), float(step.reward[0]), terminated, truncated, self._info()

    def _info(self) -> dict[str, Any]:
        return {"position": self.simulator.position[:, 0].numpy().copy()}


class NanorobotVectorEnv(VectorEnv[Array, Any, Array]):
    """Many searches as one set of tensors, with autoreset in the same step.

    Args:
        num_envs: number of robots.
        options: the simulation; or give its fields by name, as `gymnasium.make_vec` does.
        render_mode: none is offered.
        **fields: fields of `NanorobotOptions`.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        options: NanorobotOptions | None = None,
        render_mode: str | None = None,
        **fields: Any,
    ) -> None:
        if render_mode is not None:
            raise UserError(f"render_mode: none is offered; found {render_mode!r}")
        self.num_envs = num_envs
        self.simulator = _simulator(options, fields, num_envs)
        self.single_observation_space, self.single_action_space = _spaces(self.simulator)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._begun = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begin all episodes: row i with seed + i, with its own seed of a list, or with what follows its last seed."""
        super().reset(seed=seed if isinstance(seed, int) else None)
        given: list[int | None]
        if seed is None:
            given = [None] * self.num_envs
        elif isinstance(seed, int):
            given = [seed + row for row in range(self.num_envs)]
        else:
            given = list(seed)
            if len(given) != self.num_envs:
                raise UserError(f"seed: {self.num_envs} seeds are needed; found {len(given)}")
        if self._begun:
            following = [next_seed(old) for old in self.simulator.row_seeds()]
        else:
            following = [int(self.np_random.integers(1 << 62)) for _ in range(self.num_envs)]
        self._begun = True
        seeds = [new if own is None else own for own, new in zip(given, following, strict=True)]
        return self.simulator.begin_seeds(seeds).numpy(), self._info()

    def step(self, actions: Any) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Apply an action in each row; `info["final_obs"]` holds the last observation of episodes that ended."""
        step = self.simulator.step(_action_tensor(actions, self.simulator.options.actions == "steer"))
        info = self._info()
        done = step.done.numpy()
        if done.any():
            final = np.full(self.num_envs, None, dtype=object)
            for row in np.flatnonzero(done):
                final[row] = step.final_observation[row].numpy().copy()
            info |= {"final_obs": final, "_final_obs": done}
        return (
            step.observation.numpy(),
            step.reward.numpy().astype(np.float64),
            step.terminated.numpy().copy(),
            step.truncated.numpy().copy(),
            info,
        )

    def _info(self) -> dict[str, Any]:
        position = self.simulator.position[:, : self.num_envs].T.numpy().copy()
        return {"position": position, "_position": np.ones(self.num_envs, dtype=bool)}
