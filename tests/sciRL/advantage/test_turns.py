"""Turn-aware advantages reproduce the cards' numbers, and rebuilt contexts give what one growing row gives."""

from __future__ import annotations

import math

import pytest
import torch

from sciRL.advantage.base import AdvantageContext
from sciRL.advantage.group import GroupAdvantage
from sciRL.advantage.turns import TurnAdvantage, discounted
from sciRL.algorithms.policy_optimization import TurnConfig
from sciRL.rollout.collect import fill_scores
from sciRL.score import Score, Status
from sciRL.trajectory import Role, TrajectoryBatch, Turn

Episode = tuple[float, list[tuple[float, int]]]
"""Outcome, and for each turn its reward and number of tokens."""


def make_batch(episodes: list[Episode], rebuilt: bool = False, groups: list[int] | None = None) -> TrajectoryBatch:
    """Lay episodes out as growing rows, or as one row a turn."""
    rows, turns, owner = [], [], []
    for number, (_, played) in enumerate(episodes):
        pieces = []
        for turn, (reward, tokens) in enumerate(played):
            if rebuilt or turn == 0:
                pieces = [(Role.PROMPT, [1, 2], turn, [math.nan] * 2)]
                rows.append(pieces)
                owner.append(number)
            else:
                pieces.append((Role.OBSERVATION, [3], turn - 1, [math.nan]))
            pieces.append((Role.ACTION, [5] * tokens, turn, [-1.0] * tokens))
            turns.append(Turn(len(rows) - 1, turn, reward, turn + 1 == len(played)))
    group = [0] * len(episodes) if groups is None else groups
    columns = {
        "trajectory": [(group[i], i) for i in owner],
        "score": [
            Score.failed(Status.ERROR, "x") if math.isnan(episodes[i][0]) else Score.ok(episodes[i][0]) for i in owner
        ],
    }
    batch = TrajectoryBatch.from_segments(
        rows, [group[i] for i in owner], turns, truncated=[False] * len(rows), columns=columns
    )
    return fill_scores(batch, columns["score"], ())


def by_turn(batch: TrajectoryBatch, transform: TurnAdvantage) -> list[list[float]]:
    """Return one advantage for each turn of each episode; all tokens of a turn must agree, all others be 0."""
    advantage = transform.apply(batch, AdvantageContext(0))["advantage"]
    assert bool((advantage[~batch.action] == 0).all())
    found: dict[tuple, dict[int, float]] = {}
    for row in range(len(batch)):
        start, end = int(batch.offsets[row]), int(batch.offsets[row + 1])
        for turn in batch.turn[start:end].unique().tolist():
            inside = (batch.turn[start:end] == turn) & batch.action[start:end]
            values = advantage[start:end][inside]
            if len(values):
                assert float(values.max() - values.min()) == 0.0
                found.setdefault(batch.rows["trajectory"][row], {})[turn] = float(values[0])
    return [[turns[t] for t in sorted(turns)] for turns in found.values()]


IGPO = [(1.0, [(0.3, 2), (-0.05, 3), (0.0, 1)]), (0.0, [(0.1, 4), (0.0, 2)])]


@pytest.mark.parametrize("rebuilt", [False, True])
@pytest.mark.parametrize(
    ("gamma", "wanted"),
    [
        (1.0, [[1.0244, 0.9545, 1.6995], [-1.0244, -0.6286]]),
        (0.9, [[0.7760, 0.7846, 1.6995], [-0.9615, -0.6286]]),
    ],
)
def test_igpo_card(gamma: float, wanted: list[list[float]], rebuilt: bool) -> None:
    found = by_turn(make_batch(IGPO, rebuilt), TurnAdvantage(gamma=gamma))
    for have, want in zip(found, wanted, strict=True):
        assert have == pytest.approx(want, abs=2e-4)


def test_igpo_card_normalised_rewards() -> None:
    """Mean 0.27 and standard deviation 0.4295 over all five rewards of the group."""
    first, second = by_turn(make_batch(IGPO), TurnAdvantage(credit="own"))
    assert first == pytest.approx([0.0698, -0.7450, 1.6995], abs=1e-4)
    assert second == pytest.approx([-0.3958, -0.6286], abs=1e-4)
    plain = by_turn(make_batch(IGPO), TurnAdvantage(credit="own", divide_by_std=False))
    assert plain[0] == pytest.approx([0.3 - 0.27, -0.05 - 0.27, 1.0 - 0.27])
    assert plain[0][2] / first[2] == pytest.approx(0.4295, abs=1e-4)


@pytest.mark.parametrize("rebuilt", [False, True])
def test_promed_card_two_rollouts(rebuilt: bool) -> None:
    # Token rewards of the card; the outcome is part of the answer turn's reward there.
    episodes = [(0.0, [(2.029056, 3), (1.0, 2), (4.0, 2)]), (0.0, [(1.653144, 3), (1.0, 3)])]
    transform = TurnAdvantage(credit="own", baseline="token", divide_by_std=False)
    found = by_turn(make_batch(episodes, rebuilt), transform)
    assert found[0] == pytest.approx([0.179318, -0.849739, 2.150261], abs=1e-5)
    assert found[1] == pytest.approx([-0.196594, -0.849739], abs=1e-5)
    assert 4.0 - found[0][2] == pytest.approx(1.849739, abs=1e-5)


