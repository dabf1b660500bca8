"""The text games keep their rules, whatever text they are given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciRL.environments.games import key_door
from sciRL.environments.games.key_door import ACTIONS, HORIZON, KeyDoor, expert_actions, make_layout
from sciRL.environments.games.lookup import Lookup, LookupEnvironment, make_table, solution
from sciRL.task import Task


def play(game: KeyDoor | Lookup, actions: list[str]) -> int:
    """Take the actions until the episode ends; return how many were taken."""
    for number, action in enumerate(actions, start=1):
        if game.step(action).done:
            return number
    return len(actions)


def test_the_cards_layout_is_solved_in_four_turns() -> None:
    game = KeyDoor((0, 0), (1, 0), (1, 1))
    assert play(game, ["go east", "pick", "go north", "open"]) == 4
    assert game.score().value == 1.0
    assert game.score().measurements["turns"] == 4


def test_open_without_the_key_and_pick_elsewhere_do_nothing() -> None:
    game = KeyDoor((1, 1), (1, 0), (1, 1))
    before = game.state
    assert not game.step("open").done
    assert game.step("pick").text == before
    assert game.score().value == 0.0


@pytest.mark.parametrize("seed", range(20))
def test_the_expert_needs_the_two_distances_and_two_more_turns(seed: int) -> None:
    layout = make_layout(seed)
    actions = expert_actions(**layout)
    (ax, ay), (kx, ky), (dx, dy) = layout["agent"], layout["key"], layout["door"]
    assert len(actions) == abs(ax - kx) + abs(ay - ky) + 1 + abs(kx - dx) + abs(ky - dy) + 1
    game = KeyDoor(**layout)
    assert play(game, actions) == len(actions)
    assert game.score().value == 1.0


@given(st.lists(st.sampled_from(ACTIONS) | st.text(max_size=20), min_size=HORIZON, max_size=HORIZON))
def test_an_episode_ends_by_the_horizon_and_stays_on_the_grid(actions: list[str]) -> None:
    game = KeyDoor(**make_layout(1))
    assert play(game, actions) <= HORIZON
    assert all(0 <= part < 6 for part in game.agent)


def test_two_lookups_lead_to_the_value() -> None:
    table, start = make_table(3)
    game = Lookup(table, start)
    second = game.step(f"lookup {start}").text.removeprefix("go to ")
    value = game.step(f"lookup {second}").text.removeprefix("value ")
    assert value == solution(table, start)
    assert game.step(f"answer {value}").done
    assert game.score().value == 1.0


@pytest.mark.parametrize("seed", range(20))
def test_ten_entries_of_which_one_leads_on(seed: int) -> None:
    table, start = make_table(seed)
    assert len(table) == 10
    assert [number for number, entry in enumerate(table) if entry.startswith("go to ")] == [start]
    task = Task("lookup", ({"role": "user", "content": f"start {start}"},), reference={"table": table, "start": start})
    # What a belief probe forces: "answer " and the three digits.
    begin, value = LookupEnvironment().target(task)
    assert begin == "answer "
    game = Lookup(table, start)
    assert play(game, [f"lookup {start}", begin + value]) == 2
    assert game.score().value == 1.0


def test_six_turns_and_no_second_answer() -> None:
    game = Lookup(["value 1 2 3"] * 10, 0)
    assert play(game, ["lookup 1", "lookup 2", "lookup x", "what", "lookup 12", "lookup 0", "answer 1 2 3"]) == 6
    assert game.score().value == 0.0
    wrong = Lookup(["value 1 2 3"] * 10, 0)
    assert play(wrong, ["answer 3 2 1", "answer 1 2 3"]) == 1
    assert wrong.score().value == 0.0


@pytest.mark.parametrize("record", ["", "{}", "[1]", "go east", '["go east\\nopen"]', "[" * 5000])
def test_a_record_that_was_not_played_earns_nothing(record: str) -> None:
    task = Task("games", ({"role": "user", "content": "x"},), reference={k: list(v) for k, v in make_layout(0).items()})
    [score] = key_door.rubric().verify([(task, record)])
    assert score.value == 0.0


def test_a_record_is_judged_by_playing_it_again() -> None:
    layout = make_layout(5)
    task = Task("games", ({"role": "user", "content": "x"},), reference={k: list(v) for k, v in layout.items()})
    game = KeyDoor(**layout)
    play(game, expert_actions(**layout))
    [score] = key_door.rubric().verify([(task, game.record())])
    assert score == game.score() or score.value == game.score().value == 1.0


@pytest.mark.parametrize("answer", ["answer 1 2", "answer 1 2 3 4", "ANSWER 1 2 3", "answer 1 2 3 or 4 5 6", ""])
def test_no_other_form_is_an_answer(answer: str) -> None:
    game = Lookup(["value 1 2 3"] * 10, 0)
    assert not game.step(answer).done
    assert game.score().value == 0.0
