"""The Gymnasium classes: the checker, the vector class against single environments, and the batched simulator."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import domains.nanorobot
from domains.nanorobot.environment import NanorobotEnvironment
from domains.nanorobot.options import NanorobotOptions
from sciRL.errors import UserError

ID = domains.nanorobot.GYMNASIUM_ID
CLOSE: dict[str, Any] = {"duration": 2.0, "start_min": 17.0, "start_max": 25.0}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"actions": "steer", "observation": "spatial"},
    {"actions": "turn6", "observation": "oracle", "preset": "strong"},
]


def vector_pair(n: int, **values: Any) -> tuple[Any, SyncVectorEnv]:
    single = [lambda: gymnasium.make(ID, **values)] * n
    return gymnasium.make_vec(ID, num_envs=n, **values), SyncVectorEnv(single, autoreset_mode=AutoresetMode.SAME_STEP)


@pytest.mark.parametrize("values", VARIANTS)
def test_checker_accepts_the_environment(values: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(ID, **values).unwrapped)


@pytest.mark.parametrize("values", VARIANTS)
def test_vector_rows_are_the_single_environments(values: dict[str, Any]) -> None:
    many, single = vector_pair(3, **CLOSE, **values)
    assert many.single_observation_space == single.single_observation_space
    assert many.observation_space == single.observation_space
    assert many.action_space == single.action_space
    assert many.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert np.array_equal(many.reset(seed=5)[0], single.reset(seed=5)[0])
    many.action_space.seed(0)
    ended = 0
    for _ in range(70):
        action = many.action_space.sample()
        found, expected = many.step(action), single.step(action)
        for a, b in zip(found[:4], expected[:4], strict=True):
            assert np.array_equal(a, b)
            assert a.dtype == b.dtype
        assert found[0] in many.observation_space
        done = found[2] | found[3]
        for row in np.flatnonzero(done):
            assert np.array_equal(found[4]["final_obs"][row], expected[4]["final_obs"][row])
        ended += int(done.sum())
    assert ended >= 9
    assert np.array_equal(many.reset()[0], single.reset()[0])


def test_same_seed_same_trajectory_as_the_batched_simulator() -> None:
    options = NanorobotOptions(**CLOSE)
    batched = NanorobotEnvironment(options, 40, torch.device("cpu"))
    environment = gymnasium.make(ID, options=options)
    first = batched.begin_seeds(list(range(100, 140)))
    seen, _ = environment.reset(seed=117)
    assert np.array_equal(seen, first[17].numpy())
    for index in range(20):
        action = index % 2
        step = batched.step(torch.full((40,), action))
        seen, reward, terminated, truncated, _ = environment.step(action)
        assert np.array_equal(seen, step.final_observation[17].numpy())
        assert (reward, terminated, truncated) == (step.reward[17], step.terminated[17], step.truncated[17])
        if terminated or truncated:
            break


def test_observations_are_the_callers_to_keep() -> None:
    many, _ = vector_pair(2, **CLOSE)
    first, _ = many.reset(seed=0)
    kept = first.copy()
    second = many.step(np.array([0, 1]))[0]
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)
    second[:] = np.nan
    assert np.isfinite(many.step(np.array([0, 1]))[0]).all()


def test_wrong_arguments_are_named() -> None:
    with pytest.warns(UserWarning, match="render_modes"), pytest.raises(UserError, match="render_mode"):
        gymnasium.make(ID, render_mode="human")
    with pytest.raises(UserError, match="both"):
        gymnasium.make(ID, options=NanorobotOptions(), speed=3.0)
    many = gymnasium.make_vec(ID, num_envs=3)
    with pytest.raises(UserError, match="3 seeds"):
        many.reset(seed=[1, 2])


def test_batched_steps_are_ten_times_those_of_single_environments() -> None:
    single = SyncVectorEnv([lambda: gymnasium.make(ID)] * 64)
    batched = NanorobotEnvironment(NanorobotOptions(), 4096, torch.device("cpu"))
    single.reset(seed=0)
    batched.reset(0)
    actions, many = np.zeros(64, dtype=np.int64), torch.zeros(4096, dtype=torch.int64)
    ratios = []
    for _ in range(3):
        start = time.process_time()
        single.step(actions)
        middle = time.process_time()
        for _ in range(10):
            batched.step(many)
        end = time.process_time()
        ratios.append((10 * 4096 / (end - middle)) / (64 / (middle - start)))
    assert max(ratios) > 10


def test_import_is_light_and_registers() -> None:
    code = (
        "import sys, domains.nanorobot, gymnasium\n"
        "assert 'sciRL/Nanorobot-v0' in gymnasium.registry\n"
        "print(*[name for name in ('torch', 'scipy', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
