"""TransitionBuffer: n-step returns against a plain loop, uniform draws, exact states."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciRL.environments.vector import Step
from sciRL.learning.replay import TransitionBuffer

CPU = torch.device("cpu")


def filled(
    steps: int, rows: int, added: int, seed: int, end_share: float
) -> tuple[TransitionBuffer, list[list[float]]]:
    """A buffer whose observations are their own time and row, and the plain list of all that was added."""
    generator = torch.Generator().manual_seed(seed)
    buffer, plain = TransitionBuffer(steps, rows, 2, CPU), []
    for time in range(added):
        seen = torch.stack([torch.full((rows,), float(time)), torch.arange(rows).float()], 1)
        kind = torch.rand(rows, generator=generator)
        terminated, truncated = kind < end_share / 2, (kind >= end_share / 2) & (kind < end_share)
        reward = torch.rand(rows, generator=generator)
        step = Step(seen * 0 - 7, reward, terminated, truncated, seen + torch.tensor([0.5, 0.0]))
        buffer.add(seen, torch.full((rows,), time % 3), step)
        plain.append([reward.tolist(), terminated.tolist(), truncated.tolist()])
    return buffer, plain


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 20), st.integers(1, 5), st.sampled_from([0.0, 0.3, 1.0]))
def test_returns_equal_those_of_a_plain_loop(steps: int, rows: int, added: int, n_step: int, ends: float) -> None:
    buffer, plain = filled(steps, rows, added, added + 10 * steps, ends)
    if buffer.held < n_step:
        with pytest.raises(ValueError, match="the buffer holds"):
            buffer.draw(1, torch.Generator(), 0.9, n_step)
        return
    drawn = buffer.draw(30, torch.Generator().manual_seed(0), 0.9, n_step)
    for index in range(30):
        time, row = (int(value) for value in drawn.observation[index])
        assert max(0, added - steps) <= time <= added - n_step
        assert int(drawn.action[index]) == time % 3
        returned, k = 0.0, 0
        while True:
            reward, terminated, truncated = (column[row] for column in plain[time + k])
            returned += 0.9**k * reward
            k += 1
            if terminated or truncated or k == n_step:
                break
        assert float(drawn.returned[index]) == pytest.approx(returned, rel=1e-5)
        assert float(drawn.discount[index]) == pytest.approx(0.0 if terminated else 0.9**k)
        assert drawn.following[index].tolist() == [time + k - 0.5, row]


def test_draws_are_uniform_over_what_is_held() -> None:
    buffer, _ = filled(5, 2, 13, 0, 0.2)
    drawn = buffer.draw(10_000, torch.Generator().manual_seed(0), 0.9)
    cell = (drawn.observation[:, 0] - 8) * 2 + drawn.observation[:, 1]
    shares = torch.bincount(cell.long(), minlength=10) / 10_000
    assert len(buffer) == 10
    assert shares.tolist() == pytest.approx([0.1] * 10, abs=0.015)


@pytest.mark.parametrize("added", [3, 5, 12])
def test_a_restored_buffer_is_the_same(added: int) -> None:
    buffer, _ = filled(5, 2, added, 0, 0.2)
    restored = TransitionBuffer(5, 2, 2, CPU)
    restored.load_state_dict(buffer.state_dict())
    extra = torch.full((2, 2), 99.0)
    step = Step(extra, extra[:, 0], extra[:, 0] > 0, extra[:, 0] < 0, extra)
    for each in (buffer, restored):
        each.add(extra, torch.zeros(2, dtype=torch.int64), step)
    first, second = (each.draw(50, torch.Generator().manual_seed(1), 0.9) for each in (buffer, restored))
    assert all(torch.equal(tensor, vars(second)[name]) for name, tensor in vars(first).items())
