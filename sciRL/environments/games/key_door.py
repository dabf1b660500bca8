"""Key and door: a sparse game of up to 24 turns on a 6 x 6 grid.

The agent must walk to the key, pick it up, walk to the door and open it. The only reward is 1 at the end.

    opening    you (2,3) key (0,5) door (4,1) hand empty
    turn       go east | go west | go north | go south | pick | open
    reply      you (3,3) key (0,5) door (4,1) hand empty

East is x + 1 and north y + 1; a step into the wall leaves the agent where it is, `pick` away from the key and `open`
without the key or away from the door do nothing, and any other text is a turn lost.
"""

from __future__ import annotations

import json
import random

from sciRL.environments.conversation import Reply
from sciRL.environments.games.replay import Replay
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import Rubric, Stage

SIZE = 6
HORIZON = 24
MOVES = {"go east": (1, 0), "go west": (-1, 0), "go north": (0, 1), "go south": (0, -1)}
ACTIONS = (*MOVES, "pick", "open")
Cell = tuple[int, int]


class KeyDoor:
    """One episode; see the module."""

    def __init__(self, agent: Cell, key: Cell, door: Cell, horizon: int = HORIZON) -> None:
        self.agent, self.key, self.door, self.horizon = agent, key, door, horizon
        self.has_key = self.opened = False
        self.turns: list[str] = []

    @property
    def state(self) -> str:
        """The state in words."""
        hand = "key" if self.has_key else "empty"
        return f"you {_cell(self.agent)} key {_cell(self.key)} door {_cell(self.door)} hand {hand}"

    def step(self, text: str) -> Reply:
        """Take a turn; text that is no action is a turn lost."""
        before, action = self.state, text.strip()
        self.turns.append(action)
        if action in MOVES:
            dx, dy = MOVES[action]
            self.agent = (min(max(self.agent[0] + dx, 0), SIZE - 1), min(max(self.agent[1] + dy, 0), SIZE - 1))
            if self.has_key:
                self.key = self.agent
        elif action == "pick" and self.agent == self.key:
            self.has_key = True
        elif action == "open" and self.has_key and self.agent == self.door:
            self.opened = True
        done = self.opened or len(self.turns) >= self.horizon
        name = action if action in ACTIONS else "invalid"
        return Reply(self.state, done, state_key=before, action_key=name, info={"action": action[:80]})

    def score(self) -> Score:
        """Return 1 when the door was opened, else 0."""
        reason = "" if self.opened else f"the door is shut after {len(self.turns)} turns"
        return Score.ok(float(self.opened), reason, turns=len(self.turns), passed=self.opened)

    def context(self) -> None:
        """The context just grows."""
        return None

    def rewards(self) -> tuple[float, ...]:
        """Turns earn nothing themselves."""
        return ()

    def record(self) -> str:
        """Return the turns as a JSON list: a turn may itself hold line breaks."""
        return json.dumps(self.turns)


class KeyDoorEnvironment:
    """Key and door as a `ConversationEnvironment`; the task's reference holds the three cells."""

    def __init__(self, horizon: int = HORIZON) -> None:
        self.max_turns = horizon

    def reset(self, task: Task, seed: int) -> KeyDoor:
        """Return the episode of a task; nothing is drawn."""
        assert isinstance(task.reference, dict)
        agent, key, door = ((int(x), int(y)) for x, y in (task.reference[name] for name in ("agent", "key", "door")))
        return KeyDoor(agent, key, door, self.max_turns)

    def target(self, task: Task) -> None:
        """There is no single right answer."""
        return None


def rubric(horizon: int = HORIZON) -> Rubric:
    """Return the rubric of the game's records: 1 for success, else 0."""
    return Rubric("key-door", [Stage(Replay(KeyDoorEnvironment(horizon)), 1.0)])


def make_layout(seed: int) -> dict[str, Cell]:
    """Return three different cells for agent, key and door."""
    generator = random.Random(f"key-door {seed}")
    cells = [(x, y) for x in range(SIZE) for y in range(SIZE)]
    agent, key, door = generator.sample(cells, 3)
    return {"agent": agent, "key": key, "door": door}


def expert_actions(agent: Cell, key: Cell, door: Cell) -> list[str]:
    """Return a shortest solution: moves along x then y to the key, pick, moves to the door, open."""
    return [*_path(agent, key), "pick", *_path(key, door), "open"]


def _path(start: Cell, end: Cell) -> list[str]:
    dx, dy = end[0] - start[0], end[1] - start[1]
    return ["go east" if dx > 0 else "go west"] * abs(dx) + ["go north" if dy > 0 else "go south"] * abs(dy)


def _cell(cell: Cell) -> str:
    return f"({cell[0]},{cell[1]})"
