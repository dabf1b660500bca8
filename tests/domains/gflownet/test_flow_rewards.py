"""RubricReward: the score of each object by itself, cached, and never a number where the verifier failed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from domains.gflownet.rewards import RubricReward, VerificationError
from sciRL.errors import UserError
from sciRL.score import Score, Status
from sciRL.task import Task
from sciRL.verification.base import Item, PerItemVerifier, Rubric, Stage

TASK = Task("gflownet", ({"role": "user", "content": "Write digits."},))


class Length(PerItemVerifier):
    """Scores the length of a text in tenths; "fail" fails always and "flaky" the first time."""

    name = "length"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def verify_one(self, task: Task, answer: str) -> Score:
        self.calls.append(answer)
        if answer == "fail" or (answer == "flaky" and self.calls.count("flaky") == 1):
            return Score.failed(Status.TIMEOUT, "over 2 s")
        return Score.malformed("empty") if not answer else Score.ok(min(1.0, len(answer) / 10))


class First:
    """1 for the first of equal texts of a batch."""

    name, cost = "first", "inline"

    def verify(self, items: Sequence[Item]) -> list[Score]:
        texts = [text for _, text in items]
        return [Score.ok(float(text not in texts[:k])) for k, text in enumerate(texts)]


def test_log_reward_is_log_of_floor_plus_score() -> None:
    reward = RubricReward(Length(), TASK, floor=0.01)
    assert reward(["abcde", "", "0123456789"]) == pytest.approx([math.log(0.51), math.log(0.01), math.log(1.01)])


def test_texts_are_judged_once() -> None:
    verifier = Length()
    reward = RubricReward(verifier, TASK)
    assert reward(["ab", "ab", "abc"])[0] == reward(["ab"])[0]
    assert verifier.calls == ["ab", "abc"]
    assert (reward.judged, reward.failed) == (2, 0)


def test_the_reward_of_an_object_does_not_depend_on_the_batch() -> None:
    rubric = Rubric("both", [Stage(Length(), 1.0), Stage(First(), 1.0)])
    reward = RubricReward(rubric, TASK)
    together = reward(["ab", "abc", "ab"])
    assert together == [RubricReward(rubric, TASK)([text])[0] for text in ("ab", "abc", "ab")]
    assert together[0] == together[2]


def test_a_failed_verification_is_tried_again_and_then_raises_instead_of_scoring() -> None:
    verifier = Length()
    reward = RubricReward(verifier, TASK)
    assert reward(["flaky"]) == pytest.approx([math.log(1e-4 + 0.5)])
    assert (reward.judged, reward.failed) == (2, 1)
    with pytest.raises(VerificationError, match="over 2 s") as caught:
        reward(["ab", "fail"])
    assert caught.value.failures == {"fail": "over 2 s"}
    assert reward.scores(["fail"])[0].value is None
    assert verifier.calls.count("fail") == 4  # never cached
    assert verifier.calls.count("ab") == 1


def test_the_cache_drops_the_oldest() -> None:
    verifier = Length()
    reward = RubricReward(verifier, TASK, cached=2)
    reward(["a", "b", "c"])
    reward(["c", "b"])
    assert verifier.calls == ["a", "b", "c"]
    reward(["a"])
    assert verifier.calls == ["a", "b", "c", "a"]


@pytest.mark.parametrize("floor", [0.0, -1.0, 1.0])
def test_floor_is_checked(floor: float) -> None:
    with pytest.raises(UserError, match="floor"):
        RubricReward(Length(), TASK, floor=floor)
