"""References between the stages of a recipe, before they are checked."""

from __future__ import annotations

from typing import Any

import pytest

from sciRL.errors import UserError
from sciRL.run.settings import fill_likes


def test_a_stage_like_another_takes_what_it_does_not_set() -> None:
    stages = {"a": {"steps": 2, "train": {"lr": 1, "batch": 8}}, "b": {"like": "a", "train": {"lr": 3}}}
    assert fill_likes({"stages": stages})["stages"]["b"] == {"steps": 2, "train": {"lr": 3, "batch": 8}}
    assert stages["a"] == {"steps": 2, "train": {"lr": 1, "batch": 8}}


@pytest.mark.parametrize("other", ["later", "b", 3, None, [], {"a": 1}])
def test_like_names_an_earlier_stage(other: Any) -> None:
    stages = {"a": {"steps": 1}, "b": {"like": other}, "later": {"steps": 1}}
    with pytest.raises(UserError, match=r"stages.b.like is .*; allowed: an earlier stage: a"):
        fill_likes({"stages": stages})


def test_a_stage_like_one_that_is_no_section_is_left_to_the_check() -> None:
    assert fill_likes({"stages": {"a": "text", "b": {"like": "a", "steps": 1}}})["stages"] == {
        "a": "text",
        "b": {"steps": 1},
    }
