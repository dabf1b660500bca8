"""Hypergrids: sums of rewards, modes, moves."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domains.gflownet.hypergrid import LEVELS, Hypergrid
from sciRL.errors import UserError
from sciRL.flow.exact import log_partition


@pytest.mark.parametrize(
    ("dimensions", "side", "total", "log_total", "modes"),
    [(2, 8, 22.4, 3.109061, 4), (2, 16, 65.6, 4.183576, 4), (4, 8, 569.6, 6.344934, 16)],
)
def test_sums_of_rewards_and_mode_cells(dimensions: int, side: int, total: float, log_total: float, modes: int) -> None:
    grid = Hypergrid(dimensions, side)
    cells = grid.enumerate()
    assert cells is not None
    reward = grid.log_reward(cells).exp()
    assert float(reward.sum()) == pytest.approx(total, abs=1e-9)
    assert log_partition(grid) == pytest.approx(log_total, abs=5e-7)
    assert int((grid.mode_of(cells) >= 0).sum()) == modes == grid.n_modes
    assert torch.equal(grid.mode_of(cells) >= 0, reward >= 2.6 - 1e-9)


def test_rewards_of_the_three_by_three_grid() -> None:
    grid = Hypergrid(2, 3)
    reward = grid.log_reward(grid.enumerate()).exp().view(3, 3)
    corners = torch.tensor([[0.6, 0.1, 0.6], [0.1, 0.1, 0.1], [0.6, 0.1, 0.6]], dtype=torch.float64)
    torch.testing.assert_close(reward, corners)
    assert grid.n_modes == 0


def test_band_is_strict_where_rounding_could_decide() -> None:
    # H = 11: a = 0.4 at cells 1 and 9, 0.3 at 2 and 8; neither is inside, so there are no modes.
    grid = Hypergrid(2, 11)
    assert grid.n_modes == 0
    assert float(grid.log_reward(grid.enumerate()).exp().max()) == pytest.approx(0.6)
    # H = 20: a = 0.395 and 0.342, boxes of 2 x 2 cells at the four corners.
    wide = Hypergrid(2, 20)
    assert int((wide.mode_of(wide.enumerate()) >= 0).sum()) == 16
    assert wide.n_modes == 4


def test_deceptive_reward_hides_the_modes_behind_a_poor_plateau() -> None:
    grid = Hypergrid(2, 16, "deceptive")
    reward = grid.log_reward(grid.enumerate()).exp().view(16, 16)
    assert float(reward[0, 0]) == pytest.approx(1e-5)
    assert float(reward[7, 0]) == pytest.approx(0.1 + 1e-5)
    assert float(reward[2, 13]) == pytest.approx(2.0 + 1e-5)
    assert grid.n_modes == 4


def test_cosine_reward_of_single_cells() -> None:
    grid = Hypergrid(2, 8, "cosine")
    factor = [(math.cos(50 * a) + 1) * math.exp(-12.5 * a * a) / math.sqrt(2 * math.pi) for a in (0.5, 0.5 - 1 / 7)]
    found = grid.log_reward(torch.tensor([[0, 0], [0, 1]])).exp().tolist()
    assert found == pytest.approx([0.1 + 0.5 * factor[0] ** 2, 0.1 + 0.5 * factor[0] * factor[1]])
    best = grid.log_reward(grid.enumerate()).argmax()
    assert int(grid.mode_of(grid.enumerate()[best].unsqueeze(0))) >= 0
    assert grid.n_modes == 4
    assert Hypergrid(2, 9, "cosine").n_modes == 1  # the centre cell


def test_sparse_reward_is_one_at_its_targets_and_almost_nothing_elsewhere() -> None:
    grid = Hypergrid(3, 6, "sparse")
    reward = grid.log_reward(grid.enumerate()).exp()
    assert int((reward > 0.5).sum()) == 2**3 - 1 == grid.n_modes
    assert float(reward.max()) == pytest.approx(1.0)
    assert float(reward.min()) == pytest.approx(1e-12, rel=1e-6)
    assert float(grid.log_reward(torch.tensor([[1, 1, 1]])).exp()) == pytest.approx(1e-12, rel=1e-6)


@given(
    dimensions=st.integers(1, 4),
    side=st.integers(4, 9),
    reward=st.sampled_from(sorted(LEVELS)),
    seed=st.integers(0, 1000),
)
def test_moves_are_undone_and_redone(dimensions: int, side: int, reward: str, seed: int) -> None:
    grid = Hypergrid(dimensions, side, reward)  # type: ignore[arg-type]
    random = torch.Generator().manual_seed(seed)
    states = torch.randint(side, (20, dimensions), generator=random)
    assert bool(torch.isfinite(grid.log_reward(states)).all())
    assert torch.equal(grid.enumerate()[grid.index(states)], states)
    assert torch.equal(grid.read(grid.texts(states)), states)
    assert grid.encode(states).sum(1).tolist() == [dimensions] * 20
    rows, actions = grid.forward_mask(states)[:, :-1].nonzero(as_tuple=True)
    children = grid.step(states[rows], actions)
    assert bool((grid.index(children) > grid.index(states[rows])).all())
    undo = grid.back_of(states[rows], actions)
    assert bool(grid.backward_mask(children).gather(1, undo.unsqueeze(1)).all())
    assert torch.equal(grid.back(children, undo), states[rows])
    assert torch.equal(grid.forth_of(children, undo), actions)
    assert grid.backward_mask(grid.source(1)).tolist() == [[False] * dimensions]


@pytest.mark.parametrize(
    "wrong", [{"side": 1}, {"dimensions": 0}, {"r0": 0.0}, {"reward": "flat"}, {"reward": "sparse", "side": 3}]
)
def test_wrong_sizes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match="hypergrid"):
        Hypergrid(**wrong)  # type: ignore[arg-type]


@given(st.text(max_size=20) | st.sampled_from(["[1, 8]", "[1]", "[1.0, 2]", "[true, 1]", "[-1, 0]", "[" * 5000]))
def test_texts_that_are_no_cells_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"whole numbers 0\.\.7"):
        Hypergrid(2, 8).read([text, "[1, 2]"])


@given(st.lists(st.integers(0, 7), min_size=2, max_size=2))
def test_texts_of_cells_are_read(cell: list[int]) -> None:
    assert Hypergrid(2, 8).read([str(cell)]).tolist() == [cell]
