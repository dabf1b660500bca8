"""Advantages against the unit numbers of the GRPO family (sample standard deviation, ddof=1)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciRL.advantage.base import AdvantageContext, apply_transforms, check_composition
from sciRL.advantage.group import GroupAdvantage, row_advantages
from sciRL.advantage.returns import GeneralisedAdvantage, ReturnToGo, generalised_advantage
from sciRL.advantage.shaping import KlReward, OverlongFilter, ShuffledOutcome, SoftOverlong, overlong_penalty
from sciRL.objective.base import token_coefficients
from sciRL.trajectory import Role, RowStatus, TrajectoryBatch, Turn

CONTEXT = AdvantageContext(step=0)


def batch_of(outcomes: list[float], lengths: list[int], groups: list[int] | None = None) -> TrajectoryBatch:
    batch = TrajectoryBatch.from_rows(
        [[1, 2]] * len(outcomes), [[3] * length for length in lengths], groups or [0] * len(outcomes)
    )
    batch.outcome = torch.tensor(outcomes)
    return batch


CARD = batch_of([1.0, 0.0, 0.0, 1.0], [2, 4, 3, 1])


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        ("grpo", [0.8660, -0.8660, -0.8660, 0.8660]),
        ("dr_grpo", [0.5, -0.5, -0.5, 0.5]),
        ("rloo", [0.6667, -0.6667, -0.6667, 0.6667]),
        ("opo", [0.7, -0.3, -0.3, 0.7]),
    ],
)
def test_row_advantages_match_the_card(estimator: str, expected: list[float]) -> None:
    assert row_advantages(CARD, estimator).tolist() == pytest.approx(expected, abs=1e-4)


def test_one_right_of_four() -> None:
    batch = batch_of([1.0, 0.0, 0.0, 0.0], [1] * 4)
    assert row_advantages(batch, "grpo").tolist() == pytest.approx([1.5, -0.5, -0.5, -0.5], abs=1e-4)
    assert row_advantages(batch, "rloo").tolist() == pytest.approx([1.0, -1 / 3, -1 / 3, -1 / 3], abs=1e-6)


def test_reinforce_plus_plus_whitens_over_tokens() -> None:
    advantage = ReturnToGo().apply(CARD, CONTEXT)["advantage"]
    of_tokens = advantage[CARD.action]
    assert of_tokens[:2].tolist() == pytest.approx([1.4491] * 2, abs=1e-4)
    assert of_tokens[2:9].tolist() == pytest.approx([-0.6211] * 7, abs=1e-4)
    assert (advantage[~CARD.action] == 0).all()


def test_reinforce_baseline_has_zero_mean_and_unit_variance_over_tokens() -> None:
    batch = batch_of([1.0, 0.2, 0.0, 0.9], [2, 4, 3, 1])
    of_tokens = GroupAdvantage("reinforce_baseline").apply(batch, CONTEXT)["advantage"][batch.action]
    assert float(of_tokens.mean()) == pytest.approx(0, abs=1e-6)
    assert float(of_tokens.var()) == pytest.approx(1, abs=1e-5)


def test_generalised_advantage_matches_the_card() -> None:
    batch = batch_of([1.0], [3])
    value = torch.tensor([0.0, 0.0, 0.2, 0.5, 0.8])
    reward = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0])
    advantage, target = generalised_advantage(batch, reward, value, 1.0, 0.95)
    assert advantage[2:].tolist() == pytest.approx([0.7655, 0.4900, 0.2000], abs=1e-4)
    assert target[2:].tolist() == pytest.approx([0.9655, 0.99, 1.0], abs=1e-4)


def test_generalised_advantage_steps_over_environment_tokens() -> None:
    plain = batch_of([1.0], [3])
    value = torch.tensor([0.0, 0.0, 0.2, 0.5, 0.8])
    reward = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0])
    expected, _ = generalised_advantage(plain, reward, value, 1.0, 0.95)
    mixed = TrajectoryBatch.from_rows([[1, 2]], [[3, 3, 9, 9, 3]], [0])
    mixed.role[4:6] = int(Role.OBSERVATION)
    mixed.outcome = torch.tensor([1.0])
    spread, _ = generalised_advantage(
        mixed, torch.tensor([0.0, 0, 0, 0, 7, 7, 1]), torch.tensor([0.0, 0, 0.2, 0.5, 99, 99, 0.8]), 1.0, 0.95
    )
    assert spread[mixed.action].tolist() == pytest.approx(expected[plain.action].tolist())
    assert (spread[~mixed.action] == 0).all()


@given(st.floats(-3, 3), st.integers(2, 9), st.sampled_from(["grpo", "dr_grpo", "rloo", "reinforce_baseline"]))
def test_a_group_without_spread_weighs_exactly_nothing(value: float, size: int, estimator: str) -> None:
    batch = batch_of([value] * size, [2] * size)
    assert (GroupAdvantage(estimator).apply(batch, CONTEXT)["advantage"] == 0).all()


def test_common_factor_on_rewards_is_invisible_to_grpo() -> None:
    small, large = batch_of([0.1, 0.3, 0.2], [1] * 3), batch_of([100.0, 300.0, 200.0], [1] * 3)
    assert torch.allclose(row_advantages(small, "grpo"), row_advantages(large, "grpo"), atol=1e-4)


def test_failed_verifications_are_absent_from_the_statistics() -> None:
    batch = batch_of([1.0, 0.0, float("nan")], [1, 1, 1])
    batch.status[2] = int(RowStatus.TIMEOUT)
    advantage = row_advantages(batch, "dr_grpo")
    assert advantage.tolist() == [0.5, -0.5, 0.0]


def test_groups_do_not_mix() -> None:
    batch = batch_of([1.0, 5.0, 0.0, 6.0], [1] * 4, groups=[7, 3, 7, 3])
    assert row_advantages(batch, "dr_grpo").tolist() == [0.5, -0.5, -0.5, 0.5]


def test_overlong_penalty_matches_the_card() -> None:
    assert overlong_penalty(torch.tensor([15, 18, 20, 21]), 20, 4).tolist() == [0.0, -0.5, -1.0, -1.0]
    batch = batch_of([1.0, 1.0], [15, 18])
    assert SoftOverlong(20, 4).apply(batch, CONTEXT)["outcome"].tolist() == [1.0, 0.5]


def test_overlong_filter_masks_truncated_rows_only() -> None:
    batch = batch_of([1.0, 1.0], [2, 2])
    batch.truncated = torch.tensor([True, False])
    weight = OverlongFilter().apply(batch, CONTEXT)["weight"]
    assert weight.tolist() == [0, 0, 0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("estimator", ["grpo", "dr_grpo", "rloo", "opo"])
def test_a_filtered_row_is_absent_from_its_groups_statistics(estimator: str) -> None:
    """CAD-RL, eq. 9: outcomes (1, 0, 0 cut off) give the advantages of (1, 0) alone, and exactly 0."""
    batch = batch_of([1.0, 0.0, 0.0], [2, 2, 4])
    batch.truncated = torch.tensor([False, False, True])
    filtered = apply_transforms([OverlongFilter(), GroupAdvantage(estimator)], batch, CONTEXT)
    assert filtered.advantage is not None
    pair = row_advantages(batch_of([1.0, 0.0], [2, 2]), estimator).tolist()
    of_rows = filtered.segment_mean(filtered.advantage, "row", filtered.action)
    assert of_rows.tolist() == [*pair, 0.0]
    coefficient = token_coefficients(filtered, "seq-mean-token-mean")
    assert coefficient[filtered.action].tolist() == [0.25, 0.25, 0.25, 0.25, 0, 0, 0, 0]
    unfiltered = row_advantages(batch, estimator).tolist()
    assert unfiltered[2] < 0
    assert unfiltered[:2] != pair


@pytest.mark.parametrize("truncated", [[False, True, True], [True, True, True], [False, False, True]])
@pytest.mark.parametrize("estimator", ["grpo", "dr_grpo", "rloo", "opo", "reinforce_baseline"])
def test_fewer_than_two_kept_rows_or_equal_ones_weigh_nothing(estimator: str, truncated: list[bool]) -> None:
    batch = batch_of([1.0, 1.0, 0.0], [2, 3, 4])
    batch.truncated = torch.tensor(truncated)
    filtered = apply_transforms([OverlongFilter(), GroupAdvantage(estimator)], batch, CONTEXT)
    assert filtered.advantage is not None
    assert (filtered.advantage == 0).all()


def test_a_group_of_one_has_no_baseline_but_a_group_reduced_to_one_no_advantage() -> None:
    assert row_advantages(batch_of([0.7], [2]), "grpo").tolist() == pytest.approx([0.7])
    batch = batch_of([0.7, float("nan")], [2, 2])
    batch.status[1] = int(RowStatus.ERROR)
    assert row_advantages(batch, "grpo").tolist() == [0.0, 0.0]


def test_kl_reward_takes_the_summed_log_ratio_off() -> None:
    batch = batch_of([1.0], [2])
    batch.logp_old = torch.tensor([9.0, 9.0, -1.0, -2.0])
    batch.logp_ref = torch.tensor([0.0, 0.0, -1.5, -2.5])
    assert float(KlReward(0.1).apply(batch, CONTEXT)["outcome"]) == pytest.approx(0.9)


def test_shuffled_outcomes_keep_the_multiset_and_the_failed_rows() -> None:
    batch = batch_of([float(i) for i in range(16)], [1] * 16)
    batch.status[3] = int(RowStatus.ERROR)
    shuffled = ShuffledOutcome(seed=1).apply(batch, CONTEXT)["outcome"]
    assert sorted(shuffled.tolist()) == sorted(batch.outcome.tolist())
    assert float(shuffled[3]) == 3.0
    assert shuffled.tolist() != batch.outcome.tolist()


def test_shuffling_permutes_the_rewards_of_turns_as_well() -> None:
    turns = [Turn(row, number, float(2 * row + number + 1), number == 1) for row in range(8) for number in range(2)]
    pieces = [[(Role.PROMPT, [1], 0, None), *[(Role.ACTION, [2], n, [-1.0]) for n in range(2)]] for _ in range(8)]
    batch = TrajectoryBatch.from_segments(pieces, [0] * 8, turns, truncated=[False] * 8)
    batch.outcome = torch.arange(8.0)
    batch.status[5] = int(RowStatus.ERROR)
    shuffled = apply_transforms([ShuffledOutcome(seed=2)], batch, CONTEXT).turns["reward"]
    assert sorted(shuffled.tolist()) == [float(i) for i in range(1, 17)]
    assert shuffled[10:12].tolist() == [11.0, 12.0]
    assert shuffled.tolist() != batch.turns["reward"].tolist()


def test_composition_is_checked_before_anything_runs() -> None:
    assert check_composition([GeneralisedAdvantage()]) == {"value", "logp_old"}
    with pytest.raises(ValueError, match="writes 'advantage'"):
        check_composition([OverlongFilter()])

    class ReadsAdvantage(OverlongFilter):
        reads = frozenset({"advantage"})

    with pytest.raises(ValueError, match="advantage"):
        check_composition([ReadsAdvantage(), GroupAdvantage("grpo")])
    batch = apply_transforms([GroupAdvantage("dr_grpo")], CARD, CONTEXT)
    assert batch.advantage is not None
    assert CARD.advantage is None
