"""Lookup: a hidden table of ten entries, each the number of another entry or a value, with two hops to the answer.

    opening    start 3
    turn       lookup 3
    reply      go to 7
    turn       lookup 7
    reply      value 5 0 2
    turn       answer 5 0 2

At most six turns; the outcome is 1 for the right value. An entry that leads nowhere useful costs only a turn.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence

from sciRL.environments.conversation import Reply
from sciRL.environments.games.replay import Replay
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import Rubric, Stage

ENTRIES = 10
HORIZON = 6
_LOOKUP = re.compile(r"lookup ([0-9])")
_ANSWER = re.compile(r"answer ([0-9]) ([0-9]) ([0-9])")


class Lookup:
    """One episode over a table: entry number to "go to N" or "value A B C"."""

    def __init__(self, table: Sequence[str], start: int, horizon: int = HORIZON) -> None:
        self.table, self.start, self.horizon = tuple(table), start, horizon
        self.turns: list[str] = []
        self.right: bool | None = None

    def step(self, text: str) -> Reply:
        """Look an entry up or answer; other text is a turn lost."""
        action = text.strip()
        self.turns.append(action)
        looked, answered = _LOOKUP.fullmatch(action), _ANSWER.fullmatch(action)
        reply = self.table[int(looked.group(1))] if looked else "?"
        if answered:
            self.right = " ".join(answered.groups()) == solution(self.table, self.start)
        done = self.right is not None or len(self.turns) >= self.horizon
        kind = "lookup" if looked else "answer" if answered else "invalid"
        return Reply(reply, done, state_key=f"turn {len(self.turns)}", action_key=kind, info={"action": action[:80]})

    def score(self) -> Score:
        """Return 1 for the right answer, else 0."""
        reason = "" if self.right else "no answer" if self.right is None else "a wrong answer"
        return Score.ok(float(bool(self.right)), reason, turns=len(self.turns), passed=bool(self.right))

    def context(self) -> None:
        """The context just grows."""
        return None

    def rewards(self) -> tuple[float, ...]:
        """Turns earn nothing themselves."""
        return ()

    def record(self) -> str:
        """Return the turns as a JSON list: a turn may itself hold line breaks."""
        return json.dumps(self.turns)


class LookupEnvironment:
    """Lookup as a `ConversationEnvironment`; the task's reference holds the table and the start."""

    def __init__(self, horizon: int = HORIZON) -> None:
        self.max_turns = horizon

    def reset(self, task: Task, seed: int) -> Lookup:
        """Return the episode of a task; nothing is drawn."""
        assert isinstance(task.reference, dict)
        return Lookup(task.reference["table"], int(task.reference["start"]), self.max_turns)

    def target(self, task: Task) -> tuple[str, str]:
        """Return how a forced answer begins, and the right value."""
        assert isinstance(task.reference, dict)
        return "answer ", solution(task.reference["table"], int(task.reference["start"]))


def rubric(horizon: int = HORIZON) -> Rubric:
    """Return the rubric of the game's records: 1 for success, else 0."""
    return Rubric("lookup", [Stage(Replay(LookupEnvironment(horizon)), 1.0)])


def solution(table: Sequence[str], start: int) -> str:
    """Return the value at the end of the hops from `start`.

    Example: with entry 3 "go to 7" and entry 7 "value 5 0 2", the solution from 3 is "5 0 2".
    """
    entry = table[start]
    while entry.startswith("go to "):
        entry = table[int(entry.removeprefix("go to "))]
    return entry.removeprefix("value ")


def make_table(seed: int) -> tuple[list[str], int]:
    """Return a table in which the start leads to a second entry that holds a value; all others hold values too."""
    generator = random.Random(f"lookup {seed}")
    start, second = generator.sample(range(ENTRIES), 2)
    table = [f"value {' '.join(str(generator.randrange(10)) for _ in range(3))}" for _ in range(ENTRIES)]
    table[start] = f"go to {second}"
    return table, start
