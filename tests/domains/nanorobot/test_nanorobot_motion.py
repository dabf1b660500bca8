"""Free diffusion, heading memory, persistent walks, reflection and turning, measured on the simulator."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.nanorobot import motion, physics
from domains.nanorobot.environment import NanorobotEnvironment
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.policies import RandomPolicy

CPU = torch.device("cpu")
# The tumour sits in a far corner: these robots meet nothing.
FREE = {"box": 5000.0, "tumour_positions": ((2300.0, 2300.0, 2300.0),), "start_min": 2000.0, "start_max": 3000.0}
RUN = 0


def free_robots(n: int, **values: object) -> NanorobotEnvironment:
    environment = NanorobotEnvironment(NanorobotOptions(**{**FREE, **values}), n, CPU)
    environment.reset(seed=11)
    return environment


def test_mean_square_displacement_and_heading_memory() -> None:
    environment = free_robots(10_016, speed=0.0)
    options, start, heading = environment.options, environment.position.clone(), environment.heading.clone()
    action = torch.full((environment.n,), RUN)
    for step in range(1, 101):
        environment.step(action)
        if step in (5, 10, 20, 35):
            cosine = float((heading * environment.heading).sum(0).mean())
            assert cosine == pytest.approx(math.exp(-2 * options.d_r * step * options.dt), rel=0.03)
    squared = float(((environment.position - start) ** 2).sum(0).mean())
    assert squared == pytest.approx(6 * options.d_t * 10, rel=0.03)
    assert float((environment.heading**2).sum(0).sub(1).abs().max()) < 1e-5


@pytest.mark.parametrize("tau", [1.0, None])
def test_effective_diffusion_of_a_persistent_walk(tau: float | None) -> None:
    environment = free_robots(16_000, dt=0.2, start_min=2500.0, start_max=5000.0)
    options, time = environment.options, 40.0
    burn, steps = 50, round(time / options.dt)
    policy = RandomPolicy(tau)
    observation = torch.zeros(environment.n, 4)
    for step in range(burn + steps):
        if step == burn:
            start = environment.position.clone()
        action = policy.act(observation, environment) if tau else torch.full((environment.n,), RUN)
        environment.step(action)
    # Only those that no wall is near to.
    inner = start.abs().amax(0) < 1500
    assert int(inner.sum()) > 4_000
    squared = float(((environment.position - start) ** 2).sum(0)[inner].mean())
    expected = physics.effective_diffusion(options.speed, options.d_t, options.d_r, tau or math.inf)
    memory = 1 / (2 * options.d_r + (1 / tau if tau else 0))
    # <dx^2> = 2 v^2 tau (t - tau (1 - exp(-t / tau))) + 6 D_t t, whose limit is 6 D_eff t.
    finite = 6 * expected * time - 2 * options.speed**2 * memory**2
    assert squared == pytest.approx(finite, rel=0.05)


def test_tumbles_give_uniform_headings() -> None:
    environment = free_robots(20_000)
    before = environment.heading.clone()
    environment.step(torch.ones(environment.n, dtype=torch.int64))
    assert float((environment.heading**2).sum(0).sub(1).abs().max()) < 1e-5
    assert environment.heading.mean(1).abs().max() < 0.02
    assert float((before * environment.heading).sum(0).mean()) == pytest.approx(0, abs=0.02)
    # A uniform direction has <e_z^2> = 1/3 and <e_z^4> = 1/5.
    assert float((environment.heading[2] ** 4).mean()) == pytest.approx(0.2, abs=0.01)


def test_a_tumble_can_cost_time() -> None:
    stopped, swimming = free_robots(64, tumble_time=0.1), free_robots(64)
    for environment, length in ((stopped, 0.0), (swimming, 2.5)):
        start = environment.position.clone()
        environment.step(torch.ones(64, dtype=torch.int64))
        moved = (environment.position - start).norm(dim=0)
        assert float(moved.mean()) == pytest.approx(length, abs=0.4)


def test_drift_and_vessel_flow_carry_robots() -> None:
    drifting = free_robots(4_000, speed=0.0, drift=(0.2, 0.0, -0.1))
    start = drifting.position.clone()
    for _ in range(100):
        drifting.step(torch.zeros(4_000, dtype=torch.int64))
    moved = (drifting.position - start).mean(1)
    assert moved.tolist() == pytest.approx([2.0, 0.0, -1.0], abs=0.15)
    place = torch.tensor([[0.0, 0.0, 0.0], [0.0, 5.0, 12.0], [0.0, 0.0, 0.0]])
    assert motion.vessel_flow(place, 10.0, 1000.0).tolist() == pytest.approx([1000.0, 750.0, 0.0])


coordinate = st.floats(-30, 30, width=32)
point = st.tuples(coordinate, coordinate, coordinate)
sphere = st.tuples(coordinate, coordinate, coordinate, st.floats(0.5, 12, width=32))


@settings(max_examples=300)
@given(before=point, step=point, spheres=st.lists(sphere, max_size=4), wall=st.floats(5, 25, width=32))
def test_reflection_keeps_robots_inside_the_box_and_outside_obstacles(before, step, spheres, wall) -> None:
    obstacles = torch.tensor(spheres).reshape(-1, 4)
    start = torch.tensor(before).clamp(-wall, wall).unsqueeze(1)
    if bool(motion.inside_spheres(start, obstacles).any()):
        return
    position = start + torch.tensor(step).unsqueeze(1)
    aimed = position.clone()
    touched = motion.reflect_box(position, wall)
    if len(obstacles):
        touched = touched | motion.reflect_spheres(position, start, obstacles, wall)
    assert bool((position.abs() <= wall).all())
    assert not bool(motion.inside_spheres(position, obstacles).any())
    assert bool(touched) == (not torch.equal(position, aimed))


def test_reflection_mirrors() -> None:
    position = torch.tensor([[9.5, 11.0], [0.0, -10.5], [3.0, 3.0]])
    touched = motion.reflect_box(position, 10.0)
    assert touched.tolist() == [False, True]
    assert position[:, 1].tolist() == [9.0, -9.5, 3.0]
    inside = torch.tensor([[4.0], [0.0], [0.0]])
    motion.reflect_spheres(inside, torch.tensor([[6.0], [0.0], [0.0]]), torch.tensor([[0.0, 0.0, 0.0, 5.0]]), 10.0)
    assert inside[:, 0].tolist() == pytest.approx([6.0, 0.0, 0.0])


def test_robots_stay_in_a_crowded_box() -> None:
    obstacles = ((30.0, 0.0, 0.0, 8.0), (0.0, 34.0, 0.0, 10.0), (-30.0, -5.0, 6.0, 9.0), (0.0, 0.0, -38.0, 7.0))
    options = NanorobotOptions(box=100, start_min=18, start_max=48, obstacles=obstacles, tumour_radius=12, duration=8)
    environment = NanorobotEnvironment(options, 256, CPU)
    environment.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    contacts = 0
    for _ in range(150):
        step = environment.step((torch.rand(256, generator=generator) < 0.1).to(torch.int64))
        contacts += int((step.reward[~step.terminated] < -0.03).sum())
        assert float(environment.position.abs().max()) <= options.wall
        assert not bool(motion.inside_spheres(environment.position, environment._spheres).any())
    assert contacts > 100


def test_steering_turns_at_most_by_the_turn_rate() -> None:
    heading = motion.normalise(torch.randn(3, 64, generator=torch.Generator().manual_seed(3)))
    wanted = motion.normalise(torch.randn(3, 64, generator=torch.Generator().manual_seed(4)))
    turned = motion.turn_towards(heading, 5 * wanted, 0.3)
    before, after = ((x * wanted).sum(0).clamp(-1, 1).arccos() for x in (heading, turned))
    between = (heading * turned).sum(0).clamp(-1, 1).arccos()
    assert float(between.max()) <= 0.3 + 1e-3
    far = before > 0.31
    assert torch.allclose(before[far] - after[far], torch.full_like(before[far], 0.3), atol=2e-3)
    assert float(after[~far].abs().max() if bool((~far).any()) else 0.0) < 2e-3
    assert torch.equal(motion.turn_towards(heading, torch.zeros_like(heading), 0.3), heading)
