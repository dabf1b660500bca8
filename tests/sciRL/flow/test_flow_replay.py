"""The replay buffer."""

from __future__ import annotations

import torch
from flow_cases import generator

from sciRL.flow.replay import ReplayBuffer

CPU = torch.device("cpu")


def rows(first: int, last: int) -> torch.Tensor:
    return torch.arange(first, last).unsqueeze(1).repeat(1, 2)


def test_objects_are_kept_once_and_the_oldest_leave() -> None:
    buffer = ReplayBuffer(5, 2, CPU)
    assert buffer.add(rows(0, 3), torch.arange(3.0)) == 3
    assert buffer.add(torch.cat([rows(1, 4), rows(3, 4)]), torch.tensor([1.0, 2.0, 3.0, 3.0])) == 1
    assert len(buffer) == 4
    assert buffer.add(rows(4, 6), torch.tensor([4.0, 5.0])) == 2
    states, log_reward = buffer.draw(500, generator())
    assert set(states[:, 0].tolist()) == {1, 2, 3, 4, 5}  # 0 left
    assert torch.equal(states[:, 0].double(), log_reward)
    assert buffer.add(rows(0, 1), torch.zeros(1)) == 1  # and may come back
    assert buffer.add(rows(10, 30), torch.arange(10.0, 30.0)) == 5
    assert len(buffer) == 5


def test_keys_tell_permuted_and_shifted_states_apart() -> None:
    buffer = ReplayBuffer(100_000, 3, CPU)
    grid = torch.cartesian_prod(*[torch.arange(-1, 30)] * 3)
    assert buffer.add(grid, torch.zeros(len(grid))) == 31**3


def test_prioritised_draw_takes_half_from_the_best_tenth() -> None:
    buffer = ReplayBuffer(100, 2, CPU, "reward")
    order = torch.randperm(100, generator=generator(1))
    buffer.add(rows(0, 100)[order], order.double())
    _, log_reward = buffer.draw(2000, generator())
    assert int((log_reward >= 90).sum()) == 1000
    assert set(log_reward.tolist()) == set(range(100))
    _, uniform = ReplayBuffer.draw(copied(buffer, "uniform"), 2000, generator())
    assert abs(int((uniform >= 90).sum()) - 200) < 60


def copied(buffer: ReplayBuffer, priority: str) -> ReplayBuffer:
    other = ReplayBuffer(buffer.capacity, 2, CPU, priority)  # type: ignore[arg-type]
    other.load_state_dict(buffer.state_dict())
    return other


def test_restored_buffer_draws_and_forgets_alike() -> None:
    buffer = ReplayBuffer(8, 2, CPU, "reward")
    buffer.add(rows(0, 11), torch.arange(11.0))
    other = copied(buffer, "reward")
    for one in (buffer, other):
        assert one.add(rows(9, 14), torch.arange(9.0, 14.0)) == 3
    drawn = [one.draw(50, generator(4))[0] for one in (buffer, other)]
    assert torch.equal(drawn[0], drawn[1])


def test_a_buffer_of_one_object_can_be_drawn_from() -> None:
    for priority in ("uniform", "reward"):
        buffer = ReplayBuffer(4, 2, CPU, priority)  # type: ignore[arg-type]
        buffer.add(rows(7, 8), torch.zeros(1))
        assert buffer.draw(6, generator())[0].tolist() == [[7, 7]] * 6