@pytest.mark.parametrize("rebuilt", [False, True])
def test_outcome_credit_is_grpo_over_episodes(rebuilt: bool) -> None:
    episodes: list[Episode] = [(1.0, [(0.0, 2)] * 3), (0.0, [(0.0, 1)]), (0.0, [(0.0, 4)] * 2), (1.0, [(0.0, 1)])]
    transform = TurnAdvantage(normalise_returns=True, baseline="sequence", turn_weight=0.0)
    found = by_turn(make_batch(episodes, rebuilt), transform)
    assert [turns[0] for turns in found] == pytest.approx([0.8660, -0.8660, -0.8660, 0.8660], abs=1e-4)
    assert all(value == pytest.approx(turns[0]) for turns in found for value in turns)
    if not rebuilt:
        growing = make_batch(episodes)
        plain = GroupAdvantage("grpo").apply(growing, AdvantageContext(0))["advantage"]
        ours = transform.apply(growing, AdvantageContext(0))["advantage"]
        assert torch.allclose(plain, ours, atol=1e-6)


def test_baselines_count_turns_tokens_or_episodes() -> None:
    episodes: list[Episode] = [(0.0, [(1.0, 4), (0.0, 1)]), (0.0, [(0.0, 1)])]
    means = {}
    for baseline in ("turn", "token", "sequence"):
        transform = TurnAdvantage(credit="own", baseline=baseline, divide_by_std=False)
        means[baseline] = 1.0 - by_turn(make_batch(episodes), transform)[0][0]
    assert means == pytest.approx({"turn": 1 / 3, "token": 4 / 6, "sequence": 0.25})


def test_groups_do_not_mix_and_one_without_spread_has_no_advantage() -> None:
    episodes: list[Episode] = [(1.0, [(0.5, 2)]), (1.0, [(0.5, 2)]), (1.0, [(0.0, 1)]), (0.0, [(0.0, 1)])]
    found = by_turn(make_batch(episodes, groups=[0, 0, 1, 1]), TurnAdvantage())
    assert found[0] == found[1] == [0.0]
    assert found[2][0] == pytest.approx(-found[3][0])
    assert found[2][0] > 0


def test_an_episode_whose_environment_failed_is_absent_from_the_baseline() -> None:
    episodes: list[Episode] = [(1.0, [(0.0, 2)]), (0.0, [(0.0, 2)]), (math.nan, [(9.0, 2)])]
    found = by_turn(make_batch(episodes), TurnAdvantage())
    assert found[2] == [0.0]
    assert found[0][0] == pytest.approx(-found[1][0])


def test_discounted_sums_stay_inside_an_episode() -> None:
    values, episode = torch.tensor([1.0, 2.0, 3.0, 10.0]), torch.tensor([0, 0, 0, 1])
    assert discounted(values, episode, 0.5).tolist() == [2.75, 3.5, 3.0, 10.0]


@pytest.mark.parametrize("rebuilt", [False, True])
def test_returns_are_compared_at_their_place(rebuilt: bool) -> None:
    episodes: list[Episode] = [(1.0, [(0.3, 2), (0.0, 1)]), (0.0, [(0.1, 2), (0.2, 3), (0.0, 1)])]
    # Returns [1.3, 1.0] and [0.3, 0.2, 0.0]; the third turn has nothing to be compared with.
    found = by_turn(make_batch(episodes, rebuilt), TurnConfig(method="turns").transform())
    assert found[0] == pytest.approx([0.5, 0.4])
    assert found[1] == pytest.approx([-0.5, -0.4, 0.0])
    # With half of the verdict and a discount of a half: [0.3 + 0.25, 0.5] and [0.1 + 0.1, 0.2, 0].
    config = TurnConfig(method="turns", outcome_weight=0.5, gamma=0.5)
    found = by_turn(make_batch(episodes, rebuilt), config.transform())
    assert found[0] == pytest.approx([0.175, 0.15])
    assert found[1] == pytest.approx([-0.175, -0.15, 0.0])
    # With a discount of 0 a turn gets its own reward alone: [0.3, 1.0] and [0.1, 0.2, 0].
    found = by_turn(make_batch(episodes, rebuilt), TurnConfig(method="turns", gamma=0.0).transform())
    assert found[0] == pytest.approx([0.1, 0.4])
    assert found[1] == pytest.approx([-0.1, -0.4, 0.0])


@pytest.mark.parametrize("method", ["outcome", "turns", "igpo", "promed"])
@pytest.mark.parametrize("size", [3, 7])
def test_equal_episodes_have_no_advantage_at_all(method: str, size: int) -> None:
    """The mean of equal numbers is off by a rounding; the baselines of igpo and promed compare all turns."""
    rewards = [1 / 3, 1 / 3] if method in ("igpo", "promed") else [0.7, 0.7 / 3]
    episodes: list[Episode] = [(0.0, [(reward, 2) for reward in rewards])] * size
    found = by_turn(make_batch(episodes), TurnConfig(method=method).transform())  # type: ignore[arg-type]
    assert {value for turns in found for value in turns} == {0.0}


def test_a_question_that_teaches_less_than_the_mean_is_worth_asking() -> None:
    """Rewards normalised one by one and summed up, as IGPO has it, make such a question cost something."""
    episodes: list[Episode] = [(1.0, [(0.1, 2), (0.0, 2)]), (1.0, [(0.1, 2), (0.1, 2), (0.1, 2), (0.0, 2)])]
    one_by_one = by_turn(make_batch(episodes), TurnConfig(method="igpo").transform())
    assert one_by_one[0][0] > one_by_one[1][0]
    found = by_turn(make_batch(episodes), TurnConfig(method="turns").transform())
    assert found[0] == pytest.approx([-0.1, -0.1])
    assert found[1] == pytest.approx([0.1, 0.1, 0.0, 0.0])


def test_a_discount_that_nothing_would_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gamma is 0\.9, but method promed sums up no returns"):
        TurnConfig(method="promed", gamma=0.9)
